package docstore

import (
	"bytes"
	"context"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
)

// aggregateArgs are the arguments of aggregate.
type aggregateArgs struct {
	collection string
	stages     []bson.Raw
	hasStages  bool
	batch      int64
	hasCursor  bool
	hint       bson.RawValue
}

func (r *request) parseAggregate() (*aggregateArgs, error) {
	a := &aggregateArgs{batch: firstBatch}
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "aggregate":
			if v.Type != bson.TypeString {
				return true, mongoerr.New(mongoerr.NotImplemented, "aggregate on a whole database is not supported")
			}
			a.collection, err = r.collectionName(v)
		case "pipeline":
			a.hasStages = true
			a.stages, err = r.docsArg(key, v)
			for i := range a.stages {
				a.stages[i] = bytes.Clone(a.stages[i])
			}
		case "cursor":
			a.batch, err = r.parseCursor(v)
			a.hasCursor = true
		case "hint":
			a.hint, err = v, checkHint(v)
		case "allowDiskUse", "bypassDocumentValidation":
			// Neither changes the outcome.
			_, err = r.boolArg(key, v)
		case "explain":
			err = mongoerr.New(mongoerr.NotImplemented, "aggregate does not support 'explain'; use the explain command")
		case "collation", "let":
			err = notEmpty(r.name, key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil && !a.hasStages {
		err = errMissingField(r.name, "pipeline")
	}
	return a, err
}

// pipeline plans an aggregation and returns its stream.
func (r *request) pipeline(rd *engine.Reading, a *aggregateArgs) (*engine.PipelineStream, error) {
	p, err := query.ParsePipeline(a.stages)
	if err != nil {
		return nil, err
	}
	return rd.Aggregate(r.db, a.collection, p, a.hint)
}

func (s *Server) aggregate(ctx context.Context, r *request) (_ bson.Raw, err error) {
	a, err := r.parseAggregate()
	if err != nil {
		return nil, err
	}
	if !a.hasCursor {
		return nil, mongoerr.New(mongoerr.FailedToParse,
			"The 'cursor' option is required, except for aggregate with the explain argument")
	}
	if wantsCollStats(a.stages) {
		return s.collStats(ctx, r, a)
	}
	c := r.beginRead()
	defer c.unlessKept(&err)
	p, err := r.pipeline(c.reading, a)
	if err != nil {
		return nil, err
	}
	c.stream = p
	return s.openCursor(ctx, r, c, r.db+"."+a.collection, a.batch, false)
}

// parseCount makes a find of a count command.
func (r *request) parseCount() (*findArgs, error) {
	a := &findArgs{}
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "count":
			a.collection, err = r.collectionName(v)
		case "query":
			a.filter, err = r.docArg(key, v)
		case "skip":
			a.skip, err = r.notNegative(key, v)
		case "limit":
			// A negative limit counts as its absolute value.
			if a.limit, err = r.intArg(key, v); a.limit < 0 {
				a.limit = -a.limit
			}
		case "hint":
			a.hint, err = v, checkHint(v)
		case "fields":
		case "collation":
			err = notEmpty(r.name, key, v)
		default:
			return false, nil
		}
		return true, err
	})
	return a, err
}

// emptyDocument is the size of {}.
const emptyDocument = 5

// drain counts what is left of a stream.
func drain(ctx context.Context, st stream) (n int64, err error) {
	for {
		if _, err := st.Next(ctx); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

func (s *Server) count(ctx context.Context, r *request) (_ bson.Raw, err error) {
	a, err := r.parseCount()
	if err != nil {
		return nil, err
	}
	c := r.beginRead()
	defer c.unlessKept(&err)
	n, err := r.countDocuments(ctx, c, a)
	if err != nil {
		return nil, err
	}
	return okReply(func(dst []byte) []byte {
		if n > 1<<31-1 {
			return bsoncore.AppendInt64Element(dst, "n", n)
		}
		return bsoncore.AppendInt32Element(dst, "n", int32(n))
	}), nil
}

func (r *request) countDocuments(ctx context.Context, c *cursor, a *findArgs) (int64, error) {
	f, err := r.query(c.reading, a)
	if err != nil || f == nil {
		return 0, err
	}
	c.stream = f
	if len(a.filter) <= emptyDocument && a.skip == 0 && a.limit == 0 {
		return f.CountKeys(ctx)
	}
	return drain(ctx, f)
}
