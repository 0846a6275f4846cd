package docstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"gadwall/internal/docstore"
	"gadwall/internal/faultnet"
)

// A cutter lets connections break now and then.
type cutter struct {
	// every is how many commands go well, on average, before one is cut off; 0 for all.
	every int

	mu   sync.Mutex
	rng  *rand.Rand
	cuts [len(cutMoments)]int
}

// cutMoments are those at which a connection breaks.
var cutMoments = [...]faultnet.Verdict{faultnet.LoseRequest, faultnet.LoseClient, faultnet.LoseAnswer}

func (c *cutter) decide(command faultnet.Command) faultnet.Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.every == 0 || command.Name == "hello" || command.Name == "" || c.rng.IntN(c.every) > 0 {
		return faultnet.Pass
	}
	m := c.rng.IntN(len(cutMoments))
	c.cuts[m]++
	return cutMoments[m]
}

// accounts are documents whose arrays tell which operations each has seen, and a count that must
// agree.
const accounts = 6

type account struct {
	ID  int `bson:"_id"`
	N   int
	Ops []string
}

// applied is what a history came to: for each operation, how often it shows in each account.
func applied(all []account) (map[string][accounts]int, error) {
	seen := map[string][accounts]int{}
	for _, a := range all {
		if a.N != len(a.Ops) {
			return nil, fmt.Errorf("account %d counts %d of %d operations", a.ID, a.N, len(a.Ops))
		}
		for _, op := range a.Ops {
			times := seen[op]
			times[a.ID]++
			seen[op] = times
		}
	}
	return seen, nil
}

// A history is what the clients of a test have done.
type history struct {
	mu    sync.Mutex
	acked map[string][]int // operation -> accounts it was to change
}

func (h *history) ack(op string, touched ...int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked[op] = touched
}

// check compares a state with the history. What was acknowledged is there once; nothing is there
// twice, or in one of two accounts. complete says that all that was acknowledged must be there.
func (h *history) check(all []account, complete bool) error {
	seen, err := applied(all)
	if err != nil {
		return err
	}
	for op, times := range seen {
		sum := 0
		for _, n := range times {
			if n > 1 {
				return fmt.Errorf("%s was done %d times", op, n)
			}
			sum += n
		}
		if op[0] == 't' && sum != 2 {
			return fmt.Errorf("transfer %s is in %d accounts", op, sum)
		}
	}
	if !complete {
		return nil
	}
	for op, touched := range h.acked {
		for _, id := range touched {
			if seen[op][id] != 1 {
				return fmt.Errorf("%s was acknowledged, and is not in account %d", op, id)
			}
		}
	}
	return nil
}

// Transactions, plain writes and readers at once, over connections that break: whatever was
// acknowledged is done once, a transaction wholly or not at all, and each snapshot shows no half of
// one.
func TestConcurrentHistory(t *testing.T) {
	for _, every := range []int{0, 20} {
		t.Run(fmt.Sprintf("cut every=%d", every), func(t *testing.T) {
			ctx := testContext(t)
			s := must(docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem()}))(t)
			cut := &cutter{every: every, rng: rand.New(rand.NewPCG(7, uint64(every)))}
			opts := s.ClientOptions()
			faultnet.Use(opts, cut.decide)
			client := must(mongo.Connect(opts))(t)
			sure := must(mongo.Connect(s.ClientOptions()))(t)
			defer func() {
				must(0, client.Disconnect(context.Background()))(t)
				closeAll(t, s, sure)
			}()
			c := sure.Database("d").Collection("accounts")
			createIndex(t, c, d("ops", 1), nil)
			for i := range accounts {
				insertAll(t, c, d("_id", i, "n", 0, "ops", A{}))
			}
			h := &history{acked: map[string][]int{}}
			w := worker{c: client.Database("d").Collection("accounts"), h: h}
			var writers, readers sync.WaitGroup
			for k := range 6 {
				writers.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(k), 1))
					for i := range 30 {
						if err := w.write(ctx, rng, fmt.Sprintf("%d/%d", k, i)); err != nil && every == 0 {
							t.Errorf("writer %d: %v", k, err)
						}
					}
				})
			}
			done := make(chan struct{})
			readers.Go(func() {
				for stop := false; !stop; {
					select {
					case <-done:
						stop = true
					default:
					}
					if err := readHistory(ctx, c, h); err != nil {
						t.Error(err)
						return
					}
				}
			})
			writers.Wait()
			close(done)
			readers.Wait()
			var all []account
			must(0, must(c.Find(ctx, d()))(t).All(ctx, &all))(t)
			must(0, h.check(all, true))(t)
			wantClean(t, s)
			if t.Logf("%d acknowledged; cuts: %v", len(h.acked), cut.cuts); every > 0 {
				for moment, n := range cut.cuts {
					if n == 0 {
						t.Errorf("no connection was cut at moment %d", moment)
					}
				}
			}
		})
	}
}

// worker does one operation after the other.
type worker struct {
	c *mongo.Collection
	h *history
}

func note(op string) D { return d("$inc", d("n", 1), "$push", d("ops", op)) }

// write does one random operation. An error leaves open whether it was done.
func (w *worker) write(ctx context.Context, rng *rand.Rand, op string) error {
	from := rng.IntN(accounts)
	to := (from + 1 + rng.IntN(accounts-1)) % accounts
	switch rng.IntN(3) {
	case 0:
		op = "u" + op
		if _, err := w.c.UpdateOne(ctx, d("_id", from), note(op)); err != nil {
			return err
		}
		w.h.ack(op, from)
		return nil
	case 1:
		op = "m" + op
		if err := w.c.FindOneAndUpdate(ctx, d("_id", from), note(op)).Err(); err != nil {
			return err
		}
		w.h.ack(op, from)
		return nil
	}
	op = "t" + op
	s, err := w.c.Database().Client().StartSession()
	if err != nil {
		return err
	}
	defer s.EndSession(context.WithoutCancel(ctx))
	_, err = s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if _, err := w.c.UpdateOne(ctx, d("_id", from), note(op)); err != nil {
			return nil, err
		}
		return w.c.UpdateOne(ctx, d("_id", to), note(op))
	}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority()))
	if err == nil {
		w.h.ack(op, from, to)
	}
	return err
}

// readHistory reads all accounts, one by one in a transaction and then by one query, and checks
// what each shows.
func readHistory(ctx context.Context, c *mongo.Collection, h *history) error {
	s, err := c.Database().Client().StartSession()
	if err != nil {
		return err
	}
	defer s.EndSession(ctx)
	var one, query []account
	_, err = s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		one = nil
		for i := range accounts {
			var a account
			if err := c.FindOne(ctx, d("_id", i)).Decode(&a); err != nil {
				return nil, err
			}
			one = append(one, a)
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	if err := h.check(one, false); err != nil {
		return fmt.Errorf("in a transaction: %w", err)
	}
	cur, err := c.Find(ctx, d(), options.Find().SetBatchSize(1))
	if err == nil {
		err = cur.All(ctx, &query)
	}
	if err != nil {
		return err
	}
	if err := h.check(query, false); err != nil {
		return fmt.Errorf("by a query: %w", err)
	}
	return nil
}

// A commit that is sent again, because its answer was lost, is answered as the first was, also
// after a restart. An open transaction does not outlive the server.
func TestRetriedCommit(t *testing.T) {
	fs := vfs.NewMem()
	s, client := open(t, fs)
	inTxn := func(n byte, start bool, cmd ...any) D {
		db := "d"
		if cmd[1] == 1 { // the name of no collection
			db = "admin"
		}
		cmd = append(cmd, "$db", db, "lsid", lsidOf(n), "txnNumber", int64(3), "autocommit", false)
		if start {
			cmd = append(cmd, "startTransaction", true)
		}
		return d(cmd...)
	}
	c := dialRaw(t, s)
	for n := range byte(2) {
		must(0, ok(c.run(inTxn(n, true, "insert", "c", "documents", A{d("_id", int(n))}))))(t)
	}
	commit := func(n byte) bson.Raw { return c.run(inTxn(n, false, "commitTransaction", 1)) }
	for range 2 {
		must(0, ok(commit(0)))(t)
	}
	closeAll(t, s, client)

	s, client = open(t, fs)
	defer closeAll(t, s, client)
	c = dialRaw(t, s)
	must(0, ok(commit(0)))(t)
	for _, wanted := range []struct {
		reply bson.Raw
		code  int32
	}{
		{commit(1), 251},
		{c.run(inTxn(0, false, "insert", "c", "documents", A{d("_id", 7)})), 256},
		{c.run(inTxn(0, false, "abortTransaction", 1)), 256},
	} {
		if code, _ := wanted.reply.Lookup("code").Int32OK(); code != wanted.code {
			t.Errorf("%v, want code %d", wanted.reply, wanted.code)
		}
	}
	wantIDs(t, ids(t, client.Database("d").Collection("c"), testContext(t), d()), 0)
}

// The second commit of a transaction asks for more durability than the first: it waits for the
// disk.
func TestRetriedCommitIsDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, client := open(t, fs)
	defer closeAll(t, s, client)
	insertAll(t, client.Database("d").Collection("c"), d("_id", 1))
	c := dialRaw(t, s)
	generic := d("lsid", lsidOf(1), "txnNumber", int64(1), "autocommit", false)
	must(0, ok(c.run(append(d("insert", "c", "documents", A{d("_id", 2)}, "$db", "d",
		"startTransaction", true), generic...))))(t)
	commit := func(concern D) {
		t.Helper()
		must(0, ok(c.run(append(d("commitTransaction", 1, "$db", "admin", "writeConcern", concern), generic...))))(t)
	}
	commit(d("w", 1, "j", false))
	commit(d("w", "majority"))
	copied := must(docstore.Open(docstore.Options{Dir: "db", FS: fs.CrashClone(vfs.CrashCloneCfg{})}))(t)
	after := must(mongo.Connect(copied.ClientOptions()))(t)
	defer closeAll(t, copied, after)
	wantIDs(t, ids(t, after.Database("d").Collection("c"), testContext(t), d()), 1, 2)
}

// Who starts his next transaction with one open gives that up, and its cursors.
func TestAbandonedTransaction(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	must(0, ok(c.run(d("insert", "c", "documents", A{d("_id", 1), d("_id", 2)}, "$db", "d"))))(t)
	inTxn := func(number int64, cmd D) D {
		return append(cmd, d("$db", "d", "lsid", lsidOf(1), "txnNumber", number, "autocommit",
			false, "startTransaction", true)...)
	}
	must(0, ok(c.run(inTxn(1, d("find", "c", "batchSize", 1)))))(t)
	must(0, ok(c.run(inTxn(2, d("find", "c")))))(t)
	if n := s.Metrics().Cursors; n != 0 {
		t.Errorf("%d cursors are left", n)
	}
}
