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
//
// Each write of a chunk waits until the chunk is durable. So several chunks are written at a time,
// each by a goroutine that ends with its write; wait waits for all of them.
type upload struct {
	s        *Store
	id       bson.ObjectID
	codec    codec    // empty until the trial
	trial    *[]byte  // the first frame, as long as the codec is not decided
	sizes    []uint32 // stored sizes of the frames
	chunk    *[]byte  // stored bytes of the next chunk
	n        int32    // chunks that were begun to be written
	writing  int      // chunks being written beside the upload
	done     chan error
	failed   error // of the first chunk that was not written
	written  bool  // the write of a chunk was tried
	length   int64 // stored bytes so far
	size     int64 // decoded bytes so far
	inserted bool  // the insert of the files document was tried
	unknown  bool  // with an unknown outcome
}

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, ChunkSize); return &b }}

func newUpload(s *Store) *upload {
	return &upload{s: s, id: newFileID(), chunk: chunkBuffers.Get().(*[]byte),
		done: make(chan error, chunksAtATime)}
}

// close gives back the buffers, when no chunk is being written any more.
func (u *upload) close() {
	u.wait()
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
	var frames [][]byte
	if u.trial != nil {
		frames = append(frames, *u.trial)
	}
	if len(second) > 0 {
		frames = append(frames, second)
	}
	size, compressed := 0, 0
	trials := make([]*[]byte, len(frames))
	for i, data := range frames {
		trials[i] = frame.Buffer()
		defer frame.Release(trials[i])
		z, err := frame.Compress(*trials[i], data)
		if err != nil {
			return err
		}
		*trials[i] = z
		size += len(data)
		compressed += len(z)
	}
	u.codec = codecRaw
	if size-compressed > size/trialShare {
		u.codec = codecZstd
	}
	for i, data := range frames {
		var err error
		if u.codec == codecZstd {
			err = u.appendFrame(ctx, *trials[i])
		} else {
			err = u.append(ctx, data)
		}
		if err != nil {
			return err
		}
	}
	frame.Release(u.trial)
	u.trial = nil
	return nil
}

// store appends a frame in the decided codec.
func (u *upload) store(ctx context.Context, data []byte) error {
	if u.codec == codecRaw {
		return u.append(ctx, data)
	}
	buf := frame.Buffer()
	defer frame.Release(buf)
	z, err := frame.Compress(*buf, data)
	if err != nil {
		return err
	}
	return u.appendFrame(ctx, z)
}

// appendFrame adds a compressed frame.
func (u *upload) appendFrame(ctx context.Context, z []byte) error {
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

// writeChunk writes the chunk that was filled: beside the upload if there is a place for it, else
// before it returns.
func (u *upload) writeChunk(ctx context.Context) error {
	if u.writing > 0 && u.writing == cap(u.done) {
		u.ended(<-u.done)
	}
	select {
	case u.s.ahead <- struct{}{}:
	default:
		return u.writeAndWait(ctx)
	}
	if !u.mayWrite(ctx) {
		<-u.s.ahead
		return u.failed
	}
	data, n := u.chunk, u.n
	u.chunk = chunkBuffers.Get().(*[]byte)
	u.n++
	u.writing++
	go func() {
		err := u.insertChunk(ctx, n, *data)
		*data = (*data)[:0]
		chunkBuffers.Put(data)
		<-u.s.ahead
		u.done <- err // has room for all
	}()
	return nil
}

// writeAndWait writes the chunk that was filled.
func (u *upload) writeAndWait(ctx context.Context) error {
	if u.mayWrite(ctx) {
		u.failed = u.insertChunk(ctx, u.n, *u.chunk)
		u.n++
		*u.chunk = (*u.chunk)[:0]
	}
	return u.failed
}

// mayWrite reports that nothing has failed, and notes that the write of a chunk is tried.
func (u *upload) mayWrite(ctx context.Context) bool {
	if u.failed == nil {
		u.failed = ctx.Err()
	}
	u.written = u.written || u.failed == nil
	return u.failed == nil
}

// ended takes note of the end of a write.
func (u *upload) ended(err error) {
	u.writing--
	if u.failed == nil {
		u.failed = err
	}
}

// wait waits until no chunk is being written.
func (u *upload) wait() {
	for u.writing > 0 {
		u.ended(<-u.done)
	}
}

// insertChunk writes a chunk. When ctx ends meanwhile, the write goes on: a server that has the
// command may do it at any time, also after discard has looked for chunks.
func (u *upload) insertChunk(ctx context.Context, n int32, data []byte) error {
	ctx, end := outlive(ctx)
	defer end()
	_, err := u.s.chunks.InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.NewObjectIDFromTimestamp(u.s.refs.Now())},
		{Key: "files_id", Value: u.id},
		{Key: "n", Value: n},
		{Key: "data", Value: bson.Binary{Data: data}},
	})
	if err != nil {
		return fmt.Errorf("insert chunk %d of a blob: %w", n, err)
	}
	return nil
}

// finish writes the last chunk and waits until all are durable.
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
	if len(*u.chunk) > 0 {
		if err := u.writeAndWait(ctx); err != nil {
			return err
		}
	}
	u.wait()
	return u.failed
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
	if err := ctx.Err(); err != nil {
		return false, err // for certain there is no document
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
	u.wait()
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

// outlive returns a context that ends cleanupTimeout after ctx, for a write that was
// begun. The caller calls end when the write has ended.
func outlive(ctx context.Context) (lasting context.Context, end func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		patience := time.NewTimer(cleanupTimeout)
		defer patience.Stop()
		select {
		case <-patience.C:
			cancel()
		case <-lasting.Done():
		}
	})
	return lasting, func() {
		stop()
		cancel()
	}
}

// cleanup returns a context for clean-ups that must be tried even if ctx is canceled.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
