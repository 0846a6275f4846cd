package imap

import (
	"context"
	"slices"
	"sync"

	"gadwall/internal/mailkey"
)

// A budget bounds the memory that the FETCHes of a server take for what they have read
// and not yet written. A FETCH that does not find enough free memory waits.
//
//   - Waiting is fair: waiters are served in the order in which they came. One that waits for
//     more of its user's share does not hold up those of other users.
//   - One user has at most a share. A user whose clients stop reading keeps other users waiting
//     for no part of the rest.
//   - A FETCH gives a lease back without waiting for another one: while it waits for its next
//     batch it writes the one it has, and holds nothing else.
type budget struct {
	size, share int64

	mu      sync.Mutex
	used    int64
	byUser  map[mailkey.UserID]int64
	waiters []*waiter

	peak   int64              // the greatest sum that was in use
	leases int64              // how many were given out
	watch  func(budgetCounts) // called after each change, for tests; mu is held
}

// budgetCounts is the state of a budget.
type budgetCounts struct {
	used    int64
	waiting int
	leases  int64
}

type waiter struct {
	user    mailkey.UserID
	n       int64
	granted chan struct{}
}

// A lease is a part of a budget.
type lease struct {
	b    *budget
	user mailkey.UserID
	n    int64
}

// newBudget returns a budget of size octets, a share of them for each user. Both are at least
// what one lease may be.
func newBudget(size, share, largest int64) *budget {
	share = max(share, largest)
	return &budget{size: max(size, share), share: share, byUser: make(map[mailkey.UserID]int64)}
}

// acquire waits for a lease of n octets, or of the user's share if that is less.
func (b *budget) acquire(ctx context.Context, user mailkey.UserID, n int64) (*lease, error) {
	w := &waiter{user: user, n: min(n, b.share), granted: make(chan struct{})}
	b.mu.Lock()
	b.waiters = append(b.waiters, w)
	b.grant()
	b.mu.Unlock()
	l := &lease{b: b, user: user, n: w.n}
	select {
	case <-w.granted:
		return l, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	i := slices.Index(b.waiters, w)
	if i >= 0 {
		b.waiters = slices.Delete(b.waiters, i, i+1)
		b.grant() // those behind may not have to wait
	}
	b.mu.Unlock()
	if i < 0 { // it was granted meanwhile
		l.release()
	}
	return nil, ctx.Err()
}

// grant serves waiters; mu is held.
func (b *budget) grant() {
	b.waiters = slices.DeleteFunc(b.waiters, b.tryGrant())
	if b.watch != nil {
		b.watch(budgetCounts{used: b.used, waiting: len(b.waiters), leases: b.leases})
	}
}

// tryGrant returns a function that serves one waiter after the other, and reports which it
// could serve.
func (b *budget) tryGrant() func(*waiter) bool {
	full := false // a waiter whose turn it is does not fit
	return func(w *waiter) bool {
		if full || b.byUser[w.user]+w.n > b.share {
			return false
		}
		if full = b.used+w.n > b.size; full {
			return false
		}
		b.used += w.n
		b.byUser[w.user] += w.n
		b.peak = max(b.peak, b.used)
		b.leases++
		close(w.granted)
		return true
	}
}

// shrink gives back what the lease has beyond n octets.
func (l *lease) shrink(n int64) {
	if l == nil || n >= l.n {
		return
	}
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= l.n - n
	if b.byUser[l.user] -= l.n - n; b.byUser[l.user] == 0 {
		delete(b.byUser, l.user)
	}
	l.n = n
	b.grant()
}

// release gives all back. It may be called again, and for nil.
func (l *lease) release() { l.shrink(0) }
