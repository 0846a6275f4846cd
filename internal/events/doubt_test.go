package events

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/mailkey"
)

// After Doubt every subscriber of this process has Resync, and those of others do not.
func TestDoubt(t *testing.T) {
	r := newRedisServer(t)
	b, other := r.bus(), r.bus()
	subs := make([]*Subscription, 5)
	for i := range subs {
		subs[i] = b.Subscribe(mailkey.UserID{byte(i)})
		expect(t, subs[i], Resync) // of its channel
	}
	elsewhere := other.Subscribe(mailkey.UserID{1})
	expect(t, elsewhere, Resync)
	b.Doubt()
	for _, s := range subs {
		expect(t, s, Resync)
	}
	if len(elsewhere.C()) > 0 {
		t.Errorf("another instance: %+v", <-elsewhere.C())
	}
}

// However many users there are, they are told within doubtSpread, each once, a few at a time.
func TestDoubtIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 3, doubtSteps, 10*doubtSteps + 1} {
			users := make([]mailkey.UserID, n)
			for i := range users {
				binary.BigEndian.PutUint32(users[i][:], uint32(i))
			}
			told := make(map[mailkey.UserID]int)
			at := make(map[time.Duration]int)
			begun := time.Now()
			spread(t.Context(), nil, users, func(u mailkey.UserID) { told[u]++; at[time.Since(begun)]++ })
			if took := time.Since(begun); len(told) != n || took > doubtSpread {
				t.Errorf("%d of %d users were told within %v", len(told), n, took)
			}
			for when, number := range at {
				if number > n/doubtSteps+1 {
					t.Errorf("%d of %d users at once, after %v", number, n, when)
				}
			}
			for u, times := range told {
				if times != 1 {
					t.Errorf("user %v was told %d times", u, times)
				}
			}
		}
	})
}

// A round ends with its bus.
func TestDoubtEnds(t *testing.T) {
	end := make(chan struct{})
	close(end)
	n := 0
	spread(t.Context(), end, make([]mailkey.UserID, 10*doubtSteps), func(mailkey.UserID) { n++ })
	if n >= 10*doubtSteps {
		t.Errorf("%d users were told", n)
	}
}
