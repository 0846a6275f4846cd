package search

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
)

// queue lets a search join a line without waiting, for tests that decide the order.
func (t *turns) queue(user mailkey.UserID) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := t.join(user)
	t.grant()
	return turn
}

func granted(turn chan struct{}) bool {
	select {
	case <-turn:
		return true
	default:
		return false
	}
}

// TestTurnsBetweenUsers: one search of another user waits for one turn, however many
// searches of the first wait.
func TestTurnsBetweenUsers(t *testing.T) {
	alice, bob, carol := mailkey.UserID{1}, mailkey.UserID{2}, mailkey.UserID{3}
	turns := newTurns(1)
	if err := turns.take(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	var hers []chan struct{}
	for range 40 {
		hers = append(hers, turns.queue(alice))
	}
	his, another, third := turns.queue(bob), turns.queue(bob), turns.queue(carol)
	for i, next := range []struct {
		user mailkey.UserID // who gives up the place
		turn chan struct{}  // who gets it
	}{{alice, hers[0]}, {alice, his}, {bob, third}, {carol, hers[1]}, {alice, another},
		{bob, hers[2]}, {alice, hers[3]}} {
		turns.done(next.user)
		if !granted(next.turn) {
			t.Fatalf("turn %d went to somebody else", i)
		}
	}
	if granted(hers[4]) {
		t.Error("two searches have the one place")
	}
}

// TestTurnsShare: users who search on and on get turns alike, whatever the number of
// their searches, and whichever search passes its place on first.
func TestTurnsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const users, most, rounds = 3, 10, 60
		places := rapid.IntRange(1, 2).Draw(t, "places")
		turns := newTurns(places)
		type search struct {
			user mailkey.UserID
			turn chan struct{}
		}
		var waiting, running []search
		for user := range byte(users) {
			for range rapid.IntRange(places, most).Draw(t, "searches") {
				user := mailkey.UserID{user}
				waiting = append(waiting, search{user, turns.queue(user)})
			}
		}
		got := map[mailkey.UserID]int{}
		for range rounds {
			rest := waiting[:0:0]
			for _, s := range waiting {
				if granted(s.turn) {
					got[s.user]++
					running = append(running, s)
				} else {
					rest = append(rest, s)
				}
			}
			waiting = rest
			if len(running) != places {
				t.Fatalf("%d of %d places taken", len(running), places)
			}
			i := rapid.IntRange(0, len(running)-1).Draw(t, "passes")
			s := running[i]
			running = append(running[:i], running[i+1:]...)
			turns.mu.Lock()
			s.turn = turns.join(s.user)
			turns.leave(s.user)
			turns.mu.Unlock()
			waiting = append(waiting, s)
		}
		// Who keeps a place for long has fewer turns, but no user goes short for the
		// number of the others' searches.
		for user := range byte(users) {
			if n := got[mailkey.UserID{user}]; n < rounds/users/2 {
				t.Fatalf("user %d had %d turns of %d: %v", user, n, rounds, got)
			}
		}
	})
}

// TestTurnsEnd: searches that go on and on leave nothing behind when their clients go.
func TestTurnsEnd(t *testing.T) {
	const places, searches, units = 2, 20, 200
	turns := newTurns(places)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running, most, done atomic.Int64
	var wg sync.WaitGroup
	for i := range byte(searches) {
		wg.Go(func() {
			user := mailkey.UserID{i % 3}
			err := turns.take(ctx, user)
			for err == nil {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				if done.Add(1) == units {
					cancel()
				}
				running.Add(-1)
				err = turns.pass(ctx, user)
			}
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > places || turns.free != places || len(turns.lines) != 0 {
		t.Errorf("%d places were taken, %d are free in the end, %d lines left", most.Load(),
			turns.free, len(turns.lines))
	}
}

// TestTurnsAlwaysGiven: whatever is taken, passed, given up and cancelled, no place is
// lost, and none is free while a search waits.
func TestTurnsAlwaysGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.IntRange(1, 3).Draw(t, "places")
		turns := newTurns(places)
		var running, waiting []struct {
			user mailkey.UserID
			turn chan struct{}
		}
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0 && len(running) > 0:
				i := rapid.IntRange(0, len(running)-1).Draw(t, "i")
				turns.done(running[i].user)
				running = append(running[:i], running[i+1:]...)
			case op == 1 && len(waiting) > 0: // its client goes
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "i")
				if err := turns.wait(cancelled, waiting[i].user, waiting[i].turn); err == nil {
					t.Fatal("a search that waits got a place")
				}
				waiting = append(waiting[:i], waiting[i+1:]...)
			default:
				user := mailkey.UserID{rapid.Byte().Draw(t, "user") % 3}
				waiting = append(waiting, struct {
					user mailkey.UserID
					turn chan struct{}
				}{user, turns.queue(user)})
			}
			rest := waiting[:0:0]
			for _, w := range waiting {
				if granted(w.turn) {
					running = append(running, w)
				} else {
					rest = append(rest, w)
				}
			}
			waiting = rest
			if free := places - len(running); turns.free != free || free > 0 && len(waiting) > 0 {
				t.Fatalf("%d of %d places free, %d taken, %d searches wait", turns.free, places,
					len(running), len(waiting))
			}
		}
	})
}
