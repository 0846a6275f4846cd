package docstore

import (
	"bytes"
	"context"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// appendItem appends an array's element.
func appendItem(dst []byte, i int64, doc bson.Raw) []byte {
	dst = append(dst, byte(bson.TypeEmbeddedDocument))
	dst = strconv.AppendInt(dst, i, 10)
	dst = append(dst, 0)
	return append(dst, doc...)
}

// findArgs are the arguments of find, and of what explain explains.
type findArgs struct {
	collection  string
	filter      bson.Raw
	sort        bson.Raw
	projection  bson.Raw
	skip, limit int64
	batch       int64
	hasBatch    bool
	single      bool
	hint        bson.RawValue
	noTimeout   bool
}

func (r *request) parseFind() (*findArgs, error) {
	a := &findArgs{}
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "find":
			a.collection, err = r.collectionName(v)
		case "filter":
			a.filter, err = r.docArg(key, v)
		case "sort":
			a.sort, err = r.docArg(key, v)
		case "projection":
			a.projection, err = r.docArg(key, v)
		case "skip":
			a.skip, err = r.notNegative(key, v)
		case "limit":
			a.limit, err = r.notNegative(key, v)
		case "batchSize":
			a.batch, err = r.notNegative(key, v)
			a.hasBatch = true
		case "singleBatch":
			a.single, err = r.strictBool(key, v)
		case "hint":
			a.hint, err = v, checkHint(v)
		case "noCursorTimeout":
			a.noTimeout, err = r.strictBool(key, v)
		case "allowDiskUse", "allowPartialResults":
			// Neither changes what is found.
			_, err = r.strictBool(key, v)
		case "tailable", "awaitData", "returnKey", "showRecordId":
			var on bool
			if on, err = r.strictBool(key, v); err == nil && on {
				err = mongoerr.New(mongoerr.NotImplemented, "find does not support '%s'", key)
			}
		case "collation", "let", "min", "max":
			err = notEmpty(r.name, key, v)
		default:
			return false, nil
		}
		return true, err
	})
	return a, err
}

// notEmpty refuses an option that is not implemented, unless it says nothing.
func notEmpty(command, key string, v bson.RawValue) error {
	if v.Type == bson.TypeEmbeddedDocument && len(v.Value) == 5 {
		return nil
	}
	return mongoerr.New(mongoerr.NotImplemented, "%s does not support '%s'", command, key)
}

func (r *request) notNegative(key string, v bson.RawValue) (int64, error) {
	n, err := r.intArg(key, v)
	if err == nil && n < 0 {
		err = mongoerr.New(mongoerr.OutOfBounds, "BSON field '%s' value must be >= 0, actual value '%d'", key, n)
	}
	return n, err
}

// query plans a find and returns its stream; nil when the collection does not exist. Everything is
// checked all the same.
func (r *request) query(rd *engine.Reading, a *findArgs) (*engine.FindStream, error) {
	q := engine.FindQuery{DB: r.db, Collection: a.collection, Skip: a.skip, Limit: a.limit, Hint: a.hint}
	var err error
	if q.Filter, err = query.ParseFilter(bytes.Clone(a.filter)); err != nil {
		return nil, err
	}
	if q.Sort, err = query.ParseSort(bytes.Clone(a.sort)); err != nil {
		return nil, err
	}
	if len(a.projection) > emptyDocument {
		if q.Projection, err = query.ParseProjection(bytes.Clone(a.projection)); err != nil {
			return nil, err
		}
	}
	return rd.Find(&q)
}

// beginRead gives the view for a reading command: the transaction's, or a new snapshot.
func (r *request) beginRead() *cursor {
	c := &cursor{lsid: r.lsid, hasLsid: r.hasLsid, stream: emptyStream{}}
	if r.inTransaction {
		c.unit = r.session.unit
		c.reading = c.unit.Read()
	} else {
		c.reading = r.srv.eng.Read()
	}
	return c
}

// beginFind is beginRead. A lookup by _id reads the newest state, for one key needs no snapshot.
func (r *request) beginFind(a *findArgs) *cursor {
	if r.inTransaction || !isLookup(a.filter, a.hint) {
		return r.beginRead()
	}
	return &cursor{lsid: r.lsid, hasLsid: r.hasLsid, stream: emptyStream{}, reading: r.srv.eng.ReadNewest()}
}

// isLookup reports that a find reads no key but that of one _id: the filter is {_id: value}, or begins
// so and the hint is {_id: 1}, which leaves the planner no other choice.
func isLookup(filter bson.Raw, hint bson.RawValue) bool {
	it := rawdoc.Over(filter)
	if len(filter) == 0 || !it.Next() || string(it.Key()) != "_id" {
		return false
	}
	switch it.Type() {
	case bson.TypeEmbeddedDocument, bson.TypeArray, bson.TypeRegex, bson.TypeNull, bson.TypeUndefined:
		return false
	}
	if hint.Type == 0 {
		return !it.Next()
	}
	if hint.Type != bson.TypeEmbeddedDocument {
		return false
	}
	it = rawdoc.Over(hint.Value)
	if !it.Next() || string(it.Key()) != "_id" {
		return false
	}
	n, ok := rawdoc.Integer(it.Value())
	return ok && n == 1 && !it.Next()
}

func (s *Server) find(ctx context.Context, r *request) (_ bson.Raw, err error) {
	a, err := r.parseFind()
	if err != nil {
		return nil, err
	}
	c := r.beginFind(a)
	defer c.unlessKept(&err)
	f, err := r.query(c.reading, a)
	if err != nil {
		return nil, err
	}
	if f != nil {
		c.stream = f
	}
	c.noTimeout = a.noTimeout
	batch := int64(firstBatch)
	if a.hasBatch {
		batch = a.batch
	}
	return s.openCursor(ctx, r, c, r.db+"."+a.collection, batch, a.single)
}

// openCursor makes the first batch, and keeps the cursor if there is more. The caller closes a
// cursor that is not kept.
func (s *Server) openCursor(ctx context.Context, r *request, c *cursor, ns string, batch int64,
	single bool) (bson.Raw, error) {
	c.ns = ns
	start, dst := bsoncore.AppendDocumentStart(r.conn.replyBuffer())
	i, dst := bsoncore.AppendDocumentElementStart(dst, "cursor")
	dst, _, done, err := c.fill(ctx, dst, "firstBatch", batch)
	if err != nil {
		return nil, err
	}
	if !done && !single {
		if err := s.cursors.add(c); err != nil {
			return nil, err
		}
	}
	return c.endReply(dst, start, i, c.id), nil
}

// endReply closes a reply begun with a cursor's batch.
func (c *cursor) endReply(dst []byte, start, cursorStart int32, id int64) bson.Raw {
	dst = bsoncore.AppendInt64Element(dst, "id", id)
	dst = bsoncore.AppendStringElement(dst, "ns", c.ns)
	dst, _ = bsoncore.AppendDocumentEnd(dst, cursorStart)
	dst = bsoncore.AppendDoubleElement(dst, "ok", 1)
	dst, _ = bsoncore.AppendDocumentEnd(dst, start)
	return dst
}
