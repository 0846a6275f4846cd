package contents

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
)

// A Finding is a content that is damaged. Nothing repairs that.
type Finding struct {
	ID     ID
	Detail string
}

// Check reads all contents beside live traffic, and calls found with those that are damaged: whose layout or part table
// contradict themselves, and with deep set also those whose frames cannot be decoded, or whose bytes do not have the hash
// that is their ID. (Of contents with blobs only the frames are decoded; the blobs have a check of their own.) It
// returns how many it read. progress is told so, if not nil.
func (s *Store) Check(ctx context.Context, deep bool, found func(Finding), progress func(n int64)) (n int64, err error) {
	projection := bson.D{{Key: "segs", Value: 1}, {Key: "parts", Value: 1}, {Key: "size", Value: 1}}
	if deep {
		projection = nil
	}
	plain := s.WithCache(nil)
	err = s.scan(ctx, projection, func(doc bson.Raw) error {
		_, key, _ := doc.Lookup("_id").BinaryOK()
		hash, err := dedupe.HashFromBytes(key)
		if err != nil {
			found(Finding{ID: ID(hash), Detail: fmt.Sprintf("id: %v", err)})
			return nil
		}
		err = plain.check(ctx, ID(hash), doc, deep)
		switch {
		case err == nil:
		case errors.Is(err, ErrCorrupt):
			found(Finding{ID: ID(hash), Detail: err.Error()})
		default:
			return err
		}
		if n++; progress != nil && n%auditBatch == 0 {
			progress(n)
		}
		return nil
	})
	return n, err
}

// check verifies a content of which everything was read that is to be verified.
func (s *Store) check(ctx context.Context, id ID, doc bson.Raw, deep bool) error {
	c, err := s.newContent(id, doc, true)
	if err != nil {
		return err
	}
	if size, ok := doc.Lookup("size").AsInt64OK(); !ok || size != c.Size {
		return fmt.Errorf("%w: %v: size", ErrCorrupt, id)
	}
	if !deep {
		return nil
	}
	for k := range c.layout.frames {
		if c.stored[k] == nil {
			return fmt.Errorf("%w: %v: frame %d is missing", ErrCorrupt, id, k)
		}
	}
	if len(c.layout.blobRefs()) > 0 {
		return c.writeInline(ctx, io.Discard, 0, c.layout.inlineSize())
	}
	h := blake3.New()
	if err := c.WriteRange(ctx, h, 0, c.Size); err != nil {
		return err
	}
	var sum dedupe.Hash
	h.Sum(sum[:0])
	if ID(sum) != id {
		return fmt.Errorf("%w: %v: the bytes have the hash %v", ErrCorrupt, id, sum)
	}
	return nil
}
