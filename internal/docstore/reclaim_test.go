package docstore_test

import (
	"math/rand/v2"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// reclaimStore is a server on the disk with 60 MiB of documents like the chunks of blobs.
type reclaimStore struct {
	*docstore.Server
	client *mongo.Client
	chunks *mongo.Collection
	full   uint64 // bytes on disk
}

func openReclaim(t *testing.T, dir string) *reclaimStore {
	t.Helper()
	s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	return &reclaimStore{Server: s, client: client, chunks: client.Database("d").Collection("chunks")}
}

func fillReclaim(t *testing.T, dir string) *reclaimStore {
	t.Helper()
	r := openReclaim(t, dir)
	rng := rand.NewChaCha8([32]byte{1})
	for i := 0; i < 240; {
		var docs []any
		for range 24 {
			data := make([]byte, 255<<10)
			must(rng.Read(data))(t)
			docs = append(docs, d("_id", i, "data", bson.Binary{Data: data}))
			i++
		}
		must(r.chunks.InsertMany(testContext(t), docs))(t)
	}
	r.full = r.Metrics().DiskBytes
	return r
}

func (r *reclaimStore) close(t *testing.T) { closeAll(t, r.Server, r.client) }

// wantReclaimed lets the server reclaim space until most of it is there again. What it does not
// rewrite itself, Pebble deletes a little later.
func (r *reclaimStore) wantReclaimed(t *testing.T, full uint64) {
	t.Helper()
	waitFor(t, testContext(t), func() bool {
		must(0, r.Reclaim())(t)
		return r.Metrics().DiskBytes < full/3
	})
}

// What is deleted gives its space back, also when nothing is written after it.
func TestReclaim(t *testing.T) {
	t.Run("deleted", func(t *testing.T) {
		r := fillReclaim(t, t.TempDir())
		defer r.close(t)
		must(r.chunks.DeleteMany(testContext(t), d()))(t)
		r.wantReclaimed(t, r.full)
	})
	t.Run("replaced by less", func(t *testing.T) {
		r := fillReclaim(t, t.TempDir())
		defer r.close(t)
		must(r.chunks.UpdateMany(testContext(t), d(), d("$unset", d("data", 1))))(t)
		r.wantReclaimed(t, r.full)
	})
	t.Run("dropped", func(t *testing.T) {
		r := fillReclaim(t, t.TempDir())
		defer r.close(t)
		must(0, r.chunks.Drop(testContext(t)))(t)
		r.wantReclaimed(t, r.full)
	})
	t.Run("deleted before a restart", func(t *testing.T) {
		dir := t.TempDir()
		r := fillReclaim(t, dir)
		must(r.chunks.DeleteMany(testContext(t), d()))(t)
		r.close(t)
		again := openReclaim(t, dir)
		defer again.close(t)
		if n := again.Metrics().DiskBytes; n < 60_000_000 {
			t.Errorf("the files are said to take %d bytes", n)
		}
		wantClean(t, again.Server)
		again.wantReclaimed(t, r.full)
	})
}

// While somebody can still read what was deleted, it stays counted, to be reclaimed later.
func TestReclaimWaitsForReaders(t *testing.T) {
	ctx := testContext(t)
	r := fillReclaim(t, t.TempDir())
	defer r.close(t)
	cur := must(r.chunks.Find(ctx, d(), options.Find().SetBatchSize(1)))(t)
	must(r.chunks.DeleteMany(ctx, d()))(t)
	deleted := r.Garbage()
	for range 3 {
		must(0, r.Reclaim())(t)
	}
	if n := r.Garbage(); n != deleted || n < 60_000_000 {
		t.Errorf("%d bytes of garbage count, then %d, while a cursor reads them", deleted, n)
	}
	n := 0
	for cur.Next(ctx) {
		n++
	}
	if n != 240 || cur.Err() != nil {
		t.Errorf("the cursor found %d documents: %v", n, cur.Err())
	}
	r.wantReclaimed(t, r.full)
}

// A transaction counts what it makes useless of what is stored, however often it writes.
func TestGarbageOfTransaction(t *testing.T) {
	ctx := testContext(t)
	s := must(docstore.Open(docstore.Options{Dir: t.TempDir()}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	db := client.Database("d")
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1, "pad", make([]byte, 10_000)))
	tx := begin(t, db)
	must(c.UpdateOne(tx.ctx, d("_id", 1), d("$set", d("pad", make([]byte, 100_000)))))(t)
	must(c.UpdateOne(tx.ctx, d("_id", 1), d("$set", d("pad", make([]byte, 50_000)))))(t)
	must(c.InsertOne(tx.ctx, d("_id", 2, "pad", make([]byte, 100_000))))(t)
	must(c.DeleteMany(tx.ctx, d()))(t)
	must(0, tx.CommitTransaction(tx.ctx))(t)
	if n := s.Garbage(); n < 10_000 || n > 10_200 {
		t.Errorf("%d bytes of garbage, want those of the one stored document", n)
	}
	wantIDs(t, ids(t, c, ctx, d()))
}
