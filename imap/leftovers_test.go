package imap

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What new sessions leave behind is given back once for many of them, and not after the end.
func TestLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		l := leftovers{free: func() { freed++ }}
		rest := func(sessions, want int) {
			t.Helper()
			for range sessions {
				l.rest()
			}
			time.Sleep(2 * restPause)
			synctest.Wait()
			if freed != want {
				t.Errorf("freed %d times, not %d", freed, want)
			}
		}
		rest(restBurst-1, 0)
		rest(1, 1)
		rest(restBurst-1, 1)
		rest(3*restBurst, 2)
		for range restBurst {
			l.rest()
		}
		l.stop()
		rest(restBurst, 2)
	})
}

// Giving back takes a hundredth of the time at most.
func TestLeftoversThatTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int64
		const took = 10 * time.Second
		l := leftovers{free: func() {
			time.Sleep(took)
			freed.Add(1)
		}}
		burst := func(after time.Duration, want int64) {
			t.Helper()
			for range restBurst {
				l.rest()
			}
			time.Sleep(after + took - 1)
			synctest.Wait()
			if got := freed.Load(); got != want-1 {
				t.Errorf("freed %d times, not %d", got, want-1)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if got := freed.Load(); got != want {
				t.Errorf("freed %d times, not %d", got, want)
			}
		}
		burst(restPause, 1)
		burst(restShare*took, 2)
	})
}

// A session counts when it waits for the first time, in IDLE or between commands.
func TestSessionsRestOnce(t *testing.T) {
	s := newTestServer(t)
	s.mu.Lock()
	s.quietAfter = time.Nanosecond
	s.mu.Unlock()
	for range 2 {
		c := s.login(t)
		c.ok("SELECT INBOX")
		for range 3 {
			c.idle()
			c.send("DONE\r\n")
			c.until("i")
		}
	}
	s.leftovers.mu.Lock()
	defer s.leftovers.mu.Unlock()
	if s.leftovers.rested != 2 {
		t.Errorf("%d sessions of 2 have waited", s.leftovers.rested)
	}
}
