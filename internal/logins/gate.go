package logins

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrTooMany reports that so many checks of the client's source wait already that one more is
// refused.
var ErrTooMany = errors.New("too many logins are waiting")

// Options configure a Gate.
type Options struct {
	// Delay is the delay after the first failure of a source; 0 means DefaultDelay.
	Delay time.Duration
	// Checks is how many checks run at a time; 0 means as many as there are processors, up to 8.
	Checks int
	// Failed reports whether an error of a check says that the password is wrong. Others are
	// trouble of the server, for which nobody is to wait.
	Failed func(error) bool
}

// Client is who asks.
type Client struct {
	// Addr is the client's address; of IPv6, its network.
	Addr netip.Addr
	// Local says that the client is on the machine itself.
	Local bool
}

// Gate lets checks pass. Its methods may be called from any goroutine.
type Gate struct {
	delay  time.Duration
	checks int
	failed func(error) bool
	seed   maphash.Seed

	mu      sync.Mutex
	running int
	aside   int               // checks that wait for other servers (Aside)
	queues  map[source]*queue // with checks that run or wait
	turns   []*queue          // with checks that wait, in the order of their turns
	wake    *time.Timer       // for the first delay to end; nil: nobody waits for one
	history history
	guesses guesses
}

// source is what has turns; see the package's comment.
type source struct {
	addr netip.Addr
	user userHash // 0: all users
}

// userHash stands for a user's name in what is remembered.
type userHash uint64

// queue is the checks of one source.
type queue struct {
	source  source
	running int
	aside   int // of those that run
	waiting []*waiter
}

type waiter struct {
	queue *queue
	addr  netip.Addr
	user  userHash
	named bool // there is a user's name
	// stranger says that the check runs as one of a client that is not known where it is.
	stranger bool
	turn     chan struct{} // closed when the check may run
}

// New returns a Gate.
func New(o Options) *Gate {
	if o.Delay <= 0 {
		o.Delay = DefaultDelay
	}
	if o.Checks <= 0 {
		o.Checks = min(runtime.GOMAXPROCS(0), maxChecks)
	}
	return &Gate{
		delay: o.Delay, checks: o.Checks, failed: o.Failed, seed: maphash.MakeSeed(),
		queues: make(map[source]*queue), history: make(history),
		guesses: make(guesses),
	}
}

// Check runs check for a user when the client's source has its turn, and returns its error. It
// returns ErrTooMany, or the error of ctx, without having run it.
func (g *Gate) Check(
	ctx context.Context, from Client, user string, check func(context.Context) error,
) error {
	w, err := g.enter(from, user)
	if err != nil {
		return err
	}
	select {
	case <-w.turn:
	case <-ctx.Done():
		if g.leave(w) {
			return ctx.Err()
		}
	}
	err = errPanic
	defer func() { g.done(w, err) }()
	err = check(context.WithValue(ctx, turnKey{}, turn{g, w.queue}))
	return err
}

// turnKey is for the turn in the context of a check.
type turnKey struct{}

// turn is what a check has when it runs.
type turn struct {
	gate  *Gate
	queue *queue
}

// Aside runs f, a part of a check that waits for another server and needs no processor. Meanwhile a
// check of another source has its turn. ctx is that of the check; outside of one, Aside just runs f.
func Aside(ctx context.Context, f func()) {
	t, ok := ctx.Value(turnKey{}).(turn)
	if ok && t.stepAside() {
		defer t.stepBack()
	}
	f()
}

// stepAside lets another check run, unless too many wait for other servers already.
func (t turn) stepAside() bool {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.aside >= maxAside {
		return false
	}
	g.aside++
	t.queue.aside++
	g.running--
	g.schedule()
	return true
}

// stepBack ends what stepAside began. The rest of the check runs beside those that have their turns.
func (t turn) stepBack() {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.aside--
	t.queue.aside--
	g.running++
}

// errPanic stands for the error of a check that panics.
var errPanic = errors.New("check panicked")

// enter puts a check in its queue.
func (g *Gate) enter(from Client, user string) (*waiter, error) {
	w := &waiter{addr: from.Addr, user: g.hash(user), named: user != "", turn: make(chan struct{})}
	if from.Local {
		w.addr = netip.Addr{} // as that of all local clients
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	s := source{addr: w.addr}
	if from.Local || g.history.knows(w.addr, w.user, now) {
		s.user = w.user
	}
	q := g.queues[s]
	if q == nil {
		q = &queue{source: s}
		g.queues[s] = q
	}
	limit := maxWaiting
	if n, _ := g.history.failures(s, now); n > 0 {
		limit = maxWaitingFailed
	}
	if len(q.waiting) >= limit {
		return nil, ErrTooMany
	}
	w.queue = q
	if q.waiting = append(q.waiting, w); len(q.waiting) == 1 {
		g.turns = append(g.turns, q)
	}
	g.schedule()
	return w, nil
}

// hash returns what stands for a user's name.
func (g *Gate) hash(user string) userHash {
	return userHash(max(maphash.String(g.seed, strings.ToLower(user)), 1))
}

// leave takes a check out of its queue. It reports false if the check's turn has come.
func (g *Gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(w.queue.waiting, w)
	if i < 0 {
		return false
	}
	w.queue.waiting = slices.Delete(w.queue.waiting, i, i+1)
	if len(w.queue.waiting) == 0 {
		g.turns = slices.DeleteFunc(g.turns, func(q *queue) bool { return q == w.queue })
		g.drop(w.queue)
	}
	g.schedule()
	return true
}

// done notes how a check ended.
func (g *Gate) done(w *waiter, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	wrong := err != nil && g.failed(err)
	switch {
	case err == nil:
		g.history.success(w.addr, w.user, now)
	case wrong:
		g.history.failure(w.addr, w.user, now)
	}
	if w.stranger {
		g.guesses.end(w.user, wrong, now)
	}
	g.running--
	w.queue.running--
	g.drop(w.queue)
	g.schedule()
}

// drop forgets a queue that has nothing.
func (g *Gate) drop(q *queue) {
	if q.running == 0 && len(q.waiting) == 0 {
		delete(g.queues, q.source)
	}
}

// schedule gives turns to checks, as many as may run. g.mu is held.
func (g *Gate) schedule() {
	now := time.Now()
	var first time.Time // when the first delay ends
	delay := func(until time.Time) {
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	for i := 0; i < len(g.turns) && g.running < g.checks; {
		q := g.turns[i]
		until, delayed := g.delayedUntil(q.source, now)
		if q.aside >= maxSourceAside {
			i++ // until one of them is done
			continue
		}
		if delayed && (q.running > 0 || until.After(now)) {
			if q.running == 0 {
				delay(until)
			}
			i++
			continue
		}
		at := slices.IndexFunc(q.waiting, func(w *waiter) bool {
			until, delayed := g.accountDelays(w, now)
			if delayed && !until.IsZero() {
				delay(until)
			}
			return !delayed
		})
		if at < 0 {
			i++
			continue
		}
		w := q.waiting[at]
		q.waiting = slices.Delete(q.waiting, at, at+1)
		if w.stranger = g.isStranger(w, now); w.stranger {
			g.guesses.begin(w.user, now)
		}
		q.running++
		g.running++
		close(w.turn)
		g.turns = slices.Delete(g.turns, i, i+1)
		if len(q.waiting) > 0 {
			g.turns = append(g.turns, q) // behind all others
		}
	}
	if g.wake != nil {
		g.wake.Stop()
		g.wake = nil
	}
	if !first.IsZero() {
		g.wake = time.AfterFunc(first.Sub(now), func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.schedule()
		})
	}
}

// delayedUntil reports whether the source has failures, and until when its next check waits.
func (g *Gate) delayedUntil(s source, now time.Time) (until time.Time, delayed bool) {
	n, last := g.history.failures(s, now)
	if n == 0 {
		return now, false
	}
	return last.Add(g.delayAfter(n)), true
}
