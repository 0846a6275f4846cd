package mailstore

import (
	"context"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/uidset"
)

// TestChangesWhileChanging: a message that changes once more while the changes are read is still
// among them.
func TestChangesWhileChanging(t *testing.T) {
	var hook atomic.Pointer[func()]
	monitor := &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		if e.CommandName == "find" {
			if f := hook.Swap(nil); f != nil {
				(*f)()
			}
		}
	}}
	client := dbtest.NewClient(t, options.Client().SetMonitor(monitor))
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	inbox := e.box(t, e.user(t), "INBOX").Key
	e.deliver(t, inbox, 1, 0)
	since := e.deliver(t, inbox, 2, 0).ModSeq
	flag := func(flags Flags) uint64 {
		result, err := e.StoreFlags(t.Context(), inbox, uidset.Set{{First: 1, Last: 1}},
			FlagChange{Op: Set, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return result.ModSeq
	}
	first := flag(Seen)
	// After the mailbox's mod-sequence was read, which is the first thing.
	again := func() { flag(Seen | Flagged) }
	hook.Store(&again)
	c, err := e.Changes(t.Context(), inbox, since)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mailbox.HighestModSeq != first {
		t.Fatalf("mod-sequence %d, want %d: the message changed too early", c.Mailbox.HighestModSeq, first)
	}
	if len(c.Changed) != 1 || c.Changed[0].UID != 1 || c.Changed[0].Flags&Seen == 0 {
		t.Errorf("changed: %+v, want UID 1", c.Changed)
	}
	if next, err := e.Changes(t.Context(), inbox, first); err != nil || len(next.Changed) != 1 ||
		next.Changed[0].Flags != Seen|Flagged {
		t.Errorf("then: %+v, %v", next, err)
	}
}
