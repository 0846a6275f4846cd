package docstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

// All benchmarks go through the driver. Each reports, beside the time, the processor time of client
// and server together: on a busy machine that is what can be compared.

// measure runs op b.N times, by so many goroutines, and reports per second and per operation. Each
// op is worth units of what.
func measure(b *testing.B, clients, units int, what string, op func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	before := processorTime(b)
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	n := float64(b.N * units)
	b.ReportMetric(n/b.Elapsed().Seconds(), what+"/s")
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchMessages fills a collection with n documents of 1 KB like those of messages.
func benchMessages(b *testing.B, n int) *mongo.Collection {
	b.Helper()
	c := dbtest.Database(b).Collection("messages")
	rng := rand.New(rand.NewPCG(1, 2))
	var docs []any
	for i := range n {
		docs = append(docs, benchMessage(rng, i))
		if len(docs) == 1000 {
			insertAll(b, c, docs...)
			docs = docs[:0]
		}
	}
	return c
}

// benchMessage is a message of 1 KB: some numbers, wire forms that compress, and a signature that
// does not.
func benchMessage(rng *rand.Rand, i int) D {
	sig := make([]byte, 400)
	for k := range sig {
		sig[k] = byte(rng.Uint32() & rng.Uint32())
	}
	return d("_id", bson.Binary{Data: messageKey(i)}, "b", bson.Binary{Data: messageKey(0)[:12]},
		"modseq", int64(i), "flags", int32(i%32),
		"size", int64(4096), "env", bson.Binary{Data: make([]byte, 450)}, "sig", bson.Binary{Data: sig})
}

func messageKey(uid int) []byte { return fmt.Appendf(nil, "user1mbox%07x", uid) }

// allMessages is the range of _id of benchMessages.
var allMessages = d("$gte", bson.Binary{Data: messageKey(0)}, "$lte", bson.Binary{Data: messageKey(0xfffffff)})

func drain(cur *mongo.Cursor, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	for cur.Next(context.Background()) {
		n++
	}
	return n, cur.Err()
}

// clients is the number of goroutines that a benchmark is run with.
var clients = []int{1, 8, 64}

func eachClients(b *testing.B, f func(b *testing.B, clients int)) {
	for _, n := range clients {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) { f(b, n) })
	}
}

// BenchmarkPointFind reads one document by its _id.
func BenchmarkPointFind(b *testing.B) {
	const n = 20_000
	c := benchMessages(b, n)
	eachClients(b, func(b *testing.B, clients int) {
		measure(b, clients, 1, "finds", func(i int) error {
			return c.FindOne(context.Background(), d("_id", bson.Binary{Data: messageKey(i * 7919 % n)})).Err()
		})
	})
}

// BenchmarkRangeScan reads two fields of each document of a range.
func BenchmarkRangeScan(b *testing.B) {
	const n = 20_000
	c := benchMessages(b, n)
	opts := options.Find().SetProjection(d("flags", 1, "modseq", 1)).SetBatchSize(10_000)
	measure(b, 1, n, "docs", func(int) error {
		got, err := drain(c.Find(context.Background(), d("_id", allMessages), opts))
		if err == nil && got != n {
			err = fmt.Errorf("found %d documents", got)
		}
		return err
	})
}

// BenchmarkSignatureScan looks for the few documents of a range in whose signature twenty bits are
// set.
func BenchmarkSignatureScan(b *testing.B) {
	const n = 100_000
	c := benchMessages(b, n)
	mask := make([]byte, 400)
	for i := range 20 {
		mask[i*20] = 0x01
	}
	filter := d("_id", allMessages, "sig", d("$bitsAllSet", bson.Binary{Data: mask}))
	measure(b, 1, n, "docs", func(int) error {
		_, err := drain(c.Find(context.Background(), filter))
		return err
	})
}

// BenchmarkInsert inserts 1 KB documents on the disk, with three indexes, each acknowledged when it
// is synced.
func BenchmarkInsert(b *testing.B) {
	eachClients(b, func(b *testing.B, clients int) {
		s, client := openOnDisk(b)
		defer closeAll(b, s, client)
		c := client.Database("d").Collection("c")
		createIndex(b, c, d("b", 1, "modseq", 1), nil)
		createIndex(b, c, d("flags", 1, "_id", 1), options.Index().SetPartialFilterExpression(d("size", d("$gt", 0))))
		createIndex(b, c, d("modseq", 1), options.Index().SetUnique(true))
		docs := make([]D, b.N)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range docs {
			docs[i] = benchMessage(rng, i)
		}
		before := s.Metrics()
		measure(b, clients, 1, "docs", func(i int) error {
			_, err := c.InsertOne(context.Background(), docs[i])
			return err
		})
		b.ReportMetric(float64(s.Metrics().LogSyncs-before.LogSyncs)/float64(b.N), "syncs/op")
	})
}

// BenchmarkTransaction is the least of a delivery on the disk: a counter moved and a document
// inserted in a transaction, each client with a counter of its own. (BenchmarkDeliver of package
// mailstore is the whole.)
func BenchmarkTransaction(b *testing.B) {
	eachClients(b, func(b *testing.B, clients int) {
		s, client := openOnDisk(b)
		defer closeAll(b, s, client)
		db := client.Database("d")
		boxes, messages := db.Collection("boxes"), db.Collection("messages")
		insertAll(b, messages, d("_id", -1))
		free := make(chan int, clients)
		for i := range clients {
			insertAll(b, boxes, d("_id", i, "n", 0))
			free <- i
		}
		measure(b, clients, 1, "txns", func(i int) error {
			box := <-free
			defer func() { free <- box }()
			sess, err := client.StartSession()
			if err != nil {
				return err
			}
			defer sess.EndSession(context.Background())
			_, err = sess.WithTransaction(context.Background(), func(ctx context.Context) (any, error) {
				if _, err := boxes.UpdateOne(ctx, d("_id", box), d("$inc", d("n", 1))); err != nil {
					return nil, err
				}
				return messages.InsertOne(ctx, d("_id", i, "pad", make([]byte, 1000)))
			})
			return err
		})
	})
}
