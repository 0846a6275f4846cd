package section

import (
	"context"
	"io"

	"gadwall/mimestream"
)

// Kind is what of a part a section names.
type Kind uint8

const (
	All       Kind = iota // the part's body, or the whole message
	Header                // the header block of a message
	Fields                // of that, the named fields
	FieldsNot             // of that, all other fields
	Text                  // the body of a message
	MIME                  // the header block of a part
)

// Section names a range of a message's bytes or, with Fields and FieldsNot, a selection of the
// lines of such a range.
type Section struct {
	Path  []int // part numbers; nil: the message itself
	Kind  Kind
	Names Names // of Fields and FieldsNot
}

// Filtered reports whether the section selects lines of a header.
func (s *Section) Filtered() bool { return s.Kind == Fields || s.Kind == FieldsNot }

// RootHeader reports whether the section is the header of the message, or is selected from it.
func (s *Section) RootHeader() bool { return s.Path == nil && (s.Kind == Header || s.Filtered()) }

// Message is what finding a section needs to know of a message.
type Message struct {
	Prefix     int64            // octets of the trace lines, which belong to the header of the message
	Size       int64            // octets of the content
	HeaderSize int64            // of these, octets of the header block
	Root       *mimestream.Part // part table of the content; not needed for a section without Path
}

// Span returns the bytes of m that the section stands for: where it is filtered, those of the
// header whose lines it selects.
func (s *Section) Span(m Message) Span {
	if s.Path == nil {
		switch s.Kind {
		case All:
			return Span{Prefix: m.Prefix, N: m.Size}
		case Text:
			return Span{Off: m.HeaderSize, N: m.Size - m.HeaderSize}
		}
		return Span{Prefix: m.Prefix, N: m.HeaderSize}
	}
	part := m.Root.Find(s.Path)
	if part == nil {
		return Span{}
	}
	switch s.Kind {
	case All:
		return Span{Off: part.BodyOffset, N: part.BodySize}
	case MIME:
		// The body of a message that is not multipart has no header of its own: its part 1 is
		// described by the header of the message.
		return m.headerOf(part)
	}
	if part.Kind != mimestream.Message {
		return Span{} // only an embedded message has HEADER and TEXT
	}
	part = part.Children[0]
	if s.Kind == Text {
		return Span{Off: part.BodyOffset, N: part.BodySize}
	}
	return m.headerOf(part)
}

// headerOf returns the header block of a part, with the trace lines if it is that of the message.
func (m Message) headerOf(part *mimestream.Part) Span {
	span := Span{Off: part.HeaderOffset, N: part.HeaderSize}
	if part.Parent == nil {
		span.Prefix = m.Prefix
	}
	return span
}

// Span is a range of a message's bytes. Its zero value is empty.
type Span struct {
	PrefixAt, Prefix int64 // octets of the prefix: where they start, and how many they are
	Off, N           int64 // octets of the content after them
}

// Size is how many octets the span holds.
func (s Span) Size() int64 { return s.Prefix + s.N }

// Cut narrows the span to a partial. A start beyond the end gives the empty span
// (RFC 3501 section 6.4.5).
func (s Span) Cut(p Partial) Span {
	if !p.Set {
		return s
	}
	skip := min(p.Offset, s.Prefix)
	s.PrefixAt += skip
	s.Prefix -= skip
	rest := min(p.Offset-skip, s.N)
	s.Off += rest
	s.N -= rest

	s.Prefix = min(s.Prefix, p.Size)
	s.N = min(s.N, p.Size-s.Prefix)
	return s
}

// A Content writes ranges of its bytes.
type Content interface {
	WriteRange(ctx context.Context, w io.Writer, off, n int64) error
}

// Write writes the bytes of the span to w. prefix is the whole prefix of the message.
func (s Span) Write(ctx context.Context, w io.Writer, prefix []byte, content Content) error {
	if s.Prefix > 0 {
		if _, err := w.Write(prefix[s.PrefixAt : s.PrefixAt+s.Prefix]); err != nil {
			return err
		}
	}
	if s.N == 0 {
		return nil
	}
	return content.WriteRange(ctx, w, s.Off, s.N)
}

// Partial is a range within a section: Size octets from Offset on, both not negative.
type Partial struct {
	Set          bool // false: the whole section
	Offset, Size int64
}

// Bytes narrows b to the partial.
func (p Partial) Bytes(b []byte) []byte {
	if !p.Set {
		return b
	}
	b = b[min(p.Offset, int64(len(b))):]
	return b[:min(p.Size, int64(len(b)))]
}
