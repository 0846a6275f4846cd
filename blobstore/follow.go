package blobstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
)

// A follower compares an upload with stored blobs that have the same head.
type follower struct {
	s     *Store
	magic dedupe.Magic
	since time.Time    // no reference was added before
	held  *candidate   // agrees with all frames so far; referenced with magic
	more  []*candidate // may agree, too; not referenced
}

type candidate struct {
	*layout
	sums []byte
}

// sum returns the sum of frame k, nil if there is none.
func (c *candidate) sum(k int) []byte {
	if (k+1)*dedupe.HashSize > len(c.sums) {
		return nil
	}
	return c.sums[k*dedupe.HashSize : (k+1)*dedupe.HashSize]
}

// follow looks for stored blobs with this head, and takes a reference to one. It returns nil if
// there is none.
func (s *Store) follow(ctx context.Context, head dedupe.Hash, magic dedupe.Magic) (*follower, error) {
	cur, err := s.files.Find(ctx, bson.D{{Key: "metadata.head", Value: head.Binary()}},
		options.Find().SetLimit(maxCandidates).SetBatchSize(maxCandidates/4))
	if err != nil {
		return nil, fmt.Errorf("look for blobs by their first frame: %w", err)
	}
	defer cur.Close(ctx)
	f := &follower{s: s, magic: magic, since: time.Now()}
	for size := 0; size < candidateBytes && cur.Next(ctx); {
		var doc filesDoc
		if err := cur.Decode(&doc); err != nil {
			return nil, fmt.Errorf("look for blobs by their first frame: %w", err)
		}
		l, err := newLayout(&doc)
		if err != nil || len(doc.Metadata.Sums) != frameCount(l.size)*dedupe.HashSize {
			continue // whoever reads it will tell; here it is only of no use
		}
		f.more = append(f.more, &candidate{l, doc.Metadata.Sums})
		size += len(doc.Metadata.Sums)
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("look for blobs by their first frame: %w", err)
	}
	held, err := f.next(ctx, head[:])
	if err != nil || held == nil {
		return nil, err
	}
	f.held = held
	return f, nil
}

// next takes the first of the further candidates that agrees with all sums and can be referenced.
func (f *follower) next(ctx context.Context, sums []byte) (*candidate, error) {
	for len(f.more) > 0 {
		c := f.more[0]
		f.more = f.more[1:]
		if !bytes.HasPrefix(c.sums, sums) {
			continue
		}
		existed, err := f.s.refs.Add(ctx, c.hash, f.magic)
		if err != nil {
			return nil, err
		}
		if existed {
			return c, nil
		}
	}
	return nil, nil
}

// agrees reports whether a candidate has frames with all these sums, the last of which is new. If
// none has, held still agrees with all but the last.
func (f *follower) agrees(ctx context.Context, sums []byte) (bool, error) {
	last := len(sums)/dedupe.HashSize - 1
	if bytes.Equal(f.held.sum(last), sums[last*dedupe.HashSize:]) {
		return true, nil
	}
	c, err := f.next(ctx, sums)
	if err != nil || c == nil {
		return false, err
	}
	f.release(ctx)
	f.held = c
	return true, nil
}

// equals reports whether a candidate has exactly the frames with these sums and no more.
func (f *follower) equals(ctx context.Context, sums []byte, size int64) (bool, error) {
	for {
		if f.held.size == size && len(f.held.sums) == len(sums) {
			return true, nil
		}
		c, err := f.next(ctx, sums)
		if err != nil || c == nil {
			return false, err
		}
		f.release(ctx)
		f.held = c
	}
}

// copyTo starts an upload with the first frames of held.
func (f *follower) copyTo(ctx context.Context, u *upload, frames int) error {
	c := f.held
	u.codec = c.codec
	u.size = int64(frames-1)*FrameSize + int64(c.frameLen(frames-1))
	_, end := c.stored(frames - 1)
	if c.codec == codecZstd {
		for k := range frames {
			from, to := c.stored(k)
			u.sizes = append(u.sizes, uint32(to-from))
		}
	}
	return f.s.readStored(ctx, c.layout, end, func(p []byte) error { return u.append(ctx, p) })
}

// release gives back the reference to held.
func (f *follower) release(ctx context.Context) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if time.Since(f.since) > dedupe.MaxHold {
		f.s.log.WarnContext(ctx, "a blob reference was held for too long and is left for the audit",
			"blob", f.held.hash)
		return
	}
	if err := f.s.refs.Remove(ctx, f.held.hash, f.magic); err != nil {
		f.s.log.WarnContext(ctx, "a blob reference is left for the audit", "blob", f.held.hash, "error", err)
	}
}
