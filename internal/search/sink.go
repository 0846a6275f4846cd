package search

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

// sink normalises text and looks for the texts of some leaves in it, whatever
// the pieces in which it comes.
type sink struct {
	m      *matcher
	leaves []int  // places of those that are still looked for
	text   []byte // not yet normalised
	window []byte // normalised; starts with what a match could begin in
	reach  int    // length of the longest text looked for
}

// newSink looks for the leaves of ops that are still in doubt. A matcher has
// one sink at a time.
func (m *matcher) newSink(ops ...op) *sink {
	s := &m.sink
	*s = sink{m: m, leaves: s.leaves[:0], text: s.text[:0], window: s.window[:0]}
	for i, leaf := range m.leaves {
		for _, op := range ops {
			if leaf.op == op && m.known[i] == maybe {
				s.leaves = append(s.leaves, i)
				s.reach = max(s.reach, len(leaf.text))
			}
		}
	}
	return s
}

// WriteString implements io.StringWriter.
func (s *sink) WriteString(text string) (int, error) {
	if len(s.leaves) == 0 {
		return len(text), nil
	}
	s.text = append(s.text, text...)
	if len(s.text) < chunkSize {
		return len(text), nil
	}
	return len(text), s.search(false)
}

// writeField writes a header field as a line, as it is read: encoded words undone
// and white space collapsed. A line that is no field has no name.
func (s *sink) writeField(name, value string) error {
	if len(s.leaves) == 0 {
		return nil
	}
	if name != "" {
		s.text = append(append(s.text, name...), ": "...)
	}
	s.text = append(s.text, collapseSpace(strings.TrimSpace(mimestream.DecodeWords(value)))...)
	_, err := s.WriteString("\n")
	return err
}

// Write implements io.Writer. It fails with errDecided once the message is.
func (s *sink) Write(text []byte) (int, error) {
	if len(s.leaves) == 0 {
		return len(text), nil
	}
	s.text = append(s.text, text...)
	if len(s.text) < chunkSize {
		return len(text), nil
	}
	return len(text), s.search(false)
}

// Close looks through what is left.
func (s *sink) Close() error {
	if len(s.leaves) == 0 {
		return nil
	}
	return s.search(true)
}

// search normalises what came, up to a place where that does not depend on
// what follows, and compares.
func (s *sink) search(last bool) error {
	cut := len(s.text)
	if !last {
		if cut = norm.NFKD.LastBoundary(s.text); cut < chunkSize/2 {
			// Without boundaries it is no text; but let no character be cut.
			for cut = len(s.text) - 1; cut > len(s.text)-utf8.UTFMax && !utf8.RuneStart(s.text[cut]); cut-- {
			}
		}
	}
	s.window = appendNormalized(s.window, s.text[:cut])
	s.text = append(s.text[:0], s.text[cut:]...)

	found := false
	open := s.leaves[:0]
	for _, i := range s.leaves {
		if bytes.Contains(s.window, []byte(s.m.leaves[i].text)) {
			s.m.known[i] = yes
			found = true
			continue
		}
		open = append(open, i)
	}
	s.leaves = open
	if keep := min(s.reach-1, len(s.window)); keep >= 0 {
		s.window = append(s.window[:0], s.window[len(s.window)-keep:]...)
	}
	if found && s.m.decided() {
		return errDecided
	}
	return nil
}

// appendNormalized appends text in the form that is compared.
func appendNormalized(dst, text []byte) []byte {
	for i, c := range text {
		if c >= utf8.RuneSelf {
			return append(dst[:len(dst)-i], envelope.Normalize(validText(text))...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// validText returns text as valid UTF-8: octets that are not are read as
// windows-1252.
func validText(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(text[0])
		}
		b.WriteRune(r)
		text = text[n:]
	}
	return b.String()
}
