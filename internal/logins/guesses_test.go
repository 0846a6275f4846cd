package logins

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// bot is one of many clients that guess.
func bot(i int) Client {
	return Client{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
}

// TestAccountDelays: guesses at an account from many addresses are delayed as those from one. Who is
// known at an address, or on the machine itself, or names another account, does not wait for them.
func TestAccountDelays(t *testing.T) {
	bubble(t, 2, func(t *testing.T, g *testGate) {
		g.expect(t, alicesPlace, "alice", nil, 0)
		for i := range freeFailures {
			g.expect(t, bot(i), "alice", errWrong, 0)
		}
		for i, seconds := range []float64{0.5, 1, 2, 4, 8, 15, 15} {
			name := []string{"alice", "Alice"}[i%2]
			g.expect(t, bot(100+i), name, errWrong, time.Duration(seconds*float64(time.Second)))
		}
		g.expect(t, alicesPlace, "alice", nil, 0)
		g.expect(t, machine, "alice", nil, 0)
		g.expect(t, bot(200), "bob", nil, 0)
		g.expect(t, bot(201), "", nil, 0) // a token names nobody
		// Alice's own failure delays her as ever, and nobody else.
		g.expect(t, alicesPlace, "alice", errWrong, 0)
		g.expect(t, alicesPlace, "alice", nil, 500*time.Millisecond)
		// At a new address she waits in turn, and is known there from then on. Her logins do not
		// give others more guesses.
		g.expect(t, attackers, "alice", nil, maxDelay-500*time.Millisecond-6*checkTime)
		g.expect(t, attackers, "alice", nil, 0)
		g.expect(t, bot(300), "alice", errWrong, 0) // the delay is over by now
		g.expect(t, bot(301), "alice", errWrong, maxDelay)
		time.Sleep(failureMemory + time.Second)
		g.expect(t, bot(302), "alice", errWrong, 0)
		g.expect(t, bot(303), "alice", errWrong, 0)
	})
}

// TestAccountTurns: strangers at one account come in the order in which they came, one by one; others at
// their addresses do not wait behind them. No guesses are gained by making them at the same time.
func TestAccountTurns(t *testing.T) {
	bubble(t, 8, func(t *testing.T, g *testGate) {
		ended := make(chan time.Time, 100)
		start := time.Now()
		for i := range 3 * freeFailures {
			go func() {
				_ = g.login(bot(i), "alice", errWrong)
				ended <- time.Now()
			}()
			synctest.Wait() // so that they come in this order
		}
		if n := len(g.began()); n != freeFailures {
			t.Errorf("%d guesses at a time", n)
		}
		time.Sleep(2 * checkTime) // on the bubble's clock
		last := bot(3*freeFailures - 1)
		if d := took(func() { _ = g.login(last, "bob", nil) }); d != checkTime {
			t.Errorf("bob waits %v behind guesses at alice", d-checkTime)
		}
		for range freeFailures {
			<-ended
		}
		for i, seconds := range []float64{0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5, 60.5, 75.5, 90.5} {
			want := time.Duration(seconds*float64(time.Second)) + time.Duration(i+2)*checkTime
			if d := (<-ended).Sub(start); d != want {
				t.Errorf("guess %d ended after %v, want %v", i, d, want)
			}
		}
	})
}

// TestAccountOfManyClients: many programs of one user come at once from a new place, as after a start
// of the server. None is delayed when the passwords are right.
func TestAccountOfManyClients(t *testing.T) {
	bubble(t, 8, func(t *testing.T, g *testGate) {
		ended := make(chan error, 100)
		const n = 40
		for i := range n {
			go func() { ended <- g.login(bot(i%10), "alice", nil) }()
		}
		if d := took(func() {
			for range n {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}); d > n/freeFailures*checkTime {
			t.Errorf("it took %v", d)
		}
		for i := range n {
			g.expect(t, bot(100+i), "alice", errTrouble, 0)
		}
		if len(g.guesses) != 0 {
			t.Errorf("%d accounts are remembered without a failure", len(g.guesses))
		}
	})
}

// TestGuessesAreBounded: guesses at all accounts fill no memory, and take no delay from an account under
// attack unless all are. Those who are known stay so while addresses with failures are forgotten.
func TestGuessesAreBounded(t *testing.T) {
	bubble(t, 2, func(t *testing.T, g *testGate) {
		g.expect(t, alicesPlace, "alice", nil, 0)
		for i := range freeFailures + 3 {
			_ = g.login(bot(i), "alice", errWrong)
		}
		now := time.Now()
		for i := range 3 * maxAccounts {
			user := g.hash(fmt.Sprint("user ", i))
			g.guesses.begin(user, now)
			g.guesses.end(user, true, now)
			g.history.failure(bot(1000+i).Addr, user, now)
		}
		if n := len(g.guesses); n > maxAccounts {
			t.Errorf("%d accounts", n)
		}
		if n := len(g.history); n > maxAddresses {
			t.Errorf("%d addresses", n)
		}
		g.expect(t, alicesPlace, "alice", nil, 0)
		g.expect(t, Client{Addr: netip.MustParseAddr("192.0.2.99")}, "alice", errors.ErrUnsupported,
			4*time.Second-checkTime)
		for i := range 3 * maxAccounts {
			user := g.hash(fmt.Sprint("user ", i))
			for range freeFailures {
				g.guesses.begin(user, now)
				g.guesses.end(user, true, now)
			}
		}
		if n := len(g.guesses); n > maxAccounts {
			t.Errorf("%d accounts under attack", n)
		}
	})
}
