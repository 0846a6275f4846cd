package engine

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
)

// A Delete is a statement that deletes one document or all that match.
type Delete struct {
	Filter *query.Filter
	// Sort says which document comes first for a deletion of one; nil for any.
	Sort *query.Sort
	One  bool
	// Hint names the index to use; its type is 0 for none.
	Hint bson.RawValue
}

// Delete runs a deletion, and remembers its result. It returns how many documents are gone.
func (w *Writer) Delete(ctx context.Context, d *Delete, stmt int32) (n int32, err error) {
	if w.nowhere() {
		return 0, nil
	}
	if !d.One {
		if w.Retryable() {
			return 0, mongoerr.New(mongoerr.InvalidOptions, "Cannot use retryable writes with limit=0")
		}
		return w.deleteMany(ctx, d)
	}
	out, err := w.DeleteOne(ctx, d)
	if err != nil {
		return 0, err
	}
	return out.Matched, w.Wrote(StatementResult{First: stmt, Count: 1, N: out.Matched})
}

func (w *Writer) deleteMany(ctx context.Context, d *Delete) (n int32, err error) {
	if w.nowhere() {
		return 0, nil
	}
	err = w.many(ctx, d.Filter, d.Hint, func(c *Collection, t *lockedDoc) error {
		if err := w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil); err != nil {
			return err
		}
		n++
		return nil
	})
	return n, err
}

// DeleteOne deletes the first document that matches.
func (w *Writer) DeleteOne(ctx context.Context, d *Delete) (out Outcome, err error) {
	if w.nowhere() {
		return out, nil
	}
	sort := d.Sort
	if sort == nil {
		sort = &query.Sort{}
	}
	err = w.statement(ctx, func(c *Collection) error {
		out = Outcome{}
		h, err := hintOf(d.Hint, c)
		if err != nil {
			return err
		}
		t, err := w.unit.findOne(ctx, c, d.Filter, sort, h)
		if err != nil || t == nil {
			return err
		}
		out.Matched, out.Before = 1, t.doc
		return w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil)
	})
	return out, err
}
