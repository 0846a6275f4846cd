package imap

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/mailkey"
)

// TestBudgetTurns: waiters are served in their order; one whose user has no more share does not
// hold up others; one that is too large for the moment does, so that it is served at last.
func TestBudgetTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 50, 50)
		var mu sync.Mutex
		var served []string
		leases := make(map[string]*lease)
		want := func(name string, user byte, n int64) {
			go func() {
				l, err := b.acquire(t.Context(), mailkey.UserID{user}, n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				served = append(served, name)
				leases[name] = l
			}()
			synctest.Wait()
		}
		// held returns a lease when all that can be served are.
		held := func(name string) *lease {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return leases[name]
		}
		expect := func(names ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(served)
			if !slices.Equal(served, names) {
				t.Fatalf("served %q, want %q", served, names)
			}
			served = nil
		}
		want("a1", 'a', 30)
		want("a2", 'a', 30)  // beyond the share of a
		want("b1", 'b', 500) // the share of b is all it gets
		expect("a1", "b1")
		want("c1", 'c', 25) // does not fit: 80 are in use
		want("d1", 'd', 20) // fits, and is behind c1
		expect()
		held("a1").shrink(25)
		expect("c1") // a2 is still beyond its share
		held("b1").shrink(10)
		held("b1").shrink(20) // is no less than it has
		expect("d1")
		held("a1").release()
		held("a1").release()
		expect("a2")
		if b.used != 10+25+20+30 || b.peak != 100 {
			t.Errorf("%d in use, %d at the peak", b.used, b.peak)
		}
		for _, l := range leases {
			l.release()
		}
		if b.used != 0 || len(b.byUser) != 0 || len(b.waiters) != 0 {
			t.Errorf("at the end %d are in use, by %d users; %d wait", b.used, len(b.byUser), len(b.waiters))
		}
	})
}

// TestBudgetCancel: who gives up waiting leaves nothing behind and lets those behind go on.
func TestBudgetCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 100, 10)
		first, _ := b.acquire(t.Context(), mailkey.UserID{1}, 60)
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan error, 1)
		go func() {
			_, err := b.acquire(ctx, mailkey.UserID{2}, 50)
			refused <- err
		}()
		synctest.Wait()
		var behind *lease
		go func() { behind, _ = b.acquire(t.Context(), mailkey.UserID{3}, 30) }()
		synctest.Wait()
		if behind != nil {
			t.Fatal("one behind overtook")
		}
		cancel()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if behind == nil {
			t.Fatal("one behind still waits")
		}
		behind.release()
		first.release()
		if b.used != 0 || len(b.waiters) != 0 {
			t.Errorf("%d in use, %d wait", b.used, len(b.waiters))
		}
	})
}

// slowConn takes some octets at a time and then times out, as a connection whose client reads
// slowly.
type slowConn struct {
	net.Conn
	take      []int // by each Write
	took      strings.Builder
	deadlines int
}

func (c *slowConn) SetWriteDeadline(time.Time) error {
	c.deadlines++
	return nil
}

func (c *slowConn) Write(p []byte) (int, error) {
	n := min(c.take[0], len(p))
	c.take = c.take[1:]
	c.took.Write(p[:n])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

// TestOutputProgress: the time limit of a write begins anew as long as the client takes
// something, and ends the write when it takes nothing.
func TestOutputProgress(t *testing.T) {
	text := strings.Repeat("0123456789", writeChunk/4)
	slow := &slowConn{take: []int{1, 70, writeChunk, 5, 3 * writeChunk, 2 * writeChunk, writeChunk}}
	o := &output{conn: slow}
	reached := int64(0)
	o.afterBytes(1000, func() { reached = o.bytes })
	n, err := o.Write([]byte(text))
	if err != nil || n != len(text) || slow.took.String() != text || o.bytes != int64(n) {
		t.Errorf("%d of %d octets, %v", n, len(text), err)
	}
	if slow.deadlines != 7-len(slow.take) {
		t.Errorf("the limit began %d times anew", slow.deadlines)
	}
	if reached != 71+writeChunk {
		t.Errorf("called at %d octets", reached)
	}
	stalled := &slowConn{take: []int{10, 0}}
	o = &output{conn: stalled}
	if n, err := o.Write([]byte(text)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that takes nothing: %d octets, %v", n, err)
	}
}
