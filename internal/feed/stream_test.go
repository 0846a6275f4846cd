package feed

import (
	"context"
	"errors"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

// next waits for a page.
func next(t *testing.T, s *Stream) []Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	page, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events
}

func follow(t *testing.T, i *instance, e *env, since string) *Stream {
	t.Helper()
	s, err := i.Follow(t.Context(), e.user, since)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A stream tells what was before it, what an event wakes it up for, and ends with its context.
func TestStream(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	inbox := e.box(t, e.user, "INBOX")
	since := e.now(t, e.user)
	e.deliver(t, inbox, 1)
	s := follow(t, e.instance, e, since)
	if got := next(t, s); kinds(got) != "new" || got[0].Message.UID != 1 {
		t.Errorf("before: %+v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Next(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	e.deliver(t, inbox, 2)
	if got := next(t, s); kinds(got) != "new" || got[0].Message.UID != 2 {
		t.Errorf("woken up: %+v", got)
	}
	// The bus closes before the stream does.
	if err := e.Bus.Close(); err != nil {
		t.Fatal(err)
	}
	e.deliver(t, inbox, 3)
	if got := next(t, s); kinds(got) != "new" || got[0].Message.UID != 3 {
		t.Errorf("without a bus: %+v", got)
	}
}

// A stream finds what another process does, of which no event tells.
func TestStreamPolls(t *testing.T) {
	db := dbtest.Database(t)
	one, two := newInstance(t, db, quota.Policy{}), newInstance(t, db, quota.Policy{})
	e := &env{one, one.newUser(t)}
	s := follow(t, two, e, two.now(t, e.user))
	e.deliver(t, e.box(t, e.user, "INBOX"), 1)
	if got := next(t, s); kinds(got) != "new" {
		t.Errorf("%+v", got)
	}
}

// An event may come before the database shows what it tells of.
func TestStreamLooksAgain(t *testing.T) {
	db := dbtest.Database(t)
	bus := events.NewLocal()
	t.Cleanup(func() { _ = bus.Close() })
	st := storetest.Open(t, storetest.Options{Database: db, Bus: bus})
	i := &instance{st, New(Options{Store: st.Store, Bus: bus})}
	e := &env{i, i.newUser(t)}
	inbox := e.box(t, e.user, "INBOX")
	s := follow(t, i, e, i.now(t, e.user))
	_ = bus.Publish(t.Context(), events.Event{User: e.user, Mailbox: inbox.Number(), ModSeq: 2, Kind: events.New})
	for limit := time.Now().Add(time.Minute); !s.missing() || s.tries == 0; {
		if time.Now().After(limit) {
			t.Fatalf("it does not look again: %v, %d tries", s.told, s.tries)
		}
		quiet, cancel := context.WithTimeout(t.Context(), 3*retryInterval)
		page, err := s.Next(quiet)
		if err == nil || quiet.Err() == nil {
			t.Fatalf("%+v, %v", page, err)
		}
		cancel()
	}
	newInstance(t, db, quota.Policy{}).deliver(t, inbox, 1) // unheard
	if got := next(t, s); kinds(got) != "new" || s.missing() {
		t.Errorf("%+v, %v", got, s.told)
	}
}
