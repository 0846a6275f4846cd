package engine

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
)

// ErrConflict says that a transaction wants to write what another unit has written since the
// transaction's snapshot, or is writing now.
var ErrConflict = errors.New("write conflict")

// A busyError says that a unit which already holds locks found another one taken. It may not wait
// while it holds any (two such units could wait for each other for ever), so it must let go of
// everything, wait for Key alone, and start again.
type busyError struct{ key string }

func (*busyError) Error() string { return "locked by another write" }

// lockTable holds the write locks on documents and on keys of unique indexes, and remembers which
// of them were written after the oldest snapshot that a transaction still reads.
//
// Rules: a unit holds the lock of a key from before it reads the value that it will overwrite until
// its batch is applied. A commit gets its number after its batch is applied; a snapshot takes the
// current number before it is made. So a snapshot holds every commit whose number is not above its
// own. It may hold others too, and then a transaction is told of a conflict that was none.
type lockTable struct {
	seed maphash.Seed

	mu   sync.Mutex
	held map[string]*heldLock
	// commits is the number of the last commit.
	commits uint64
	// recent maps a written key's hash to the commit that wrote it; order lists the same by commit.
	recent map[uint64]uint64
	order  []recentWrite
	// snapshots counts the open snapshots by number; oldest first in snapOrder.
	snapshots map[uint64]int
	snapOrder []uint64
}

type heldLock struct {
	owner   *Unit
	waiters []*lockWaiter
}

type lockWaiter struct {
	unit    *Unit
	granted chan struct{}
}

type recentWrite struct{ hash, commit uint64 }

func newLockTable() *lockTable {
	return &lockTable{
		seed:      maphash.MakeSeed(),
		held:      map[string]*heldLock{},
		recent:    map[uint64]uint64{},
		snapshots: map[uint64]int{},
	}
}

// acquire locks key for u. A transaction never waits: it gets ErrConflict when the key is locked,
// or was written after its snapshot. A plain write waits its turn if it holds nothing else, and
// gets a busyError otherwise.
func (t *lockTable) acquire(ctx context.Context, u *Unit, key string) error {
	t.mu.Lock()
	l := t.held[key]
	if l == nil {
		if u.isTransaction() && t.recent[maphash.String(t.seed, key)] > u.snapNumber {
			t.mu.Unlock()
			return ErrConflict
		}
		t.held[key] = &heldLock{owner: u}
		u.held = append(u.held, key)
		t.mu.Unlock()
		return nil
	}
	if l.owner == u {
		t.mu.Unlock()
		return nil
	}
	if u.isTransaction() {
		t.mu.Unlock()
		return ErrConflict
	}
	if len(u.held) > 0 {
		t.mu.Unlock()
		return &busyError{key: key}
	}
	w := &lockWaiter{unit: u, granted: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	t.mu.Unlock()
	select {
	case <-w.granted:
		u.held = append(u.held, key)
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.granted: // the lock came at the same moment: pass it on
		t.passOn(key)
		return ctx.Err()
	default:
	}
	for i, other := range l.waiters {
		if other == w {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			break
		}
	}
	return ctx.Err()
}

// release gives back all locks of u. With written, the keys that u touched count as written now.
func (t *lockTable) release(u *Unit, written bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if written {
		t.commits++
		if len(t.snapOrder) > 0 {
			for _, key := range u.touched {
				h := maphash.String(t.seed, key)
				t.recent[h] = t.commits
				t.order = append(t.order, recentWrite{h, t.commits})
			}
		}
	}
	for _, key := range u.held {
		t.passOn(key)
	}
	u.held, u.touched = nil, nil
}

// passOn hands a lock to the first that waits for it, or frees it.
func (t *lockTable) passOn(key string) {
	l := t.held[key]
	if len(l.waiters) == 0 {
		delete(t.held, key)
		return
	}
	w := l.waiters[0]
	l.waiters = l.waiters[1:]
	l.owner = w.unit
	close(w.granted)
}

// openSnapshot registers a snapshot about to be made and returns its number.
func (t *lockTable) openSnapshot() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.commits
	if t.snapshots[n] == 0 {
		t.snapOrder = append(t.snapOrder, n)
	}
	t.snapshots[n]++
	return n
}

// closeSnapshot forgets a snapshot, and the writes that no other one needs any more.
func (t *lockTable) closeSnapshot(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshots[n]--
	if t.snapshots[n] > 0 {
		return
	}
	delete(t.snapshots, n)
	for len(t.snapOrder) > 0 && t.snapshots[t.snapOrder[0]] == 0 {
		t.snapOrder = t.snapOrder[1:]
	}
	if len(t.snapOrder) == 0 {
		clear(t.recent)
		t.order, t.snapOrder = nil, nil
		return
	}
	oldest := t.snapOrder[0]
	for len(t.order) > 0 && t.order[0].commit <= oldest {
		if w := t.order[0]; t.recent[w.hash] == w.commit {
			delete(t.recent, w.hash)
		}
		t.order = t.order[1:]
	}
}

// A gate lets writers into a collection, many at a time, or one change of its catalogue entry
// alone.
type gate struct {
	mu      sync.Mutex
	writers int
	closed  bool
	changed chan struct{} // closed and replaced whenever the state changes
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// enter lets a writer in; it waits while the gate is closed.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if !g.closed {
			g.writers++
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	g.writers--
	if g.writers == 0 && g.closed {
		g.signal()
	}
	g.mu.Unlock()
}

// shut closes the gate and waits until all writers have left.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true // changes of the catalogue are made one at a time, so nobody else has it closed
	for g.writers > 0 {
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			g.open()
			return ctx.Err()
		}
		g.mu.Lock()
	}
	g.mu.Unlock()
	return nil
}

func (g *gate) open() {
	g.mu.Lock()
	g.closed = false
	g.signal()
	g.mu.Unlock()
}
