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
	found, err := w.matching(ctx, c, filter, h)
	if err != nil {
		return err
	}
	for i := range found {
		w.step()
		t := &found[i]
		if t.doc != nil {
			// The snapshot does not change, and f writes no other document. So the document is as
			// it was found, if no other unit has written it since the snapshot.
			err = w.unit.lock(ctx, c.DocKey(t.idKey))
		} else {
			t, err = w.unit.lockMatch(ctx, c, filter, t.idKey)
		}
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		if err := f(c, t); err != nil {
			return err
		}
		t.doc = nil
	}
	return nil
}

// matching returns the documents that match, those beyond maxFoundBytes by their ids alone.
func (w *Writer) matching(ctx context.Context, c *Collection, filter *query.Filter,
	h hint) (found []lockedDoc, err error) {
	v := w.unit.view()
	p, err := planQuery(v, c, filter, &query.Sort{}, h)
	if err != nil {
		return nil, err
	}
	scan := newDocScan(w.eng, v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	bytes := 0
	for {
		idKey, doc, err := scan.next(ctx)
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		t := lockedDoc{idKey: clone(idKey)}
		if bytes += len(doc); bytes <= maxFoundBytes {
			t.doc = clone(doc)
		}
		found = append(found, t)
	}
}
