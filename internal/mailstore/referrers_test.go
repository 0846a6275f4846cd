package mailstore

import (
	"context"
	"testing"

	"gadwall/dedupe"
	"gadwall/internal/uidset"
)

// A user with more messages than one snapshot shows is read page by page. Messages that move to and
// fro meanwhile, change or come count once each.
func TestReferrersOfLargeUser(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	first, last := e.box(t, u, "INBOX").Key, e.box(t, u, "Trash").Key
	const each = 6
	for n := range each {
		e.deliver(t, first, n, 0)
		e.deliver(t, last, each+n, 0)
	}
	move := func(uid uint32) {
		t.Helper()
		if _, err := e.Move(t.Context(), last, uidset.Of(uidset.Range{First: uid, Last: uid}), first); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	var met int64
	var found []dedupe.Finding
	a := dedupe.Auditor{
		Counter: e.contents.Refs(), Holds: e.HoldsContent, Found: func(f dedupe.Finding) { found = append(found, f) },
		Referrers: func(ctx context.Context, tally *dedupe.Tally) error {
			r := referrers{store: e.Store, tally: tally, page: 2, progress: func(_ context.Context, n int64) error {
				met = n
				calls++
				if calls == each/2+1 { // the first mailbox and two messages of the last are read
					move(each) // to where it is not seen any more
					move(1)    // was seen where it was
					e.deliver(t, first, 100, 0)
					if _, err := e.StoreFlags(t.Context(), first, uidset.Of(uidset.Range{First: 1, Last: 1}),
						FlagChange{Op: Add, Flags: Seen}); err != nil {
						t.Error(err)
					}
				}
				return nil
			}}
			return r.large(ctx, u.ID)
		},
	}
	sum, err := a.Audit(t.Context())
	// One was moved away before it was read in its old place: 11 are read first. Then come the two that
	// moved, the one whose flags changed, and the new one.
	if err != nil || len(found) > 0 || sum.Undecided > 0 || sum.Documents != 2*each+1 || met != 2*each-1+4 {
		t.Errorf("audited %+v, found %+v, met %d references; %v", sum, found, met, err)
	}
}
