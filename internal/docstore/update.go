package docstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// updateStatement is one statement of update, its fields checked but what they hold not yet parsed: that is an error of
// the statement alone.
type updateStatement struct {
	q             bson.Raw
	u             bson.RawValue
	arrayFilters  []bson.Raw
	hint          bson.RawValue
	multi, upsert bool
}

// updateSpec is a parsed statement of update, or the update half of findAndModify.
type updateSpec struct {
	filter *query.Filter
	update *query.Update
	sort   *query.Sort
	multi  bool
	upsert bool
	hint   bson.RawValue
}

// outcome is what a statement did.
type outcome struct {
	matched, modified int32
	upserted          bson.Raw // {_id: ...} when a document was inserted
	before, after     bson.Raw // of a statement on one document
}

func (r *request) readUpdate(raw bson.Raw) (u updateStatement, err error) {
	it := rawdoc.Over(raw)
	for it.Next() {
		key, v := string(it.Key()), it.Value()
		switch key {
		case "q":
			u.q, err = r.docArg("updates.q", v)
		case "u":
			u.u, err = v, checkChange(v)
		case "multi":
			u.multi, err = r.strictBool("updates.multi", v)
		case "upsert":
			u.upsert, err = r.strictBool("updates.upsert", v)
		case "arrayFilters":
			u.arrayFilters, err = r.docsArg("updates.arrayFilters", v)
		case "hint":
			u.hint, err = v, checkHint(v)
		case "collation", "c":
			err = notEmpty("update.updates", key, v)
		default:
			err = errUnknownField("update.updates", key)
		}
		if err != nil {
			return u, err
		}
	}
	switch {
	case u.q == nil:
		err = errMissingField("update.updates", "q")
	case u.u.Type == 0:
		err = errMissingField("update.updates", "u")
	}
	return u, err
}

func checkChange(v bson.RawValue) error {
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
		return mongoerr.New(mongoerr.FailedToParse, "Update argument must be either an object or an array")
	}
	return nil
}

func checkHint(v bson.RawValue) error {
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeString {
		return mongoerr.New(mongoerr.FailedToParse, "Hint must be a string or an object")
	}
	return nil
}

// parse parses the documents of the specification, which it copies: an update in a transaction may keep
// parts of them.
func (u *updateSpec) parse(q, sort bson.Raw, change bson.RawValue, arrayFilters []bson.Raw) error {
	var err error
	if u.filter, err = query.ParseFilter(clone(q)); err != nil {
		return err
	}
	if u.sort, err = query.ParseSort(clone(sort)); err != nil {
		return err
	}
	change.Value = clone(change.Value)
	filters := make([]bson.Raw, len(arrayFilters))
	for i, f := range arrayFilters {
		filters[i] = clone(f)
	}
	if u.update, err = query.ParseUpdate(change, filters); err != nil {
		return err
	}
	if u.multi && u.update.IsReplacement() {
		return mongoerr.New(mongoerr.FailedToParse, "multi update is not supported for replacement-style update")
	}
	return nil
}

func (r *request) docsArg(field string, v bson.RawValue) ([]bson.Raw, error) {
	if v.Type != bson.TypeArray {
		return nil, errWrongType(r.name, field, v, "array")
	}
	var docs []bson.Raw
	it := rawdoc.Over(v.Value)
	for it.Next() {
		if it.Type() != bson.TypeEmbeddedDocument {
			return nil, errWrongType(r.name, field, it.Value(), "object")
		}
		docs = append(docs, bson.Raw(it.Value().Value))
	}
	return docs, nil
}

func (s *Server) update(ctx context.Context, r *request) (bson.Raw, error) {
	a, docs, err := r.parseWrite("updates")
	if err != nil {
		return nil, err
	}
	statements := make([]updateStatement, len(docs))
	for i, raw := range docs {
		if statements[i], err = r.readUpdate(raw); err != nil {
			return nil, err
		}
	}
	w := r.newWriter(a.collection)
	defer w.close()
	var n, modified int32
	var failed []writeError
	type upsert struct {
		index int
		id    bson.Raw
	}
	var upserts []upsert
	for i := range statements {
		var out outcome
		if known := w.done(int32(i)); known != nil {
			out = outcome{matched: known.N, modified: known.Modified, upserted: known.Upserted}
		} else {
			out, err = w.runUpdate(ctx, &statements[i], int32(i))
		}
		if err == nil {
			n += out.matched
			modified += out.modified
			if out.upserted != nil {
				upserts = append(upserts, upsert{i, out.upserted})
			}
			continue
		}
		if w.fatal(err) {
			return nil, err
		}
		failed = append(failed, writeError{i, err})
		err = nil
		if a.ordered || r.inTransaction {
			break
		}
	}
	return w.reply(n, func(dst []byte) []byte {
		dst = bsoncore.AppendInt32Element(dst, "nModified", modified)
		if len(upserts) == 0 {
			return dst
		}
		i, dst := bsoncore.AppendArrayElementStart(dst, "upserted")
		for k, up := range upserts {
			d, item := bsoncore.AppendDocumentStart(nil)
			item = bsoncore.AppendInt32Element(item, "index", int32(up.index))
			item = rawdoc.AppendElem(item, "_id", rawdoc.Get(up.id, "_id"))
			item, _ = bsoncore.AppendDocumentEnd(item, d)
			dst = appendItem(dst, int64(k), item)
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		return dst
	}, failed)
}

func (w *writer) runUpdate(ctx context.Context, s *updateStatement, stmt int32) (out outcome, err error) {
	u := &updateSpec{multi: s.multi, upsert: s.upsert, hint: s.hint}
	if err := u.parse(s.q, nil, s.u, s.arrayFilters); err != nil {
		return out, err
	}
	if u.multi {
		if w.retryable() {
			return out, mongoerr.New(mongoerr.InvalidOptions, "Cannot use retryable writes with multi=true")
		}
		out, err = w.updateMany(ctx, u)
		if err != nil || out.matched > 0 || !u.upsert {
			return out, err
		}
	}
	if out, err = w.updateOne(ctx, u); err != nil {
		return out, err
	}
	return out, w.wrote(stmtResult{First: stmt, Count: 1, N: out.matched, Modified: out.modified, Upserted: out.upserted})
}

// updateOne updates the first match, or inserts a document if there is none and the statement is an upsert.
func (w *writer) updateOne(ctx context.Context, u *updateSpec) (out outcome, err error) {
	if !u.upsert && w.nowhere() {
		return out, nil
	}
	for try := 1; ; try++ {
		err = w.statement(ctx, func(c *collection) error {
			out = outcome{}
			h, err := w.r.hintOf(u.hint, c)
			if err != nil {
				return err
			}
			t, err := w.unit.findOne(ctx, c, u.filter, u.sort, h)
			if err != nil {
				return err
			}
			if t == nil {
				if u.upsert {
					return w.upsert(ctx, c, u, &out)
				}
				return nil
			}
			out.matched, out.before = 1, t.doc
			out.after, err = w.unit.apply(ctx, c, u.update, t)
			if err == nil && !bytes.Equal(out.before, out.after) {
				out.modified = 1
			}
			return err
		})
		var dup *duplicateKeyError
		if !errors.As(err, &dup) || !u.upsert || out.matched > 0 || w.r.inTransaction || try > retryUpsert {
			return out, err
		}
		// Another upsert came first: its document may be the one to update. Whoever has really
		// a different document in the way finds it again and again, and then says so.
		if err := w.flush(); err != nil {
			return out, err
		}
		if try > 1 {
			if err := pauseBeforeRetry(ctx, try); err != nil {
				return out, err
			}
		}
	}
}

func (w *writer) upsert(ctx context.Context, c *collection, u *updateSpec, out *outcome) error {
	doc, err := u.update.UpsertDocument(u.filter, newObjectID)
	if err != nil {
		return err
	}
	if doc, err = prepareInsert(doc); err != nil {
		return err
	}
	if err := w.unit.insertDoc(ctx, c, doc); err != nil {
		return err
	}
	i, id := bsoncore.AppendDocumentStart(nil)
	id = rawdoc.AppendElem(id, "_id", rawdoc.Get(doc, "_id"))
	id, _ = bsoncore.AppendDocumentEnd(id, i)
	out.upserted, out.after = id, doc
	out.matched = 1 // n counts it
	return nil
}

// apply writes the updated target and returns it.
func (u *unit) apply(ctx context.Context, c *collection, up *query.Update, t *target) (bson.Raw, error) {
	doc, modified, err := up.Apply(t.doc, false)
	if err != nil || !modified {
		return t.doc, err
	}
	if err := checkNesting(doc); err != nil {
		return nil, err
	}
	was, is := rawdoc.Get(t.doc, "_id"), rawdoc.Get(doc, "_id")
	if was.Type != is.Type || !bytes.Equal(was.Value, is.Value) {
		return nil, mongoerr.New(mongoerr.ImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	return doc, u.writeDoc(ctx, c, t.idKey, t.doc, doc)
}

func (r *request) hintOf(v bson.RawValue, c *collection) (hint, error) {
	if v.Type == 0 {
		return hint{}, nil
	}
	return r.parseHint(v, c)
}

func (w *writer) updateMany(ctx context.Context, u *updateSpec) (out outcome, err error) {
	if w.nowhere() {
		return out, nil
	}
	err = w.many(ctx, u.filter, u.hint, func(c *collection, t *target) error {
		doc, err := w.unit.apply(ctx, c, u.update, t)
		if err != nil {
			return err
		}
		out.matched++
		if !bytes.Equal(doc, t.doc) {
			out.modified++
		}
		return nil
	})
	return out, err
}

// many calls f for every document that matches when the statement begins and still does when it is
// locked. Outside a transaction the documents are committed bit by bit.
func (w *writer) many(ctx context.Context, filter *query.Filter, hv bson.RawValue, f func(*collection, *target) error) (err error) {
	// The scan shall see what earlier statements of the command wrote, and not what this one writes.
	if err := w.flush(); err != nil {
		return err
	}
	c, err := w.collection(ctx)
	if err != nil {
		return err
	}
	h, err := w.r.hintOf(hv, c)
	if err != nil {
		return err
	}
	if w.r.inTransaction {
		if err := w.unit.enter(ctx, c); err != nil {
			return err
		}
		return w.manyInTransaction(ctx, c, filter, h, f)
	}
	snap, cat := w.eng.snapshot()
	defer func() { err = errors.Join(err, snap.Close()) }()
	if c = cat.lookup(w.r.db, w.coll); c == nil {
		return nil
	}
	if h, err = w.r.hintOf(hv, c); err != nil { // c may be newer than before
		return err
	}
	v := pebbleView{snap}
	p, err := planQuery(v, c, filter, &query.Sort{}, h)
	if err != nil {
		return err
	}
	scan := newDocScan(v, p)
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
		err = w.statement(ctx, func(c *collection) error {
			if c.id != scanned {
				return nil // dropped meanwhile: so are its documents
			}
			t, err := w.unit.lockTarget(ctx, c, filter, slices.Clone(idKey))
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
func (w *writer) manyInTransaction(ctx context.Context, c *collection, filter *query.Filter, h hint, f func(*collection, *target) error) error {
	ids, err := w.matchingIDs(ctx, c, filter, h)
	if err != nil {
		return err
	}
	for _, idKey := range ids {
		w.step()
		t, err := w.unit.lockTarget(ctx, c, filter, idKey)
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		if err := f(c, t); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) matchingIDs(ctx context.Context, c *collection, filter *query.Filter, h hint) (ids [][]byte, err error) {
	v := w.unit.view()
	p, err := planQuery(v, c, filter, &query.Sort{}, h)
	if err != nil {
		return nil, err
	}
	scan := newDocScan(v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	for {
		idKey, _, err := scan.next(ctx)
		if err == io.EOF {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, clone(idKey))
	}
}

// idKeyOf is the key of a document's _id.
func idKeyOf(doc bson.Raw) []byte { return bsonkey.Append(nil, rawdoc.Get(doc, "_id")) }
