package parttext

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"gadwall/mimestream"
)

const (
	// MaxPreview is the length of a preview in characters. RFC 8970 section 3.1 allows 256, and
	// advises 200.
	MaxPreview = 200
	// maxPreviewText is how much text of a part is looked at for its preview, in octets.
	maxPreviewText = 8 << 10
)

// errEnough ends the reading of a part.
var errEnough = errors.New("enough text")

// HasPreview reports whether a part is one that a reader sees first: of these, the first one with
// any text gives the preview of the message.
func HasPreview(p *mimestream.Part) bool {
	return p.Kind == mimestream.Leaf && p.Type == "text" && p.Disposition != "attachment" &&
		(p.Subtype == "plain" || p.Subtype == "html")
}

// Preview returns the beginning of what a reader sees of a part (RFC 8970 section 3.1), without
// quoted text where there is other text; body is the part's beginning as it came. It is empty if
// there is nothing to see.
func Preview(p *mimestream.Part, body []byte) string {
	text := beginning{}
	var w io.WriteCloser = &text
	if p.Subtype == "html" {
		page := NewHTML(&text)
		page.marks = true
		w = page
	}
	// Damage ends the text, as enough text does.
	decoded := Decode(mimestream.NewDecoder(p.Encoding, bytes.NewReader(body)), p.Charset())
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{decoded}, make([]byte, 2<<10)); err == nil {
		w.Close()
	}
	lines := strings.Split(mimestream.DecodeCharset("", string(text.octets)), "\n")
	if preview := firstWords(unquoted(lines)); preview != "" {
		return preview
	}
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "> ")
	}
	return firstWords(lines)
}

// beginning keeps the first maxPreviewText octets.
type beginning struct{ octets []byte }

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), maxPreviewText-len(b.octets))
	b.octets = append(b.octets, p[:n]...)
	if n < len(p) {
		// A character that was cut is left out.
		for i := 1; i < utf8.UTFMax && i <= len(b.octets); i++ {
			if at := len(b.octets) - i; utf8.RuneStart(b.octets[at]) {
				if !utf8.FullRune(b.octets[at:]) {
					b.octets = b.octets[:at]
				}
				break
			}
		}
		return n, errEnough
	}
	return n, nil
}

// Close implements io.Closer.
func (b *beginning) Close() error { return nil }

// unquoted returns the lines that the sender wrote: without quotations, without the lines that
// introduce one, and without what follows the mark of a signature or of a forwarded message.
func unquoted(lines []string) []string {
	const introduction = 3 // lines, at most
	var out []string
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " \t\r")
		switch {
		case strings.HasPrefix(line, ">"):
			// What stands before it, up to an empty line, introduces it if it ends with a colon.
			end := len(out)
			for end > 0 && out[end-1] == "" {
				end--
			}
			start := end
			for start > 0 && out[start-1] != "" {
				start--
			}
			if end > start && end-start <= introduction && strings.HasSuffix(out[end-1], ":") {
				out = out[:start]
			}
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], ">") {
				i++
			}
		case lines[i] == "-- " || line == "--", isSeparator(line):
			return out
		default:
			out = append(out, line)
		}
	}
	return out
}

// isSeparator reports a line such as "-----Original Message-----".
func isSeparator(line string) bool {
	return strings.HasPrefix(line, "-----") && strings.ContainsFunc(line, unicode.IsLetter)
}

// firstWords joins lines to one of at most MaxPreview characters. Lines without a letter or digit
// are decoration.
func firstWords(lines []string) string {
	var b strings.Builder
	n := 0
	for _, line := range lines {
		if !strings.ContainsFunc(line, isWord) {
			continue
		}
		gap := n > 0
		for _, r := range line {
			switch {
			case unicode.IsSpace(r):
				gap = n > 0
				continue
			case isInvisible(r) || r == utf8.RuneError:
				continue
			}
			if gap {
				if n++; n >= MaxPreview {
					return b.String()
				}
				b.WriteByte(' ')
				gap = false
			}
			b.WriteRune(r)
			if n++; n >= MaxPreview {
				return b.String()
			}
		}
	}
	return b.String()
}

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.So, r)
}

// isInvisible reports a character that senders put between the beginning that they want to be seen
// and what follows. Those that join letters or symbols to others are none.
func isInvisible(r rune) bool {
	const graphemeJoiner, zeroWidthNonJoiner, zeroWidthJoiner = '\u034f', '\u200c', '\u200d'
	switch r {
	case zeroWidthNonJoiner, zeroWidthJoiner:
		return false
	case graphemeJoiner:
		return true
	}
	return unicode.Is(unicode.Cf, r) || unicode.IsControl(r)
}
