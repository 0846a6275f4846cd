package contents

import (
	"bytes"
	"context"

	"gadwall/internal/parttext"
	"gadwall/mimestream"
)

// Preview makes the preview of a stored message, as a Writer makes it of a new one: of the first part
// with text that a reader sees (RFC 8970 section 3). The content has its part table and the header of
// the message. It has one header block in memory, and the beginning of one part.
func (c *Content) Preview(ctx context.Context) (preview string, err error) {
	var header, body bytes.Buffer
	c.Root().Walk(func(p *mimestream.Part) bool {
		if p.Kind != mimestream.Leaf {
			return true
		}
		header.Reset()
		if err = c.WriteRange(ctx, &header, p.HeaderOffset, p.HeaderSize); err != nil {
			return false
		}
		if p = p.Describe(header.Bytes()); !parttext.HasPreview(p) {
			return true
		}
		body.Reset()
		if err = c.WriteRange(ctx, &body, p.BodyOffset, min(p.BodySize, TextThreshold)); err != nil {
			return false
		}
		preview = parttext.Preview(p, body.Bytes())
		return preview == ""
	})
	return preview, err
}
