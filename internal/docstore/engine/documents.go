package engine

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// PrepareInsert checks a document and puts its _id first; it gives it one if it has none.
func PrepareInsert(doc bson.Raw) (bson.Raw, error) {
	if len(doc) > query.MaxDocumentSize {
		return nil, mongoerr.New(mongoerr.BSONObjectTooLarge,
			"object to insert too large. size in bytes: %d, max size: %d", len(doc), query.MaxDocumentSize)
	}
	if err := checkNesting(doc); err != nil {
		return nil, err
	}
	it := rawdoc.Over(doc)
	for first := true; it.Next(); first = false {
		if string(it.Key()) != "_id" {
			continue
		}
		id := it.Value()
		if err := checkID(id); err != nil {
			return nil, err
		}
		for it.Next() {
			if string(it.Key()) == "_id" {
				return nil, mongoerr.New(mongoerr.BadValue, "can't have multiple _id fields in one document")
			}
		}
		if first {
			return doc, nil
		}
		return withIDFirst(doc, id), nil
	}
	return withIDFirst(doc, newObjectID()), nil
}

func checkNesting(doc bson.Raw) error {
	if rawdoc.DeeperThan(doc, maxNesting) {
		return mongoerr.New(mongoerr.Overflow, "Document exceeds maximum nested object depth: %d", maxNesting)
	}
	return nil
}

func checkID(v bson.RawValue) error {
	switch v.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return mongoerr.New(mongoerr.InvalidIDField, "The '_id' value cannot be of type %s", rawdoc.TypeName(v.Type))
	case bson.TypeEmbeddedDocument:
		for it := rawdoc.Over(v.Value); it.Next(); {
			if key := it.Key(); len(key) > 0 && key[0] == '$' {
				return mongoerr.New(mongoerr.DollarPrefixedFieldName,
					"_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", key)
			}
		}
	}
	return nil
}

func newObjectID() bson.RawValue {
	id := bson.NewObjectID()
	return bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
}

func withIDFirst(doc bson.Raw, id bson.RawValue) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)+32))
	dst = rawdoc.AppendElem(dst, "_id", id)
	it := rawdoc.Over(doc)
	for it.Next() {
		if string(it.Key()) != "_id" {
			dst = rawdoc.AppendElem(dst, it.Key(), it.Value())
		}
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}
