package search

import (
	"strings"

	"gadwall/internal/casemap"
	"gadwall/mimestream"
)

// sink maps a text as it comes and looks for needles in it, whatever the pieces.
type sink struct {
	m      *matcher
	open   bool // a leaf that this text counts for is in doubt
	state  int32
	folder casemap.Folder
	kept   []byte // an incomplete character
	mapped []byte
}

// newSink returns a sink of a text that counts for leaves of ops. A matcher has one sink
// at a time.
func (m *matcher) newSink(ops ...op) *sink {
	s := &m.sink
	s.m, s.state, s.kept, s.open = m, 0, s.kept[:0], false
	s.folder.Reset()
	if m.texts == nil {
		return s
	}
	set := setOf(ops...)
	m.texts.begin(set)
	for i, leaf := range m.leaves {
		s.open = s.open || m.known[i] == maybe && set.has(leaf.op)
	}
	return s
}

// Write implements io.Writer. It fails with errDecided once the message is.
func (s *sink) Write(text []byte) (int, error) {
	for rest := text; len(rest) > 0 && s.open; {
		n := min(len(rest), chunkSize)
		if err := s.search(rest[:n], false); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(text), nil
}

// writeField writes a header field as a line, as it is read: encoded words undone
// and white space collapsed. A line that is no field has no name. Lines are complete characters, so
// that nothing is kept between two.
func (s *sink) writeField(name, value string) error {
	if !s.open {
		return nil
	}
	if !isPlain(value) {
		_, err := s.Write(appendLine(nil, name, value))
		return err
	}
	before := s.m.finds
	s.mapped = appendPlainLine(s.mapped[:0], name, value)
	s.state = s.m.texts.run(s.state, s.mapped)
	if s.m.finds > before && s.m.decided() {
		return errDecided
	}
	return nil
}

// appendLine appends the line that a header field is as a text.
func appendLine(line []byte, name, value string) []byte {
	if name != "" {
		line = append(append(line, name...), ": "...)
	}
	line = append(line, collapseSpace(strings.TrimSpace(mimestream.DecodeWords(value)))...)
	return append(line, '\n')
}

// Close looks through what is left.
func (s *sink) Close() error {
	if !s.open {
		return nil
	}
	return s.search(nil, true)
}

// search maps the next piece and looks for needles.
func (s *sink) search(text []byte, last bool) error {
	if len(s.kept) > 0 {
		s.kept = append(s.kept, text...)
		text = s.kept
	}
	before := s.m.finds
	f := s.m.texts
	for len(text) > 0 {
		out, n, long := s.folder.Fold(s.mapped[:0], text, last)
		s.mapped = out
		s.state = f.run(s.state, out)
		if long.Text != "" {
			s.state = f.runLong(s.state, long)
		}
		if text = text[n:]; n == 0 {
			break
		}
	}
	if last {
		s.mapped = s.folder.End(s.mapped[:0])
		s.state = f.run(s.state, s.mapped)
	}
	s.kept = append(s.kept[:0], text...)
	if s.m.finds > before && s.m.decided() {
		return errDecided
	}
	return nil
}
