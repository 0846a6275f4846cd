package docstore

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// deleteStatement is one statement of delete, its filter not yet parsed.
type deleteStatement struct {
	q    bson.Raw
	one  bool
	hint bson.RawValue
}

func (r *request) readDelete(raw bson.Raw) (d deleteStatement, err error) {
	limit := rawdoc.Missing
	it := rawdoc.Over(raw)
	for it.Next() {
		key, v := string(it.Key()), it.Value()
		switch key {
		case "q":
			d.q, err = r.docArg("deletes.q", v)
		case "limit":
			limit = v
		case "hint":
			d.hint, err = v, checkHint(v)
		case "collation":
			err = notEmpty("delete.deletes", key, v)
		default:
			err = errUnknownField("delete.deletes", key)
		}
		if err != nil {
			return d, err
		}
	}
	n, ok := rawdoc.Integer(limit)
	switch {
	case d.q == nil:
		return d, errMissingField("delete.deletes", "q")
	case rawdoc.IsMissing(limit):
		return d, errMissingField("delete.deletes", "limit")
	case !ok || n != 0 && n != 1:
		return d, mongoerr.New(mongoerr.FailedToParse,
			"The limit field in delete objects must be 0 or 1. Got %s", limit)
	}
	d.one = n == 1
	return d, nil
}

func (s *Server) delete(ctx context.Context, r *request) (bson.Raw, error) {
	a, docs, err := r.parseWrite("deletes")
	if err != nil {
		return nil, err
	}
	statements := make([]deleteStatement, len(docs))
	for i, raw := range docs {
		if statements[i], err = r.readDelete(raw); err != nil {
			return nil, err
		}
	}
	w := r.newWriter(a.collection)
	defer w.Close()
	var n int32
	var failed []writeError
	for i := range statements {
		var deleted int32
		if known := w.Done(int32(i)); known != nil {
			deleted, err = known.N, nil
		} else {
			deleted, err = statements[i].run(ctx, w, int32(i))
		}
		if err == nil {
			n += deleted
			continue
		}
		if engine.EndsCommand(err) {
			return nil, err
		}
		failed = append(failed, writeError{i, err})
		if a.ordered || r.inTransaction {
			break
		}
	}
	return r.finish(w, n, nil, failed)
}

func (d *deleteStatement) run(ctx context.Context, w *engine.Writer, stmt int32) (n int32, err error) {
	filter, err := query.ParseFilter(bytes.Clone(d.q))
	if err != nil {
		return 0, err
	}
	return w.Delete(ctx, &engine.Delete{Filter: filter, One: d.one, Hint: d.hint}, stmt)
}
