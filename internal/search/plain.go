package search

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"gadwall/internal/contents"
	"gadwall/mimestream"
)

// errEnough ends the reading of text.
var errEnough = errors.New("enough text was read")

// PlainText returns the text of a message's text parts as searches see them, a line end after each, at
// most limit octets. content has its part table. Damage in a part ends that part. The error says that
// the store could not be read, or that ctx has ended.
func PlainText(ctx context.Context, content *contents.Content, limit int) (string, error) {
	out := &bounded{room: limit}
	r := &reader{pause: ctx.Err}
	content.KeepFrames(&r.last)
	defer content.KeepFrames(nil)
	var err error
	content.Root().Walk(func(part *mimestream.Part) bool {
		if !isText(part) {
			return true
		}
		if err = r.readPart(ctx, part, content, out); err == nil {
			_, err = out.Write([]byte{'\n'})
		}
		return err == nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return strings.ToValidUTF8(out.text.String(), ""), err
}

// HeaderText returns the values of the first fields of these names in a message's header, unfolded
// and with encoded words decoded (RFC 2047 section 2); empty ones for fields that are not there. The
// error says that the store could not be read.
func HeaderText(ctx context.Context, content *contents.Content, names ...string) ([]string, error) {
	var raw bytes.Buffer
	if err := content.WriteRange(ctx, &raw, 0, content.HeaderSize()); err != nil {
		return nil, err
	}
	values := make([]string, len(names))
	for name, value := range headerFields(raw.Bytes()) {
		for i := range names {
			if values[i] == "" && strings.EqualFold(name, names[i]) {
				values[i] = strings.TrimSpace(strings.ToValidUTF8(mimestream.DecodeWords(value), "\ufffd"))
			}
		}
	}
	return values, nil
}

// bounded keeps the beginning of what is written, and fails with errEnough then.
type bounded struct {
	text strings.Builder
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.room)
	b.text.Write(p[:n])
	if b.room -= n; n < len(p) {
		return n, errEnough
	}
	return n, nil
}
