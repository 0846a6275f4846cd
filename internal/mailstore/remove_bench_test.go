package mailstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
	"gadwall/internal/heaptest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// A longOperation is done to a mailbox "Archive" full of messages with \Deleted.
type longOperation struct {
	name string
	run  func(ctx context.Context, e *env, u *User, box *Mailbox) error
}

// BenchmarkRemove expunges a mailbox of messages that each have a content of their own, and deletes
// such a mailbox and its user, while another user works; see benchLong.
func BenchmarkRemove(b *testing.B) {
	for _, n := range []int{50_000, 200_000} {
		for _, op := range []longOperation{
			{"expunge", func(ctx context.Context, e *env, u *User, box *Mailbox) error {
				_, _, err := e.Expunge(ctx, box.Key, nil)
				return err
			}},
			{"mailbox", func(ctx context.Context, e *env, u *User, box *Mailbox) error {
				if err := e.DeleteMailbox(ctx, u.ID, box.Path); err != nil {
					return err
				}
				return e.FinishDeletions(ctx) // it may take longer than DeleteMailbox waits
			}},
			{"user", func(ctx context.Context, e *env, u *User, box *Mailbox) error { return e.DeleteUser(ctx, u.ID) }},
		} {
			benchLong(b, op, n)
		}
	}
}

// BenchmarkTransfer copies, moves and flags all messages of a mailbox, while another user works;
// see benchLong.
func BenchmarkTransfer(b *testing.B) {
	const n = 50_000
	for _, op := range []longOperation{
		{"copy", func(ctx context.Context, e *env, u *User, box *Mailbox) error {
			_, err := e.Copy(ctx, box.Key, uidset.All(), e.box(b, u, Inbox).Key)
			return err
		}},
		{"move", func(ctx context.Context, e *env, u *User, box *Mailbox) error {
			_, err := e.Move(ctx, box.Key, uidset.All(), e.box(b, u, Inbox).Key)
			return err
		}},
		{"store", func(ctx context.Context, e *env, u *User, box *Mailbox) error {
			_, err := e.StoreFlags(ctx, box.Key, uidset.All(), FlagChange{Op: Add, Flags: Seen})
			return err
		}},
	} {
		benchLong(b, op, n)
	}
}

// benchLong measures the operation on n messages while mail for another user is delivered, one
// message after the other, and read as NOOP and FETCH do; and then, on another mailbox, while
// nobody else is there (alone-s). Beside the time it reports the peak of the heap above what it was
// before (the embedded database included, which is on disk), the processor time of the process (the
// other user's included), the largest transaction as sent, and the median, 99th percentile and
// maximum of the other user's deliveries before (idle) and meanwhile (busy), and of the reading
// meanwhile (read).
func benchLong(b *testing.B, op longOperation, n int) {
	b.Run(fmt.Sprintf("%s/messages=%d", op.name, n), func(b *testing.B) {
		e, sizes := openOnDisk(b)
		other := e.user(b)
		fill := func() (*User, *Mailbox) {
			u := e.user(b)
			box := e.box(b, u, "Archive")
			e.fillDistinct(b, box.Key, n)
			return u, box
		}
		for b.Loop() {
			b.StopTimer()
			u, box := fill()
			idle, _ := e.latencies(b, other, func() { <-time.After(3 * time.Second) })
			sizes.reset()
			before, peak, cpu := heaptest.Settled(), heaptest.Watch(), processorTime(b)
			b.StartTimer()
			busy, read := e.latencies(b, other, func() {
				if err := op.run(b.Context(), e, u, box); err != nil {
					b.Error(err)
				}
			})
			b.StopTimer()
			b.ReportMetric(float64((peak().Objects-before.Objects)>>10)/1024, "heap-MiB")
			b.ReportMetric((processorTime(b) - cpu).Seconds(), "cpu-s")
			b.ReportMetric(float64(sizes.largest())/1024, "txn-KiB")
			report := func(name string, l []time.Duration) {
				for _, q := range []struct {
					name string
					at   int
				}{{"p50", len(l) / 2}, {"p99", len(l) * 99 / 100}, {"max", len(l) - 1}} {
					b.ReportMetric(float64(l[q.at].Microseconds())/1000, name+"-"+q.name+"-ms")
				}
			}
			report("idle", idle)
			report("busy", busy)
			report("read", read)
			u, box = fill()
			start := time.Now()
			if err := op.run(b.Context(), e, u, box); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(start).Seconds(), "alone-s")
			b.StartTimer()
		}
	})
}

// openOnDisk opens a Store on a database that is not in memory.
func openOnDisk(b *testing.B) (*env, *transactionSizes) {
	b.Helper()
	sizes := &transactionSizes{sums: make(map[string]int)}
	var opts *options.ClientOptions
	if dbtest.Embedded() {
		server, err := docstore.Open(docstore.Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := server.Close(); err != nil {
				b.Error(err)
			}
		})
		opts = server.ClientOptions()
	} else {
		opts = options.Client().ApplyURI(os.Getenv(dbtest.URIVariable))
	}
	client, err := mongo.Connect(opts.SetMonitor(&event.CommandMonitor{Started: sizes.started}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return openEnv(b, client.Database(dbtest.Database(b).Name())), sizes
}

// transactionSizes sums up the commands of each transaction.
type transactionSizes struct {
	mu   sync.Mutex
	sums map[string]int
}

func (s *transactionSizes) started(_ context.Context, ev *event.CommandStartedEvent) {
	if _, ok := ev.Command.Lookup("autocommit").BooleanOK(); !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums[ev.Command.Lookup("lsid").String()+ev.Command.Lookup("txnNumber").String()] += len(ev.Command)
}

func (s *transactionSizes) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums = make(map[string]int)
}

func (s *transactionSizes) largest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 0
	for _, n := range s.sums {
		most = max(most, n)
	}
	return most
}

// processorTime is what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// fillDistinct appends messages with \Deleted, each of which has a content of its own, in name.
func (e *env) fillDistinct(b *testing.B, box mailkey.Mailbox, n int) {
	b.Helper()
	stored := e.content(b, mail(1), 1)
	for left := n; left > 0; left -= maxBatch {
		items := make([]AppendItem, min(left, maxBatch))
		docs := make([]any, len(items))
		for i := range items {
			own := *stored
			own.ID = contents.ID{}
			rand.Read(own.ID[:])
			magic := dedupe.NewMagic()
			items[i] = NewAppendItem(&own, Delivery{Mailbox: box, Flags: Deleted, Magic: magic})
			docs[i] = bson.D{{Key: "_id", Value: dedupe.Hash(own.ID).Binary()},
				{Key: "refs", Value: int64(1)}, {Key: "magic", Value: int64(magic)}}
		}
		if _, err := e.db.Collection("contents").InsertMany(b.Context(), docs); err != nil {
			b.Fatal(err)
		}
		if _, err := e.Append(b.Context(), items); err != nil {
			b.Fatal(err)
		}
	}
}

// latencies delivers one message after the other to a user, and reads what is new, until f has
// returned. It returns how long each delivery and each reading took, sorted.
func (e *env) latencies(b *testing.B, u *User, f func()) (deliver, read []time.Duration) {
	b.Helper()
	inbox := e.box(b, u, Inbox)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			start := time.Now()
			d := e.deliver(b, inbox.Key, len(deliver), 0)
			delivered := time.Now()
			if _, err := e.Changes(b.Context(), inbox.Key, d.ModSeq-1); err != nil {
				b.Error(err)
				return
			}
			e.list(b, inbox.Key, Query{UIDs: uidset.Set{{First: d.UID, Last: d.UID}}}, FieldAll)
			deliver, read = append(deliver, delivered.Sub(start)), append(read, time.Since(delivered))
		}
	})
	f()
	close(done)
	wg.Wait()
	slices.Sort(deliver)
	slices.Sort(read)
	return deliver, read
}
