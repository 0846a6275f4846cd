package imap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"gadwall/imap/wire"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/section"
	"gadwall/mimestream"
)

// BINARY (RFC 3516, RFC 9051 section 6.4.5): parts with their transfer encoding undone. The store
// keeps most of them decoded, so a range of one costs what the range costs. Data are always sent
// as a literal8, since they may have a NUL that was not yet read when the literal begins.
//
// Parts that are not leaves (multiparts and messages) have no encoding to undo, and BINARY[] is the
// whole message as it is.

// parseBinary reads "[part]<partial>", and adds the section.
func (r *fetchRequest) parseBinary(dec *wire.Decoder, name string, s fetchSection) error {
	if err := dec.Expect('['); err != nil {
		return err
	}
	if dec.Peek() != ']' {
		spec, err := dec.AtomUntil("]")
		if err != nil {
			return err
		}
		if s.Section, err = parseSectionSpec(spec); err != nil {
			return err
		}
		if s.Kind != section.All {
			return wire.Errorf("%s needs a part number", name)
		}
	}
	if err := dec.Expect(']'); err != nil {
		return err
	}
	if s.binary == binaryData && dec.Accept('<') {
		var err error
		if s.partial, err = parsePartial(dec); err != nil {
			return err
		}
	}
	s.label = appendSectionLabel([]byte(name), s.Section, nil, s.partial)
	return r.add(s)
}

// decodes reports whether the section is one part, with its transfer encoding undone.
func (s *fetchSection) decodes() bool { return s.binary != asItIs && s.Path != nil }

// part returns the part of a section that decodes; nil if the message has no such part.
func (s *fetchSection) part(content *contents.Content) *mimestream.Part {
	return content.Root().Find(s.Path)
}

// decodable reports whether the encoding of a part can be undone.
func decodable(p *mimestream.Part) bool {
	return p == nil || p.Kind != mimestream.Leaf || mimestream.KnownEncoding(p.Encoding)
}

// decodedRange returns which octets of the decoded part the section has.
func (s *fetchSection) decodedRange(p *mimestream.Part) (from, n int64) {
	if p == nil {
		return 0, 0
	}
	if !s.partial.Set {
		return 0, p.DecodedSize
	}
	from = min(s.partial.Offset, p.DecodedSize)
	return from, min(s.partial.Size, p.DecodedSize-from)
}

// size is how many octets the section has in the answer.
func (s *fetchSection) size(msg *mailstore.Message, content *contents.Content) int64 {
	switch {
	case s.binary == binarySize:
		return 0
	case s.decodes():
		_, n := s.decodedRange(s.part(content))
		return n
	}
	return s.span(msg, content).Size()
}

// binarySection appends or streams a BINARY section, or appends its size.
func (f *fetcher) binarySection(
	ctx context.Context, s *fetchSection, msg *mailstore.Message, content *contents.Content,
) error {
	span := s.span(msg, content)
	size := span.Size()
	write := func(w io.Writer) error { return span.Write(ctx, w, msg.Prefix, content) }
	if s.decodes() {
		part := s.part(content)
		var from int64
		from, size = s.decodedRange(part)
		write = func(w io.Writer) error {
			if part == nil {
				return nil
			}
			return content.WritePart(ctx, w, part, from, size)
		}
	}
	switch {
	case s.binary == binarySize:
		f.resp.item(string(s.label))
		f.resp.buf = wire.AppendNumber(append(f.resp.buf, ' '), uint64(size))
		return nil
	case size > fetchBuffer:
		return f.streamTo(s, " ~", size, write)
	}
	f.resp.item(string(s.label))
	f.resp.buf = wire.AppendLiteral(append(f.resp.buf, " ~"...), size)
	buf := bytes.NewBuffer(slices.Grow(f.resp.buf, int(size)+len(")\r\n")))
	err := write(buf)
	if got := int64(buf.Len() - len(f.resp.buf)); err == nil && got != size {
		err = fmt.Errorf("%d octets instead of %d", got, size)
	}
	if err != nil {
		return sectionError(s, err)
	}
	f.resp.buf = buf.Bytes()
	return nil
}
