package imap

import (
	"strconv"

	"gadwall/mimestream"
)

// sectionKind is the last word of a section specification (RFC 3501 section 6.4.5).
type sectionKind uint8

const (
	sectionAll       sectionKind = iota // no word: the part's body, or the whole message
	sectionHeader                       // HEADER
	sectionFields                       // HEADER.FIELDS
	sectionFieldsNot                    // HEADER.FIELDS.NOT
	sectionText                         // TEXT
	sectionMIME                         // MIME
)

// section is what stands between the brackets of BODY[...]. All but the two
// FIELDS kinds are a range of the message's bytes; those two are a selection
// of the lines of such a range.
type section struct {
	path   []int // part numbers; nil: the message itself
	kind   sectionKind
	fields fieldNames
}

// filtered reports whether the section selects lines of a header.
func (s *section) filtered() bool {
	return s.kind == sectionFields || s.kind == sectionFieldsNot
}

// rootHeader reports whether the header of the message is all it needs, for
// which the part table has not to be loaded.
func (s *section) rootHeader() bool {
	return s.path == nil && (s.kind == sectionHeader || s.filtered())
}

// partial is the <offset.size> of a FETCH item.
type partial struct {
	set          bool
	offset, size int64
}

// span is a range of a message's bytes: of the first `prefix` bytes of its
// trace lines, followed by a range of the content. Its zero value is the empty
// range, which a section that a message does not have is answered with, as
// Dovecot does.
type span struct {
	prefix   int64 // bytes of the prefix, from prefixAt
	prefixAt int64
	off, n   int64 // range of the content
}

// size is how many octets the span holds.
func (s span) size() int64 { return s.prefix + s.n }

// resolve returns the bytes of a message that the section stands for: where
// it is filtered, those of the header whose lines it selects. prefix is the
// length of the message's trace lines, which belong to the header of the
// message but not to its content.
func (s *section) resolve(root *mimestream.Part, prefix int64) span {
	part := root
	if s.path != nil {
		part = root.Find(s.path)
		if part == nil {
			return span{}
		}
		switch s.kind {
		case sectionAll:
			return span{off: part.BodyOffset, n: part.BodySize}
		case sectionMIME:
			// The body of a message that is not multipart has no header of its
			// own: its part 1 is described by the header of the message.
			return headerSpan(part, prefix)
		}
		if part.Kind != mimestream.Message {
			return span{} // only an embedded message has HEADER and TEXT
		}
		part = part.Children[0]
	}
	switch s.kind {
	case sectionAll:
		return span{prefix: prefix, off: part.HeaderOffset, n: part.End() - part.HeaderOffset}
	case sectionText:
		return span{off: part.BodyOffset, n: part.BodySize}
	}
	return headerSpan(part, prefix)
}

// headerSpan returns the header block of a part, with the trace lines if it is
// that of the message.
func headerSpan(part *mimestream.Part, prefix int64) span {
	if part.Parent != nil {
		prefix = 0
	}
	return span{prefix: prefix, off: part.HeaderOffset, n: part.HeaderSize}
}

// cut narrows the span to a partial. A start beyond the end gives the empty
// string (RFC 3501 section 6.4.5).
func (s span) cut(p partial) span {
	if !p.set {
		return s
	}
	skip := min(p.offset, s.prefix)
	s.prefixAt += skip
	s.prefix -= skip
	rest := min(p.offset-skip, s.n)
	s.off += rest
	s.n -= rest

	s.prefix = min(s.prefix, p.size)
	s.n = min(s.n, p.size-s.prefix)
	return s
}

// cutBytes narrows b to a partial.
func (p partial) cutBytes(b []byte) []byte {
	if !p.set {
		return b
	}
	b = b[min(p.offset, int64(len(b))):]
	return b[:min(p.size, int64(len(b)))]
}

// appendLabel appends the section as the response names it, with the brackets
// and the origin octet: field names as the client wrote them, so that it finds
// its answer by comparing.
func (s *section) appendLabel(dst []byte, names [][]byte, p partial) []byte {
	dst = append(dst, '[')
	for i, n := range s.path {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if s.path != nil && s.kind != sectionAll {
		dst = append(dst, '.')
	}
	switch s.kind {
	case sectionHeader:
		dst = append(dst, "HEADER"...)
	case sectionText:
		dst = append(dst, "TEXT"...)
	case sectionMIME:
		dst = append(dst, "MIME"...)
	case sectionFields, sectionFieldsNot:
		dst = append(dst, "HEADER.FIELDS"...)
		if s.kind == sectionFieldsNot {
			dst = append(dst, ".NOT"...)
		}
		dst = append(dst, " ("...)
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = appendAString(dst, name)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ']')
	if p.set {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, p.offset, 10)
		dst = append(dst, '>')
	}
	return dst
}

// appendAString appends b as an atom where it is one, else as a quoted string
// or a literal.
func appendAString(dst, b []byte) []byte {
	atom := len(b) > 0
	quoted := true
	for _, c := range b {
		switch {
		case c >= 0x80 || c < ' ' || c == 0x7f:
			atom = false
			quoted = quoted && c != '\r' && c != '\n' && c != 0 && c < 0x80
		case c == ' ' || c == '(' || c == ')' || c == '{' || c == '%' || c == '*' ||
			c == '"' || c == '\\' || c == ']':
			atom = false
		}
	}
	switch {
	case atom:
		return append(dst, b...)
	case quoted:
		dst = append(dst, '"')
		for _, c := range b {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		return append(dst, '"')
	}
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	dst = append(dst, "}\r\n"...)
	return append(dst, b...)
}
