package engine

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// retryUpsert is how often an upsert that lost against another one looks again.
const retryUpsert = 10

// An Update is a statement that changes documents.
type Update struct {
	Filter *query.Filter
	Update *query.Update
	// Sort says which document comes first for an update of one; nil for any.
	Sort   *query.Sort
	Multi  bool
	Upsert bool
	// Hint names the index to use; its type is 0 for none.
	Hint bson.RawValue
}

// An Outcome is what a statement did.
type Outcome struct {
	Matched, Modified int32
	// Upserted is {_id: ...} when a document was inserted.
	Upserted bson.Raw
	// Before and After are the document of a statement on one document.
	Before, After bson.Raw
}

// Update runs an update, and remembers its result.
func (w *Writer) Update(ctx context.Context, u *Update, stmt int32) (out Outcome, err error) {
	if u.Multi {
		if w.Retryable() {
			return out, mongoerr.New(mongoerr.InvalidOptions, "Cannot use retryable writes with multi=true")
		}
		out, err = w.updateMany(ctx, u)
		if err != nil || out.Matched > 0 || !u.Upsert {
			return out, err
		}
	}
	if out, err = w.UpdateOne(ctx, u); err != nil {
		return out, err
	}
	return out, w.Wrote(StatementResult{First: stmt, Count: 1, N: out.Matched,
		Modified: out.Modified, Upserted: out.Upserted})
}

// UpdateOne updates the first match, or inserts a document if there is none and the statement is an
// upsert.
func (w *Writer) UpdateOne(ctx context.Context, u *Update) (out Outcome, err error) {
	if !u.Upsert && w.nowhere() {
		return out, nil
	}
	for try := 1; ; try++ {
		err = w.statement(ctx, func(c *Collection) error {
			out = Outcome{}
			h, err := hintOf(u.Hint, c)
			if err != nil {
				return err
			}
			t, err := w.unit.findOne(ctx, c, u.Filter, u.Sort, h)
			if err != nil {
				return err
			}
			if t == nil {
				if u.Upsert {
					return w.upsert(ctx, c, u, &out)
				}
				return nil
			}
			out.Matched, out.Before = 1, t.doc
			out.After, err = w.unit.apply(ctx, c, u.Update, t)
			if err == nil && !bytes.Equal(out.Before, out.After) {
				out.Modified = 1
			}
			return err
		})
		var dup *DuplicateKeyError
		if !errors.As(err, &dup) || !u.Upsert || out.Matched > 0 || w.inTransaction() || try > retryUpsert {
			return out, err
		}
		// Another upsert came first, and its document may be the one to update: look again. When a
		// different document is in the way, each try fails, and the last one reports the duplicate
		// key.
		if err := w.Flush(); err != nil {
			return out, err
		}
		if try > 1 {
			if err := pauseBeforeRetry(ctx, try); err != nil {
				return out, err
			}
		}
	}
}

func (w *Writer) upsert(ctx context.Context, c *Collection, u *Update, out *Outcome) error {
	doc, err := u.Update.UpsertDocument(u.Filter, newObjectID)
	if err != nil {
		return err
	}
	if doc, err = PrepareInsert(doc); err != nil {
		return err
	}
	if err := w.unit.insertDoc(ctx, c, doc); err != nil {
		return err
	}
	i, id := bsoncore.AppendDocumentStart(nil)
	id = rawdoc.AppendElem(id, "_id", rawdoc.Get(doc, "_id"))
	id, _ = bsoncore.AppendDocumentEnd(id, i)
	out.Upserted, out.After = id, doc
	out.Matched = 1 // n counts it
	return nil
}

// apply writes the updated document and returns it.
func (u *Unit) apply(ctx context.Context, c *Collection, up *query.Update, t *lockedDoc) (bson.Raw, error) {
	doc, modified, err := up.Apply(t.doc, false)
	if err != nil || !modified {
		return t.doc, err
	}
	if err := checkNesting(doc); err != nil {
		return nil, err
	}
	was, is := rawdoc.Get(t.doc, "_id"), rawdoc.Get(doc, "_id")
	if was.Type != is.Type || !bytes.Equal(was.Value, is.Value) {
		return nil, mongoerr.New(mongoerr.ImmutableField,
			"Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	return doc, u.writeUpdated(ctx, c, t.idKey, t.doc, doc, up)
}

func (w *Writer) updateMany(ctx context.Context, u *Update) (out Outcome, err error) {
	if w.nowhere() {
		return out, nil
	}
	err = w.many(ctx, u.Filter, u.Hint, func(c *Collection, t *lockedDoc) error {
		doc, err := w.unit.apply(ctx, c, u.Update, t)
		if err != nil {
			return err
		}
		out.Matched++
		if !bytes.Equal(doc, t.doc) {
			out.Modified++
		}
		return nil
	})
	return out, err
}

// pauseBeforeRetry keeps a statement that lost a race from spinning.
func pauseBeforeRetry(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
