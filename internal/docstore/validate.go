package docstore

import (
	"context"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
)

// validate is MongoDB's command of that name: it checks one collection, as Engine.Check does.
// Unlike MongoDB's it keeps no writer out meanwhile. It always does a whole check, so that "full"
// and "background" change nothing.
func (s *Server) validate(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	full, background := false, false
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		var on bool
		switch key {
		case "validate":
			name, err = r.collectionName(v)
		case "full":
			full, err = r.boolArg(key, v)
		case "background":
			background, err = r.boolArg(key, v)
		case "checkBSONConformance":
			_, err = r.boolArg(key, v)
		case "repair", "metadata", "enforceFastCount":
			if on, err = r.boolArg(key, v); err == nil && on {
				err = mongoerr.New(mongoerr.NotImplemented, "validate does not support '%s'", key)
			}
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if full && background {
		return nil, mongoerr.New(mongoerr.InvalidOptions,
			"Running the validate command with both { background: true } and { full: true } is not supported.")
	}
	c, report, err := s.eng.CheckCollection(ctx, r.db, name)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound,
			"Collection '%s.%s' does not exist to validate.", r.db, name)
	}
	for _, p := range report.List {
		s.log.Error("the database is damaged", "collection", c.Namespace(), "problem", p.String())
	}
	return validateReply(c, report), nil
}

func validateReply(c *engine.Collection, r *engine.CollectionReport) bson.Raw {
	indexes := r.Indexes
	if !c.Clustered { // where MongoDB has an index for it
		id := engine.IndexReport{Name: "_id_", Keys: r.Documents, Valid: true}
		for _, p := range r.List {
			id.Valid = id.Valid && p.Kind != engine.WrongID
		}
		indexes = append([]engine.IndexReport{id}, indexes...)
	}
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "ns", c.Namespace())
		dst = bsoncore.AppendBinaryElement(dst, "uuid", c.UUID.Subtype, c.UUID.Data)
		dst = bsoncore.AppendInt64Element(dst, "nInvalidDocuments", r.Invalid)
		dst = bsoncore.AppendInt64Element(dst, "nNonCompliantDocuments", 0)
		dst = bsoncore.AppendInt64Element(dst, "nrecords", r.Documents)
		dst = bsoncore.AppendInt32Element(dst, "nIndexes", int32(len(indexes)))
		i, dst := bsoncore.AppendDocumentElementStart(dst, "keysPerIndex")
		for _, ix := range indexes {
			dst = bsoncore.AppendInt64Element(dst, ix.Name, ix.Keys)
		}
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		i, dst = bsoncore.AppendDocumentElementStart(dst, "indexDetails")
		for _, ix := range indexes {
			k, d := bsoncore.AppendDocumentElementStart(dst, ix.Name)
			d = bsoncore.AppendBooleanElement(d, "valid", ix.Valid)
			dst, _ = bsoncore.AppendDocumentEnd(d, k)
		}
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		dst = bsoncore.AppendBooleanElement(dst, "valid", r.Count() == 0)
		dst = bsoncore.AppendBooleanElement(dst, "repaired", false)
		dst = appendStrings(dst, "warnings", nil)
		dst = appendStrings(dst, "errors", r.Texts())
		dst = appendEntries(dst, "extraIndexEntries", r, engine.ExtraEntry)
		dst = appendEntries(dst, "missingIndexEntries", r, engine.MissingEntry)
		i, dst = bsoncore.AppendArrayElementStart(dst, "corruptRecords")
		n := 0
		for _, p := range r.List {
			if p.Kind == engine.BadDocument || p.Kind == engine.WrongID {
				dst = bsoncore.AppendBinaryElement(dst, strconv.Itoa(n), bson.TypeBinaryGeneric, p.Key)
				n++
			}
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		return dst
	})
}

func appendStrings(dst []byte, name string, texts []string) []byte {
	i, dst := bsoncore.AppendArrayElementStart(dst, name)
	for n, text := range texts {
		dst = bsoncore.AppendStringElement(dst, strconv.Itoa(n), text)
	}
	dst, _ = bsoncore.AppendArrayEnd(dst, i)
	return dst
}

// appendEntries lists index entries as validate does: with the record id, which is the key of the
// _id here.
func appendEntries(dst []byte, name string, r *engine.CollectionReport, kind engine.ProblemKind) []byte {
	i, dst := bsoncore.AppendArrayElementStart(dst, name)
	n := int64(0)
	for _, p := range r.List {
		if p.Kind != kind {
			continue
		}
		k, doc := bsoncore.AppendDocumentStart(nil)
		doc = bsoncore.AppendStringElement(doc, "indexName", p.Index)
		doc = bsoncore.AppendBinaryElement(doc, "recordId", bson.TypeBinaryGeneric, p.Key)
		if p.ID.Type != 0 {
			d, id := bsoncore.AppendDocumentElementStart(doc, "idKey")
			id = bsoncore.AppendValueElement(id, "_id",
				bsoncore.Value{Type: bsoncore.Type(p.ID.Type), Data: p.ID.Value})
			doc, _ = bsoncore.AppendDocumentEnd(id, d)
		}
		doc, _ = bsoncore.AppendDocumentEnd(doc, k)
		dst = appendItem(dst, n, doc)
		n++
	}
	dst, _ = bsoncore.AppendArrayEnd(dst, i)
	return dst
}
