package dedupe

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gadwall/internal/dbtest"
)

// BenchmarkReleaseShared lets 16 users at once release a reference to each of the same 100
// documents (the same mail, expunged by all of them): by updates, as is done, and in a transaction
// each, as would be needed to lose none in a crash. One op is a release of all 16.
func BenchmarkReleaseShared(b *testing.B) {
	const users, documents = 16, 100
	for _, transaction := range []bool{false, true} {
		b.Run(fmt.Sprintf("transaction=%v", transaction), func(b *testing.B) {
			coll := dbtest.OnDisk(b).Collection("c")
			c := NewCounter(coll, "_id", "")
			var refs []Ref
			for i := range documents {
				h := Sum([]byte(fmt.Sprint(i)))
				insert(b, coll, "_id", "", h)
				refs = append(refs, Ref{h, 1})
			}
			tries := 0
			for b.Loop() {
				b.StopTimer()
				for range users {
					if err := c.AddMany(b.Context(), refs); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				var group errgroup.Group
				var counted [users]int
				for i := range users {
					group.Go(func() error {
						if !transaction {
							return c.RemoveMany(b.Context(), refs)
						}
						return transact(b.Context(), coll.Database().Client(), time.Minute,
							func(ctx context.Context) error {
								counted[i]++
								return c.RemoveMany(ctx, refs)
							})
					})
				}
				if err := group.Wait(); err != nil {
					b.Fatal(err)
				}
				for _, n := range counted {
					tries += n
				}
			}
			if transaction {
				b.ReportMetric(float64(tries)/float64(users*b.N), "tries/release")
			}
		})
	}
}
