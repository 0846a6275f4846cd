package logins

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errWrong   = errors.New("wrong password")
	errTrouble = errors.New("the database is away")

	alicesPlace = Client{Addr: netip.MustParseAddr("192.0.2.1")}
	attackers   = Client{Addr: netip.MustParseAddr("198.51.100.1")}
	machine     = Client{Addr: netip.MustParseAddr("127.0.0.1"), Local: true}
)

const checkTime = 20 * time.Millisecond

// bubble runs a test with a Gate on a clock of its own.
func bubble(t *testing.T, checks int, f func(t *testing.T, g *testGate)) {
	synctest.Test(t, func(t *testing.T) {
		g := &testGate{Gate: New(Options{Checks: checks, Failed: func(err error) bool { return err == errWrong }})}
		f(t, g)
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.running != 0 || len(g.queues) != 0 || len(g.turns) != 0 || g.wake != nil {
			t.Errorf("at the end %d run, %d queues, %d have turns", g.running, len(g.queues), len(g.turns))
		}
	})
}

type testGate struct {
	*Gate
	order []string // the users whose checks began
}

// login checks a password, for which the machine is busy a while, with that result.
func (g *testGate) login(from Client, user string, result error) error {
	return g.Check(context.Background(), from, user, func(context.Context) error {
		g.mu.Lock()
		g.order = append(g.order, user)
		g.mu.Unlock()
		time.Sleep(checkTime) // on the bubble's clock
		return result
	})
}

// began returns the users whose checks have begun.
func (g *testGate) began() []string {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.order)
}

// runs returns how many checks run.
func (g *testGate) runs() int {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// took returns how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func (g *testGate) expect(t *testing.T, from Client, user string, result error, wait time.Duration) {
	t.Helper()
	if d := took(func() {
		if err := g.login(from, user, result); err != result {
			t.Errorf("%s: %v, want %v", user, err, result)
		}
	}); d != wait+checkTime {
		t.Errorf("%s waited %v, want %v", user, d-checkTime, wait)
	}
}

// TestTurns: however many checks one address has waiting, another waits for one of them.
func TestTurns(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		for range 50 {
			go g.login(attackers, "mallory", nil)
		}
		synctest.Wait()
		for i := range 3 {
			go g.login(alicesPlace, fmt.Sprint("alice ", i), nil)
			synctest.Wait()
		}
		time.Sleep(60 * checkTime)
		want := []string{"mallory", "mallory", "alice 0", "mallory", "alice 1", "mallory", "alice 2", "mallory"}
		if len(g.began()) != 53 || !slices.Equal(g.began()[:len(want)], want) {
			t.Errorf("%d checks, the first of them %q", len(g.began()), g.began()[:min(len(g.began()), len(want))])
		}
	})
}

// TestChecksAtATime: no more checks run at a time than the machine can do.
func TestChecksAtATime(t *testing.T) {
	bubble(t, 3, func(t *testing.T, g *testGate) {
		for i := range 9 {
			go g.login(Client{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, "user", nil)
		}
		for n := range 3 {
			synctest.Wait()
			if len(g.began()) != 3*(n+1) || g.runs() != 3 {
				t.Errorf("%d checks began, %d run", len(g.began()), g.runs())
			}
			time.Sleep(checkTime)
		}
	})
}

// TestTooManyWait: the checks of an address that wait are bounded, more so after failures.
func TestTooManyWait(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		for range maxWaiting + 1 { // one of them runs
			go g.login(attackers, "mallory", errTrouble)
		}
		synctest.Wait()
		if err := g.login(attackers, "mallory", nil); err != ErrTooMany {
			t.Errorf("error %v", err)
		}
		if err := g.login(alicesPlace, "alice", nil); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(2 * maxWaiting * checkTime)
		_ = g.login(attackers, "mallory", errWrong)
		for range maxWaitingFailed {
			go g.login(attackers, "mallory", nil)
		}
		synctest.Wait()
		if err := g.login(attackers, "mallory", nil); err != ErrTooMany {
			t.Errorf("after a failure: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

// TestDelayComesBefore: after a failure, the next check of the address waits, whatever its
// password is and whoever it names, and longer after each.
func TestDelayComesBefore(t *testing.T) {
	bubble(t, 2, func(t *testing.T, g *testGate) {
		g.expect(t, attackers, "alice", errWrong, 0)
		for i, seconds := range []float64{0.5, 1, 2, 4, 8, 15, 15} {
			g.expect(t, attackers, fmt.Sprint("user ", i), errWrong, time.Duration(seconds*float64(time.Second)))
		}
		g.expect(t, alicesPlace, "alice", nil, 0)
		// Connections do not buy guesses: five of them have one each 15 seconds.
		before := len(g.began())
		for range maxWaitingFailed {
			go g.login(attackers, "alice", errWrong)
		}
		time.Sleep(3*maxDelay + 4*checkTime)
		if n := len(g.began()) - before; n != 3 {
			t.Errorf("%d guesses in the time for 3", n)
		}
		time.Sleep(3 * maxDelay)
		time.Sleep(failureMemory + time.Second)
		g.expect(t, attackers, "alice", errWrong, 0)
	})
}

// TestSuccessClearsItsUser: who has a password of his own guesses no faster for it. A user who
// has logged in from an address is not delayed by the failures of others there.
func TestSuccessClearsItsUser(t *testing.T) {
	bubble(t, 2, func(t *testing.T, g *testGate) {
		g.expect(t, attackers, "alice", errWrong, 0)
		g.expect(t, attackers, "mallory", nil, 500*time.Millisecond)
		g.expect(t, attackers, "alice", errWrong, 0) // the delay is over by now
		for _, wait := range []time.Duration{1, 2, 4} {
			// Mallory is known here, and not delayed. The guesses are.
			g.expect(t, attackers, "mallory", nil, 0)
			g.expect(t, attackers, "alice", errWrong, wait*time.Second-checkTime)
		}
		g.expect(t, attackers, "mallory", errWrong, 0)
		g.expect(t, attackers, "mallory", errWrong, 500*time.Millisecond)
		g.expect(t, attackers, "mallory", nil, time.Second)
		g.expect(t, attackers, "mallory", errWrong, 0)
		g.expect(t, attackers, "mallory", nil, 500*time.Millisecond)
	})
}

// TestLocalClients: the address of the machine itself is that of many; there each user has
// failures and turns of its own.
func TestLocalClients(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		g.expect(t, machine, "alice", errWrong, 0)
		g.expect(t, machine, "bob", errWrong, 0)
		g.expect(t, machine, "carol", nil, 0)
		g.expect(t, Client{Local: true}, "ALICE", nil, 500*time.Millisecond-2*checkTime)
		g.expect(t, machine, "alice", nil, 0)
		for range 20 {
			go g.login(machine, "mallory", nil)
		}
		synctest.Wait()
		if d := took(func() { _ = g.login(machine, "carol", nil) }); d > 3*checkTime {
			t.Errorf("carol waited %v behind mallory", d-checkTime)
		}
		time.Sleep(30 * checkTime)
	})
}

// TestTrouble: errors of the server are nobody's failures, and a check that panics ends.
func TestTrouble(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		g.expect(t, attackers, "alice", errTrouble, 0)
		g.expect(t, attackers, "alice", errTrouble, 0)
		func() {
			defer func() { recover() }()
			_ = g.Check(t.Context(), attackers, "alice", func(context.Context) error { panic("test") })
		}()
		g.expect(t, attackers, "alice", nil, 0)
	})
}

// TestAside: checks that wait for another server keep nobody waiting, up to a number of them. The
// failures of a source are one after the other all the same.
func TestAside(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		const away = time.Hour
		aside := func(from Client, user string, result error) {
			_ = g.Check(t.Context(), from, user, func(ctx context.Context) error {
				Aside(ctx, func() { time.Sleep(away) })
				return result
			})
		}
		var waiting sync.WaitGroup
		for i := range maxAside {
			waiting.Go(func() {
				aside(Client{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, fmt.Sprint(i), nil)
			})
		}
		synctest.Wait()
		g.expect(t, alicesPlace, "alice", nil, 0)
		waiting.Go(func() { aside(attackers, "user", nil) }) // keeps the turn
		synctest.Wait()
		if d := took(func() { _ = g.login(alicesPlace, "alice", nil) }); d < away/2 {
			t.Errorf("beside one too many, alice waited %v", d)
		}
		waiting.Wait()
		if d := took(func() {
			for range maxSourceAside + 1 {
				waiting.Go(func() { aside(attackers, "user", errWrong) })
			}
			waiting.Wait()
		}); d < 2*away {
			t.Errorf("an attacker had %d guesses in %v", maxSourceAside+1, d)
		}
		if d := took(func() {
			for range 3 {
				waiting.Go(func() { aside(attackers, "user", errWrong) })
			}
			waiting.Wait()
		}); d < 3*away {
			t.Errorf("after failures, an attacker had 3 guesses in %v", d)
		}
		if g.aside != 0 {
			t.Errorf("%d are aside at the end", g.aside)
		}
	})
	ran := false
	if Aside(t.Context(), func() { ran = true }); !ran {
		t.Error("outside of a check, nothing ran")
	}
}

// TestCancel: a client that leaves while it waits is forgotten.
func TestCancel(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		_ = g.login(attackers, "alice", errWrong)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := g.Check(ctx, attackers, "alice", func(context.Context) error {
			t.Error("it was checked")
			return nil
		})
		if err != context.DeadlineExceeded {
			t.Errorf("error %v", err)
		}
	})
}

// TestHistoryIsBounded: guesses from everywhere, and of all names, fill no memory.
func TestHistoryIsBounded(t *testing.T) {
	bubble(t, 1, func(t *testing.T, g *testGate) {
		now := time.Now()
		for i := range 2 * maxAddresses {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			g.history.failure(addr, userHash(i+1), now)
			g.history.failure(netip.Addr{}, userHash(i+1), now)
			g.history.failure(attackers.Addr, userHash(i+1), now)
			g.history.success(attackers.Addr, userHash(i+1), now)
		}
		if n := len(g.history); n > maxAddresses+1 {
			t.Errorf("%d addresses", n)
		}
		if a := g.history[netip.Addr{}]; len(a.failed) > maxLocalUsers+1 || len(a.known) != 0 {
			t.Errorf("%d users on the machine", len(a.failed))
		}
		if a := g.history[attackers.Addr]; a != nil && (len(a.failed) > maxUsers+1 || len(a.known) > maxUsers) {
			t.Errorf("%d users with failures at an address, %d known", len(a.failed), len(a.known))
		}
		// The failures of users that are not told apart count.
		for i := range maxUsers + 5 {
			g.history.failure(alicesPlace.Addr, userHash(i+1), now)
		}
		if n, _ := g.history.failures(source{addr: alicesPlace.Addr}, now); n != maxUsers+5 {
			t.Errorf("%d failures count, of %d", n, maxUsers+5)
		}
	})
}
