package blobstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore/frame"
	"gadwall/dedupe"
)

// An upload turns frames into stored bytes, and these into chunk documents. It writes a chunk when
// the chunk is full and more follows, so it writes a blob that fits into one chunk only at commit.
type upload struct {
	s        *Store
	id       bson.ObjectID
	codec    codec    // empty until the trial
	trial    *[]byte  // the first frame, as long as the codec is not decided
	sizes    []uint32 // stored sizes of the frames
	chunk    *[]byte  // stored bytes of the next chunk
	n        int32    // chunks written
	written  bool     // the write of a chunk was tried
	length   int64    // stored bytes so far
	size     int64    // decoded bytes so far
	inserted bool     // the insert of the files document was tried
	unknown  bool     // with an unknown outcome
}

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, ChunkSize); return &b }}

func newUpload(s *Store) *upload {
	return &upload{s: s, id: newFileID(), chunk: chunkBuffers.Get().(*[]byte)}
}

// close gives back the buffers.
func (u *upload) close() {
	frame.Release(u.trial)
	u.trial = nil
	if u.chunk != nil {
		*u.chunk = (*u.chunk)[:0]
		chunkBuffers.Put(u.chunk)
		u.chunk = nil
	}
}

// add stores the next frame.
func (u *upload) add(ctx context.Context, data []byte) error {
	u.size += int64(len(data))
	if u.codec != "" {
		return u.store(ctx, data)
	}
	if u.trial == nil && len(data) == FrameSize {
		u.trial = frame.Buffer()
		*u.trial = append(*u.trial, data...)
		return nil
	}
	return u.decide(ctx, data)
}

// decide tries to compress the first two frames, or all there are, and stores them. Zstd must save
// one part in trialShare to be worth the work of every reader.
func (u *upload) decide(ctx context.Context, second []byte) error {
	var first []byte
	if u.trial != nil {
		first = *u.trial
	}
	u.codec = codecRaw
	if saved, err := saving(first, second); err != nil {
		return err
	} else if saved > (len(first)+len(second))/trialShare {
		u.codec = codecZstd
	}
	for _, data := range [][]byte{first, second} {
		if err := u.store(ctx, data); err != nil {
			return err
		}
	}
	frame.Release(u.trial)
	u.trial = nil
	return nil
}

func saving(frames ...[]byte) (int, error) {
	buf := frame.Buffer()
	defer frame.Release(buf)
	saved := 0
	for _, data := range frames {
		z, err := frame.Compress((*buf)[:0], data)
		if err != nil {
			return 0, err
		}
		saved += len(data) - len(z)
	}
	return saved, nil
}

// store appends a frame in the decided codec.
func (u *upload) store(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if u.codec == codecRaw {
		return u.append(ctx, data)
	}
	buf := frame.Buffer()
	defer frame.Release(buf)
	z, err := frame.Compress(*buf, data)
	if err != nil {
		return err
	}
	u.sizes = append(u.sizes, uint32(len(z)))
	return u.append(ctx, z)
}

// append adds stored bytes.
func (u *upload) append(ctx context.Context, p []byte) error {
	u.length += int64(len(p))
	for len(p) > 0 {
		if len(*u.chunk) == ChunkSize {
			if err := u.writeChunk(ctx); err != nil {
				return err
			}
		}
		n := min(len(p), ChunkSize-len(*u.chunk))
		*u.chunk = append(*u.chunk, p[:n]...)
		p = p[n:]
	}
	return nil
}

func (u *upload) writeChunk(ctx context.Context) error {
	u.written = true
	_, err := u.s.chunks.InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.NewObjectIDFromTimestamp(u.s.refs.Now())},
		{Key: "files_id", Value: u.id},
		{Key: "n", Value: u.n},
		{Key: "data", Value: bson.Binary{Data: *u.chunk}},
	})
	if err != nil {
		return fmt.Errorf("insert chunk %d of a blob: %w", u.n, err)
	}
	u.n++
	*u.chunk = (*u.chunk)[:0]
	return nil
}

// finish writes the last chunk.
func (u *upload) finish(ctx context.Context) error {
	if u.codec == "" {
		if err := u.decide(ctx, nil); err != nil {
			return err
		}
	}
	if u.codec == codecZstd {
		if err := u.append(ctx, seekTable(u.sizes, u.size)); err != nil {
			return err
		}
	}
	if len(*u.chunk) == 0 {
		return nil
	}
	return u.writeChunk(ctx)
}

// commit inserts the files document, with one reference. inserted is false if there is a blob of
// that hash already.
func (u *upload) commit(ctx context.Context, hash dedupe.Hash, sums []byte,
	magic dedupe.Magic) (inserted bool, err error) {
	doc := filesDoc{
		ID:         u.id,
		Length:     u.length,
		ChunkSize:  ChunkSize,
		UploadDate: time.Now().UTC(),
		Metadata: metadata{
			Hash:    hash.Binary(),
			Size:    u.size,
			Refs:    1,
			Magic:   int64(magic),
			Touched: u.s.refs.Now(),
			Codec:   u.codec,
		},
	}
	for _, n := range u.sizes {
		doc.Metadata.Frames = binary.AppendUvarint(doc.Metadata.Frames, uint64(n))
	}
	if len(sums) > dedupe.HashSize {
		doc.Metadata.Head = &bson.Binary{Data: sums[:dedupe.HashSize]}
		doc.Metadata.Sums = sums
	}
	u.inserted, u.unknown = true, true
	_, err = u.s.files.InsertOne(ctx, doc)
	switch {
	case err == nil:
		return true, nil
	case mongo.IsDuplicateKeyError(err):
		u.unknown = false
		return false, nil
	}
	return false, fmt.Errorf("insert blob: %w", err)
}

// discard deletes the written chunks, unless a files document may exist.
func (u *upload) discard(ctx context.Context) {
	if !u.written || u.unknown {
		return
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if u.inserted {
		// The insert was refused as a duplicate. Is that the document of another upload, or its
		// own?
		err := u.s.files.FindOne(ctx, bson.D{{Key: "_id", Value: u.id}},
			options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
		if !errors.Is(err, mongo.ErrNoDocuments) {
			u.s.log.WarnContext(ctx, "chunks are left for a check", "file", u.id, "error", err)
			return
		}
	}
	if _, err := u.s.chunks.DeleteMany(ctx, bson.D{{Key: "files_id", Value: u.id}}); err != nil {
		u.s.log.WarnContext(ctx, "chunks are left for a check", "file", u.id, "error", err)
	}
}

// cleanup returns a context for clean-ups that must be tried even if ctx is canceled.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
