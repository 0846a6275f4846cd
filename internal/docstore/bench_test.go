package docstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
)

// benchMessages fills a collection with documents of 1 KB like those of messages.
func benchMessages(b *testing.B, n int) *mongo.Collection {
	b.Helper()
	c := dbtest.Database(b).Collection("messages")
	rng := rand.New(rand.NewPCG(1, 2))
	sig := make([]byte, 400)
	var docs []any
	for i := range n {
		for k := range sig {
			sig[k] = byte(rng.Uint32() & rng.Uint32())
		}
		docs = append(docs, d("_id", bson.Binary{Data: messageKey(i)}, "modseq", int64(i), "flags", int32(i%32),
			"size", int64(4096), "env", bson.Binary{Data: make([]byte, 450)}, "sig", bson.Binary{Data: append([]byte(nil), sig...)}))
	}
	insertAll(b, c, docs...)
	b.ReportAllocs()
	b.ResetTimer()
	return c
}

func messageKey(uid int) []byte { return fmt.Appendf(nil, "userkey1mbox%04x", uid) }

func drain(b *testing.B, cur *mongo.Cursor, err error) int {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for cur.Next(context.Background()) {
		n++
	}
	if cur.Err() != nil {
		b.Fatal(cur.Err())
	}
	return n
}

func BenchmarkPointFind(b *testing.B) {
	c := benchMessages(b, 20000)
	for i := range b.N {
		err := c.FindOne(context.Background(), d("_id", bson.Binary{Data: messageKey(i % 20000)})).Err()
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRangeScan(b *testing.B) {
	c := benchMessages(b, 20000)
	filter := d("_id", d("$gte", bson.Binary{Data: messageKey(0)}, "$lte", bson.Binary{Data: messageKey(0xffff)}))
	for range b.N {
		cur, err := c.Find(context.Background(), filter, options.Find().SetProjection(d("flags", 1, "modseq", 1)).SetBatchSize(10000))
		if n := drain(b, cur, err); n != 20000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkSignatureScan(b *testing.B) {
	c := benchMessages(b, 20000)
	mask := make([]byte, 400)
	for i := 0; i < 20; i++ {
		mask[i*20] = 0x11
	}
	filter := d("_id", d("$gte", bson.Binary{Data: messageKey(0)}, "$lte", bson.Binary{Data: messageKey(0xffff)}),
		"sig", d("$bitsAllSet", bson.Binary{Data: mask}))
	for range b.N {
		cur, err := c.Find(context.Background(), filter)
		drain(b, cur, err)
	}
}

// BenchmarkDurableInsert inserts 1 KB documents on the disk, each acknowledged when it is synced.
func BenchmarkDurableInsert(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := must(docstore.Open(docstore.Options{Dir: b.TempDir()}))(b)
			client := must(mongo.Connect(s.ClientOptions()))(b)
			defer closeAll(b, s, client)
			c := client.Database("d").Collection("c")
			pad := bson.Binary{Data: make([]byte, 1000)}
			insertAll(b, c, d("_id", -1))
			before := s.Metrics()
			var next atomic.Int64
			b.SetParallelism(max(1, writers/2)) // of two processors
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.InsertOne(context.Background(), d("_id", next.Add(1), "pad", pad)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			after := s.Metrics()
			b.ReportMetric(float64(after.LogSyncs-before.LogSyncs)/float64(b.N), "syncs/op")
		})
	}
}

// BenchmarkTransaction is a delivery: one counter moved, one document inserted, in a transaction.
func BenchmarkTransaction(b *testing.B) {
	s := must(docstore.Open(docstore.Options{Dir: b.TempDir()}))(b)
	client := must(mongo.Connect(s.ClientOptions()))(b)
	defer closeAll(b, s, client)
	db := client.Database("d")
	insertAll(b, db.Collection("box"), d("_id", 1, "n", 0))
	insertAll(b, db.Collection("messages"), d("_id", -1))
	sess := must(client.StartSession())(b)
	defer sess.EndSession(context.Background())
	b.ResetTimer()
	for i := range b.N {
		_, err := sess.WithTransaction(context.Background(), func(ctx context.Context) (any, error) {
			if _, err := db.Collection("box").UpdateOne(ctx, d("_id", 1), d("$inc", d("n", 1))); err != nil {
				return nil, err
			}
			return db.Collection("messages").InsertOne(ctx, d("_id", i, "pad", make([]byte, 1000)))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
