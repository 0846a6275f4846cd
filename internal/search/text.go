package search

import (
	"context"
	"errors"
	"fmt"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/mimestream"
)

// errDecided ends the reading of a message whose match is decided.
var errDecided = errors.New("match is decided")

// match decides the residual for one message. content has what m.header and
// m.parts ask for; the text is read as it is needed, in bounded memory.
func (m *matcher) match(
	ctx context.Context, msg *mailstore.Message, content *contents.Content, o *memo,
) (bool, error) {
	m.begin(msg)
	o.apply(m, msg)
	err := m.readMessage(ctx, content)
	if err != nil && !errors.Is(err, errDecided) {
		return false, fmt.Errorf("read message %d: %w", msg.UID, err)
	}
	o.note(m, msg)
	return m.result() == yes, nil
}

// readMessage goes through the message until it is decided.
func (m *matcher) readMessage(ctx context.Context, content *contents.Content) error {
	if m.decided() {
		return nil
	}
	content.KeepFrames(&m.last)
	defer content.KeepFrames(nil)
	if m.header {
		m.raw.Reset()
		m.raw.Write(m.msg.Prefix)
		if err := m.readHeader(ctx, content, 0, content.HeaderSize(), true); err != nil {
			return err
		}
		m.settle(opField, opHeader)
		if m.decided() {
			return nil
		}
	}
	if m.parts {
		if err := m.readParts(ctx, content); err != nil {
			return err
		}
	}
	m.settle(opBody, opText)
	return nil
}

// readParts looks for BODY and TEXT in the text parts, embedded messages
// included, and for TEXT in their headers.
func (m *matcher) readParts(ctx context.Context, content *contents.Content) error {
	root := content.Root()
	var err error
	root.Walk(func(part *mimestream.Part) bool {
		if part != root && m.wants(opText) {
			m.raw.Reset()
			err = m.readHeader(ctx, content, part.HeaderOffset, part.HeaderSize, false)
		}
		if err == nil && isText(part) {
			err = m.readPart(ctx, part, content)
		}
		return err == nil
	})
	return err
}

// wants reports whether a leaf of that kind is still in doubt.
func (m *matcher) wants(op op) bool {
	for i, leaf := range m.leaves {
		if leaf.op == op && m.known[i] == maybe {
			return true
		}
	}
	return false
}

// isText reports whether the body of a part is text: also the parts of a
// report that are not text/*, such as message/delivery-status.
func isText(part *mimestream.Part) bool {
	return part.Kind == mimestream.Leaf && (part.Type == "text" || part.Type == "message")
}

// readHeader looks through the fields of a header block for Text, and if it is
// that of the message for Header. The block is what m.raw holds, followed by n
// bytes of the content.
func (m *matcher) readHeader(ctx context.Context, content *contents.Content, off, n int64, ofMessage bool) error {
	if err := content.WriteRange(ctx, &m.raw, off, n); err != nil {
		return err
	}
	text := m.newSink(opText)
	for name, value := range headerFields(m.raw.Bytes()) {
		if ofMessage && name != "" {
			m.matchHeader(name, value)
		}
		if err := text.writeField(name, value); err != nil {
			return err
		}
	}
	return text.Close()
}

// readPart looks for BODY and TEXT in the text of one part.
func (m *matcher) readPart(ctx context.Context, part *mimestream.Part, content *contents.Content) error {
	sink := m.newSink(opBody, opText)
	if err := m.reader.readPart(ctx, part, content, sink); err != nil {
		return err
	}
	return sink.Close()
}
