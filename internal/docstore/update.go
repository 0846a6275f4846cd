package docstore

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// updateStatement is one statement of update, its fields checked but what they hold not yet parsed:
// that is an error of the statement alone.
type updateStatement struct {
	q             bson.Raw
	u             bson.RawValue
	arrayFilters  []bson.Raw
	hint          bson.RawValue
	multi, upsert bool
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

// newUpdate parses the documents of an update, which it copies: a transaction may keep parts of
// them.
func newUpdate(q, sort bson.Raw, change bson.RawValue, arrayFilters []bson.Raw, multi bool) (*engine.Update, error) {
	u := &engine.Update{Multi: multi}
	var err error
	if u.Filter, err = query.ParseFilter(bytes.Clone(q)); err != nil {
		return nil, err
	}
	if u.Sort, err = query.ParseSort(bytes.Clone(sort)); err != nil {
		return nil, err
	}
	change.Value = bytes.Clone(change.Value)
	filters := make([]bson.Raw, len(arrayFilters))
	for i, f := range arrayFilters {
		filters[i] = bytes.Clone(f)
	}
	if u.Update, err = query.ParseUpdate(change, filters); err != nil {
		return nil, err
	}
	if u.Multi && u.Update.IsReplacement() {
		return nil, mongoerr.New(mongoerr.FailedToParse, "multi update is not supported for replacement-style update")
	}
	return u, nil
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
	defer w.Close()
	var n, modified int32
	var failed []writeError
	type upsert struct {
		index int
		id    bson.Raw
	}
	var upserts []upsert
	for i := range statements {
		var out engine.Outcome
		if known := w.Done(int32(i)); known != nil {
			out = engine.Outcome{Matched: known.N, Modified: known.Modified, Upserted: known.Upserted}
		} else {
			out, err = statements[i].run(ctx, w, int32(i))
		}
		if err == nil {
			n += out.Matched
			modified += out.Modified
			if out.Upserted != nil {
				upserts = append(upserts, upsert{i, out.Upserted})
			}
			continue
		}
		if engine.EndsCommand(err) {
			return nil, err
		}
		failed = append(failed, writeError{i, err})
		err = nil
		if a.ordered || r.inTransaction {
			break
		}
	}
	return r.finish(w, n, func(dst []byte) []byte {
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

func (s *updateStatement) run(ctx context.Context, w *engine.Writer, stmt int32) (out engine.Outcome, err error) {
	u, err := newUpdate(s.q, nil, s.u, s.arrayFilters, s.multi)
	if err != nil {
		return out, err
	}
	u.Upsert, u.Hint = s.upsert, s.hint
	return w.Update(ctx, u, stmt)
}
