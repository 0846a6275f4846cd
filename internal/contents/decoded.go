package contents

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gadwall/mimestream"
)

// WriteDecoded writes the bytes for which [off, off+n) stands, the body of a part whose transfer
// encoding the store has undone. ok is false, and nothing is written, if the store keeps the range
// otherwise: then the caller decodes what WriteRange writes.
func (c *Content) WriteDecoded(ctx context.Context, w io.Writer, off, n int64) (ok bool, err error) {
	i, ok, err := c.decodedSegment(off, n)
	if err != nil || !ok {
		return false, err
	}
	return true, c.writeStored(ctx, w, i, 0, c.table.segments[i].recipe.DecodedSize)
}

// decodedSegment returns the segment that is exactly the range, and is stored decoded.
func (c *Content) decodedSegment(off, n int64) (segment int, ok bool, err error) {
	if err := c.check(off, n); err != nil || n == 0 {
		return 0, false, err
	}
	segment = c.table.segmentAt(off)
	s := &c.table.segments[segment]
	return segment, !s.recipe.Identity && s.start == off && s.end() == off+n, nil
}

// writeStored writes n bytes at off of what is stored of a segment.
func (c *Content) writeStored(ctx context.Context, w io.Writer, segment int, off, n int64) error {
	s := &c.table.segments[segment]
	if n == 0 {
		return nil
	}
	if s.blob {
		blob, err := c.openBlob(ctx, segment)
		if err != nil {
			return err
		}
		return blob.ReadRange(ctx, off, n, w)
	}
	missing, err := c.missing(s.start, s.end()-s.start)
	if err == nil && len(missing) > 0 {
		err = c.s.Prefetch(ctx, []Range{{c, s.start, s.end() - s.start}})
	}
	if err != nil {
		return err
	}
	return c.writeInline(ctx, w, s.inline+off, n)
}

// WritePart writes the bytes [from, from+n) of the body of a part with its transfer encoding undone
// (RFC 3516 section 4.2), of which there are p.DecodedSize. Of a body that is stored decoded it reads
// no more than this range; any other one it decodes from its beginning.
func (c *Content) WritePart(ctx context.Context, w io.Writer, p *mimestream.Part, from, n int64) error {
	if from < 0 || n < 0 || from > p.DecodedSize || n > p.DecodedSize-from {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, from, p.DecodedSize)
	}
	if n == 0 {
		return nil
	}
	encoded := p.Kind == mimestream.Leaf && (p.Encoding == "base64" || p.Encoding == "quoted-printable")
	if !encoded {
		return c.WriteRange(ctx, w, p.BodyOffset+from, n)
	}
	i, ok, err := c.decodedSegment(p.BodyOffset, p.BodySize)
	if err != nil {
		return err
	}
	if ok && c.table.segments[i].recipe.DecodedSize == p.DecodedSize {
		return c.writeStored(ctx, w, i, from, n)
	}
	window := &window{w: w, skip: from, left: n}
	decoder := mimestream.NewDecodingWriter(p.Encoding, window)
	err = c.WriteRange(ctx, decoder, p.BodyOffset, p.BodySize)
	if err == nil {
		err = decoder.Close()
	}
	if errors.Is(err, errWindow) {
		return nil
	}
	if err == nil && window.left > 0 {
		err = fmt.Errorf("%w: %v: part %v ends %d bytes early", ErrCorrupt, c.ID, p.Path, window.left)
	}
	return err
}

// errWindow ends the writing to a window that has all it wants.
var errWindow = errors.New("enough")

// window passes on the bytes of a range of what is written to it.
type window struct {
	w          io.Writer
	skip, left int64
}

// Write implements io.Writer.
func (w *window) Write(p []byte) (int, error) {
	size := len(p)
	skip := min(w.skip, int64(len(p)))
	w.skip -= skip
	p = p[skip:]
	p = p[:min(int64(len(p)), w.left)]
	if len(p) > 0 {
		if n, err := w.w.Write(p); err != nil {
			return int(skip) + n, err
		}
	}
	if w.left -= int64(len(p)); w.left == 0 {
		return size, errWindow
	}
	return size, nil
}
