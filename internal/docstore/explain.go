package docstore

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// explain tells how a query is answered and, unless only the plan is asked for, runs it and counts.
// It explains find, count, aggregate, and the search that update, delete and findAndModify make.
func (s *Server) explain(ctx context.Context, r *request) (_ bson.Raw, err error) {
	var inner bson.Raw
	verbosity := "allPlansExecution"
	err = r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "explain":
			inner, err = r.docArg(key, v)
		case "verbosity":
			verbosity, err = r.stringArg(key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	switch verbosity {
	case "queryPlanner", "executionStats", "allPlansExecution":
	default:
		return nil, mongoerr.New(mongoerr.BadValue,
			"Enumeration value '%s' for field 'explain.verbosity' is not a valid value.", verbosity)
	}
	it := rawdoc.Over(inner)
	if !it.Next() {
		return nil, mongoerr.New(mongoerr.FailedToParse, "explain of nothing")
	}
	sub := *r
	sub.name, sub.body = string(it.Key()), inner
	if sub.seqs, err = nil, nil; rawdoc.Get(inner, "$db").Type == bson.TypeString {
		if db := string(rawdoc.String(rawdoc.Get(inner, "$db"))); db != r.db {
			return nil, mongoerr.New(mongoerr.InvalidNamespace,
				"Mismatched $db in explain command. Expected %s but got %s", r.db, db)
		}
	}
	c := r.beginRead()
	defer c.unlessKept(&err)
	e, err := sub.explained(c.reading)
	if err == nil && e.stream != nil {
		c.stream = e.stream
		if verbosity != "queryPlanner" {
			err = e.run(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return e.reply(r, verbosity != "queryPlanner"), nil
}

// An explainable is a stream that tells how it reads.
type explainable interface {
	stream
	Plan() *engine.Plan
	Examined() (keys, docs int64)
}

// explanation is a query to be explained.
type explanation struct {
	ns     string
	stream explainable        // nil when the collection does not exist
	find   *engine.FindStream // the stream, if it is that of a find

	returned int64
	took     time.Duration
}

func (r *request) explained(rd *engine.Reading) (*explanation, error) {
	e := &explanation{}
	var a *findArgs
	var err error
	switch r.name {
	case "find":
		a, err = r.parseFind()
	case "count":
		a, err = r.parseCount()
	case "aggregate":
		var ag *aggregateArgs
		if ag, err = r.parseAggregate(); err != nil {
			return nil, err
		}
		p, err := r.pipeline(rd, ag)
		if err != nil {
			return nil, err
		}
		e.ns = r.db + "." + ag.collection
		if p.Plan() != nil {
			e.stream = p
		}
		return e, nil
	case "update", "delete":
		a, err = r.explainedWrite()
	case "findAndModify":
		a, err = r.explainedModify()
	default:
		return nil, mongoerr.New(mongoerr.CommandNotFound, "Explain failed due to unknown command: %s", r.name)
	}
	if err != nil {
		return nil, err
	}
	e.ns = r.db + "." + a.collection
	f, err := r.query(rd, a)
	if err != nil || f == nil {
		return e, err
	}
	e.stream, e.find = f, f
	return e, nil
}

// explainedWrite makes a find of the only statement of update or delete.
func (r *request) explainedWrite() (*findArgs, error) {
	field := r.name + "s"
	w, docs, err := r.parseWrite(field)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, mongoerr.New(mongoerr.InvalidLength, "explained write batches must be of size 1")
	}
	a := &findArgs{collection: w.collection}
	a.filter, err = r.docArg(field+".q", rawdoc.Get(docs[0], "q"))
	a.hint = rawdoc.Get(docs[0], "hint")
	multi, limit := rawdoc.Get(docs[0], "multi"), rawdoc.Get(docs[0], "limit")
	one, _ := rawdoc.Integer(limit)
	if r.name == "update" && (multi.Type != bson.TypeBoolean || multi.Value[0] == 0) || one == 1 {
		a.limit = 1
	}
	return a, err
}

func (r *request) explainedModify() (*findArgs, error) {
	a := &findArgs{limit: 1, hint: rawdoc.Get(r.body, "hint")}
	var err error
	if a.collection, err = r.collectionName(rawdoc.Get(r.body, r.name)); err != nil {
		return nil, err
	}
	if v := rawdoc.Get(r.body, "query"); v.Type != 0 {
		if a.filter, err = r.docArg("query", v); err != nil {
			return nil, err
		}
	}
	if v := rawdoc.Get(r.body, "sort"); v.Type != 0 {
		a.sort, err = r.docArg("sort", v)
	}
	return a, err
}

func (e *explanation) run(ctx context.Context) error {
	started := time.Now()
	var err error
	e.returned, err = drain(ctx, e.stream)
	e.took = time.Since(started)
	return err
}

// reply builds the answer in MongoDB's words.
func (e *explanation) reply(r *request, stats bool) bson.Raw {
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "explainVersion", "1")
		i, dst := bsoncore.AppendDocumentElementStart(dst, "queryPlanner")
		dst = bsoncore.AppendStringElement(dst, "namespace", e.ns)
		dst = bsoncore.AppendDocumentElement(dst, "winningPlan", bsoncore.Document(e.winningPlan(false)))
		dst = bsoncore.AppendArrayElement(dst, "rejectedPlans", bsoncore.NewArrayBuilder().Build())
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		if stats {
			i, dst = bsoncore.AppendDocumentElementStart(dst, "executionStats")
			dst = bsoncore.AppendBooleanElement(dst, "executionSuccess", true)
			dst = bsoncore.AppendInt32Element(dst, "nReturned", int32(e.returned))
			dst = bsoncore.AppendInt32Element(dst, "executionTimeMillis", int32(e.took.Milliseconds()))
			keys, docs := e.examined()
			dst = bsoncore.AppendInt32Element(dst, "totalKeysExamined", int32(keys))
			dst = bsoncore.AppendInt32Element(dst, "totalDocsExamined", int32(docs))
			dst = bsoncore.AppendDocumentElement(dst, "executionStages", bsoncore.Document(e.winningPlan(true)))
			dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		}
		dst = bsoncore.AppendDocumentElement(dst, "command", bsoncore.Document(r.body))
		i, dst = bsoncore.AppendDocumentElementStart(dst, "serverInfo")
		dst = bsoncore.AppendStringElement(dst, "host", r.conn.host)
		dst = bsoncore.AppendStringElement(dst, "version", version)
		dst, _ = bsoncore.AppendDocumentEnd(dst, i)
		return dst
	})
}

func (e *explanation) examined() (keys, docs int64) {
	if e.stream == nil {
		return 0, 0
	}
	return e.stream.Examined()
}

// winningPlan is the tree of stages, the outermost first.
func (e *explanation) winningPlan(stats bool) bson.Raw {
	if e.stream == nil {
		return stageDoc(engine.StageEOF, nil, nil)
	}
	var count func(dst []byte) []byte
	if stats {
		count = func(dst []byte) []byte {
			keys, docs := e.examined()
			dst = bsoncore.AppendInt32Element(dst, "keysExamined", int32(keys))
			return bsoncore.AppendInt32Element(dst, "docsExamined", int32(docs))
		}
	}
	doc := describePlan(e.stream.Plan(), count)
	if f := e.find; f != nil {
		if sort := f.SortsBy(); sort != nil {
			doc = stageDoc("SORT", doc, func(dst []byte) []byte {
				i, dst := bsoncore.AppendDocumentElementStart(dst, "sortPattern")
				for _, field := range sort.Fields {
					dst = bsoncore.AppendInt32Element(dst, field.Path, direction(field.Desc))
				}
				dst, _ = bsoncore.AppendDocumentEnd(dst, i)
				return dst
			})
		}
		if f.Projects() {
			doc = stageDoc("PROJECTION_DEFAULT", doc, nil)
		}
	}
	return doc
}

func direction(desc bool) int32 {
	if desc {
		return -1
	}
	return 1
}

// describePlan is the plan's part of the tree.
func describePlan(p *engine.Plan, count func(dst []byte) []byte) bson.Raw {
	details := func(dst []byte) []byte {
		way := "forward"
		if p.Reverse {
			way = "backward"
		}
		dst = bsoncore.AppendStringElement(dst, "direction", way)
		if count != nil {
			dst = count(dst)
		}
		return dst
	}
	if p.Stage != engine.StageIndex {
		return stageDoc(p.Stage, nil, details)
	}
	scan := stageDoc(engine.StageIndex, nil, func(dst []byte) []byte {
		dst = bsoncore.AppendDocumentElement(dst, "keyPattern", bsoncore.Document(p.Index.KeySpec))
		dst = bsoncore.AppendStringElement(dst, "indexName", p.Index.Name)
		dst = bsoncore.AppendBooleanElement(dst, "isMultiKey", p.Dedupe)
		dst = bsoncore.AppendBooleanElement(dst, "isUnique", p.Index.Unique)
		dst = bsoncore.AppendBooleanElement(dst, "isSparse", p.Index.Sparse)
		dst = bsoncore.AppendBooleanElement(dst, "isPartial", p.Index.Partial != nil)
		return details(dst)
	})
	return stageDoc("FETCH", scan, nil)
}

func stageDoc(stage string, input bson.Raw, details func(dst []byte) []byte) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(nil)
	dst = bsoncore.AppendStringElement(dst, "stage", stage)
	if details != nil {
		dst = details(dst)
	}
	if input != nil {
		dst = bsoncore.AppendDocumentElement(dst, "inputStage", bsoncore.Document(input))
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}
