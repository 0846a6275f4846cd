package engine

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// Insert inserts a document, and remembers the result.
func (w *Writer) Insert(ctx context.Context, doc bson.Raw, stmt int32) error {
	doc, err := PrepareInsert(doc)
	if err != nil {
		return err
	}
	if w.inTransaction() {
		doc = clone(doc) // the caller's buffer goes when the command ends
	}
	err = w.statement(ctx, func(c *Collection) error { return w.unit.insertDoc(ctx, c, doc) })
	if err != nil {
		return err
	}
	return w.Wrote(StatementResult{First: stmt, Count: 1, N: 1})
}

// insertDoc inserts doc, whose _id has been checked.
func (u *Unit) insertDoc(ctx context.Context, c *Collection, doc bson.Raw) error {
	id := rawdoc.Get(doc, "_id")
	idKey := bsonkey.Append(nil, id)
	key := c.DocKey(idKey)
	if err := u.lock(ctx, key); err != nil {
		return err
	}
	switch _, release, err := u.view().get(key); {
	case err == nil:
		if err := release.Close(); err != nil {
			return err
		}
		return duplicateKey(c, "_id_", bson.Raw(rawdoc.Get(IDIndexSpec(false), "key").Value), []bson.RawValue{id})
	case !errors.Is(err, errNotFound):
		return fmt.Errorf("read a document of %s: %w", c.Namespace(), err)
	}
	return u.writeDoc(ctx, c, idKey, nil, doc)
}
