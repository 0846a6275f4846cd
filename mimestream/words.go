package mimestream

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
)

// DecodeCharset converts text in the named charset to valid UTF-8. An empty, unknown or wrong name
// does not lose the text: valid UTF-8 stays, other octets are read as windows-1252. Within UTF-8
// text, invalid octets become U+FFFD.
func DecodeCharset(name, text string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "utf8", "unknown-8bit":
		if utf8.ValidString(text) {
			return text
		}
		if strings.HasPrefix(name, "utf") {
			return strings.ToValidUTF8(text, "\uFFFD")
		}
		name = "windows-1252"
	}
	r, err := charset.Reader(name, strings.NewReader(text))
	if err != nil {
		return DecodeCharset("", text)
	}
	// A decoder of a stateful charset may stop at damage: the text up to there is kept.
	out, _ := io.ReadAll(r)
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// DecodeWords undoes the encoded words (RFC 2047) of a field's value and makes the rest valid
// UTF-8. It drops white space between two encoded words (RFC 2047 section 6.2). It joins neighbours
// of the same charset before the conversion, since many mailers cut characters in two. Text that is
// no proper encoded word stays as it is.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return DecodeCharset("", s)
	}
	var out strings.Builder
	var cs string    // charset of held
	var held []byte  // decoded octets not yet converted
	var space string // white space after held, dropped if another word follows
	flush := func() {
		out.WriteString(DecodeCharset(cs, string(held)))
		held = held[:0]
	}
	inWord := false
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			i = len(s)
		}
		if text := s[:i]; text != "" {
			if inWord && strings.Trim(text, " \t\r\n") == "" && i < len(s) {
				space = text
			} else {
				flush()
				inWord = false
				out.WriteString(DecodeCharset("", text))
			}
			s = s[i:]
			continue
		}
		charset, octets, n := encodedWord(s)
		if n == 0 {
			flush()
			out.WriteString(space + s[:2])
			space, inWord = "", false
			s = s[2:]
			continue
		}
		if !strings.EqualFold(charset, cs) {
			flush()
			cs = charset
		}
		held = append(held, octets...)
		space, inWord = "", true
		s = s[n:]
	}
	flush()
	return out.String()
}

// encodedWord reads =?charset?encoding?text?= at the start of s; n is its length, 0 if there is
// none.
func encodedWord(s string) (charset string, octets []byte, n int) {
	parts := strings.SplitN(s[2:], "?", 4)
	if len(parts) < 4 || parts[0] == "" || !strings.HasPrefix(parts[3], "=") {
		return "", nil, 0
	}
	charset, _, _ = strings.Cut(parts[0], "*") // RFC 2231 section 5: a language may follow
	text := parts[2]
	switch parts[1] {
	case "b", "B":
		octets = decodeLoose(text)
	case "q", "Q":
		octets = decodeQ(text)
	default:
		return "", nil, 0
	}
	return charset, octets, 2 + len(parts[0]) + 1 + 1 + 1 + len(text) + 2
}

func decodeLoose(text string) []byte {
	text = strings.TrimRight(text, "=")
	out, err := base64.RawStdEncoding.DecodeString(text)
	if err == nil {
		return out
	}
	var d base64Decoder
	buf := make([]byte, len(text)+3)
	n := d.decode(buf, []byte(text))
	n += d.finish(buf[n:])
	return bytes.Clone(buf[:n])
}

func decodeQ(text string) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(text) && unhex[text[i+1]] >= 0 && unhex[text[i+2]] >= 0:
			c = byte(unhex[text[i+1]]<<4 | unhex[text[i+2]])
			i += 2
		}
		out = append(out, c)
	}
	return out
}
