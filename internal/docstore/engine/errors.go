package engine

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

func errCatalogChanged(ns string) *mongoerr.Error {
	return mongoerr.Transient(mongoerr.New(mongoerr.SnapshotUnavailable,
		"Unable to read from a snapshot due to pending collection catalog changes; please retry "+
			"the operation. Collection %s", ns))
}

// A DuplicateKeyError is error 11000 with the key pattern and value that MongoDB reports beside it.
type DuplicateKeyError struct {
	err            *mongoerr.Error
	Pattern, Value bson.Raw
}

func (e *DuplicateKeyError) Error() string { return e.err.Error() }
func (e *DuplicateKeyError) Unwrap() error { return e.err }

// duplicateKey is the error about a key with these values in the fields of an index.
func duplicateKey(c *Collection, indexName string, keySpec bson.Raw, vals []bson.RawValue) error {
	start, value := bsoncore.AppendDocumentStart(nil)
	it := rawdoc.Over(keySpec)
	for i := 0; it.Next(); i++ {
		v := vals[i]
		if rawdoc.IsMissing(v) {
			v = rawdoc.Null
		}
		value = rawdoc.AppendElem(value, it.Key(), v)
	}
	value, _ = bsoncore.AppendDocumentEnd(value, start)
	return &DuplicateKeyError{
		err: mongoerr.New(mongoerr.DuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: %s",
			c.Namespace(), indexName, bson.Raw(value)),
		Pattern: keySpec,
		Value:   value,
	}
}
