package maintenance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/heaptest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailkey"
)

// BenchmarkCheck checks stores of messages that have a content of their own each, and a blob that
// ten of them share, while mail is delivered to another user, one message after the other: as
// gadwall check does, and as a server does by itself. Beside the time it reports the peak of the
// heap above what it was before (the embedded database included, which is on disk), and the median,
// 99th percentile and maximum of the deliveries before (idle) and meanwhile (busy).
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{20_000, 200_000} {
		for _, paced := range []bool{false, true} {
			b.Run(fmt.Sprintf("messages=%d/paced=%v", n, paced), func(b *testing.B) {
				s := openStore(b, dbtest.OnDisk(b), time.Now)
				s.plantUsed(b, n, n/10)
				box := s.box(b, s.user(b, "other@example.com"), "INBOX")
				for b.Loop() {
					b.StopTimer()
					idle := s.latencies(b, box, func() { <-time.After(5 * time.Second) })
					before, peak := heaptest.Settled(), heaptest.Watch()
					b.StartTimer()
					busy := s.latencies(b, box, func() {
						pacer := &Pacer{Check: func(context.Context) error { return nil }, Now: time.Now, Rest: Rest}
						o := CheckOptions{Found: func(f Finding) { b.Errorf("found %+v", f) },
							Wait: func(context.Context, time.Duration) error { return nil }}
						if paced {
							o.Guard, o.Progress = pacer.Guard, func(Progress) {}
						}
						if _, err := Check(b.Context(), s.Store, o); err != nil {
							b.Error(err)
						}
					})
					b.StopTimer()
					b.ReportMetric(float64((peak().InUse-before.InUse)>>10)/1024, "heap-MiB")
					for name, l := range map[string][]time.Duration{"idle": idle, "busy": busy} {
						for q, at := range map[string]int{"p50": len(l) / 2,
							"p99": len(l) * 99 / 100, "max": len(l) - 1} {
							b.ReportMetric(float64(l[at].Microseconds())/1000, name+"-"+q+"-ms")
						}
					}
					b.StartTimer()
				}
			})
		}
	}
}

// plantUsed stores messages with contents and blobs: copies of one of each.
func (s *store) plantUsed(b *testing.B, n, blobs int) {
	b.Helper()
	ctx := b.Context()
	u := s.user(b, "ada@example.com")
	box := s.box(b, u, "INBOX")
	s.deliver(b, mailgen.Simple("many"), 0, nil, box)
	messages := s.db.Collection("messages")
	message := s.take(b, messages)
	s.take(b, s.db.Collection("contents"))
	magic := field(message, "g").(int64)
	s.plantUnused(b, n, blobs)
	if _, err := s.db.Collection("contents").UpdateMany(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{
		{Key: "refs", Value: int64(1)}, {Key: "magic", Value: magic}}}}); err != nil {
		b.Fatal(err)
	}
	insertAll(b, messages, n, func(i int) bson.D {
		return with(message, "_id", box.Message(uint32(i+1)).Binary(), "c", bson.Binary{Data: numbered(i)})
	})
	// Counters and references become what is there.
	if _, err := Check(ctx, s.Store, CheckOptions{Repair: true, Offline: true, Found: func(Finding) {}}); err != nil {
		b.Fatal(err)
	}
}

// latencies delivers small messages one after the other while f runs, and returns how long each
// took, sorted.
func (s *store) latencies(b *testing.B, box mailkey.Mailbox, f func()) []time.Duration {
	b.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	var l []time.Duration
	for i := 0; ; i++ {
		select {
		case <-ended:
			slices.Sort(l)
			return l
		default:
		}
		began := time.Now()
		s.deliver(b, mailgen.Simple(fmt.Sprintf("message %d of %v", i, began)), 0, nil, box)
		l = append(l, time.Since(began))
	}
}
