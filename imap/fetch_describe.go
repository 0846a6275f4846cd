package imap

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
	"gadwall/mimestream"
)

// description makes from the content of a message those of ENVELOPE, BODY and BODYSTRUCTURE that are
// too large to be stored (envelope.MaxWire), and PREVIEW where none was stored. It has one header block in
// memory, and what decoding it takes; describeMemory bounds that.
type description struct {
	content *contents.Content
	memory  *lease
	header  bytes.Buffer
}

// describe begins a description of a message.
func (f *fetcher) describe(ctx context.Context, msg *mailstore.Message) (*description, error) {
	id := msg.Content
	if f.plan.fields&mailstore.FieldContent == 0 { // the query did not ask for it: such messages are rare
		q := mailstore.Query{UIDs: uidset.Set{{First: msg.UID, Last: msg.UID}}}
		found := false
		for m, err := range f.c.sel.box.Messages(ctx, q, mailstore.FieldContent) {
			if err != nil {
				return nil, fmt.Errorf("fetch messages: %w", err)
			}
			id, found = m.Content, true
		}
		if !found {
			return nil, errGone
		}
	}
	memory, err := f.c.srv.describing.acquire(ctx, f.c.account.UserID(), describeMemory)
	if err != nil {
		return nil, err
	}
	loaded, err := f.c.sel.box.Contents().Load(ctx, []contents.ID{id}, contents.Want{Parts: true, RootHeader: true})
	if err == nil && loaded[id] == nil {
		err = fmt.Errorf("%w: content %v is missing", errUnreadable, id)
	}
	if err != nil {
		memory.release()
		return nil, err
	}
	return &description{content: loaded[id], memory: memory}, nil
}

// close gives the memory back.
func (d *description) close() { d.memory.release() }

// headers returns the function that reads the header blocks of the message.
func (d *description) headers(ctx context.Context) envelope.Headers {
	return func(p *mimestream.Part) ([]byte, error) {
		d.header.Reset()
		if err := d.content.WriteRange(ctx, &d.header, p.HeaderOffset, p.HeaderSize); err != nil {
			return nil, readError("header of part "+fmt.Sprint(p.Path), err)
		}
		return d.header.Bytes(), nil
	}
}

// items appends the items that are missing from the message's document. The response is sent
// whenever it passes fetchBuffer. What cannot be read shows before that: each item is made twice,
// at first for nobody.
func (d *description) items(ctx context.Context, f *fetcher, items fetchItems) error {
	if items&itemPreview != 0 {
		text, err := d.content.Preview(ctx)
		if err != nil {
			return readError("text for the preview", err)
		}
		f.resp.preview(&mailstore.Message{Preview: text, HasPreview: true}, f.c.enc.UTF8)
	}
	for _, out := range []io.Writer{io.Discard, responseWriter{f}} {
		for _, item := range []struct {
			item fetchItems
			name string
		}{
			{itemEnvelope, "ENVELOPE "}, {itemBody, "BODY "}, {itemBodyStructure, "BODYSTRUCTURE "},
		} {
			if items&item.item == 0 {
				continue
			}
			if out != io.Discard {
				f.resp.item(item.name)
			}
			if err := d.write(ctx, out, item.item); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes one item.
func (d *description) write(ctx context.Context, out io.Writer, item fetchItems) error {
	if item == itemEnvelope {
		return envelope.WriteEnvelope(out, d.content.Root(), d.headers(ctx))
	}
	return envelope.WriteBodyStructure(out, d.content.Root(), d.headers(ctx), item == itemBodyStructure)
}

// responseWriter appends to the response, and sends what it has when that passes fetchBuffer.
type responseWriter struct{ f *fetcher }

var _ io.Writer = responseWriter{}

// Write implements io.Writer.
func (w responseWriter) Write(p []byte) (int, error) {
	f := w.f
	f.resp.buf = append(f.resp.buf, p...)
	if len(f.resp.buf) < fetchBuffer {
		return len(p), nil
	}
	if _, err := f.c.enc.Write(f.resp.buf); err != nil {
		return 0, fmt.Errorf("%w: %w", errConnection, err)
	}
	f.resp.buf, f.sent = f.resp.buf[:0], true
	return len(p), nil
}
