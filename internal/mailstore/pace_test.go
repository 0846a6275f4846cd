package mailstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// TestPacerRests: a long operation rests for as long as its last batch took if others had work
// meanwhile, and not otherwise.
func TestPacerRests(t *testing.T) {
	e := newEnv(t)
	own, other := mailkey.UserID{1}, mailkey.UserID{2}
	for _, tt := range []struct {
		name  string
		work  func()
		rests bool
	}{
		{"nobody", func() {}, false},
		{"the user alone", func() { e.traffic.note(own) }, false},
		{"others", func() { e.traffic.note(other) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &pacer{store: e.Store, user: own}
			start := time.Now()
			if err := p.batch(t.Context(), func() error { tt.work(); return nil }); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); (p.rest > 0) != tt.rests || p.rest > took {
				t.Errorf("after a batch of at most %v it rests for %v", took, p.rest)
			}
		})
	}
	p := &pacer{store: e.Store, user: own, begun: true, rest: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.batch(ctx, func() error {
		t.Error("a batch of an operation that has ended")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPacerTurns: of the batches after the first, only so many run at a time; an operation of one
// batch waits for nobody.
func TestPacerTurns(t *testing.T) {
	e := newEnv(t)
	for range cap(e.long) {
		e.long <- struct{}{}
	}
	ran := make(chan struct{}, 2)
	done := make(chan error, 1)
	go func() {
		p := &pacer{store: e.Store}
		for range 2 {
			if err := p.batch(t.Context(), func() error { ran <- struct{}{}; return nil }); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	<-ran
	select {
	case <-ran:
		t.Error("a second batch, and it was nobody's turn")
	case err := <-done:
		t.Error(err)
	default:
	}
	<-e.long
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(e.long); n != cap(e.long)-1 {
		t.Errorf("%d turns are taken afterwards", n)
	}
}

// TestTrafficIsSeen: what is done for a user is seen by others.
func TestTrafficIsSeen(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, Inbox).Key
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"delivery", func() { e.deliver(t, inbox, 1, 0) }},
		{"reading", func() { e.list(t, inbox, Query{}, FieldFlags) }},
		{"polling", func() {
			if _, err := e.Changes(t.Context(), inbox, 0); err != nil {
				t.Error(err)
			}
		}},
		{"flags", func() {
			if _, err := e.StoreFlags(t.Context(), inbox, uidset.All(), FlagChange{Op: Add, Flags: Seen}); err != nil {
				t.Error(err)
			}
		}},
	} {
		somebody := mailkey.UserID{u.ID[0] + 1}
		before, own := e.traffic.others(somebody), e.traffic.others(u.ID)
		tt.do()
		if e.traffic.others(somebody) == before {
			t.Errorf("%s is not seen", tt.name)
		}
		if e.traffic.others(u.ID) != own {
			t.Errorf("%s counts as somebody else's", tt.name)
		}
	}
}
