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
	// Stage is the stage that reads the collection: IDHACK, CLUSTERED_IXSCAN, IXSCAN, COLLSCAN or EOF. A
	// find by an equal _id is IDHACK also where MongoDB calls it EXPRESS_IXSCAN or so.
	Stage string
	// Stages are all stages, the outermost first.
	Stages []string
	// Index is the name of the index, with IXSCAN.
	Index                                 string
	DocsExamined, KeysExamined, NReturned int
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

const explainTimeout = 30 * time.Second

// Explain runs a find under explain. filter, sort and projection may be nil.
func Explain(t testing.TB, coll *mongo.Collection, filter, sort, projection any) Plan {
	t.Helper()
	find := bson.D{{Key: "find", Value: coll.Name()}}
	for _, arg := range []bson.E{{Key: "filter", Value: filter}, {Key: "sort", Value: sort}, {Key: "projection", Value: projection}} {
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
	raw, err := db.RunCommand(ctx, bson.D{{Key: "explain", Value: command}, {Key: "verbosity", Value: "executionStats"}}).Raw()
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
		p.NReturned = number(doc.Lookup("nReturned"))
		p.DocsExamined = number(doc.Lookup("totalDocsExamined"))
		p.KeysExamined = number(doc.Lookup("totalKeysExamined"))
	}
	stage, _ := raw.Lookup("queryPlanner", "winningPlan").DocumentOK()
	if inner, ok := stage.Lookup("queryPlan").DocumentOK(); ok { // the slot-based engine wraps it
		stage = inner
	}
	p.walk(stage)
	return p
}

// walk follows the stages down to the one that reads.
func (p *Plan) walk(stage bson.Raw) {
	for stage != nil {
		name, _ := stage.Lookup("stage").StringValueOK()
		if strings.HasPrefix(name, "EXPRESS") {
			name = "IDHACK"
		}
		p.Stages = append(p.Stages, name)
		p.Stage = name
		if ix, ok := stage.Lookup("indexName").StringValueOK(); ok {
			p.Index = ix
		}
		next, ok := stage.Lookup("inputStage").DocumentOK()
		if !ok {
			// Several inputs, as of OR: the first speaks for all.
			next, _ = stage.Lookup("inputStages", "0").DocumentOK()
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
