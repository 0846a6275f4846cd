package dbtest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

func TestMonitored(t *testing.T) {
	ctx := context.Background()
	db, cmds := Monitored(t)
	c := db.Collection("c")
	var docs []any
	for i := range 10 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}})
	}
	if _, err := c.InsertMany(ctx, docs); err != nil {
		t.Fatal(err)
	}
	cur, err := c.Find(ctx, bson.D{}, options.Find().SetBatchSize(4))
	if err != nil {
		t.Fatal(err)
	}
	if err := cur.All(ctx, &[]bson.Raw{}); err != nil {
		t.Fatal(err)
	}
	if err := c.FindOneAndDelete(ctx, bson.D{{Key: "_id", Value: 3}}).Err(); err != nil {
		t.Fatal(err)
	}
	durable := c.Clone(options.Collection().SetWriteConcern(writeconcern.Majority()))
	if _, err := durable.DeleteOne(ctx, bson.D{{Key: "_id", Value: 4}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what      string
		got, want int
	}{
		{"inserts", cmds.Count("insert", "c"), 1},
		{"finds", cmds.Count("find", "c"), 1},
		{"finds elsewhere", cmds.Count("find", "other"), 0},
		{"finds anywhere", cmds.Count("find", ""), 1},
		{"reads", cmds.Reads("c"), 4}, // find, two getMores, findAndModify
		{"documents", cmds.Documents("c"), 11},
		{"bytes", cmds.Bytes("c"), 11 * 14},
		{"documents elsewhere", cmds.Documents("other"), 0},
		{"waits", cmds.Waits(), 1}, // the delete's
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d, want %d; all:\n%v", tc.what, tc.got, tc.want, cmds)
		}
	}
	const sequence = "insert c, find c, 2 x getMore c, findAndModify c, delete c"
	if got := cmds.Sequence(); got != sequence {
		t.Errorf("sequence %q, want %q", got, sequence)
	}
	cmds.Reset()
	if n := cmds.Total() + cmds.Waits() + len(cmds.Sequence()); n != 0 {
		t.Errorf("%d commands after a reset", n)
	}
}

func TestDatabasesAreApart(t *testing.T) {
	a, b := Database(t), Database(t)
	if a.Name() == b.Name() {
		t.Fatalf("two databases called %s", a.Name())
	}
	if _, err := a.Collection("c").InsertOne(context.Background(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Collection("c").CountDocuments(context.Background(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d documents in another database, %v", n, err)
	}
}

// Plans are read from what this server answers and from the forms of MongoDB's versions.
func TestParseExplain(t *testing.T) {
	type D = map[string]any
	stats := D{"nReturned": 2, "totalDocsExamined": int64(3), "totalKeysExamined": 4.0}
	fetch := D{"stage": "FETCH", "inputStage": D{"stage": "IXSCAN", "indexName": "a_1"}}
	for _, tc := range []struct {
		name string
		in   D
		want Plan
	}{
		{"classic", D{"queryPlanner": D{"winningPlan": D{"stage": "SORT", "inputStage": fetch}},
			"executionStats": stats},
			Plan{Stage: "IXSCAN", Stages: []string{"SORT", "FETCH", "IXSCAN"}, Index: "a_1"}},
		{"slot based", D{"queryPlanner": D{"winningPlan": D{"queryPlan": fetch,
			"slotBasedPlan": D{}}}, "executionStats": stats},
			Plan{Stage: "IXSCAN", Stages: []string{"FETCH", "IXSCAN"}, Index: "a_1"}},
		{"express", D{"queryPlanner": D{"winningPlan": D{"stage": "EXPRESS_CLUSTERED_IXSCAN"}},
			"executionStats": stats},
			Plan{Stage: "IDHACK", Stages: []string{"IDHACK"}}},
		{"express by _id", D{"queryPlanner": D{"winningPlan": D{"stage": "EXPRESS_IXSCAN",
			"indexName": "_id_"}}, "executionStats": stats},
			Plan{Stage: "IDHACK", Stages: []string{"IDHACK"}, Index: "_id_"}},
		{"express by a unique index",
			D{"queryPlanner": D{"winningPlan": D{"stage": "EXPRESS_IXSCAN", "indexName": "hash"}},
				"executionStats": stats},
			Plan{Stage: "IXSCAN", Stages: []string{"IXSCAN"}, Index: "hash"}},
		{"shards", D{"queryPlanner": D{"winningPlan": D{"stage": "SINGLE_SHARD",
			"shards": bson.A{D{"winningPlan": D{"queryPlan": fetch}}}}}, "executionStats": stats},
			Plan{Stage: "IXSCAN", Stages: []string{"SINGLE_SHARD", "FETCH", "IXSCAN"}, Index: "a_1"}},
		{"several inputs", D{"queryPlanner": D{"winningPlan": D{"stage": "OR",
			"inputStages": bson.A{fetch, fetch}}}, "executionStats": stats},
			Plan{Stage: "IXSCAN", Stages: []string{"OR", "FETCH", "IXSCAN"}, Index: "a_1"}},
		{"aggregation", D{"stages": bson.A{D{"$cursor": D{"queryPlanner": D{"winningPlan": fetch},
			"executionStats": stats}}}},
			Plan{Stage: "IXSCAN", Stages: []string{"FETCH", "IXSCAN"}, Index: "a_1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw, err := bson.Marshal(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.NReturned, tc.want.DocsExamined, tc.want.KeysExamined = 2, 3, 4
			if diff := cmp.Diff(tc.want, parseExplain(raw)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for examined, want := range map[int]int{5: 5, 6: 5, 7: 5, 8: 6} {
		raw, err := bson.Marshal(D{"queryPlanner": D{"winningPlan": D{"stage": "CLUSTERED_IXSCAN"}},
			"executionStats": D{"nReturned": 5, "totalDocsExamined": examined}})
		if err != nil {
			t.Fatal(err)
		}
		if got := parseExplain(raw).DocsExamined; got != want {
			t.Errorf("a clustered range with %d documents examined for 5: %d, want %d", examined, got, want)
		}
	}
}
