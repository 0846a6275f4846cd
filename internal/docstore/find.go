package docstore

import (
	"context"
	"errors"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

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

// A reading is what a reading command works on: a view and the collection as it is there.
type reading struct {
	view view
	// cat is the catalogue that belongs to the view.
	cat *catalog
	cur *cursor // takes the snapshot, the session and the transaction
}

// beginRead gives the view for a reading command: the transaction's, or a new snapshot.
func (r *request) beginRead() *reading {
	cur := &cursor{lsid: r.lsid, hasLsid: r.hasLsid}
	if r.inTransaction {
		u := r.session.unit
		cur.unit = u
		return &reading{view: u.view(), cat: u.snapCatalog, cur: cur}
	}
	snap, cat := r.srv.eng.snapshot()
	cur.snap = snap
	return &reading{view: pebbleView{snap}, cat: cat, cur: cur}
}

// beginFind is beginRead; a lookup by _id alone reads the newest state, for one key needs no snapshot.
func (r *request) beginFind(a *findArgs) *reading {
	if r.inTransaction || a.hint.Type != 0 || !isLookup(a.filter) {
		return r.beginRead()
	}
	e := r.srv.eng
	cat := e.catalog.Load()
	return &reading{view: pebbleView{e.db}, cat: cat, cur: &cursor{lsid: r.lsid, hasLsid: r.hasLsid}}
}

// isLookup reports that a filter is nothing but {_id: value}.
func isLookup(filter bson.Raw) bool {
	it := rawdoc.Over(filter)
	if len(filter) == 0 || !it.Next() || string(it.Key()) != "_id" {
		return false
	}
	switch it.Type() {
	case bson.TypeEmbeddedDocument, bson.TypeArray, bson.TypeRegex:
		return false
	}
	return !it.Next()
}

// collection finds the collection; nil when there is none.
func (rd *reading) collection(r *request, name string) *collection {
	c := rd.cat.lookup(r.db, name)
	if c == nil && rd.cur.unit != nil {
		// The transaction itself may have made it.
		if now := r.srv.eng.catalog.Load().lookup(r.db, name); now != nil && rd.cur.unit.gates[now.id] != nil {
			return now
		}
	}
	return c
}

// parseHint finds the index that a hint names by its name or its pattern.
func (r *request) parseHint(v bson.RawValue, c *collection) (hint, error) {
	h := hint{set: true}
	bad := mongoerr.New(mongoerr.BadValue, "error processing query: planner returned error: hint provided does not correspond to an existing index")
	switch v.Type {
	case bson.TypeString:
		name := string(rawdoc.String(v))
		if h.id = name == "_id_"; h.id || c == nil {
			return h, nil
		}
		h.index = c.indexNamed(name)
	case bson.TypeEmbeddedDocument:
		doc := bson.Raw(v.Value)
		it := rawdoc.Over(doc)
		if !it.Next() {
			return hint{}, nil
		}
		first := string(it.Key())
		n, _ := rawdoc.Integer(it.Value())
		if single := !it.Next(); single && first == "$natural" {
			if n != 1 {
				return hint{}, mongoerr.New(mongoerr.BadValue, "$natural hint must be 1")
			}
			h.scan = true
			return h, nil
		} else if single && first == "_id" && n == 1 || c == nil {
			h.id = true
			return h, nil
		}
		for _, ix := range c.indexes {
			if samePattern(ix.keySpec, doc) {
				h.index = ix
			}
		}
	}
	if h.index == nil {
		return hint{}, bad
	}
	return h, nil
}

// samePattern compares index patterns; directions count by their sign.
func samePattern(a, b bson.Raw) bool {
	x, y := rawdoc.Over(a), rawdoc.Over(b)
	for {
		more, also := x.Next(), y.Next()
		if !more || !also {
			return more == also
		}
		n, ok := rawdoc.Integer(x.Value())
		m, also := rawdoc.Integer(y.Value())
		if string(x.Key()) != string(y.Key()) || !ok || !also || (n < 0) != (m < 0) {
			return false
		}
	}
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
func (r *request) query(rd *reading, a *findArgs) (*findStream, error) {
	filter, err := query.ParseFilter(clone(a.filter))
	if err != nil {
		return nil, err
	}
	sort, err := query.ParseSort(clone(a.sort))
	if err != nil {
		return nil, err
	}
	var projection *query.Projection
	if len(a.projection) > 5 {
		if projection, err = query.ParseProjection(clone(a.projection)); err != nil {
			return nil, err
		}
	}
	c := rd.collection(r, a.collection)
	var h hint
	if a.hint.Type != 0 {
		if h, err = r.parseHint(a.hint, c); err != nil {
			return nil, err
		}
	}
	if c == nil {
		return nil, nil
	}
	p, err := planQuery(rd.view, c, filter, sort, h)
	if err != nil {
		return nil, err
	}
	f := &findStream{scan: newDocScan(rd.view, p), projection: projection, skip: a.skip, limit: a.limit}
	if a.limit == 0 {
		f.limit = -1
	}
	if !p.sorted {
		f.sort = sort
	}
	return f, nil
}

func (s *Server) find(ctx context.Context, r *request) (bson.Raw, error) {
	a, err := r.parseFind()
	if err != nil {
		return nil, err
	}
	rd := r.beginFind(a)
	f, err := r.query(rd, a)
	if err != nil {
		return nil, rd.abandon(err)
	}
	if f != nil {
		rd.cur.stream = f
	}
	rd.cur.noTimeout = a.noTimeout
	batch := int64(firstBatch)
	if a.hasBatch {
		batch = a.batch
	}
	return s.openCursor(ctx, r, rd, r.db+"."+a.collection, batch, a.single)
}

// abandon ends a reading that failed.
func (rd *reading) abandon(err error) error {
	if rd.cur.stream == nil {
		rd.cur.stream = emptyStream{}
	}
	return errors.Join(err, rd.cur.close())
}

// openCursor makes the first batch, and keeps the cursor if there is more.
func (s *Server) openCursor(ctx context.Context, r *request, rd *reading, ns string, batch int64, single bool) (bson.Raw, error) {
	c := rd.cur
	c.ns = ns
	if c.stream == nil {
		c.stream = emptyStream{}
	}
	start, dst := bsoncore.AppendDocumentStart(r.conn.replyBuffer())
	i, dst := bsoncore.AppendDocumentElementStart(dst, "cursor")
	dst, _, done, err := c.fill(ctx, dst, "firstBatch", batch)
	switch {
	case err != nil:
	case done || single:
		err = c.close()
	default:
		err = s.cursors.add(c)
	}
	if err != nil {
		return nil, rd.abandon(err)
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
