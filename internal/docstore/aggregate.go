package docstore

import (
	"context"
	"errors"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

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
				a.stages[i] = clone(a.stages[i])
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

// pipeline plans an aggregation and returns its stream; over nothing when the collection does not exist.
func (r *request) pipeline(rd *reading, a *aggregateArgs) (*pipelineStream, error) {
	p, err := query.ParsePipeline(a.stages)
	if err != nil {
		return nil, err
	}
	c := rd.collection(r, a.collection)
	var h hint
	if a.hint.Type != 0 {
		if h, err = r.parseHint(a.hint, c); err != nil {
			return nil, err
		}
	}
	sort := p.Lead()
	wantsOrder := sort != nil && len(sort.Fields) > 0
	if !wantsOrder {
		sort = &query.Sort{}
	}
	if c == nil {
		return newPipelineStream(newDocScan(rd.view, &plan{filter: p.Match()}), p, wantsOrder), nil
	}
	pl, err := planQuery(rd.view, c, p.Match(), sort, h)
	if err != nil {
		return nil, err
	}
	return newPipelineStream(newDocScan(rd.view, pl), p, wantsOrder && pl.sorted), nil
}

func (s *Server) aggregate(ctx context.Context, r *request) (bson.Raw, error) {
	a, err := r.parseAggregate()
	if err != nil {
		return nil, err
	}
	if !a.hasCursor {
		return nil, mongoerr.New(mongoerr.FailedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	}
	if wantsCollStats(a.stages) {
		return s.collStats(ctx, r, a)
	}
	rd := r.beginRead()
	p, err := r.pipeline(rd, a)
	if err != nil {
		return nil, rd.abandon(err)
	}
	rd.cur.stream = p
	return s.openCursor(ctx, r, rd, r.db+"."+a.collection, a.batch, false)
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
		if _, err := st.next(ctx); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

func (s *Server) count(ctx context.Context, r *request) (bson.Raw, error) {
	a, err := r.parseCount()
	if err != nil {
		return nil, err
	}
	rd := r.beginRead()
	f, err := r.query(rd, a)
	if err != nil || f == nil {
		if err := rd.abandon(err); err != nil {
			return nil, err
		}
		return okReply(func(dst []byte) []byte { return bsoncore.AppendInt32Element(dst, "n", 0) }), nil
	}
	rd.cur.stream = f
	var n int64
	if len(a.filter) <= emptyDocument && a.skip == 0 && a.limit == 0 {
		n, err = f.scan.countKeys(ctx)
	} else {
		n, err = drain(ctx, f)
	}
	if err := errors.Join(err, rd.cur.close()); err != nil {
		return nil, err
	}
	return okReply(func(dst []byte) []byte {
		if n > 1<<31-1 {
			return bsoncore.AppendInt64Element(dst, "n", n)
		}
		return bsoncore.AppendInt32Element(dst, "n", int32(n))
	}), nil
}
