package docstore_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// serverStatus counts commands by name, their bytes, and what queries have read.
func TestServerStatusCounts(t *testing.T) {
	s := must(docstore.Open(docstore.Options{Dir: t.TempDir()}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	coll := client.Database("d").Collection("a")
	createIndex(t, coll, d("n", 1), options.Index().SetName("n"))
	for i := range 10 {
		insertAll(t, coll, d("_id", i, "n", i/2, "pad", make([]byte, 1000)))
	}
	type status struct {
		Network struct{ BytesIn, BytesOut int64 }
		Metrics struct {
			Commands      map[string]struct{ Total int64 }
			QueryExecutor struct{ Scanned, ScannedObjects int64 } `bson:"queryExecutor"`
		}
	}
	read := func() (st status) {
		must(0, client.Database("admin").RunCommand(testContext(t), d("serverStatus", 1)).Decode(&st))(t)
		return st
	}
	before := read()
	if n := before.Metrics.Commands["insert"].Total; n != 10 {
		t.Errorf("%d commands insert", n)
	}
	if n := before.Network.BytesIn; n < 10_000 || n > 20_000 {
		t.Errorf("%d bytes came with ten documents of 1,000", n)
	}
	var docs []bson.Raw
	cur := must(coll.Find(testContext(t), d("n", 3), options.Find().SetHint("n")))(t)
	must(0, cur.All(testContext(t), &docs))(t)
	cur = must(coll.Find(testContext(t), d("pad", 1)))(t)
	must(0, cur.All(testContext(t), &docs))(t)
	must(coll.UpdateMany(testContext(t), d("n", 4), d("$set", d("x", 1))))(t)
	must(coll.UpdateOne(testContext(t), d("n", 4), d("$set", d("x", 2))))(t)

	after := read()
	for name, want := range map[string]int64{"find": 2, "update": 2, "insert": 0, "serverStatus": 1} {
		if n := after.Metrics.Commands[name].Total - before.Metrics.Commands[name].Total; n != want {
			t.Errorf("%d commands %s, want %d", n, name, want)
		}
	}
	scanned := after.Metrics.QueryExecutor
	keys := scanned.Scanned - before.Metrics.QueryExecutor.Scanned
	objects := scanned.ScannedObjects - before.Metrics.QueryExecutor.ScannedObjects
	if keys != 2+2+1 || objects != 2+10+2+1 {
		t.Errorf("%d keys and %d documents were examined", keys, objects)
	}
	if n := after.Network.BytesOut - before.Network.BytesOut; n < 2_000 || n > 8_000 {
		t.Errorf("%d bytes went with two documents of 1,000", n)
	}
}
