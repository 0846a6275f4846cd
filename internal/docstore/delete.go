package docstore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// deleteSpec is one statement of delete.
type deleteSpec struct {
	filter *query.Filter
	one    bool
	hint   bson.RawValue
}

func (r *request) parseDelete(raw bson.Raw) (*deleteSpec, error) {
	d := &deleteSpec{}
	var q bson.Raw
	limit := int64(-1)
	it := rawdoc.Over(raw)
	for it.Next() {
		key, v := string(it.Key()), it.Value()
		var err error
		switch key {
		case "q":
			q, err = r.docArg("deletes.q", v)
		case "limit":
			limit, err = r.intArg("deletes.limit", v)
		case "hint":
			d.hint = v
		case "collation":
			err = notEmpty("delete.deletes", key, v)
		default:
			err = errUnknownField("delete.deletes", key)
		}
		if err != nil {
			return nil, err
		}
	}
	if q == nil {
		return nil, errMissingField("delete.deletes", "q")
	}
	if limit != 0 && limit != 1 {
		return nil, newError(query.CodeFailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", limit)
	}
	d.one = limit == 1
	var err error
	d.filter, err = query.ParseFilter(clone(q))
	return d, err
}

func (s *Server) delete(ctx context.Context, r *request) (bson.Raw, error) {
	a, docs, err := r.parseWrite("deletes")
	if err != nil {
		return nil, err
	}
	w := r.newWriter(a.collection)
	defer w.close()
	var n int32
	var failed []writeError
	for i, raw := range docs {
		var deleted int32
		if known := w.done(int32(i)); known != nil {
			deleted, err = known.N, nil
		} else {
			deleted, err = w.runDelete(ctx, raw, int32(i))
		}
		if err == nil {
			n += deleted
			continue
		}
		if w.fatal(err) {
			return nil, err
		}
		failed = append(failed, writeError{i, err})
		if a.ordered || r.inTransaction {
			break
		}
	}
	return w.reply(n, nil, failed)
}

func (w *writer) runDelete(ctx context.Context, raw bson.Raw, stmt int32) (n int32, err error) {
	d, err := w.r.parseDelete(raw)
	if err != nil {
		return 0, err
	}
	if w.eng.catalog.Load().lookup(w.r.db, w.coll) == nil {
		return 0, nil // nothing to delete is no reason to make a collection
	}
	if !d.one {
		if w.retryable() {
			return 0, newError(query.CodeInvalidOptions, "Cannot use retryable writes with limit=0")
		}
		err = w.many(ctx, d.filter, d.hint, func(c *collection, t *target) error {
			if err := w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil); err != nil {
				return err
			}
			n++
			return nil
		})
		return n, err
	}
	err = w.statement(ctx, func(c *collection) error {
		n = 0
		h, err := w.r.hintOf(d.hint, c)
		if err != nil {
			return err
		}
		t, err := w.unit.findOne(ctx, c, d.filter, &query.Sort{}, h)
		if err != nil || t == nil {
			return err
		}
		n = 1
		return w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil)
	})
	if err != nil {
		return 0, err
	}
	return n, w.wrote(stmtResult{First: stmt, Count: 1, N: n})
}
