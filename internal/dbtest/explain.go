package dbtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A Plan is how the database answered a query.
type Plan struct {
	// Stage is the stage that reads the collection: IDHACK, CLUSTERED_IXSCAN, IXSCAN, COLLSCAN or
	// EOF. What MongoDB 8 calls EXPRESS_IXSCAN or so is IDHACK here by an equal _id, and else
	// IXSCAN.
	Stage string
	// Stages are all stages, the outermost first.
	Stages []string
	// Index is the name of the index, with IXSCAN.
	Index string
	// DocsExamined leaves out the neighbours of a range of a clustered key, one on each side:
	// MongoDB counts what it looks at to see where the range begins and ends.
	DocsExamined            int
	KeysExamined, NReturned int
}

// Sorts reports that the database had to sort in memory.
func (p Plan) Sorts() bool {
	for _, s := range p.Stages {
		if strings.HasPrefix(s, "SORT") && s != "SORT_MERGE" {
			return true
		}
	}
	return false
}

func (p Plan) String() string {
	return fmt.Sprintf("%s %s: %d keys, %d documents examined, %d returned",
		strings.Join(p.Stages, "<"), p.Index, p.KeysExamined, p.DocsExamined, p.NReturned)
}

const explainTimeout = 2 * time.Minute

// Explain runs a find under explain. filter, sort and projection may be nil.
func Explain(t testing.TB, coll *mongo.Collection, filter, sort, projection any) Plan {
	t.Helper()
	find := bson.D{{Key: "find", Value: coll.Name()}}
	for _, arg := range []bson.E{{Key: "filter", Value: filter}, {Key: "sort", Value: sort},
		{Key: "projection", Value: projection}} {
		if arg.Value != nil {
			find = append(find, arg)
		}
	}
	return ExplainCommand(t, coll.Database(), find)
}

// ExplainCommand runs any explainable command under explain.
func ExplainCommand(t testing.TB, db *mongo.Database, command bson.D) Plan {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), explainTimeout)
	defer cancel()
	raw, err := db.RunCommand(ctx, bson.D{{Key: "explain", Value: command},
		{Key: "verbosity", Value: "executionStats"}}).Raw()
	if err != nil {
		t.Fatalf("explain: %v", err)
	}
	return parseExplain(raw)
}

func parseExplain(raw bson.Raw) Plan {
	// An aggregation that is more than a query has its query in the first stage.
	if v, err := raw.LookupErr("stages", "0", "$cursor"); err == nil {
		raw = v.Document()
	}
	var p Plan
	stats := raw.Lookup("executionStats")
	if doc, ok := stats.DocumentOK(); ok {
		p.NReturned = returned(doc)
		p.DocsExamined = number(doc.Lookup("totalDocsExamined"))
		p.KeysExamined = number(doc.Lookup("totalKeysExamined"))
	}
	stage, _ := raw.Lookup("queryPlanner", "winningPlan").DocumentOK()
	p.walk(stage)
	if p.Stage == "CLUSTERED_IXSCAN" {
		p.DocsExamined -= min(2, max(0, p.DocsExamined-p.NReturned))
	}
	return p
}

// returned is how many documents were found. A stage that writes, of which explain only tells, counts
// none; the one beneath it does.
func returned(stats bson.Raw) int {
	stage, _ := stats.Lookup("executionStages").DocumentOK()
	for stage != nil {
		if shard, ok := stage.Lookup("shards", "0", "executionStages").DocumentOK(); ok {
			stage = shard
			continue
		}
		name, _ := stage.Lookup("stage").StringValueOK()
		inner, ok := stage.Lookup("inputStage").DocumentOK()
		if name != "UPDATE" && name != "DELETE" || !ok {
			break
		}
		if inner.Lookup("nReturned").Type != 0 {
			return number(inner.Lookup("nReturned"))
		}
		stage = inner
	}
	return number(stats.Lookup("nReturned"))
}

// walk follows the stages down to the one that reads. Where there are several inputs, as of OR, or
// several shards, the first speaks for all.
func (p *Plan) walk(stage bson.Raw) {
	for stage != nil {
		// the slot-based engine wraps it
		if inner, ok := stage.Lookup("queryPlan").DocumentOK(); ok {
			stage = inner
		}
		name, _ := stage.Lookup("stage").StringValueOK()
		index, _ := stage.Lookup("indexName").StringValueOK()
		if strings.HasPrefix(name, "EXPRESS") {
			name = "IDHACK"
			if index != "" && index != "_id_" {
				name = "IXSCAN"
			}
		}
		p.Stages = append(p.Stages, name)
		p.Stage = name
		if index != "" {
			p.Index = index
		}
		var next bson.Raw
		for _, path := range [][]string{{"inputStage"}, {"inputStages", "0"}, {"shards", "0", "winningPlan"}} {
			if doc, ok := stage.Lookup(path...).DocumentOK(); ok {
				next = doc
				break
			}
		}
		stage = next
	}
}

func number(v bson.RawValue) int {
	n, _ := v.AsInt64OK()
	return int(n)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
