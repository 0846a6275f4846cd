package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore/frame"
	"gadwall/dedupe"
)

// A Blob is a stored blob to read from. It is safe for concurrent use.
type Blob struct {
	s *Store
	*layout
}

// withoutSums is the projection of a files document to the fields that a reader needs.
var withoutSums = bson.D{{Key: "metadata.sums", Value: 0}}

// Open returns the blob of that hash, or ErrNotFound.
func (s *Store) Open(ctx context.Context, hash dedupe.Hash) (*Blob, error) {
	raw, err := s.files.FindOne(ctx, bson.D{{Key: "metadata.hash", Value: hash.Binary()}},
		options.FindOne().SetProjection(withoutSums)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("%w: %v", ErrNotFound, hash)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %v: %w", hash, err)
	}
	var doc filesDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%w: %v: %v", ErrCorrupt, hash, err)
	}
	l, err := newLayout(&doc)
	if err != nil {
		return nil, err
	}
	return &Blob{s, l}, nil
}

// OpenAll returns the blobs of those hashes, by one query (for up to openBatch of them; one more
// for each further openBatch). Those that do not exist, or are damaged, are absent: Open tells why.
func (s *Store) OpenAll(ctx context.Context, hashes []dedupe.Hash) (map[dedupe.Hash]*Blob, error) {
	blobs := make(map[dedupe.Hash]*Blob, len(hashes))
	for batch := range slices.Chunk(hashes, openBatch) {
		if err := s.openSome(ctx, batch, blobs); err != nil {
			return nil, fmt.Errorf("open blobs: %w", err)
		}
	}
	return blobs, nil
}

func (s *Store) openSome(ctx context.Context, hashes []dedupe.Hash, blobs map[dedupe.Hash]*Blob) error {
	keys := make(bson.A, len(hashes))
	for i, h := range hashes {
		keys[i] = h.Binary()
	}
	// The batch size is one more than the number of documents, so that the database knows at once
	// that no more follow.
	cur, err := s.files.Find(ctx, bson.D{{Key: "metadata.hash", Value: bson.D{{Key: "$in", Value: keys}}}},
		options.Find().SetProjection(withoutSums).SetBatchSize(int32(len(keys)+1)))
	if err != nil {
		return err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var doc filesDoc
		if err := cur.Decode(&doc); err != nil {
			continue // of a type that it cannot have: damaged
		}
		if l, err := newLayout(&doc); err == nil {
			blobs[l.hash] = &Blob{s, l}
		}
	}
	return cur.Err()
}

// Hash returns the hash of the blob.
func (b *Blob) Hash() dedupe.Hash { return b.hash }

// Size returns the number of (decoded) bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadRange writes the n bytes at off to w. It reads the chunks that hold the frames of the range,
// those that are not in the cache, as an Ahead does. Its error may be that of w.
func (b *Blob) ReadRange(ctx context.Context, off, n int64, w io.Writer) error {
	span := Span{Blob: b, Off: off, N: n}
	if err := span.check(); err != nil || n == 0 {
		return err
	}
	a := b.s.ReadAhead(ctx, []Span{span})
	defer a.Close()
	return a.WriteSpan(ctx, span, w)
}

// A Span is the N bytes at Off of a blob.
type Span struct {
	Blob   *Blob
	Off, N int64
}

func (s Span) check() error {
	if s.Off < 0 || s.N < 0 || s.Off > s.Blob.size || s.N > s.Blob.size-s.Off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, s.N, s.Off, s.Blob.size)
	}
	return nil
}

// frames returns the first and the last frame of a span that is not empty.
func (s Span) frames() (first, last int) {
	return int(s.Off / FrameSize), int((s.Off + s.N - 1) / FrameSize)
}

// A spanWriter makes the bytes of a span from its frames, which it gets in their order.
type spanWriter struct {
	Span
	w       io.Writer
	k, last int     // the frame that comes next, the last one
	in, out *[]byte // a frame of which some stored bytes are still to come; a decoded one
}

func newSpanWriter(s Span, w io.Writer) *spanWriter {
	sw := &spanWriter{Span: s, w: w}
	sw.k, sw.last = s.frames()
	return sw
}

// done reports whether all frames were given.
func (w *spanWriter) done() bool { return w.k > w.last }

// atFirst reports whether the first frame comes next.
func (w *spanWriter) atFirst() bool { return int64(w.k) == w.Off/FrameSize }

// keep puts the frames behind the span that are whole in the stored bytes behind it in the cache: a
// client that reads slice by slice comes for them next, and the database would give the chunk again.
// Damage shows when the client asks for it.
func (w *spanWriter) keep(rest []byte) {
	end := min(w.k+keepFrames, frameCount(w.Blob.size))
	for w.k < end {
		from, to := w.Blob.stored(w.k)
		if to-from > int64(len(rest)) {
			return
		}
		data, err := w.expand(rest[:to-from])
		if err != nil {
			return
		}
		w.Blob.s.cache.Put(w.Blob.hash, w.k, data)
		rest = rest[to-from:]
		w.k++
	}
}

// release gives back the buffers of w.
func (w *spanWriter) release() {
	frame.Release(w.in)
	frame.Release(w.out)
	w.in, w.out = nil, nil
}

// decoded takes the next frame from the cache.
func (w *spanWriter) decoded(data []byte) error {
	start := int64(w.k) * FrameSize
	from := max(w.Off-start, 0)
	to := min(w.Off+w.N-start, int64(len(data)))
	w.k++
	_, err := w.w.Write(data[from:to])
	return err
}

// stored takes the next stored bytes, from the start of a frame or from where the call before
// ended.
func (w *spanWriter) stored(p []byte) error {
	for len(p) > 0 && !w.done() {
		from, to := w.Blob.stored(w.k)
		need := int(to - from)
		var data []byte
		if w.in != nil && len(*w.in) > 0 || len(p) < need {
			if w.in == nil {
				w.in = frame.Buffer()
			}
			n := min(need-len(*w.in), len(p))
			*w.in = append(*w.in, p[:n]...)
			p = p[n:]
			if len(*w.in) < need {
				return nil
			}
			data = *w.in
		} else {
			data, p = p[:need], p[need:]
		}
		if err := w.decode(data); err != nil {
			return err
		}
		if w.in != nil {
			*w.in = (*w.in)[:0]
		}
	}
	return nil
}

// decode takes the next frame as it is stored.
func (w *spanWriter) decode(data []byte) error {
	data, err := w.expand(data)
	if err != nil {
		return err
	}
	if w.partial() {
		w.Blob.s.cache.Put(w.Blob.hash, w.k, data)
	}
	return w.decoded(data)
}

// expand returns the decoded bytes of the next frame, in w.out if it is compressed.
func (w *spanWriter) expand(data []byte) ([]byte, error) {
	if w.Blob.codec != codecZstd {
		return data, nil
	}
	if w.out == nil {
		w.out = frame.Buffer()
	}
	data, err := frame.Decompress(*w.out, data, w.Blob.frameLen(w.k))
	if err != nil {
		return nil, fmt.Errorf("%w: %v frame %d: %w", ErrCorrupt, w.Blob.hash, w.k, err)
	}
	return data, nil
}

// partial reports whether the span has only a part of the next frame. Then the client reads in
// slices and is likely to come back for the rest.
func (w *spanWriter) partial() bool {
	start := int64(w.k) * FrameSize
	return w.Off > start || w.Off+w.N < start+int64(w.Blob.frameLen(w.k))
}
