package contents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/blobstore/frame"
	"gadwall/dedupe"
	"gadwall/internal/dictionary"
	"gadwall/mimestream"
)

// Content is a stored content. It loads documents when it needs them. It is not safe for concurrent
// use.
type Content struct {
	ID   ID
	Size int64

	s      *Store
	root   *mimestream.Part
	table  *segmentTable
	stored map[int][]byte // frames that are loaded, as stored
	blobs  map[int]*blobstore.Blob
	ahead  *blobstore.Ahead // nil unless blobs are read ahead
	last   *LastFrames      // nil: each read decodes its frames anew
}

// newContent makes a Content of a document that was read with segs, and with parts if so said.
func (s *Store) newContent(id ID, doc bson.Raw, parts bool) (*Content, error) {
	_, segs, ok := doc.Lookup("segs").BinaryOK()
	if !ok {
		return nil, fmt.Errorf("%w: %v: no segment table", ErrCorrupt, id)
	}
	l, err := readTable(segs)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %v", ErrCorrupt, id, err)
	}
	c := &Content{ID: id, Size: l.size, s: s, table: l, stored: make(map[int][]byte)}
	if parts {
		_, table, ok := doc.Lookup("parts").BinaryOK()
		if !ok {
			return nil, fmt.Errorf("%w: %v: no part table", ErrCorrupt, id)
		}
		if c.root, err = readParts(table, l.size); err != nil {
			return nil, fmt.Errorf("%w: %v: %v", ErrCorrupt, id, err)
		}
	}
	return c, c.addFrames(doc)
}

// addFrames takes over the frames that were read.
func (c *Content) addFrames(doc bson.Raw) error {
	fields, ok := doc.Lookup("f").DocumentOK()
	if !ok {
		return nil
	}
	for k := range c.table.frames {
		if c.stored[k] != nil {
			continue
		}
		v, err := fields.LookupErr(frameField(k)[2:])
		if err != nil {
			continue
		}
		_, data, ok := v.BinaryOK()
		if !ok {
			return fmt.Errorf("%w: %v: frame %d", ErrCorrupt, c.ID, k)
		}
		c.stored[k] = bytes.Clone(data)
	}
	return nil
}

// Root returns the MIME tree, or nil if Want.Parts was not set. The parts have the fields of the
// part table: Path, Parent, Children, Kind, offsets, sizes, lines, HasContentType, Type, Subtype,
// the charset in Params, Encoding, Disposition, Degraded, HasNUL and Has8bit; no Header, and no
// other parameters.
func (c *Content) Root() *mimestream.Part { return c.root }

// HeaderSize is the size of the root header block with the empty line that ends it: BODY[HEADER] is
// WriteRange(0, HeaderSize). It is known without Want.Parts.
func (c *Content) HeaderSize() int64 { return c.table.headerSize }

// WriteRange writes the bytes [off, off+n) to w. It loads the frames and chunks that hold them,
// unless they are loaded or in the cache already: inline bytes by one query, blobs in a constant
// amount of memory. Its error may be that of w.
func (c *Content) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	missing, err := c.missing(off, n)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := c.s.Prefetch(ctx, []Range{{c, off, n}}); err != nil {
			return err
		}
	}
	for p := range c.cuts(off, n) {
		if err := c.writeSegment(ctx, w, p); err != nil {
			return err
		}
	}
	return nil
}

// A cut is the n bytes at off of a segment.
type cut struct {
	segment int
	off, n  int64
}

// cuts iterates over the parts of segments that a range has.
func (c *Content) cuts(off, n int64) iter.Seq[cut] {
	return func(yield func(cut) bool) {
		end := off + n
		for i := c.table.segmentAt(off); off < end; i++ {
			s := &c.table.segments[i]
			part := min(end, s.end()) - off
			if !yield(cut{i, off - s.start, part}) {
				return
			}
			off += part
		}
	}
}

func (c *Content) check(off, n int64) error {
	if off < 0 || n < 0 || off > c.Size || n > c.Size-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, c.Size)
	}
	return nil
}

// missing returns the frames that hold inline bytes of a range and are neither loaded nor cached.
func (c *Content) missing(off, n int64) ([]int, error) {
	if err := c.check(off, n); err != nil {
		return nil, err
	}
	var missing []int
	seen := -1
	for p := range c.cuts(off, n) {
		s := &c.table.segments[p.segment]
		from, size := s.recipe.Map(p.off, p.n)
		if s.blob || size == 0 {
			continue
		}
		first := c.table.frameAt(s.inline + from)
		last := c.table.frameAt(s.inline + from + size - 1)
		for k := max(first, seen+1); k <= last; k++ {
			if c.stored[k] == nil && c.cached(k) == nil {
				missing = append(missing, k)
			}
		}
		seen = max(seen, last)
	}
	return missing, nil
}

// writeSegment writes a cut.
func (c *Content) writeSegment(ctx context.Context, w io.Writer, p cut) error {
	s := &c.table.segments[p.segment]
	from, size := s.recipe.Map(p.off, p.n)
	enc, err := s.recipe.NewEncoder(w, p.off, p.n)
	if err != nil {
		return err
	}
	switch {
	case size == 0:
	case s.blob:
		blob, err := c.openBlob(ctx, p.segment)
		if err != nil {
			return err
		}
		if c.ahead == nil {
			err = blob.ReadRange(ctx, from, size, enc)
		} else {
			err = c.ahead.WriteSpan(ctx, blobstore.Span{Blob: blob, Off: from, N: size}, enc)
		}
		if err != nil {
			return err
		}
	default:
		if err := c.writeInline(ctx, enc, s.inline+from, size); err != nil {
			return err
		}
	}
	return enc.Close()
}

func (c *Content) openBlob(ctx context.Context, i int) (*blobstore.Blob, error) {
	if b := c.blobs[i]; b != nil {
		return b, nil
	}
	s := &c.table.segments[i]
	b, err := c.s.blobs.Open(ctx, s.hash)
	if errors.Is(err, blobstore.ErrNotFound) {
		return nil, fmt.Errorf("%w: %v: %w", ErrCorrupt, c.ID, err)
	}
	if err != nil {
		return nil, fmt.Errorf("content %v: %w", c.ID, err)
	}
	if b.Size() != s.recipe.DecodedSize {
		return nil, fmt.Errorf("%w: %v: blob %v has %d bytes, not %d",
			ErrCorrupt, c.ID, s.hash, b.Size(), s.recipe.DecodedSize)
	}
	c.setBlob(i, b)
	return b, nil
}

func (c *Content) setBlob(segment int, b *blobstore.Blob) {
	if c.blobs == nil {
		c.blobs = make(map[int]*blobstore.Blob)
	}
	c.blobs[segment] = b
}

// writeInline writes n inline bytes at off.
func (c *Content) writeInline(ctx context.Context, w io.Writer, off, n int64) error {
	buf := frame.Buffer()
	defer frame.Release(buf)
	for n > 0 {
		k := c.table.frameAt(off)
		f := c.table.frames[k]
		data, err := c.frame(ctx, *buf, k)
		if err != nil {
			return err
		}
		at := int(off - f.start)
		part := min(n, int64(f.size-at))
		if part < int64(f.size) && f.size >= cacheFrom {
			c.s.cache.Put(dedupe.Hash(c.ID), cacheKey(k), data)
		}
		if _, err := w.Write(data[at : at+int(part)]); err != nil {
			return err
		}
		off += part
		n -= part
	}
	return nil
}

// LastFrames are the frames that were decoded last, for reads of one content piece by piece: headers
// and texts lie in different frames. The zero value has none. One goroutine uses it, for one content
// after the other.
type LastFrames struct {
	frames [3]lastFrame
	next   int // the one that goes
}

type lastFrame struct {
	id   ID
	k    int
	data []byte // empty: none
}

// get returns a frame, nil if it is not there.
func (l *LastFrames) get(id ID, k int) []byte {
	if l == nil {
		return nil
	}
	for i := range l.frames {
		if f := &l.frames[i]; len(f.data) > 0 && f.k == k && f.id == id {
			return f.data
		}
	}
	return nil
}

// put keeps a copy of a frame.
func (l *LastFrames) put(id ID, k int, data []byte) {
	if l == nil {
		return
	}
	f := &l.frames[l.next]
	f.id, f.k, f.data = id, k, append(f.data[:0], data...)
	l.next = (l.next + 1) % len(l.frames)
}

// KeepFrames has reads of the content keep the frames that they decoded last, so that the next read
// does not decode them again; nil ends that.
func (c *Content) KeepFrames(last *LastFrames) { c.last = last }

// frame returns the decoded bytes of a frame, from the cache or made in buf.
func (c *Content) frame(ctx context.Context, buf []byte, k int) ([]byte, error) {
	if data := c.last.get(c.ID, k); data != nil {
		return data, nil
	}
	if data := c.cached(k); data != nil {
		return data, nil
	}
	if c.stored[k] == nil {
		// It was in the cache and has been dropped.
		f := c.table.frames[k]
		if err := c.s.find(ctx, []ID{c.ID}, bson.D{{Key: frameField(k), Value: 1}},
			func(_ ID, doc bson.Raw) error { return c.addFrames(doc) }); err != nil {
			return nil, err
		}
		if c.stored[k] == nil {
			return nil, fmt.Errorf("%w: %v: frame %d of %d bytes is missing", ErrCorrupt, c.ID, k, f.size)
		}
	}
	f := c.table.frames[k]
	data := c.stored[k]
	switch f.codec {
	case frameRaw:
		if len(data) != f.size {
			return nil, fmt.Errorf("%w: %v: frame %d", ErrCorrupt, c.ID, k)
		}
		return data, nil
	default:
		d, err := c.s.dicts.Get(ctx, f.dict)
		if errors.Is(err, dictionary.ErrUnknown) || errors.Is(err, dictionary.ErrMalformed) {
			return nil, fmt.Errorf("%w: %v: frame %d: %w", ErrCorrupt, c.ID, k, err)
		}
		if err != nil {
			return nil, fmt.Errorf("content %v: frame %d: %w", c.ID, k, err)
		}
		data, err := d.Decompress(buf, data, f.size)
		if err != nil {
			return nil, fmt.Errorf("%w: %v: frame %d: %v", ErrCorrupt, c.ID, k, err)
		}
		c.last.put(c.ID, k, data)
		return data, nil
	}
}

// cached returns a decoded frame from the cache.
func (c *Content) cached(k int) []byte {
	return c.s.cache.Get(dedupe.Hash(c.ID), cacheKey(k))
}

// cacheKey is the number of an inline frame in the FrameCache: negative, because a blob of the same
// bytes, an attached message, has the same hash and other frames.
func cacheKey(k int) int { return -1 - k }
