package mailstore

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
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

// The mod-sequences of many mailboxes are those of the ones that exist, by few queries.
func TestHighestModSeqs(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnvWith(t, db, Options{})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX")
	e.deliver(t, inbox.Key, 1, 0)
	gone, err := e.CreateMailbox(t.Context(), u.ID, "gone", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteMailbox(t.Context(), u.ID, "gone"); err != nil {
		t.Fatal(err)
	}
	keys := []mailkey.Mailbox{gone.Key}
	for n := range modSeqBatch {
		keys = append(keys, mailkey.NewUserID().Mailbox(uint32(n+1)))
	}
	keys = append(keys, inbox.Key)
	commands.Reset()
	got, err := e.HighestModSeqs(t.Context(), keys)
	if err != nil || commands.Total() != 2 {
		t.Fatalf("%v: %s", err, commands.Sequence())
	}
	want := map[mailkey.Mailbox]uint64{inbox.Key: e.box(t, u, "INBOX").HighestModSeq}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
