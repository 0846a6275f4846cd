package docstore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
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
		return nil, nil, mongoerr.New(mongoerr.InvalidLength,
			"Write batch sizes must be between 1 and %d. Got %d operations.", maxWriteBatch, len(docs))
	}
	return a, docs, nil
}

func (s *Server) insert(ctx context.Context, r *request) (bson.Raw, error) {
	a, docs, err := r.parseWrite("documents")
	if err != nil {
		return nil, err
	}
	w := r.newWriter(a.collection)
	defer w.Close()
	var n int32
	var failed []writeError
	for i, doc := range docs {
		if w.Done(int32(i)) == nil {
			err = w.Insert(ctx, doc, int32(i))
		}
		if err == nil {
			n++
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
	return r.finish(w, n, nil, failed)
}
