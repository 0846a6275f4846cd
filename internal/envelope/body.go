package envelope

import (
	"errors"
	"fmt"
	"strings"
)

// ErrStructure reports a stored BODYSTRUCTURE that is not one. It never comes from a client: the
// message's document is damaged.
var ErrStructure = errors.New("malformed body structure")

// AppendBody appends to dst the BODY form of a BODYSTRUCTURE in wire form: BODYSTRUCTURE without
// extension data (RFC 3501 section 7.4.2). The store keeps only BODYSTRUCTURE. BODY is a
// subsequence of its octets, so nothing is decoded: AppendBody copies runs of octets and leaves out
// the extension data of each body.
//
// It fails with ErrStructure, and returns dst unchanged in length, unless structure is exactly one
// well-formed body.
func AppendBody(dst, structure []byte) ([]byte, error) {
	s := bodyStripper{src: structure, dst: dst}
	if err := s.body(0); err != nil {
		return dst, err
	}
	if s.pos != len(s.src) {
		return dst, s.fail("bytes after the body")
	}
	return s.dst, nil
}

// bodyStripper walks src once; everything before from has been copied to dst
// or left out.
type bodyStripper struct {
	src, dst []byte
	pos      int
}

func (s *bodyStripper) fail(what string) error {
	return fmt.Errorf("%w at octet %d: %s", ErrStructure, s.pos, what)
}

// peek returns the next byte, 0 at the end.
func (s *bodyStripper) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *bodyStripper) expect(c byte) error {
	if s.peek() != c {
		return s.fail("expected " + string(rune(c)))
	}
	s.pos++
	return nil
}

// body copies one body: "(" (body-type-mpart / body-type-1part) ")".
func (s *bodyStripper) body(depth int) error {
	if depth > maxStructureDepth {
		return s.fail("nested too deeply")
	}
	start := s.pos
	if err := s.expect('('); err != nil {
		return err
	}
	var err error
	if s.peek() == '(' {
		s.dst = append(s.dst, '(')
		err = s.multipart(depth)
	} else {
		err = s.single(start, depth)
	}
	if err != nil {
		return err
	}
	for s.peek() == ' ' { // body extension data
		s.pos++
		if err := s.skipValue(depth); err != nil {
			return err
		}
	}
	if err := s.expect(')'); err != nil {
		return err
	}
	s.dst = append(s.dst, ')')
	return nil
}

// multipart copies the child bodies and the subtype.
func (s *bodyStripper) multipart(depth int) error {
	for s.peek() == '(' {
		if err := s.body(depth + 1); err != nil {
			return err
		}
	}
	start := s.pos
	if err := s.skipFields(1, depth); err != nil {
		return err
	}
	s.dst = append(s.dst, s.src[start:s.pos]...)
	return nil
}

// single copies from start (the opening parenthesis) the fields every body
// has, and those its media type adds: lines for text; envelope, body and lines
// for message/rfc822.
func (s *bodyStripper) single(start, depth int) error {
	typeStart := s.pos
	if err := s.skipString(); err != nil {
		return err
	}
	mediaType := s.src[typeStart:s.pos]
	if err := s.expect(' '); err != nil {
		return err
	}
	subStart := s.pos
	if err := s.skipString(); err != nil {
		return err
	}
	subType := s.src[subStart:s.pos]
	// params, id, description, encoding
	if err := s.skipFields(4, depth); err != nil {
		return err
	}
	if err := s.skipNumber(); err != nil { // octets
		return err
	}
	switch {
	case equalQuoted(mediaType, "text"):
		if err := s.skipNumber(); err != nil { // lines
			return err
		}
	case equalQuoted(mediaType, "message") &&
		(equalQuoted(subType, "rfc822") || equalQuoted(subType, "global")) && s.listNext():
		// Without a list here the message was kept as an opaque part, and what
		// follows is extension data.
		if err := s.skipFields(1, depth); err != nil { // envelope
			return err
		}
		if err := s.expect(' '); err != nil {
			return err
		}
		s.dst = append(s.dst, s.src[start:s.pos]...)
		if err := s.body(depth + 1); err != nil {
			return err
		}
		start = s.pos
		if err := s.skipNumber(); err != nil { // lines
			return err
		}
	}
	s.dst = append(s.dst, s.src[start:s.pos]...)
	return nil
}

// listNext reports whether a space and a list follow.
func (s *bodyStripper) listNext() bool {
	return s.pos+1 < len(s.src) && s.src[s.pos] == ' ' && s.src[s.pos+1] == '('
}

// skipFields passes n values, each with a space before it.
func (s *bodyStripper) skipFields(n, depth int) error {
	for range n {
		if err := s.expect(' '); err != nil {
			return err
		}
		if err := s.skipValue(depth); err != nil {
			return err
		}
	}
	return nil
}

// skipNumber passes a space and a number.
func (s *bodyStripper) skipNumber() error {
	if err := s.expect(' '); err != nil {
		return err
	}
	start := s.pos
	for isDigit(s.peek()) {
		s.pos++
	}
	if s.pos == start {
		return s.fail("expected a number")
	}
	return nil
}

// skipValue passes a list, string, number or NIL.
func (s *bodyStripper) skipValue(depth int) error {
	if s.peek() != '(' {
		return s.skipString()
	}
	if depth > maxStructureDepth {
		return s.fail("nested too deeply")
	}
	s.pos++
	for s.peek() != ')' {
		if s.peek() == ' ' {
			s.pos++
		}
		if err := s.skipValue(depth + 1); err != nil {
			return err
		}
	}
	s.pos++
	return nil
}

// skipString passes a quoted string, a literal, or a bare word (NIL, a number).
func (s *bodyStripper) skipString() error {
	switch c := s.peek(); {
	case c == '"':
		for i := s.pos + 1; i < len(s.src); i++ {
			switch s.src[i] {
			case '\\':
				i++
			case '"':
				s.pos = i + 1
				return nil
			}
		}
		return s.fail("unterminated string")
	case c == '{':
		return s.skipLiteral()
	default:
		start := s.pos
		for isWordByte(s.peek()) {
			s.pos++
		}
		if s.pos == start {
			return s.fail("expected a value")
		}
		return nil
	}
}

// skipLiteral passes "{n}" CRLF and n bytes.
func (s *bodyStripper) skipLiteral() error {
	i, n := s.pos+1, 0
	for ; i < len(s.src) && isDigit(s.src[i]); i++ {
		if n = n*10 + int(s.src[i]-'0'); n > len(s.src) {
			return s.fail("literal longer than the structure")
		}
	}
	if i == s.pos+1 || i+3 > len(s.src) || string(s.src[i:i+3]) != "}\r\n" {
		return s.fail("malformed literal")
	}
	if i += 3; n > len(s.src)-i {
		return s.fail("literal longer than the structure")
	}
	s.pos = i + n
	return nil
}

// equalQuoted reports whether the wire form of a string says word, in any case of its letters.
func equalQuoted(wire []byte, word string) bool {
	return len(wire) == len(word)+2 && wire[0] == '"' && strings.EqualFold(string(wire[1:len(wire)-1]), word)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isWordByte reports a byte of NIL or a number.
func isWordByte(c byte) bool {
	return isDigit(c) || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
