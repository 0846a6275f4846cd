package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"

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

// Open returns the blob of that hash, or ErrNotFound.
func (s *Store) Open(ctx context.Context, hash dedupe.Hash) (*Blob, error) {
	var doc filesDoc
	err := s.files.FindOne(ctx, bson.D{{Key: "metadata.hash", Value: hash.Binary()}},
		options.FindOne().SetProjection(bson.D{{Key: "metadata.sums", Value: 0}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("%w: %v", ErrNotFound, hash)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %v: %w", hash, err)
	}
	l, err := newLayout(&doc)
	if err != nil {
		return nil, err
	}
	return &Blob{s, l}, nil
}

// Hash returns the hash of the blob.
func (b *Blob) Hash() dedupe.Hash { return b.hash }

// Size returns the number of (decoded) bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadRange writes the n bytes at off to w. It reads the chunks that hold the frames of the range, those
// that are not in the cache, readBatch chunks per query, and uses a constant amount of memory. Its
// error may be that of w.
func (b *Blob) ReadRange(ctx context.Context, off, n int64, w io.Writer) error {
	if off < 0 || n < 0 || off > b.size || n > b.size-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, b.size)
	}
	if n == 0 {
		return nil
	}
	r := rangeRead{b: b, off: off, end: off + n, w: w}
	first, last := int(off/FrameSize), int((off+n-1)/FrameSize)
	for k := first; k <= last; {
		if data := b.s.cache.Get(b.hash, k); data != nil {
			if err := r.emit(k, data); err != nil {
				return err
			}
			k++
			continue
		}
		run := k
		for run < last && !b.s.cache.has(b.hash, run+1) && b.chunksOf(k, run+1) <= readBatch {
			run++
		}
		if err := r.fetch(ctx, k, run); err != nil {
			return err
		}
		k = run + 1
	}
	return nil
}

// chunksOf returns how many chunks hold frames first to last.
func (b *Blob) chunksOf(first, last int) int64 {
	from, _ := b.stored(first)
	_, to := b.stored(last)
	return (to-1)/ChunkSize - from/ChunkSize + 1
}

type rangeRead struct {
	b        *Blob
	off, end int64
	w        io.Writer
}

// emit writes what the range has of frame k.
func (r *rangeRead) emit(k int, data []byte) error {
	start := int64(k) * FrameSize
	from := max(r.off-start, 0)
	to := min(r.end-start, int64(len(data)))
	_, err := r.w.Write(data[from:to])
	return err
}

// partial reports whether the range has only some of frame k: then a client that reads in slices is
// likely to come back for the rest.
func (r *rangeRead) partial(k int) bool {
	start := int64(k) * FrameSize
	return r.off > start || r.end < start+int64(r.b.frameLen(k))
}

// fetch reads frames first to last from the database and emits them.
func (r *rangeRead) fetch(ctx context.Context, first, last int) error {
	from, _ := r.b.stored(first)
	_, to := r.b.stored(last)
	in, out := frame.Buffer(), frame.Buffer()
	defer frame.Release(in)
	defer frame.Release(out)
	k := first
	return r.b.s.readStored(ctx, r.b.layout, from, to, func(p []byte) error {
		for len(p) > 0 {
			start, end := r.b.stored(k)
			need := int(end-start) - len(*in)
			stored := p
			if len(*in) > 0 || len(p) < need {
				n := min(need, len(p))
				*in = append(*in, p[:n]...)
				stored, p = *in, p[n:]
				if n < need {
					return nil
				}
			} else {
				stored, p = p[:need], p[need:]
			}
			data := stored
			if r.b.codec == codecZstd {
				var err error
				if data, err = frame.Decompress(*out, stored, r.b.frameLen(k)); err != nil {
					return fmt.Errorf("%w: %v frame %d: %w", ErrCorrupt, r.b.hash, k, err)
				}
			}
			if r.partial(k) {
				r.b.s.cache.Put(r.b.hash, k, data)
			}
			if err := r.emit(k, data); err != nil {
				return err
			}
			*in = (*in)[:0]
			k++
		}
		return nil
	})
}

// readStored calls f with the stored bytes [from, to), in pieces that are valid during the call only. One
// query reads readBatch chunks.
func (s *Store) readStored(ctx context.Context, l *layout, from, to int64, f func([]byte) error) error {
	for from < to {
		first := from / ChunkSize
		last := min((to-1)/ChunkSize, first+readBatch-1)
		batchEnd := min(to, (last+1)*ChunkSize)
		if err := s.readChunks(ctx, l, first, last, from, batchEnd, f); err != nil {
			return err
		}
		from = batchEnd
	}
	return nil
}

func (s *Store) readChunks(ctx context.Context, l *layout, first, last, from, to int64, f func([]byte) error) error {
	cur, err := s.chunks.Find(ctx,
		bson.D{
			{Key: "files_id", Value: l.id},
			{Key: "n", Value: bson.D{{Key: "$gte", Value: int32(first)}, {Key: "$lte", Value: int32(last)}}},
		},
		options.Find().
			SetSort(bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}}).
			SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "n", Value: 1}, {Key: "data", Value: 1}}).
			SetBatchSize(readBatch+1))
	if err != nil {
		return fmt.Errorf("read chunks of blob %v: %w", l.hash, err)
	}
	defer cur.Close(ctx)
	n := first
	for cur.Next(ctx) {
		num, okN := cur.Current.Lookup("n").AsInt64OK()
		_, data, okData := cur.Current.Lookup("data").BinaryOK()
		start := n * ChunkSize
		if !okN || !okData || num != n || int64(len(data)) != min(ChunkSize, l.length-start) {
			return fmt.Errorf("%w: %v: chunk %d", ErrCorrupt, l.hash, n)
		}
		if err := f(data[max(from-start, 0):min(to-start, int64(len(data)))]); err != nil {
			return err
		}
		n++
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read chunks of blob %v: %w", l.hash, err)
	}
	if n != last+1 {
		return fmt.Errorf("%w: %v: chunk %d is missing", ErrCorrupt, l.hash, n)
	}
	return nil
}
