package maintenance

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/heaptest"
	"gadwall/internal/mailkey"
)

// BenchmarkAudit audits the references of messages to contents: users with a thousand messages each,
// and for two messages a content. Documents go directly into the database. It reports the processor
// time of the process, the database included, which other processes do not distort, and the peak of
// the heap above what it was before.
func BenchmarkAudit(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			s := openStore(b, dbtest.OnDisk(b), time.Now)
			box := func(i int) mailkey.Mailbox {
				var user mailkey.UserID
				binary.BigEndian.PutUint64(user[:], uint64(i/1000)*0x9e3779b97f4a7c15)
				return user.Mailbox(1)
			}
			insertAll(b, s.db.Collection("contents"), n/2, func(i int) bson.D {
				return bson.D{{Key: "_id", Value: bson.Binary{Data: numbered(i)}}, {Key: "refs", Value: int64(2)},
					{Key: "magic", Value: int64(2*i + 1 + 2*i + 2)}, {Key: "touched", Value: time.Unix(1, 0)}}
			})
			insertAll(b, s.db.Collection("messages"), n, func(i int) bson.D {
				return bson.D{{Key: "_id", Value: box(i).Message(uint32(i%1000 + 1)).Binary()},
					{Key: "c", Value: bson.Binary{Data: numbered(i / 2)}}, {Key: "g", Value: int64(i + 1)}}
			})
			for b.Loop() {
				c, err := newCheck(b.Context(), s.Store, CheckOptions{
					Found: func(f Finding) { b.Errorf("found %+v", f) }})
				if err != nil {
					b.Fatal(err)
				}
				before, peak, began := heaptest.Settled(), heaptest.Watch(), processorTime(b)
				if err := c.run(b.Context(), c.stages()[stageContentRefs]); err != nil {
					b.Fatal(err)
				}
				used := processorTime(b) - began
				b.ReportMetric(float64((peak().InUse-before.InUse)>>10)/1024, "heap-MiB")
				b.ReportMetric(used.Seconds(), "cpu-s")
				if c.sum.Contents.References != int64(n) || c.sum.Contents.Documents != int64(n/2) {
					b.Errorf("audited %+v", c.sum.Contents)
				}
			}
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
