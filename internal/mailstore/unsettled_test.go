package mailstore

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/faultnet"
	"gadwall/internal/uidset"
)

// takeEvent returns an event that has arrived.
func takeEvent(t *testing.T, sub *events.Subscription) events.Event {
	t.Helper()
	select {
	case ev := <-sub.C():
		return ev
	default:
		t.Error("no event")
		return events.Event{}
	}
}

// Sessions are told to look when it is unknown whether something was committed: at once, and again
// when the database answers.
func TestUnknownOutcomeIsTold(t *testing.T) {
	all := uidset.All()
	for name, change := range map[string]func(ctx context.Context, e *env, inbox, archive *Mailbox) error{
		"delivery": func(ctx context.Context, e *env, inbox, _ *Mailbox) error {
			stored := e.content(t, mail(9), 1)
			got, err := e.Deliver(ctx, stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
			if err != nil {
				return err
			}
			return got[0].Err
		},
		"flags": func(ctx context.Context, e *env, inbox, _ *Mailbox) error {
			_, err := e.StoreFlags(ctx, inbox.Key, all, FlagChange{Op: Add, Flags: Seen})
			return err
		},
		"expunge": func(ctx context.Context, e *env, inbox, _ *Mailbox) error {
			_, _, err := e.Expunge(ctx, inbox.Key, nil)
			return err
		},
		"copy": func(ctx context.Context, e *env, inbox, archive *Mailbox) error {
			_, err := e.Copy(ctx, inbox.Key, all, archive.Key)
			return err
		},
		"move": func(ctx context.Context, e *env, inbox, archive *Mailbox) error {
			_, err := e.Move(ctx, inbox.Key, all, archive.Key)
			return err
		},
		"rename": func(ctx context.Context, e *env, _, archive *Mailbox) error {
			return e.RenameMailbox(ctx, archive.Key.User(), archive.Path, "Elsewhere")
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, network := newFaultyServer(t).impatientClient(t, 500*time.Millisecond)
			e := openEnvWith(t, client.Database(dbtest.Database(t).Name()),
				Options{commitTimeout: 100 * time.Millisecond, settlePause: time.Millisecond})
			u := e.user(t)
			inbox, archive := e.box(t, u, "INBOX"), e.box(t, u, "Archive")
			e.deliver(t, inbox.Key, 1, Deleted)
			sub := e.bus.Subscribe(u.ID)
			defer sub.Close()
			network.set(faultnet.LosePartner, false)
			if err := change(t.Context(), e, inbox, archive); !mayHaveCommitted(err) {
				t.Fatal(err)
			}
			want := events.Resync
			if ev := takeEvent(t, sub); ev.Kind != want || ev.User != u.ID {
				t.Errorf("at once: %+v", ev)
			}
			network.set(faultnet.Pass, false)
			select {
			case ev := <-sub.C():
				if ev.Kind != want || ev.User != u.ID {
					t.Errorf("when the database answers: %+v", ev)
				}
			case <-time.After(time.Minute):
				t.Error("nothing when the database answers")
			}
			// What the event announces is there.
			box, err := e.MailboxByKey(t.Context(), inbox.Key)
			if err != nil || name != "rename" && name != "copy" && box.HighestModSeq < 3 {
				t.Errorf("%+v, %v", box, err)
			}
		})
	}
}

// A commit of unknown outcome may be on its way as long as its transaction may be open. So sessions are
// told until then, and once more when the outcome is certain.
func TestUnknownOutcomeIsToldUntilItIsCertain(t *testing.T) {
	const end = 300 * time.Millisecond
	client, network := newFaultyServer(t).impatientClient(t, 500*time.Millisecond)
	e := openEnvWith(t, client.Database(dbtest.Database(t).Name()),
		Options{commitTimeout: 100 * time.Millisecond, settlePause: time.Millisecond, transactionEnd: end})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX")
	e.deliver(t, inbox.Key, 1, 0)
	sub := e.bus.Subscribe(u.ID)
	defer sub.Close()
	network.set(faultnet.LosePartner, false)
	_, err := e.StoreFlags(t.Context(), inbox.Key, uidset.All(), FlagChange{Op: Add, Flags: Seen})
	if !mayHaveCommitted(err) {
		t.Fatal(err)
	}
	takeEvent(t, sub)
	// The store's own time: a moment later, and the last look would come before the test expects it.
	e.unsettled.mu.Lock()
	unknown := e.unsettled.users[u.ID].since
	e.unsettled.mu.Unlock()
	network.set(faultnet.Pass, false)
	for last := time.Duration(0); last < end; last = time.Since(unknown) {
		select {
		case ev := <-sub.C():
			if ev.Kind != events.Resync || ev.User != u.ID {
				t.Errorf("%+v", ev)
			}
		case <-time.After(time.Minute):
			t.Fatalf("nothing came later than %v after the transaction", last)
		}
	}
}

// The pauses between two looks grow, and after the last look the user is forgotten.
func TestLooksAfterAnUnknownOutcome(t *testing.T) {
	e := openEnvWith(t, dbtest.Database(t), Options{settlePause: time.Hour})
	u := e.user(t)
	sub := e.bus.Subscribe(u.ID)
	defer sub.Close()
	e.unsettled.running = true // by the test: a loop that began late would look in between
	e.tellUnknown(t.Context(), u.ID)
	takeEvent(t, sub)
	d := e.unsettled.users[u.ID]
	for _, tt := range []struct {
		after time.Duration
		least time.Duration // until the look after it; 0 for none
	}{
		{2 * time.Second, 8 * time.Second},
		{8 * time.Second, 32 * time.Second},
		{32 * time.Second, transactionEnd},
		{transactionEnd - time.Second, transactionEnd},
		{transactionEnd, 0},
	} {
		d.since, d.next = time.Now().Add(-tt.after), time.Now()
		if err := e.settleDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		takeEvent(t, sub)
		if err := e.settleDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(sub.C()); n > 0 {
			t.Errorf("after %v: %d more events at once", tt.after, n)
		}
		if left := e.unsettled.users[u.ID] != nil; left != (tt.least > 0) {
			t.Errorf("after %v: the user is left %v", tt.after, left)
		} else if pause := d.next.Sub(d.since); left && (pause < tt.least || pause > transactionEnd) {
			t.Errorf("after %v: the next look is after %v, want %v", tt.after, pause, tt.least)
		}
	}
}

// Whoever sees an event of a change need not wait until space is given back.
func TestEventComesBeforeRelease(t *testing.T) {
	var sub atomic.Pointer[events.Subscription]
	var told, untold atomic.Int32
	db := dbtest.Watched(t, &event.CommandMonitor{
		Started: func(_ context.Context, c *event.CommandStartedEvent) {
			s := sub.Load()
			coll, _ := c.Command.Lookup(c.CommandName).StringValueOK()
			if s == nil || c.CommandName == "find" || coll != "contents" {
				return
			}
			if len(s.C()) > 0 {
				told.Add(1)
			} else {
				untold.Add(1)
			}
		},
	})
	e := openEnv(t, db)
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX"), e.box(t, u, "Archive")
	e.deliver(t, inbox.Key, 1, Deleted)
	old := e.deliver(t, archive.Key, 2, 0)
	item := e.replacing(t, archive, mail(3))
	for name, change := range map[string]func() error{
		"expunge": func() error {
			_, _, err := e.Expunge(t.Context(), inbox.Key, nil)
			return err
		},
		"replace": func() error {
			_, err := e.Replace(t.Context(), item, archive.Key, old.UID)
			return err
		},
	} {
		told.Store(0)
		untold.Store(0)
		own := e.bus.Subscribe(u.ID)
		sub.Store(own)
		err := change()
		sub.Store(nil)
		own.Close()
		if err != nil || told.Load() == 0 || untold.Load() > 0 {
			t.Errorf("%s: contents were changed %d times after the event, and %d times before it; %v", name,
				told.Load(), untold.Load(), err)
		}
	}
}
