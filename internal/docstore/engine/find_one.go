package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// A lockedDoc is a document that a statement has locked in order to change it.
type lockedDoc struct {
	idKey []byte
	doc   bson.Raw
}

// lockMatch locks the document and returns it as it is now, or nil if it does not match (any more).
// It looks before it locks: a statement must not wait for a document that it will not change.
func (u *Unit) lockMatch(ctx context.Context, c *Collection, filter *query.Filter, idKey []byte) (*lockedDoc, error) {
	key := c.DocKey(idKey)
	value, release, err := u.view().get(key)
	if errors.Is(err, errNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a document of %s: %w", c.Namespace(), err)
	}
	large := filter.StopAt(ctx.Done())
	matches := filter.Match(value)
	if err := release.Close(); err != nil || !matches {
		if err == nil && large {
			err = ctx.Err()
		}
		return nil, err
	}
	if err := u.lock(ctx, key); err != nil {
		return nil, err
	}
	doc, err := u.readDoc(c, idKey)
	if err != nil || doc == nil || !filter.Match(doc) {
		return nil, err
	}
	return &lockedDoc{idKey: idKey, doc: doc}, nil
}

// findOne locks the first document that matches, in the order of sort; nil if there is none.
func (u *Unit) findOne(ctx context.Context, c *Collection, filter *query.Filter, sort *query.Sort,
	h hint) (*lockedDoc, error) {
	if id, ok := filter.IDEquals(); ok {
		return u.lockMatch(ctx, c, filter, bsonkey.Append(nil, id))
	}
	for {
		found, t, err := u.tryOne(ctx, c, filter, sort, h)
		if err != nil || t != nil || !found {
			return t, err
		}
		// The documents found changed before they were locked: look again.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// tryOne looks once. found without a document reports that the
// documents found did not match any more when they were locked.
func (u *Unit) tryOne(ctx context.Context, c *Collection, filter *query.Filter, sort *query.Sort,
	h hint) (found bool, t *lockedDoc, err error) {
	v, done := u.scanView()
	defer func() { err = errors.Join(err, done()) }()
	p, err := planQuery(v, c, filter, sort, h)
	if err != nil {
		return false, nil, err
	}
	scan := newDocScan(u.eng, v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	if p.sorted {
		for {
			idKey, _, err := scan.next(ctx)
			if err == io.EOF {
				return found, nil, nil
			}
			if err != nil {
				return false, nil, err
			}
			found = true
			if t, err := u.lockMatch(ctx, c, filter, clone(idKey)); t != nil || err != nil {
				return true, t, err
			}
		}
	}
	s := sorter{sort: sort, keep: 1}
	if err := s.fill(ctx, scan); err != nil {
		return false, nil, err
	}
	doc, err := s.next()
	if err == io.EOF {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	t, err = u.lockMatch(ctx, c, filter, idKeyOf(doc))
	return true, t, err
}

// scanView is the view in which a statement looks for documents to write to: a transaction's own,
// or a snapshot, to which the statement's own writes do not show.
func (u *Unit) scanView() (v view, done func() error) {
	if u.isTransaction() {
		return u.view(), func() error { return nil }
	}
	snap := u.eng.db.NewSnapshot()
	return overlayView{base: pebbleView{snap}, writes: u.writes}, func() error { return u.eng.closeSnapshot(snap) }
}

// idKeyOf is the key of a document's _id.
func idKeyOf(doc bson.Raw) []byte { return bsonkey.Append(nil, rawdoc.Get(doc, "_id")) }
