package section

import (
	"bytes"
	"io"
	"strings"

	"gadwall/mimestream"
)

// maxHeld is how many octets of the start of a line a FieldSelector holds until it knows the name
// of the field. A line without a colon in so many octets is taken for one that has no name
// (RFC 5322 section 2.1.1 allows 998 octets for a whole line).
const maxHeld = 4 << 10

// Names is a list of names of header fields, in lower case.
type Names []string

// Has reports whether name is in the list; case does not matter.
func (n Names) Has(name []byte) bool {
	for _, lower := range n {
		if equalFold(name, lower) {
			return true
		}
	}
	return false
}

// equalFold compares ASCII without regard to case; lower is lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Lower returns names as a list for FieldSelector.
func Lower(names []string) Names {
	lower := make(Names, len(names))
	for i, n := range names {
		lower[i] = strings.ToLower(n)
	}
	return lower
}

// A FieldSelector takes the bytes of a header block by Write, in pieces of any size, and passes on
// those fields whose name is in a list or, with Not, is not in it, each with its folded lines
// exactly as they are (RFC 3501 section 6.4.5). A line without a colon has no name.
//
// An empty line ends the result: that of Fields always, that of FieldsNot where the header has one.
// So does Dovecot, and clients count on it to find the end of the fields.
type FieldSelector struct {
	w     io.Writer
	names Names
	not   bool

	held   []byte // the start of a line that is not decided
	inLine bool   // the next byte continues a decided line
	take   bool   // the field that is open is passed on
	ended  bool   // the empty line has been passed on
	last   byte   // what was passed on last
}

// NewFieldSelector returns a selector that passes on to w.
func NewFieldSelector(w io.Writer, names Names, not bool) *FieldSelector {
	return &FieldSelector{w: w, names: names, not: not, take: not}
}

// Write implements io.Writer. It returns the error of the writer behind it.
func (s *FieldSelector) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !s.ended {
		end := bytes.IndexByte(p, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(p)
		}
		if err := s.line(p[:end], whole); err != nil {
			return n - len(p), err
		}
		p = p[end:]
	}
	return n, nil
}

// line takes the next bytes of one line; whole says that they end it.
func (s *FieldSelector) line(b []byte, whole bool) error {
	if !s.inLine {
		line := b
		if len(s.held) > 0 || !whole {
			room := min(len(b), maxHeld-len(s.held))
			s.held = append(s.held, b[:room]...)
			line, b = s.held, b[room:]
		} else {
			b = nil
		}
		ended := whole && len(b) == 0 // line is the whole line
		if !ended && len(line) < maxHeld && !decided(line) {
			return nil
		}
		s.decide(line, ended)
		err := s.pass(line)
		s.held = s.held[:0]
		if err != nil {
			return err
		}
	}
	s.inLine = !whole
	return s.pass(b)
}

// decided reports whether the start of a line tells to which field it belongs.
func decided(start []byte) bool {
	return start[0] == ' ' || start[0] == '\t' || bytes.IndexByte(start, ':') >= 0
}

// decide sets what becomes of a line that starts so.
func (s *FieldSelector) decide(line []byte, whole bool) {
	switch {
	case whole && mimestream.IsEmptyLine(line):
		s.take, s.ended = true, true
	case line[0] == ' ' || line[0] == '\t':
		// A continuation goes the way of its field.
	default:
		name, ok := mimestream.FieldName(line[:min(len(line), maxHeld)])
		s.take = ok && s.names.Has(name) != s.not || !ok && s.not
	}
}

func (s *FieldSelector) pass(b []byte) error {
	if len(b) == 0 || !s.take {
		return nil
	}
	s.last = b[len(b)-1]
	_, err := s.w.Write(b)
	return err
}

// Close ends the header block. It does not close the writer behind it.
func (s *FieldSelector) Close() error {
	if len(s.held) > 0 {
		s.decide(s.held, false)
		if err := s.pass(s.held); err != nil {
			return err
		}
		s.held = nil
	}
	if s.not || s.ended {
		return nil
	}
	end := "\r\n"
	if s.last != 0 && s.last != '\n' {
		end = "\r\n\r\n" // the header ended within a field
	}
	_, err := io.WriteString(s.w, end)
	return err
}
