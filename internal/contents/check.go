package contents

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/database"
	"gadwall/internal/dictionary"
)

// A Finding is a damaged content. No repair is possible.
type Finding struct {
	ID     ID
	Detail string
	// Unreadable says that it is about a range of ids, from ID on, whose contents the database
	// cannot read. It is not known which of these ids exist.
	Unreadable bool
}

// CheckOptions say what Check does.
type CheckOptions struct {
	// Deep reads all bytes, too.
	Deep bool
	// From and To are the first and the last id to check; nil for the least and the greatest.
	From, To []byte
	// Found is called with what is damaged.
	Found func(Finding)
	// Saved, if not nil, is told now and then that all contents up to last are checked, n more than
	// before. It may block; its error ends the check.
	Saved func(ctx context.Context, last ID, n int64) error
}

// Check reads contents beside live traffic, and finds those that are damaged: whose segment table or
// part table contradict themselves, or whose frames need a dictionary that is not there or was
// changed, and with Deep also those whose frames cannot be decoded, or whose bytes, those from blobs
// included, do not have the hash that is their ID. (Of contents with a blob that is missing or
// damaged only the frames are decoded; the blobs have a check of their own.)
func (s *Store) Check(ctx context.Context, o CheckOptions) error {
	projection, page := bson.D{{Key: "segs", Value: 1}, {Key: "parts", Value: 1}, {Key: "size", Value: 1}}, auditBatch
	if o.Deep {
		projection, page = nil, deepBatch
	}
	c := checker{s: s.WithCache(nil), broken: make(map[dictionary.ID]error)}
	c.s.dicts = s.dicts.Unread()
	var n int64 // since they were saved
	scan := database.Scan{Collection: s.coll, Key: database.Key{Size: dedupe.HashSize},
		From: o.From, To: o.To, Projection: projection, Page: page}
	err := scan.Run(ctx, func(doc bson.Raw) error {
		_, key, _ := doc.Lookup("_id").BinaryOK()
		hash, err := dedupe.HashFromBytes(key)
		if err != nil {
			o.Found(Finding{ID: ID(hash), Detail: fmt.Sprintf("id: %v", err)})
			return nil
		}
		err = c.check(ctx, ID(hash), doc, o.Deep)
		switch {
		case err == nil:
		case errors.Is(err, ErrCorrupt):
			o.Found(Finding{ID: ID(hash), Detail: err.Error()})
			err = nil
		default:
			return err
		}
		if n++; o.Saved != nil && n >= int64(page) {
			err = o.Saved(ctx, ID(hash), n)
			n = 0
		}
		return err
	}, func(g database.Gap) error {
		o.Found(Finding{ID: ID(g.From), Unreadable: true,
			Detail: fmt.Sprintf("contents with ids from %s: %v", g.String(), g.Err)})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read contents: %w", err)
	}
	return nil
}

// checker verifies contents.
type checker struct {
	s      *Store
	broken map[dictionary.ID]error // dictionaries that cannot be had
}

// check verifies a content. doc has every field that it verifies.
func (ch *checker) check(ctx context.Context, id ID, doc bson.Raw, deep bool) error {
	c, err := ch.s.newContent(id, doc, true)
	if err != nil {
		return err
	}
	if size, ok := doc.Lookup("size").AsInt64OK(); !ok || size != c.Size {
		return fmt.Errorf("%w: %v: size", ErrCorrupt, id)
	}
	for _, f := range c.table.frames {
		if err := ch.dictionary(ctx, f.dict); err != nil {
			return fmt.Errorf("content %v: %w", id, err)
		}
	}
	if !deep {
		return nil
	}
	for k := range c.table.frames {
		if c.stored[k] == nil {
			return fmt.Errorf("%w: %v: frame %d is missing", ErrCorrupt, id, k)
		}
	}
	h := blake3.New()
	err = c.WriteRange(ctx, h, 0, c.Size)
	if errors.Is(err, blobstore.ErrNotFound) || errors.Is(err, blobstore.ErrCorrupt) ||
		database.IsDamaged(err) {
		// A blob may also be missing because the content was collected just now.
		return c.writeInline(ctx, io.Discard, 0, c.table.inlineSize())
	}
	if err != nil {
		return err
	}
	var sum dedupe.Hash
	h.Sum(sum[:0])
	if ID(sum) != id {
		return fmt.Errorf("%w: %v: the bytes have the hash %v", ErrCorrupt, id, sum)
	}
	return nil
}

// dictionary returns an error if frames cannot use the dictionary: ErrCorrupt if it is missing or
// damaged.
func (ch *checker) dictionary(ctx context.Context, id dictionary.ID) error {
	if err := ch.broken[id]; err != nil {
		return err
	}
	_, err := ch.s.dicts.Get(ctx, id)
	if errors.Is(err, dictionary.ErrUnknown) || errors.Is(err, dictionary.ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		ch.broken[id] = err
	}
	return err
}
