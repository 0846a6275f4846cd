package submission

import (
	"bytes"
	"io"
	"strings"

	"gadwall/mimestream"
)

// newSplitter returns a splitter.
func newSplitter(
	wire, saved io.Writer, missing func(name string) string, headerDone func(*header) error,
) *splitter {
	return &splitter{
		wire: wire, saved: saved, missing: missing, headerDone: headerDone, savedLF: true, wireLF: true,
	}
}

// splitter makes of one message, as it comes in, the two that submission needs: the one on the wire
// and the copy in the sender's mailbox. They have the same bytes, but
//
//   - the wire has no Bcc and no Resent-Bcc field (RFC 5322 section 3.6.3, RFC 6409 section 8), and
//     begins with the lines of trace;
//   - both get the fields of missing that the message does not have, at the end of its header.
//
// A message that does not begin with a header field gets a header in front of it. Whatever comes
// before the first empty line is header: another reader might take it for that, and find a Bcc.
type splitter struct {
	wire, saved io.Writer
	// missing returns the fields that a message gets which lacks a field of that name.
	missing func(name string) string
	// headerDone is told once what the header says, before its end is written.
	headerDone func(*header) error

	header          header
	line            []byte    // the beginning of a line, as long as its field is not known
	state           lineState // of the present line
	drop            bool      // the present field is not for the wire
	keep            *bytes.Buffer
	begun           bool // a field has begun
	savedLF, wireLF bool // the last octet of the header was LF, or there was none
	inBody          bool
}

type lineState uint8

const (
	lineBegins lineState = iota // nothing or a part of a field name was read
	lineKnown                   // the rest of the line belongs to the present field
)

// header is what submission wants to know of a header.
type header struct {
	from             []bytes.Buffer // the values of the From fields, as they came
	tooLong          bool           // a From field is longer than maxFrom, or there are more than maxFroms
	hasDate, hasID   bool
	messageID        string // the value of Message-ID, also of the one that is added
	messageIDPending bytes.Buffer
}

const (
	fieldDate      = "Date"
	fieldMessageID = "Message-ID"
)

// Write takes the next piece of the message.
func (s *splitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !s.inBody {
		used, err := s.takeHeader(p)
		if err != nil {
			return n - len(p), err
		}
		p = p[used:]
	}
	if len(p) == 0 {
		return n, nil
	}
	return n, s.both(p)
}

// both writes to the wire and to the copy.
func (s *splitter) both(p []byte) error {
	if _, err := s.saved.Write(p); err != nil {
		return err
	}
	_, err := s.wire.Write(p)
	return err
}

// takeHeader takes a part of the header: the present line, or a piece of it.
func (s *splitter) takeHeader(p []byte) (used int, err error) {
	end := bytes.IndexByte(p, '\n') + 1
	whole := end > 0
	if !whole {
		end = len(p)
	}
	if s.state == lineKnown {
		if whole {
			s.state = lineBegins
		}
		return end, s.field(p[:end])
	}
	room := maxFieldName - len(s.line)
	piece := p[:min(end, room)]
	s.line = append(s.line, piece...)
	whole = whole && len(piece) == end
	if !whole && len(s.line) < maxFieldName && !s.decided() {
		return len(piece), nil
	}
	line := s.line
	s.line = s.line[:0]
	if err := s.lineBegun(line); err != nil || s.inBody {
		return len(piece), err
	}
	s.state = lineKnown
	if whole {
		s.state = lineBegins
	}
	return len(piece), s.field(line)
}

// decided reports whether the beginning of the line tells to which field it belongs.
func (s *splitter) decided() bool {
	return s.line[0] == ' ' || s.line[0] == '\t' || bytes.IndexByte(s.line, ':') >= 0
}

// lineBegun decides what the present line is, of which it has the beginning. At the end of the
// header it writes the line.
func (s *splitter) lineBegun(line []byte) error {
	if s.begun && (line[0] == ' ' || line[0] == '\t') {
		return nil // continues the field
	}
	if isEmptyLine(line) {
		return s.endHeader(line)
	}
	name, isField := fieldName(line)
	if !s.begun && !isField {
		// Not a header. The empty line belongs to the one that is made.
		if err := s.endHeader([]byte("\r\n")); err != nil {
			return err
		}
		return s.both(line)
	}
	s.begun = true
	if isField || s.keep == &s.header.messageIDPending {
		s.endField()
	}
	if !isField {
		// It may be a part of the present field that lost its white space: of one that is not for the
		// wire, or of From, where a reader might find a further address.
		return nil
	}
	s.drop = false
	switch h := &s.header; strings.ToLower(name) {
	case "bcc", "resent-bcc":
		s.drop = true
	case "from":
		if h.tooLong = h.tooLong || len(h.from) == maxFroms; !h.tooLong {
			h.from = append(h.from, bytes.Buffer{})
			s.keep = &h.from[len(h.from)-1]
		}
	case "date":
		h.hasDate = true
	case "message-id":
		if !h.hasID {
			h.hasID = true
			s.keep = &h.messageIDPending
		}
	}
	return nil
}

// isEmptyLine reports whether a line ends the header.
func isEmptyLine(line []byte) bool { return string(line) == "\r\n" || string(line) == "\n" }

func endsLine(line []byte) bool { return len(line) > 0 && line[len(line)-1] == '\n' }

// fieldName returns the name with which a line starts, if it can be one (RFC 5322 section 3.6.8). A
// name has no NUL, but there are servers that take it out (RFC 5322 section 4 forbids to send it): the
// name is what those see. Of a name with very much white space behind it, the colon need not be there
// yet.
func fieldName(line []byte) (string, bool) {
	name, ok := mimestream.FieldName(line)
	if !ok && len(line) >= maxFieldName {
		name, ok = bytes.TrimRight(line, " \t\x00"), true
	}
	name = bytes.TrimRight(bytes.ReplaceAll(name, []byte{0}, nil), " \t")
	ok = ok && len(name) < maxFieldName
	for _, c := range name {
		ok = ok && c > ' ' && c < 0x7f
	}
	return string(name), ok && len(name) > 0
}

// field writes octets of the present field.
func (s *splitter) field(p []byte) error {
	s.savedLF = endsLine(p)
	if s.keep != nil {
		if s.keep.Len()+len(p) > maxFrom {
			s.header.tooLong = s.header.tooLong || s.keep != &s.header.messageIDPending
			s.keep = nil
		} else {
			s.keep.Write(p)
		}
	}
	if s.drop {
		_, err := s.saved.Write(p)
		return err
	}
	s.wireLF = s.savedLF
	return s.both(p)
}

// endField ends what the header keeps of the present field.
func (s *splitter) endField() {
	h := &s.header
	if s.keep == &h.messageIDPending {
		_, value, _ := bytes.Cut(h.messageIDPending.Bytes(), []byte(":"))
		h.messageID = strings.TrimSpace(string(value))
	}
	s.keep = nil
}

// endHeader writes what the header lacks, and its last line.
func (s *splitter) endHeader(line []byte) error {
	s.endField()
	s.inBody = true
	if err := s.headerDone(&s.header); err != nil {
		return err
	}
	var add string
	if !s.header.hasDate {
		add = s.missing(fieldDate)
	}
	if !s.header.hasID {
		add += s.missing(fieldMessageID)
	}
	for _, to := range []struct {
		w      io.Writer
		lastLF bool
	}{{s.saved, s.savedLF}, {s.wire, s.wireLF}} {
		before := ""
		if !to.lastLF {
			before = "\r\n"
		}
		if _, err := to.w.Write(append([]byte(before+add), line...)); err != nil {
			return err
		}
	}
	return nil
}

// end takes the end of the message.
func (s *splitter) end() error {
	if s.inBody {
		return nil
	}
	line := s.line
	s.line = nil
	if len(line) > 0 {
		if err := s.lineBegun(line); err != nil || s.inBody {
			return err
		}
		if err := s.field(line); err != nil {
			return err
		}
	}
	// A header alone is a message, too.
	return s.endHeader(nil)
}
