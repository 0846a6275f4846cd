package docstore_test

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

type collStats struct {
	NS    string
	Stats struct {
		Size, Count, StorageSize, TotalIndexSize, TotalSize int64
		IndexSizes                                          map[string]int64
		NIndexes                                            int
	} `bson:"storageStats"`
}

func statsOf(t *testing.T, c *mongo.Collection) collStats {
	t.Helper()
	cur := must(c.Aggregate(testContext(t), A{d("$collStats", d("storageStats", d()))}))(t)
	var all []collStats
	must(0, cur.All(testContext(t), &all))(t)
	if len(all) != 1 {
		t.Fatalf("%d documents", len(all))
	}
	return all[0]
}

// $collStats counts documents and bytes exactly, and tells what a collection takes in files.
func TestCollStats(t *testing.T) {
	s := must(docstore.Open(docstore.Options{Dir: t.TempDir()}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	db := client.Database("d")
	small, large, empty := db.Collection("a"), db.Collection("b"), db.Collection("c")
	createIndex(t, small, d("n", 1), options.Index().SetName("n"))
	createIndex(t, empty, d("n", 1), options.Index().SetName("n"))
	rng := rand.NewChaCha8([32]byte{})
	var smallBytes, largeBytes int64
	for i := range 2000 {
		doc := d("_id", i, "n", i, "pad", make([]byte, 100))
		smallBytes += int64(len(must(bson.Marshal(doc))(t)))
		insertAll(t, small, doc)
	}
	for i := range 10 { // in files of values
		data := make([]byte, 200_000)
		must(rng.Read(data))(t)
		doc := d("_id", i, "data", bson.Binary{Data: data})
		largeBytes += int64(len(must(bson.Marshal(doc))(t)))
		insertAll(t, large, doc)
	}
	must(0, s.Flush())(t)
	got := statsOf(t, small)
	if st := got.Stats; got.NS != "d.a" || st.Count != 2000 || st.Size != smallBytes || st.NIndexes != 2 {
		t.Errorf("%+v, want 2000 documents of %d bytes", got, smallBytes)
	}
	if st := got.Stats; st.StorageSize <= 0 || st.StorageSize > smallBytes/3 ||
		st.IndexSizes["n"] <= 0 || st.TotalIndexSize != st.IndexSizes["n"] ||
		st.TotalSize != st.StorageSize+st.TotalIndexSize {
		t.Errorf("stored %+v", st)
	}
	if st := statsOf(t, large).Stats; st.Count != 10 || st.Size != largeBytes ||
		st.StorageSize < largeBytes || st.StorageSize > largeBytes+100_000 {
		t.Errorf("stored %+v, want %d", st, largeBytes)
	}
	if st := statsOf(t, empty).Stats; st.Count != 0 || st.StorageSize != 0 || st.TotalSize != 0 || st.NIndexes != 2 {
		t.Errorf("empty: %+v", st)
	}
}

func TestCollStatsRefused(t *testing.T) {
	s, client := open(t, vfs.NewMem())
	defer closeAll(t, s, client)
	db := client.Database("d")
	insertAll(t, db.Collection("c"), d("_id", 1))
	aggregate := func(name string, stages ...any) error {
		_, err := db.Collection(name).Aggregate(testContext(t), A(stages))
		return err
	}
	stats := d("$collStats", d("storageStats", d()))
	wantCode(t, aggregate("none", stats), 26)
	wantCode(t, aggregate("c", stats, d("$limit", 1)), 238)
	wantCode(t, aggregate("c", d("$collStats", d())), 238)
	wantCode(t, aggregate("c", d("$collStats", d("latencyStats", d()))), 238)
	wantCode(t, aggregate("c", d("$collStats", 1)), 14)
}
