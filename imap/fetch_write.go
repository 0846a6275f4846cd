package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"gadwall/imap/wire"
	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/internal/section"
)

// write writes the FETCH response of one message. A message that cannot be
// read is logged, counted and left out as long as nothing of it was sent; once
// a literal is begun, an error breaks the connection.
func (f *fetcher) write(ctx context.Context, m fetched) error {
	if f.req.items&itemFlags != 0 || m.changed {
		f.c.sel.show.announce(m.msg.Keywords)
	}
	f.begin(m.seq, m.msg.UID, f.req.items&itemUID != 0 || m.changed && f.c.enabled.has(condstore))
	f.sent = false
	err := f.items(ctx, m)
	switch {
	case err != nil || len(f.req.sections) == 0:
	case m.short != nil:
		err = f.shortSections(m.msg, m.short)
	default:
		err = f.sections(ctx, m.msg, m.content)
	}
	if err != nil {
		return f.failed(ctx, m.msg, err)
	}
	_, err = f.c.enc.Write(f.resp.end())
	if cap(f.resp.buf) > fetchKeep {
		f.resp.buf = nil
	}
	return err
}

// failed decides what an error in the middle of a message means. It returns nil
// if the command goes on with the next one. Where a part of the response was
// sent already, the error ends the connection.
func (f *fetcher) failed(ctx context.Context, msg *mailstore.Message, err error) error {
	if ctx.Err() != nil || errors.Is(err, errConnection) {
		return err
	}
	if errors.Is(err, errGone) && !f.sent {
		f.vanished++
		return nil
	}
	if errors.Is(err, errUnknownCTE) && !f.sent {
		f.undecoded++
		return nil
	}
	f.c.srv.rare.Error(f.c.log, "imap: message cannot be fetched", "uid", msg.UID,
		"mailbox", f.c.sel.box.Key().String(), "error", err)
	if f.sent {
		return err
	}
	if f.unreadable++; errors.Is(err, errUnreadable) && f.unreadable < maxUnreadable {
		return nil
	}
	return err
}

// items appends all items but sections (RFC 3501 section 7.4.2). They stand in the message's
// document, or are made of its content.
func (f *fetcher) items(ctx context.Context, m fetched) error {
	msg, items := m.msg, f.req.items
	if m.changed {
		items |= itemFlags
		if f.c.enabled.has(condstore) {
			items |= itemModSeq
		}
	}
	if items&itemFlags != 0 {
		f.resp.flags(msg.Flags, msg.Keywords)
	}
	if items&itemModSeq != 0 {
		f.c.sel.knows(msg.ModSeq)
		f.resp.modseq(msg.ModSeq)
	}
	if items&itemInternalDate != 0 {
		f.resp.item("INTERNALDATE ")
		f.resp.buf = wire.AppendDateTime(f.resp.buf, msg.InternalDate.UTC())
	}
	if items&itemSaveDate != 0 {
		f.resp.item("SAVEDATE ")
		f.resp.buf = wire.AppendDateTime(f.resp.buf, msg.SaveDate.UTC())
	}
	if id := msg.EmailID(); items&itemEmailID != 0 && id != "" {
		f.resp.item("EMAILID (")
		f.resp.buf = append(append(append(f.resp.buf, id...), f.foreign...), ')')
	}
	if items&itemThreadID != 0 {
		f.resp.threadID(msg.ThreadID(), f.foreign)
	}
	if items&itemSize != 0 {
		f.resp.item("RFC822.SIZE ")
		f.resp.buf = wire.AppendNumber(f.resp.buf, uint64(msg.Size))
	}
	if items&(itemPreview|itemLazyPreview) != 0 && !m.previewless(items) {
		f.resp.preview(msg, f.c.enc.UTF8)
	}
	var missing fetchItems
	if m.previewless(items) {
		missing |= itemPreview
	}
	if len(msg.Envelope) == 0 {
		missing |= items & itemEnvelope
	}
	if len(msg.BodyStructure) == 0 {
		missing |= items & (itemBody | itemBodyStructure)
	}
	items &^= missing
	if items&itemEnvelope != 0 {
		f.resp.item("ENVELOPE ")
		f.resp.buf = append(f.resp.buf, msg.Envelope...)
	}
	if items&itemBody != 0 {
		f.resp.item("BODY ")
		var err error
		if f.resp.buf, err = envelope.AppendBody(f.resp.buf, msg.BodyStructure); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
	}
	if items&itemBodyStructure != 0 {
		f.resp.item("BODYSTRUCTURE ")
		f.resp.buf = append(f.resp.buf, msg.BodyStructure...)
	}
	if missing == 0 {
		return nil
	}
	d, err := f.describe(ctx, msg)
	if err != nil {
		return err
	}
	defer d.close()
	return d.items(ctx, f, missing)
}

// sections appends the sections in the order in which they were asked for. What is missing of any
// is noticed before the first is sent.
func (f *fetcher) sections(ctx context.Context, msg *mailstore.Message, content *contents.Content) error {
	if err := f.prepare(ctx, msg, content); err != nil {
		return err
	}
	for i := range f.req.sections {
		s := &f.req.sections[i]
		span := s.span(msg, content)
		switch {
		case s.binary != asItIs:
			if err := f.binarySection(ctx, s, msg, content); err != nil {
				return err
			}
		case s.Filtered():
			if err := f.filteredSection(ctx, s, span, msg, content); err != nil {
				return err
			}
		case span.Size() <= fetchBuffer:
			f.literal(s.label, span.Size())
			if err := f.appendSpan(ctx, span, msg, content); err != nil {
				return sectionError(s, err)
			}
		default:
			if err := f.stream(ctx, s, span, msg, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare notices bytes that are missing in the store, if the server will send a part of
// the response before it has read all sections.
func (f *fetcher) prepare(ctx context.Context, msg *mailstore.Message, content *contents.Content) error {
	for i := range f.req.sections {
		if s := &f.req.sections[i]; s.decodes() && !decodable(s.part(content)) {
			return errUnknownCTE
		}
	}
	streams := func(s fetchSection) bool { return !s.Filtered() && s.size(msg, content) > fetchBuffer }
	if !slices.ContainsFunc(f.req.sections, streams) {
		return nil
	}
	for i := range f.req.sections {
		s := &f.req.sections[i]
		span := s.span(msg, content)
		if s.binary == binarySize {
			continue
		}
		if err := content.Prepare(ctx, span.Off, span.N); err != nil {
			return sectionError(s, err)
		}
	}
	return nil
}

// literal appends the name of an item and the mark of a literal.
func (f *fetcher) literal(label []byte, size int64) {
	f.resp.item(string(label))
	f.resp.buf = wire.AppendLiteral(append(f.resp.buf, ' '), size)
}

// appendSpan appends the bytes of a small span to the response.
func (f *fetcher) appendSpan(ctx context.Context, s section.Span, msg *mailstore.Message,
	content *contents.Content) error {
	buf := bytes.NewBuffer(slices.Grow(f.resp.buf, int(s.Size())+len(")\r\n")))
	err := s.Write(ctx, buf, msg.Prefix, content)
	if got := buf.Len() - len(f.resp.buf); err == nil && int64(got) != s.Size() {
		err = fmt.Errorf("%d octets instead of %d", got, s.Size())
	}
	f.resp.buf = buf.Bytes()
	return err
}

// filteredSection appends a HEADER.FIELDS section. What is selected is in memory, since its size
// comes first; mimestream.MaxHeaderBytes bounds it.
func (f *fetcher) filteredSection(
	ctx context.Context, s *fetchSection, header section.Span, msg *mailstore.Message, content *contents.Content,
) error {
	if header.Size() == 0 && s.Path != nil {
		f.literal(s.label, 0) // a part that is no message
		return nil
	}
	return f.selected(s, func(fields io.Writer) error { return header.Write(ctx, fields, msg.Prefix, content) })
}

// shortSections appends HEADER.FIELDS sections that a short header answers.
func (f *fetcher) shortSections(msg *mailstore.Message, short []byte) error {
	for i := range f.req.sections {
		err := f.selected(&f.req.sections[i], func(fields io.Writer) error {
			_, err := fields.Write(msg.Prefix)
			if err == nil {
				_, err = fields.Write(short)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// selected appends a HEADER.FIELDS section of the header that the function writes.
func (f *fetcher) selected(s *fetchSection, header func(fields io.Writer) error) error {
	buf := bytes.NewBuffer(f.head[:0])
	fields := section.NewFieldSelector(buf, s.Names, s.Kind == section.FieldsNot)
	err := header(fields)
	if err == nil {
		err = fields.Close()
	}
	if err != nil {
		return sectionError(s, err)
	}
	f.head = buf.Bytes()
	selected := s.partial.Bytes(f.head)
	f.literal(s.label, int64(len(selected)))
	f.resp.buf = append(f.resp.buf, selected...)
	if cap(f.head) > fetchKeep {
		f.head = nil
	}
	return nil
}

// stream writes what the response holds so far, and then the section straight
// from the store, never whole in memory.
func (f *fetcher) stream(ctx context.Context, s *fetchSection, span section.Span,
	msg *mailstore.Message, content *contents.Content) error {
	return f.streamTo(s, " ", span.Size(), func(w io.Writer) error {
		return span.Write(ctx, w, msg.Prefix, content)
	})
}

// streamTo is stream for any bytes of that size; sep stands before the mark of the literal.
func (f *fetcher) streamTo(s *fetchSection, sep string, size int64, write func(io.Writer) error) error {
	f.resp.item(string(s.label))
	f.resp.buf = append(f.resp.buf, sep...)
	if _, err := f.c.enc.Write(f.resp.buf); err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	f.resp.buf, f.sent = f.resp.buf[:0], true
	var storeErr error
	err := f.c.enc.Literal(size, func(w io.Writer) error {
		err := write(w)
		if f.c.enc.Err() == nil {
			storeErr = err
		}
		return err
	})
	switch {
	case storeErr != nil:
		return sectionError(s, storeErr)
	case err != nil:
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	return nil
}

// sectionError says which section could not be read, and why.
func sectionError(s *fetchSection, err error) error {
	return readError("section "+string(s.label), err)
}

// readError says what could not be read of a content. Damage costs only the message; with anything
// else, as an unreachable database, it makes no sense to go on.
func readError(what string, err error) error {
	if contents.IsUnreadable(err) {
		return fmt.Errorf("%w: %s: %w", errUnreadable, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
