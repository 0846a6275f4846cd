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

// findModify is a findAndModify: an update or a removal of one document that gives it back.
type findModify struct {
	collection string
	// delete is set when the document is removed, else update is.
	delete     *engine.Delete
	update     *engine.Update
	after      bool
	projection *query.Projection
}

func (r *request) parseFindModify() (*findModify, error) {
	m := &findModify{}
	var q, sort, fields bson.Raw
	var hint bson.RawValue
	var remove, upsert bool
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
			remove, err = r.boolArg(key, v)
		case "new":
			m.after, err = r.boolArg(key, v)
		case "upsert":
			upsert, err = r.boolArg(key, v)
		case "arrayFilters":
			arrayFilters, err = r.docsArg(key, v)
		case "hint":
			hint, err = v, checkHint(v)
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
		if m.projection, err = query.ParseProjection(bytes.Clone(fields)); err != nil {
			return nil, err
		}
	}
	switch {
	case remove && (change.Type != 0 || upsert || m.after):
		return nil, mongoerr.New(mongoerr.FailedToParse,
			"Cannot specify both an update, upsert or new=true and remove=true")
	case remove:
		m.delete = &engine.Delete{One: true, Hint: hint}
		if m.delete.Filter, err = query.ParseFilter(bytes.Clone(q)); err == nil {
			m.delete.Sort, err = query.ParseSort(bytes.Clone(sort))
		}
		return m, err
	case change.Type == 0:
		return nil, mongoerr.New(mongoerr.FailedToParse, "Either an update or remove=true must be specified")
	}
	if m.update, err = newUpdate(q, sort, change, arrayFilters, false); err != nil {
		return nil, err
	}
	m.update.Upsert, m.update.Hint = upsert, hint
	return m, nil
}

func (s *Server) findAndModify(ctx context.Context, r *request) (bson.Raw, error) {
	m, err := r.parseFindModify()
	if err != nil {
		return nil, err
	}
	w := r.newWriter(m.collection)
	defer w.Close()
	if known := w.Done(0); known != nil {
		return known.Reply, nil
	}
	var out engine.Outcome
	if m.delete != nil {
		out, err = w.DeleteOne(ctx, m.delete)
	} else {
		out, err = w.UpdateOne(ctx, m.update)
	}
	if err != nil {
		return nil, err
	}
	reply := m.reply(out)
	if err := w.Wrote(engine.StatementResult{Count: 1, N: out.Matched, Reply: reply}); err != nil {
		return nil, err
	}
	return reply, w.Flush()
}

func (m *findModify) reply(out engine.Outcome) bson.Raw {
	value := out.Before
	if m.after {
		value = out.After
	}
	if value != nil && m.projection != nil {
		value = m.projection.Apply(value)
	}
	return okReply(func(dst []byte) []byte {
		i, dst := bsoncore.AppendDocumentElementStart(dst, "lastErrorObject")
		dst = bsoncore.AppendInt32Element(dst, "n", out.Matched)
		if m.delete == nil {
			dst = bsoncore.AppendBooleanElement(dst, "updatedExisting", out.Matched > 0 && out.Upserted == nil)
			if out.Upserted != nil {
				dst = rawdoc.AppendElem(dst, "upserted", rawdoc.Get(out.Upserted, "_id"))
			}
		}
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		if value == nil {
			return bsoncore.AppendNullElement(dst, "value")
		}
		return bsoncore.AppendDocumentElement(dst, "value", bsoncore.Document(value))
	})
}
