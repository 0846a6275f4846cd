package docstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// open starts a server on fs and connects to it; the test closes both.
func open(t testing.TB, fs vfs.FS) (*docstore.Server, *mongo.Client) {
	t.Helper()
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: fs}))(t)
	c := must(mongo.Connect(s.ClientOptions()))(t)
	return s, c
}

func closeAll(t testing.TB, s *docstore.Server, c *mongo.Client) {
	t.Helper()
	must(0, c.Disconnect(testContext(t)))(t)
	must(0, s.Close())(t)
}

func TestReopen(t *testing.T) {
	ctx := testContext(t)
	fs := vfs.NewMem()
	s, client := open(t, fs)
	c := client.Database("d").Collection("c")
	createIndex(t, c, d("tags", 1), nil)
	createIndex(t, c, d("u", 1), options.Index().SetUnique(true).SetPartialFilterExpression(d("u", d("$exists", true))))
	insertAll(t, c, d("_id", 1, "tags", A{"a", "b"}, "u", 1), d("_id", 2, "tags", A{"b", "c"}))
	must(0, client.Database("d").Collection("gone").Drop(ctx))(t)
	closeAll(t, s, client)
	if err := s.Close(); !errors.Is(err, docstore.ErrClosed) {
		t.Errorf("closing again: %v", err)
	}

	s, client = open(t, fs)
	defer closeAll(t, s, client)
	c = client.Database("d").Collection("c")
	// needs to know that it is multikey
	wantIDs(t, ids(t, c, ctx, d("tags", d("$gt", "b", "$lt", "bb"))), 2)
	_, err := c.InsertOne(ctx, d("_id", 3, "u", 1))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("after reopening: %v", err)
	}
	insertAll(t, client.Database("d").Collection("new"), d("_id", 1))
	wantIDs(t, ids(t, c, ctx, d()), 1, 2)
	must(0, s.Verify())(t)
}

// A write that is tried again after a restart is not done again.
func TestRetryAfterRestart(t *testing.T) {
	ctx := testContext(t)
	fs := vfs.NewMem()
	lsid := d("id", bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")})
	inc := d("update", "c", "updates", A{d("q", d("_id", 1), "u", d("$inc", d("n", 1)), "upsert", true)})
	run := func(s *docstore.Server, number int64) {
		t.Helper()
		cmd := append(inc[:len(inc):len(inc)], E{Key: "$db", Value: "d"},
			E{Key: "lsid", Value: lsid}, E{Key: "txnNumber", Value: number})
		must(0, ok(dialRaw(t, s).run(cmd)))(t)
	}
	s, client := open(t, fs)
	for range 2 {
		run(s, 1)
	}
	closeAll(t, s, client)
	s, client = open(t, fs)
	run(s, 1)
	var doc struct{ N int }
	must(0, client.Database("d").Collection("c").FindOne(ctx, d()).Decode(&doc))(t)
	if doc.N != 1 {
		t.Errorf("n = %d", doc.N)
	}
	run(s, 2)
	must(0, client.Database("d").Collection("c").FindOne(ctx, d()).Decode(&doc))(t)
	if doc.N != 2 {
		t.Errorf("after a new write n = %d", doc.N)
	}
	closeAll(t, s, client)
}

// crashWriter inserts messages in transactions that also count them, and notes what was
// acknowledged.
type crashWriter struct {
	mu    sync.Mutex
	acked []int
	next  atomic.Int64
	stop  func() // ends the writers and waits for them
	// tolerates reports whether a writer goes on after an error.
	tolerates func(error) bool
	refused   atomic.Int64
}

// startWriters starts four writers.
func startWriters(t *testing.T, ctx context.Context, client *mongo.Client, tolerates func(error) bool) *crashWriter {
	t.Helper()
	db := client.Database("d")
	createIndex(t, db.Collection("messages"), d("box", 1, "_id", 1), nil)
	createIndex(t, db.Collection("messages"), d("tags", 1), options.Index().SetUnique(true))
	insertAll(t, db.Collection("box"), d("_id", 0, "n", 0), d("_id", 1, "n", 0), d("_id", 2, "n", 0))
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	w := &crashWriter{stop: func() { cancel(); wg.Wait() }, tolerates: tolerates}
	for range 4 {
		wg.Go(func() {
			if err := w.run(ctx, client); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	return w
}

func (w *crashWriter) acknowledged() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acked)
}

func (w *crashWriter) run(ctx context.Context, client *mongo.Client) error {
	db := client.Database("d")
	s, err := client.StartSession()
	if err != nil {
		return err
	}
	defer s.EndSession(context.Background())
	for ctx.Err() == nil {
		id := int(w.next.Add(1))
		_, err := s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			if _, err := db.Collection("box").UpdateOne(ctx, d("_id", id%3), d("$inc", d("n", 1))); err != nil {
				return nil, err
			}
			return db.Collection("messages").InsertOne(ctx, d("_id", id, "box", id%3, "tags", A{id, -id},
				"body", bson.Binary{Data: make([]byte, 100*(id%700))}))
		})
		if err != nil && w.tolerates != nil && w.tolerates(err) {
			w.refused.Add(1)
			continue
		}
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.acked = append(w.acked, id)
		w.mu.Unlock()
		if id%5 == 0 { // and a plain write beside it
			_, err := db.Collection("messages").UpdateOne(ctx, d("_id", id), d("$set", d("seen", true)))
			if err != nil && (w.tolerates == nil || !w.tolerates(err)) {
				return err
			}
		}
	}
	return nil
}

// checkCopy opens what a crash left, or a backup, and checks it: it holds the messages that had
// been acknowledged, and nothing by half.
func checkCopy(t *testing.T, opts docstore.Options, acked []int) {
	t.Helper()
	ctx := testContext(t)
	s := must(docstore.Open(opts))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	db := client.Database("d")
	there := map[string]bool{}
	for _, id := range ids(t, db.Collection("messages"), ctx, d(), options.Find().SetProjection(d("_id", 1))) {
		there[fmt.Sprint(id)] = true
	}
	for _, id := range acked {
		if !there[fmt.Sprint(id)] {
			t.Errorf("message %d was acknowledged and is lost", id)
		}
	}
	total := 0
	cur := must(db.Collection("box").Find(ctx, d()))(t)
	var boxes []struct{ N int }
	must(0, cur.All(ctx, &boxes))(t)
	for _, b := range boxes {
		total += b.N
	}
	if total != len(there) {
		t.Errorf("the boxes count %d messages, and there are %d", total, len(there))
	}
	wantClean(t, s)
}

// wantClean checks the whole database.
func wantClean(t *testing.T, s *docstore.Server) {
	t.Helper()
	must(0, s.Verify())(t)
	report := must(s.Check(testContext(t), nil))(t)
	if report.Clean() {
		return
	}
	t.Errorf("damaged: %q", report.Texts())
	for _, c := range report.Collections {
		for _, text := range c.Texts() {
			t.Errorf("%s.%s: %s", c.DB, c.Name, text)
		}
	}
}

func waitFor(t testing.TB, ctx context.Context, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("waited in vain")
		}
	}
}

// A read that fails is reported, and fails nothing else.
func TestReadErrors(t *testing.T) {
	ctx := testContext(t)
	mem := vfs.NewMem()
	s, client := open(t, mem)
	c := client.Database("d").Collection("c")
	var docs []any
	for i := range 2000 {
		docs = append(docs, d("_id", i, "pad", bson.Binary{Data: []byte(fmt.Sprintf("%01000d", rand.Int()))}))
	}
	insertAll(t, c, docs...)
	closeAll(t, s, client)

	var broken atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt {
			return errorfs.ErrInjected
		}
		return nil
	})
	s = must(docstore.Open(docstore.Options{Dir: "db", FS: errorfs.Wrap(mem, inj), CacheSize: 1 << 16}))(t)
	client = must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	c = client.Database("d").Collection("c")
	broken.Store(true)
	cur, err := c.Find(ctx, d())
	if err == nil {
		err = cur.All(ctx, &[]bson.Raw{})
	}
	wantCode(t, err, 1)
	broken.Store(false)
	if got := ids(t, c, ctx, d()); len(got) != 2000 {
		t.Errorf("%d documents after the disk was well again", len(got))
	}
}
