package engine

import (
	"context"
	"errors"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/query"
)

// many calls f for every document that matches when the statement begins and still does when it is
// locked. Outside a transaction the documents are committed bit by bit.
func (w *Writer) many(ctx context.Context, filter *query.Filter, hv bson.RawValue,
	f func(*Collection, *lockedDoc) error) (err error) {
	// The scan shall see what earlier statements of the command wrote, and not what this one
	// writes.
	if err := w.Flush(); err != nil {
		return err
	}
	c, err := w.collection(ctx)
	if err != nil {
		return err
	}
	h, err := hintOf(hv, c)
	if err != nil {
		return err
	}
	if w.inTransaction() {
		if err := w.unit.enter(ctx, c); err != nil {
			return err
		}
		return w.manyInTransaction(ctx, c, filter, h, f)
	}
	snap, cat := w.eng.snapshot()
	defer func() { err = errors.Join(err, w.eng.closeSnapshot(snap)) }()
	if c = cat.Lookup(w.DB, w.Collection); c == nil {
		return nil
	}
	if h, err = hintOf(hv, c); err != nil { // c may be newer than before
		return err
	}
	v := pebbleView{snap}
	p, err := planQuery(v, c, filter, &query.Sort{}, h)
	if err != nil {
		return err
	}
	scan := newDocScan(w.eng, v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	scanned := c.id
	for {
		idKey, _, err := scan.next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		err = w.statement(ctx, func(c *Collection) error {
			if c.id != scanned {
				return nil // dropped meanwhile: so are its documents
			}
			t, err := w.unit.lockMatch(ctx, c, filter, slices.Clone(idKey))
			if err != nil || t == nil {
				return err
			}
			return f(c, t)
		})
		if err != nil {
			return err
		}
		if err := w.spill(); err != nil {
			return err
		}
	}
}

// manyInTransaction finds all documents first, since the scan of a transaction sees its own writes.
func (w *Writer) manyInTransaction(ctx context.Context, c *Collection, filter *query.Filter, h hint,
	f func(*Collection, *lockedDoc) error) error {
	ids, err := w.matchingIDs(ctx, c, filter, h)
	if err != nil {
		return err
	}
	for _, idKey := range ids {
		w.step()
		t, err := w.unit.lockMatch(ctx, c, filter, idKey)
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		if err := f(c, t); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) matchingIDs(ctx context.Context, c *Collection, filter *query.Filter,
	h hint) (ids [][]byte, err error) {
	v := w.unit.view()
	p, err := planQuery(v, c, filter, &query.Sort{}, h)
	if err != nil {
		return nil, err
	}
	scan := newDocScan(w.eng, v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	for {
		idKey, _, err := scan.next(ctx)
		if err == io.EOF {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, clone(idKey))
	}
}
