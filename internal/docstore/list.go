package docstore

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// listStream is a cursor over documents that are all there.
type listStream struct{ docs []bson.Raw }

func (l *listStream) Next(context.Context) (bson.Raw, error) {
	if len(l.docs) == 0 {
		return nil, io.EOF
	}
	doc := l.docs[0]
	l.docs = l.docs[1:]
	return doc, nil
}

func (l *listStream) Pause() error { return nil }
func (l *listStream) Close() error { return nil }

func (s *Server) openList(ctx context.Context, r *request, ns string, docs []bson.Raw,
	batch int64) (_ bson.Raw, err error) {
	c := &cursor{stream: &listStream{docs}, lsid: r.lsid, hasLsid: r.hasLsid}
	defer c.unlessKept(&err)
	return s.openCursor(ctx, r, c, ns, batch, false)
}

// parseCursor reads the batch size of a command's cursor option.
func (r *request) parseCursor(v bson.RawValue) (int64, error) {
	doc, err := r.docArg("cursor", v)
	if err != nil {
		return 0, err
	}
	batch := int64(firstBatch)
	it := rawdoc.Over(doc)
	for it.Next() {
		if key := string(it.Key()); key != "batchSize" {
			return 0, errUnknownField(r.name+".cursor", key)
		}
		if batch, err = r.notNegative("cursor.batchSize", it.Value()); err != nil {
			return 0, err
		}
	}
	return batch, nil
}

func (s *Server) listCollections(ctx context.Context, r *request) (bson.Raw, error) {
	filter, nameOnly, batch := &query.Filter{}, false, int64(firstBatch)
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "listCollections":
		case "authorizedCollections": // all are
			_, err = r.boolArg(key, v)
		case "filter":
			var doc bson.Raw
			if doc, err = r.docArg(key, v); err == nil {
				filter, err = query.ParseFilter(bytes.Clone(doc))
			}
		case "nameOnly":
			nameOnly, err = r.boolArg(key, v)
		case "cursor":
			batch, err = r.parseCursor(v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	for _, c := range s.eng.Catalog().InDatabase(r.db) {
		if doc := describeCollection(c, nameOnly); filter.Match(doc) {
			docs = append(docs, doc)
		}
	}
	return s.openList(ctx, r, r.db+".$cmd.listCollections", docs, batch)
}

// describeCollection is the collection as listCollections shows it.
func describeCollection(c *engine.Collection, nameOnly bool) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(nil)
	dst = bsoncore.AppendStringElement(dst, "name", c.Name)
	dst = bsoncore.AppendStringElement(dst, "type", "collection")
	if !nameOnly {
		o, d := bsoncore.AppendDocumentElementStart(dst, "options")
		if c.Clustered {
			k, e := bsoncore.AppendDocumentElementStart(d, "clusteredIndex")
			e = bsoncore.AppendInt32Element(e, "v", 2)
			e = bsoncore.AppendDocumentElement(e, "key",
				bsoncore.Document(rawdoc.Get(engine.IDIndexSpec(false), "key").Value))
			e = bsoncore.AppendStringElement(e, "name", "_id_")
			e = bsoncore.AppendBooleanElement(e, "unique", true)
			d, _ = bsoncore.AppendDocumentEnd(e, k)
		}
		dst, _ = bsoncore.AppendDocumentEnd(d, o)
		o, d = bsoncore.AppendDocumentElementStart(dst, "info")
		d = bsoncore.AppendBooleanElement(d, "readOnly", false)
		d = bsoncore.AppendBinaryElement(d, "uuid", c.UUID.Subtype, c.UUID.Data)
		dst, _ = bsoncore.AppendDocumentEnd(d, o)
		if !c.Clustered {
			dst = bsoncore.AppendDocumentElement(dst, "idIndex", bsoncore.Document(engine.IDIndexSpec(false)))
		}
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}

func (s *Server) listIndexes(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	batch := int64(firstBatch)
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "listIndexes":
			name, err = r.collectionName(v)
		case "cursor":
			batch, err = r.parseCursor(v)
		case "includeBuildUUIDs":
			// Nothing to add: an index that is being built is not listed.
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	c := s.eng.Catalog().Lookup(r.db, name)
	if c == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s.%s", r.db, name)
	}
	docs := []bson.Raw{engine.IDIndexSpec(c.Clustered)}
	for _, ix := range c.Indexes {
		docs = append(docs, ix.Spec)
	}
	return s.openList(ctx, r, c.Namespace(), docs, batch)
}

func (s *Server) listDatabases(_ context.Context, r *request) (bson.Raw, error) {
	filter := &query.Filter{}
	nameOnly := false
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "listDatabases":
		case "authorizedDatabases": // all are
			_, err = r.boolArg(key, v)
		case "nameOnly":
			nameOnly, err = r.boolArg(key, v)
		case "filter":
			var doc bson.Raw
			if doc, err = r.docArg(key, v); err == nil {
				filter, err = query.ParseFilter(bytes.Clone(doc))
			}
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	var total int64
	var docs []bson.Raw
	cat := s.eng.Catalog()
	for _, db := range cat.Databases() {
		size, err := s.eng.DatabaseSize(cat, db)
		if err != nil {
			return nil, err
		}
		i, doc := bsoncore.AppendDocumentStart(nil)
		doc = bsoncore.AppendStringElement(doc, "name", db)
		if !nameOnly {
			doc = bsoncore.AppendInt64Element(doc, "sizeOnDisk", size)
			doc = bsoncore.AppendBooleanElement(doc, "empty", size == 0)
		}
		doc, _ = bsoncore.AppendDocumentEnd(doc, i)
		if filter.Match(doc) {
			docs = append(docs, doc)
			total += size
		}
	}
	return okReply(func(dst []byte) []byte {
		i, dst := bsoncore.AppendArrayElementStart(dst, "databases")
		for k, doc := range docs {
			dst = bsoncore.AppendDocumentElement(dst, strconv.Itoa(k), bsoncore.Document(doc))
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		if !nameOnly {
			dst = bsoncore.AppendInt64Element(dst, "totalSize", total)
			dst = bsoncore.AppendInt64Element(dst, "totalSizeMb", total>>20)
		}
		return dst
	}), nil
}
