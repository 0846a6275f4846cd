package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/bench/result"
	"gadwall/internal/dbtest"
)

// What a client does between two looks is told for each call, and the looks are not.
func TestCounters(t *testing.T) {
	db := dbtest.OnDisk(t) // which nobody else uses
	d, coll := &Database{db.Client()}, db.Collection("c")
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	before, err := d.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := coll.FindOne(t.Context(), bson.D{{Key: "x", Value: nil}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	large := bson.D{{Key: "_id", Value: 2}, {Key: "x", Value: make([]byte, 5000)}}
	if _, err := coll.InsertOne(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	after, err := d.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := Between(before, after, 2)
	all := got[result.AllCommands]
	if all.Octets < 2500 || all.Octets > 4000 {
		t.Errorf("%v bytes for each call", all.Octets)
	}
	all.Octets = 0
	got[result.AllCommands] = all
	want := map[string]result.Commands{"find": {Count: 2}, "insert": {Count: 0.5},
		result.AllCommands: {Count: 2.5, Documents: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
