package mailstore

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// BenchmarkDeliver delivers stored contents, by so many writers into so many mailboxes (of a user
// each), on the disk. Beside the throughput it reports the 99th percentile of the time a writer
// waits.
func BenchmarkDeliver(b *testing.B) {
	for _, boxes := range []int{1, 64} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("mailboxes=%d/writers=%d", boxes, writers), func(b *testing.B) {
				e := openEnv(b, dbtest.OnDisk(b))
				keys := make([]mailkey.Mailbox, boxes)
				for i := range keys {
					keys[i] = e.box(b, e.user(b), Inbox).Key
				}
				stored := e.content(b, mail(1), b.N)
				var next atomic.Int64
				waits := make([]time.Duration, b.N)
				b.ResetTimer()
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= b.N {
								return
							}
							start := time.Now()
							got, err := e.Deliver(b.Context(), stored,
								[]Delivery{{Mailbox: keys[i%boxes], Magic: stored.Magics[i]}})
							if err != nil || got[0].Err != nil {
								b.Error(err, got)
								return
							}
							waits[i] = time.Since(start)
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				slices.Sort(waits)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// BenchmarkMessages reads a mailbox.
func BenchmarkMessages(b *testing.B) {
	e := newEnv(b)
	box := e.box(b, e.user(b), Inbox).Key
	const n = 10_000
	for start := 0; start < n; start += MaxRecipients {
		stored := e.content(b, mail(1), MaxRecipients)
		list := make([]Delivery, MaxRecipients)
		for i := range list {
			list[i] = Delivery{Mailbox: box, Magic: stored.Magics[i]}
		}
		if _, err := e.Deliver(b.Context(), stored, list); err != nil {
			b.Fatal(err)
		}
	}
	for _, bm := range []struct {
		name   string
		fields Fields
	}{{"flags", FieldFlags}, {"envelope", FieldFlags | FieldDates | FieldSize | FieldEnvelope}, {"all", FieldAll}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				count := 0
				for _, err := range e.Messages(b.Context(), box, Query{}, bm.fields) {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				if count != n {
					b.Fatal(count)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
	b.Run("uids", func(b *testing.B) {
		for b.Loop() {
			uids, err := e.UIDs(b.Context(), box, Query{})
			if err != nil || len(uids) != n {
				b.Fatal(len(uids), err)
			}
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msg/s")
	})
}

// BenchmarkStoreFlags marks a mailbox as seen and unseen.
func BenchmarkStoreFlags(b *testing.B) {
	e := newEnv(b)
	box := e.box(b, e.user(b), Inbox).Key
	const n = 1000
	e.fill(b, box, n, nil)
	op := Add
	for b.Loop() {
		got, err := e.StoreFlags(b.Context(), box, uidset.All(), FlagChange{Op: op, Flags: Seen})
		if err != nil || len(got.Changed) != n {
			b.Fatal(err)
		}
		op = Add + Remove - op
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msg/s")
}
