package mailstore

import (
	"context"
	"sync"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/uidset"
)

// Beside many deliveries to the same mailbox, a change of flags waits for few of their transactions,
// in the instance that delivers and in another one. Each transaction raises the mod-sequence by one,
// so mod-sequences count them.
func TestChangesAreNotStarvedByDeliveries(t *testing.T) {
	db := dbtest.Database(t)
	e, other := openEnv(t, db), openEnv(t, db)
	u := e.user(t)
	inbox := e.box(t, u, Inbox).Key
	e.deliver(t, inbox, 0, 0)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	stored := e.content(t, mail(1), 5000)
	for i := range 16 {
		wg.Go(func() {
			for n := i; n < len(stored.Magics) && ctx.Err() == nil; n += 16 {
				to := []Delivery{{Mailbox: inbox, Magic: stored.Magics[n]}}
				if _, err := e.Deliver(context.WithoutCancel(ctx), stored, to); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for name, instance := range map[string]*env{"same instance": e, "other instance": other} {
		const changes = 40
		var sum uint64
		for i := range changes {
			before := e.box(t, u, Inbox).HighestModSeq
			result, err := instance.StoreFlags(t.Context(), inbox, uidset.Set{{First: 1, Last: 1}},
				FlagChange{Op: Set, Flags: Flags(1 + i%2)})
			if err != nil {
				t.Fatal(err)
			}
			sum += result.ModSeq - before
		}
		if sum > 50*changes { // a change that starves waits for all of them
			t.Errorf("%s: %d changes waited for %d transactions", name, changes, sum)
		}
	}
	stop()
	wg.Wait()
}
