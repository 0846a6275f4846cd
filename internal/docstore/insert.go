package docstore

import (
	"context"

	"gadwall/internal/docstore/mongoerr"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// writeArgs are the arguments that insert, update and delete share.
type writeArgs struct {
	collection string
	ordered    bool
}

// parseWrite reads the arguments of a write command whose statements are in the given field.
func (r *request) parseWrite(statements string) (*writeArgs, []bson.Raw, error) {
	a := &writeArgs{ordered: true}
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case r.name:
			a.collection, err = r.collectionName(v)
		case statements:
		case "ordered":
			a.ordered, err = r.strictBool(key, v)
		case "bypassDocumentValidation":
			// There are no validators to bypass.
			_, err = r.boolArg(key, v)
		case "let":
			err = notEmpty(r.name, key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, nil, err
	}
	docs, err := r.documents(statements)
	if err != nil {
		return nil, nil, err
	}
	if len(docs) == 0 || len(docs) > maxWriteBatch {
		return nil, nil, mongoerr.New(mongoerr.InvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatch, len(docs))
	}
	return a, docs, nil
}

func (s *Server) insert(ctx context.Context, r *request) (bson.Raw, error) {
	a, docs, err := r.parseWrite("documents")
	if err != nil {
		return nil, err
	}
	w := r.newWriter(a.collection)
	defer w.close()
	var n int32
	var failed []writeError
	for i, doc := range docs {
		if w.done(int32(i)) != nil {
			n++
			continue
		}
		if doc, err = prepareInsert(doc); err == nil {
			if r.inTransaction {
				doc = clone(doc) // the request's buffer goes when the command ends
			}
			err = w.statement(ctx, func(c *collection) error { return w.unit.insertDoc(ctx, c, doc) })
		}
		if err == nil {
			n++
			err = w.wrote(stmtResult{First: int32(i), Count: 1, N: 1})
		}
		if err == nil {
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

// reply commits what is left and builds the reply.
func (w *writer) reply(n int32, extra func(dst []byte) []byte, failed []writeError) (bson.Raw, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	if len(failed) > 0 && w.r.inTransaction {
		w.r.failTransaction()
	}
	return writeReply(n, extra, failed), nil
}
