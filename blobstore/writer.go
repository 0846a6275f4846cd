package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/blake3"

	"gadwall/blobstore/frame"
	"gadwall/dedupe"
)

// Stored is a blob that is durable and holds the reference named by Magic.
type Stored struct {
	Hash   dedupe.Hash
	Size   int64
	Magic  dedupe.Magic
	Shared bool // the blob existed before
	// Length is the number of octets that were stored, compressed; 0 if the blob existed before.
	Length int64
}

// A Writer stores one blob. Not safe for concurrent use. It must be ended by Finish or Abort.
type Writer struct {
	s       *Store
	ctx     context.Context // of the writes: io.Writer has none
	started time.Time
	magic   dedupe.Magic

	whole *blake3.Hasher
	frame *[]byte // the frame being filled
	size  int64
	sums  []byte // of the frames so far

	// Exactly one is set after the first frame: follow while a stored blob has the same frames,
	// else up.
	follow *follower
	up     *upload

	err   error
	ended bool
}

var errEnded = errors.New("blobstore: writer is ended")

// NewWriter starts a blob. ctx covers the calls of Write.
func (s *Store) NewWriter(ctx context.Context) *Writer {
	return &Writer{
		s: s, ctx: ctx, started: time.Now(), magic: dedupe.NewMagic(),
		whole: blake3.New(), frame: frame.Buffer(),
	}
}

// Size returns the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Write takes the next bytes. After an error the caller must call Abort.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	written := 0
	for len(p) > 0 && w.err == nil {
		n := min(len(p), FrameSize-len(*w.frame))
		*w.frame = append(*w.frame, p[:n]...)
		w.size += int64(n)
		written += n
		p = p[n:]
		if len(*w.frame) == FrameSize {
			w.err = w.endFrame(w.ctx)
		}
	}
	return written, w.err
}

// endFrame hands on the frame that was filled.
func (w *Writer) endFrame(ctx context.Context) error {
	data := *w.frame
	*w.frame = data[:0]
	w.whole.Write(data) // never fails
	sum := dedupe.Sum(data)
	before := len(w.sums) / dedupe.HashSize
	if before == MaxFrames {
		return ErrTooLarge
	}
	w.sums = append(w.sums, sum[:]...)
	if before == 0 && len(data) == FrameSize {
		var err error
		if w.follow, err = w.s.follow(ctx, sum, w.magic); err != nil {
			return err
		}
	}
	if w.follow != nil {
		if ok, err := w.follow.agrees(ctx, w.sums); err != nil || ok {
			return err
		}
		if err := w.depart(ctx, before); err != nil {
			return err
		}
	}
	if w.up == nil {
		w.up = newUpload(w.s)
	}
	return w.up.add(ctx, data)
}

// depart ends following: it copies the first frames to a new upload.
func (w *Writer) depart(ctx context.Context, frames int) error {
	w.up = newUpload(w.s)
	if err := w.follow.copyTo(ctx, w.up, frames); err != nil {
		return err
	}
	w.follow.release(ctx)
	w.follow = nil
	return nil
}

// Finish makes the blob durable, with one reference. After an error the caller must call Abort.
func (w *Writer) Finish(ctx context.Context) (*Stored, error) {
	if w.ended {
		return nil, errEnded
	}
	if w.err != nil {
		return nil, w.err
	}
	stored, err := w.finish(ctx)
	if err != nil {
		w.err = err
		return nil, err
	}
	w.end()
	return stored, nil
}

func (w *Writer) finish(ctx context.Context) (*Stored, error) {
	if len(*w.frame) > 0 {
		if err := w.endFrame(ctx); err != nil {
			return nil, err
		}
	}
	if time.Since(w.started) > MaxUploadTime {
		return nil, ErrTooSlow
	}
	stored := &Stored{Size: w.size, Magic: w.magic}
	w.whole.Sum(stored.Hash[:0])
	if w.follow != nil {
		equal, err := w.follow.equals(ctx, w.sums, w.size)
		if err != nil {
			return nil, err
		}
		if equal {
			if w.follow.held.hash != stored.Hash {
				return nil, fmt.Errorf("%w: %v has the frames of %v", ErrCorrupt, w.follow.held.hash, stored.Hash)
			}
			w.follow = nil // the reference is the caller's now
			stored.Shared = true
			return stored, nil
		}
	}
	if w.up == nil || !w.up.written {
		// Nothing is written yet. A blob that exists is to be found by a read: to add a reference
		// to one that does not would wait for the disk in vain.
		existed, err := w.s.exists(ctx, stored.Hash)
		if err == nil && existed {
			existed, err = w.share(ctx, stored)
		}
		if err != nil {
			return nil, err
		}
		if existed {
			return stored, nil
		}
	}
	for range maxAttempts {
		inserted, err := w.insert(ctx, stored.Hash)
		if err != nil {
			return nil, err
		}
		if inserted {
			stored.Length = w.up.length
			return stored, nil
		}
		existed, err := w.share(ctx, stored)
		if err != nil {
			return nil, err
		}
		if existed {
			return stored, nil
		}
	}
	return nil, fmt.Errorf("store blob %v: it appeared and disappeared %d times", stored.Hash, maxAttempts)
}

// share takes a reference to the stored blob of the same hash, if there is one, and gives up what
// was written.
func (w *Writer) share(ctx context.Context, stored *Stored) (bool, error) {
	existed, err := w.s.refs.Add(ctx, stored.Hash, w.magic)
	if err != nil || !existed {
		return false, err
	}
	w.discard(ctx)
	stored.Shared = true
	return true, nil
}

// insert writes the last chunk and the files document. It returns false if another upload of the
// same blob was faster.
func (w *Writer) insert(ctx context.Context, hash dedupe.Hash) (bool, error) {
	if w.up == nil || !w.up.inserted {
		if w.follow != nil {
			if err := w.depart(ctx, len(w.sums)/dedupe.HashSize); err != nil {
				return false, err
			}
		}
		if w.up == nil {
			w.up = newUpload(w.s) // of no bytes
		}
		if err := w.up.finish(ctx); err != nil {
			return false, err
		}
	}
	if time.Since(w.started) > MaxUploadTime {
		return false, ErrTooSlow
	}
	return w.up.commit(ctx, hash, w.sums, w.magic)
}

// Abort gives up a blob that was not finished. It does nothing after a successful Finish, or when
// called again. It cleans up even if ctx is canceled, for a bounded time. It logs a clean-up that
// fails, and leaves the rest to the collector.
func (w *Writer) Abort(ctx context.Context) {
	if w.ended {
		return
	}
	w.discard(ctx)
	w.end()
}

// discard deletes the upload's own chunks and gives back the follower's reference.
func (w *Writer) discard(ctx context.Context) {
	if w.follow != nil {
		w.follow.release(ctx)
		w.follow = nil
	}
	if w.up != nil {
		w.up.discard(ctx)
	}
}

func (w *Writer) end() {
	w.ended = true
	frame.Release(w.frame)
	w.frame = nil
	if w.up != nil {
		w.up.close()
	}
}
