package docstore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// findModify is a findAndModify: an update or a removal of one document that gives it back.
type findModify struct {
	collection string
	updateSpec
	remove     bool
	after      bool
	projection *query.Projection
}

func (r *request) parseFindModify() (*findModify, error) {
	m := &findModify{}
	var q, sort, fields bson.Raw
	var change bson.RawValue
	var arrayFilters []bson.Raw
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "findAndModify", "findandmodify":
			m.collection, err = r.collectionName(v)
		case "query":
			q, err = r.docArg(key, v)
		case "sort":
			sort, err = r.docArg(key, v)
		case "fields":
			fields, err = r.docArg(key, v)
		case "update":
			change, err = v, checkChange(v)
		case "remove":
			m.remove, err = r.boolArg(key, v)
		case "new":
			m.after, err = r.boolArg(key, v)
		case "upsert":
			m.upsert, err = r.boolArg(key, v)
		case "arrayFilters":
			arrayFilters, err = r.docsArg(key, v)
		case "hint":
			m.hint, err = v, checkHint(v)
		case "bypassDocumentValidation":
			// There are no validators to bypass.
			_, err = r.boolArg(key, v)
		case "collation", "let":
			err = notEmpty(r.name, key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if len(fields) > 5 {
		if m.projection, err = query.ParseProjection(clone(fields)); err != nil {
			return nil, err
		}
	}
	switch {
	case m.remove && (change.Type != 0 || m.upsert || m.after):
		return nil, mongoerr.New(mongoerr.FailedToParse, "Cannot specify both an update, upsert or new=true and remove=true")
	case m.remove:
		if m.filter, err = query.ParseFilter(clone(q)); err == nil {
			m.sort, err = query.ParseSort(clone(sort))
		}
		return m, err
	case change.Type == 0:
		return nil, mongoerr.New(mongoerr.FailedToParse, "Either an update or remove=true must be specified")
	}
	return m, m.parse(q, sort, change, arrayFilters)
}

func (s *Server) findAndModify(ctx context.Context, r *request) (bson.Raw, error) {
	m, err := r.parseFindModify()
	if err != nil {
		return nil, err
	}
	w := r.newWriter(m.collection)
	defer w.close()
	if known := w.done(0); known != nil {
		return known.Reply, nil
	}
	var out outcome
	if m.remove {
		out, err = w.removeOne(ctx, m)
	} else {
		out, err = w.updateOne(ctx, &m.updateSpec)
	}
	if err != nil {
		return nil, err
	}
	reply := m.reply(out)
	if err := w.wrote(stmtResult{Count: 1, N: out.matched, Reply: reply}); err != nil {
		return nil, err
	}
	return reply, w.flush()
}

func (w *writer) removeOne(ctx context.Context, m *findModify) (out outcome, err error) {
	if w.nowhere() {
		return out, nil
	}
	err = w.statement(ctx, func(c *collection) error {
		out = outcome{}
		h, err := w.r.hintOf(m.hint, c)
		if err != nil {
			return err
		}
		t, err := w.unit.findOne(ctx, c, m.filter, m.sort, h)
		if err != nil || t == nil {
			return err
		}
		out.matched, out.before = 1, t.doc
		return w.unit.writeDoc(ctx, c, t.idKey, t.doc, nil)
	})
	return out, err
}

func (m *findModify) reply(out outcome) bson.Raw {
	value := out.before
	if m.after {
		value = out.after
	}
	if value != nil && m.projection != nil {
		value = m.projection.Apply(value)
	}
	return okReply(func(dst []byte) []byte {
		i, dst := bsoncore.AppendDocumentElementStart(dst, "lastErrorObject")
		dst = bsoncore.AppendInt32Element(dst, "n", out.matched)
		if !m.remove {
			dst = bsoncore.AppendBooleanElement(dst, "updatedExisting", out.matched > 0 && out.upserted == nil)
			if out.upserted != nil {
				dst = rawdoc.AppendElem(dst, "upserted", rawdoc.Get(out.upserted, "_id"))
			}
		}
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		if value == nil {
			return bsoncore.AppendNullElement(dst, "value")
		}
		return bsoncore.AppendDocumentElement(dst, "value", bsoncore.Document(value))
	})
}
