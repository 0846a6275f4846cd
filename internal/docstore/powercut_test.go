package docstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"gadwall/internal/docstore"
)

// cutsVariable names the environment variable with the number of power cuts to survive, for long
// runs:
//
//	GADWALL_POWER_CUTS=5000 go test ./internal/docstore -run TestPowerCuts -timeout 1h -v
const cutsVariable = "GADWALL_POWER_CUTS"

const (
	defaultCuts = 100
	// cutsPerDatabase is how many cuts a database lives through; then an empty one takes its place.
	cutsPerDatabase = 20
)

// cutLoad writes to a database of which copies are taken as a power cut would leave them.
type cutLoad struct {
	t      *testing.T
	client *mongo.Client
	// paused is held while a copy is checked, and shared by each write.
	paused sync.RWMutex
	writes atomic.Int64

	mu sync.Mutex
	// added and removed are the documents whose insertion and deletion were acknowledged. A
	// document in neither may be there or not.
	added, removed map[int]bool
	next           int
	// counted is the highest number of the retryable write acknowledged, and sent that of the last
	// one sent.
	counted, sent atomic.Int64
}

var retrySession = bson.Binary{Subtype: 4, Data: []byte("power cut tester")}

// increment is retryable write number n.
func increment(n int64) D {
	return d("update", "counter", "updates", A{d("q", d("_id", 1), "u", d("$inc", d("n", 1)), "upsert", true)},
		"$db", "d", "lsid", d("id", retrySession), "txnNumber", n)
}

// noWait acknowledges a write before it is on disk.
func noWait() *options.CollectionOptionsBuilder {
	journal := false
	return options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1, Journal: &journal})
}

// deliver inserts documents with a large value now and then, and counts them, in one transaction. It
// inserts what they rely on before, and does not wait for it.
func (l *cutLoad) deliver(ctx context.Context, s *mongo.Session) error {
	l.mu.Lock()
	first := l.next
	l.next += 3
	l.mu.Unlock()
	db := l.client.Database("d")
	_, err := db.Collection("preceding", noWait()).InsertOne(ctx,
		d("_id", first, "body", bson.Binary{Data: make([]byte, first*7%3000)}))
	if err != nil {
		return err
	}
	_, err = s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if _, err := db.Collection("box").UpdateOne(ctx, d("_id", first%5), d("$inc", d("n", 3)),
			options.UpdateOne().SetUpsert(true)); err != nil {
			return nil, err
		}
		for id := first; id < first+3; id++ {
			size := id % 500
			if id%40 == 0 {
				size = 50_000 // in a file of values
			}
			doc := d("_id", id, "box", first%5, "tags", A{id, -id - 1}, "body", bson.Binary{Data: make([]byte, size)})
			if _, err := db.Collection("messages").InsertOne(ctx, doc); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := first; id < first+3; id++ {
		l.added[id] = true
	}
	return nil
}

// remove deletes a document that was acknowledged, with its count.
func (l *cutLoad) remove(ctx context.Context, s *mongo.Session) error {
	l.mu.Lock()
	id := -1
	for id = range l.added {
		break
	}
	delete(l.added, id)
	l.mu.Unlock()
	if id < 0 {
		return nil
	}
	db := l.client.Database("d")
	_, err := s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		var doc struct{ Box int }
		if err := db.Collection("messages").FindOneAndDelete(ctx, d("_id", id)).Decode(&doc); err != nil {
			return nil, err
		}
		return db.Collection("box").UpdateOne(ctx, d("_id", doc.Box), d("$inc", d("n", -1)))
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed[id] = true
	return nil
}

// start starts the writers: two of transactions, one of a transaction that never ends, and one of
// retryable writes.
func (l *cutLoad) start(ctx context.Context, s *docstore.Server, wg *sync.WaitGroup) {
	write := func(f func() error) bool {
		l.paused.RLock()
		defer l.paused.RUnlock()
		if ctx.Err() != nil {
			return false
		}
		if err := f(); err != nil {
			if ctx.Err() == nil {
				l.t.Error(err)
			}
			return false
		}
		l.writes.Add(1)
		return true
	}
	for range 2 {
		wg.Go(func() {
			session, err := l.client.StartSession()
			if err != nil {
				l.t.Error(err)
				return
			}
			defer session.EndSession(context.Background())
			for n := 0; write(func() error {
				if n++; n%4 == 0 {
					return l.remove(ctx, session)
				}
				return l.deliver(ctx, session)
			}); n++ {
			}
		})
	}
	wg.Go(func() {
		ghosts := l.client.Database("d").Collection("ghosts")
		session, err := l.client.StartSession()
		if err != nil {
			l.t.Error(err)
			return
		}
		defer session.EndSession(context.Background())
		if err := session.StartTransaction(); err != nil {
			l.t.Error(err)
			return
		}
		in := mongo.NewSessionContext(ctx, session)
		for n := 0; n < 1000 && write(func() error {
			_, err := ghosts.InsertOne(in, d("_id", n, "u", n))
			return err
		}); n++ {
		}
	})
	conn := dialRaw(l.t, s)
	wg.Go(func() {
		for write(func() error {
			n := l.sent.Add(1)
			if err := ok(conn.run(increment(n))); err != nil {
				return err
			}
			l.counted.Store(n)
			return nil
		}) {
		}
	})
}

// known is what must be in a copy that is taken afterwards.
type known struct {
	added, removed []int
	counted        int64
}

func (l *cutLoad) known() known {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := known{counted: l.counted.Load()}
	for id := range l.added {
		k.added = append(k.added, id)
	}
	for id := range l.removed {
		k.removed = append(k.removed, id)
	}
	return k
}

// check opens what a power cut left and looks for everything that must be there; then the power is
// cut once more.
func (l *cutLoad) check(t *testing.T, fs *vfs.MemFS, k known, again bool) {
	t.Helper()
	ctx := testContext(t)
	s, client := open(t, fs)
	defer closeAll(t, s, client)
	db := client.Database("d")
	there := map[int]bool{}
	cur := must(db.Collection("messages").Find(ctx, d(), options.Find().SetProjection(d("_id", 1)).
		SetBatchSize(10000)))(t)
	var docs []struct {
		ID int `bson:"_id"`
	}
	must(0, cur.All(ctx, &docs))(t)
	for _, doc := range docs {
		there[doc.ID] = true
	}
	l.mu.Lock()
	for _, id := range k.added {
		// else it was deleted, or was about to be, when the power was cut
		if !there[id] && l.added[id] {
			t.Errorf("document %d was acknowledged and is lost", id)
		}
	}
	l.mu.Unlock()
	for _, id := range k.removed {
		if there[id] {
			t.Errorf("document %d is there, and its deletion was acknowledged", id)
		}
	}
	for first := 0; first <= l.next; first += 3 {
		if there[first] != there[first+1] || there[first+1] != there[first+2] {
			some := false // deleted one by one
			for id := first; id < first+3; id++ {
				some = some || l.touched(id)
			}
			if !some {
				t.Errorf("of the transaction that inserted %d to %d only a part is there", first, first+2)
			}
		}
	}
	var preceding []struct {
		ID int `bson:"_id"`
	}
	cur = must(db.Collection("preceding").Find(ctx, d(), options.Find().SetProjection(d("_id", 1))))(t)
	must(0, cur.All(ctx, &preceding))(t)
	before := map[int]bool{}
	for _, doc := range preceding {
		before[doc.ID] = true
	}
	for id := range there {
		if first := id - id%3; !before[first] {
			t.Errorf("document %d is there, and what was acknowledged before it is lost", id)
		}
	}
	total := 0
	cur = must(db.Collection("box").Find(ctx, d()))(t)
	var boxes []struct{ N int }
	must(0, cur.All(ctx, &boxes))(t)
	for _, b := range boxes {
		total += b.N
	}
	if total != len(there) {
		t.Errorf("the boxes count %d documents, and there are %d", total, len(there))
	}
	if n := must(db.Collection("ghosts").CountDocuments(ctx, d()))(t); n != 0 {
		t.Errorf("%d documents of a transaction that was not committed", n)
	}
	k.counted = l.checkRetries(t, s, db, k.counted, max(k.counted, l.sent.Load()))
	wantClean(t, s)
	if !again { // the power fails once more, before everything is in order again
		l.check(t, fs.CrashClone(vfs.CrashCloneCfg{}), k, true)
	}
}

// touched reports that a document's deletion was at least tried.
func (l *cutLoad) touched(id int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.added[id]
}

// checkRetries wants the retryable writes to be there up to one that was acknowledged or later,
// that one to be recognised, and the next one to be done once. It returns the number of that.
func (l *cutLoad) checkRetries(t *testing.T, s *docstore.Server, db *mongo.Database, counted, sent int64) int64 {
	t.Helper()
	value := func() int64 {
		var doc struct{ N int64 }
		if err := db.Collection("counter").FindOne(testContext(t), d("_id", 1)).
			Decode(&doc); err != nil && err != mongo.ErrNoDocuments {
			t.Error(err)
		}
		return doc.N
	}
	n := value()
	if n < counted || n > sent {
		t.Errorf("%d increments, %d acknowledged, %d sent", n, counted, sent)
	}
	conn := dialRaw(t, s)
	for _, number := range []int64{n, n + 1, n + 1} {
		if number == 0 {
			continue
		}
		must(0, ok(conn.run(increment(number))))(t)
		if got := value(); got != number {
			t.Errorf("after retryable write %d the counter is %d", number, got)
		}
	}
	return n + 1
}

// Whenever the power is cut, whatever of the unsynced bytes reaches the disk: what was acknowledged
// is there, what precedes something that is there is there, too, even if nobody waited for it,
// transactions are there as a whole or not at all, indexes and documents agree, and a retried write is
// done once.
func TestPowerCuts(t *testing.T) {
	cuts := defaultCuts
	if text := os.Getenv(cutsVariable); text != "" {
		cuts = must(strconv.Atoi(text))(t)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for done := 0; done < cuts && !t.Failed(); {
		fs := vfs.NewCrashableMem()
		s, client := open(t, fs)
		messages := client.Database("d").Collection("messages")
		createIndex(t, messages, d("box", 1, "_id", 1), nil)
		createIndex(t, messages, d("tags", 1), options.Index().SetUnique(true))
		createIndex(t, client.Database("d").Collection("ghosts"), d("u", 1), nil)
		l := &cutLoad{t: t, client: client, added: map[int]bool{}, removed: map[int]bool{}}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		l.start(ctx, s, &wg)
		for i := 0; i < cutsPerDatabase && done < cuts && !t.Failed(); i++ {
			until := l.writes.Load() + 1 + rng.Int64N(20)
			waitFor(t, testContext(t), func() bool { return l.writes.Load() >= until || t.Failed() })
			switch rng.IntN(8) {
			case 0:
				must(0, s.Flush())(t)
			case 1:
				must(0, s.EmptyLogs())(t) // in the middle of writes, too
			}
			k := l.known()
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 100,
				rng.IntN(101)}[rng.IntN(3)], RNG: rng})
			l.paused.Lock()
			l.check(t, clone, k, false)
			l.paused.Unlock()
			done++
		}
		cancel()
		wg.Wait()
		closeAll(t, s, client)
		if done%1000 == 0 {
			fmt.Fprintf(os.Stderr, "%d power cuts\n", done)
		}
	}
	t.Logf("%d power cuts, each followed by another", cuts)
}
