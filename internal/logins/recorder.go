package logins

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// RecorderOptions configure a Recorder. Write is required.
type RecorderOptions struct {
	// Write adds attempts to the authentication log (mailstore.Store.WriteLogins).
	Write  func(ctx context.Context, list []mailstore.LoginEvent) error
	Logger *slog.Logger // slog.Default() if nil
	// Now is the clock of the entries; nil means time.Now.
	Now func() time.Time

	every time.Duration // for tests
}

// Recorder gathers attempts to log in and writes them in the background. No login waits for it.
// Attempts that are alike are one entry: a mail client that asks every minute makes one a day. Its
// methods may be called from any goroutine.
type Recorder struct {
	write func(ctx context.Context, list []mailstore.LoginEvent) error
	log   *slog.Logger
	every time.Duration
	now   func() time.Time

	writing sync.Mutex // held while entries are written; taken before mu

	mu      sync.Mutex
	pending map[mailstore.LoginKind]*tally
	timer   *time.Timer // runs flush; nil when nothing is pending
	closed  bool
	kinds   kinds
	stats   RecorderStats
}

// tally counts attempts of one kind.
type tally struct {
	count       int64
	first, last time.Time
}

// RecorderStats counts what a Recorder did.
type RecorderStats struct {
	Pending int   // entries that wait to be written
	Written int64 // attempts that were written
	Dropped int64 // attempts for which there was no room, or which could not be written at the end
}

// NewRecorder returns a Recorder. The caller closes it.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.every <= 0 {
		o.every = recordEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recorder{write: o.Write, log: o.Logger, every: o.every, now: o.Now,
		pending: make(map[mailstore.LoginKind]*tally)}
}

// Record notes an attempt of now. It sets the kind's Period. A nil Recorder notes nothing.
func (r *Recorder) Record(kind mailstore.LoginKind) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now().UTC().Truncate(time.Millisecond) // as it is stored
	kind.Period = now.Truncate(successPeriod)
	if kind.Failed() {
		kind.Period = now.Truncate(failurePeriod)
		r.kinds.limit(&kind)
	}
	r.add(kind, tally{1, now, now})
}

// add counts attempts of a kind. r.mu is held.
func (r *Recorder) add(kind mailstore.LoginKind, more tally) {
	t := r.pending[kind]
	switch {
	case t != nil:
		t.count += more.count
		if more.first.Before(t.first) {
			t.first = more.first
		}
		if more.last.After(t.last) {
			t.last = more.last
		}
		return
	case r.closed || len(r.pending) >= maxPending:
		r.stats.Dropped += more.count
		return
	}
	r.pending[kind] = &more
	if r.timer == nil {
		r.timer = time.AfterFunc(r.every, r.flushSoon)
	}
}

// flushSoon is what the timer runs. What cannot be written is tried again later.
func (r *Recorder) flushSoon() {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	if err := r.Flush(ctx); err != nil {
		r.log.Warn("the authentication log could not be written; it is tried again", "error", err)
	}
}

// Flush writes all that was recorded before. What it cannot write stays pending.
func (r *Recorder) Flush(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	pending := r.pending
	r.pending = make(map[mailstore.LoginKind]*tally)
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	list := make([]mailstore.LoginEvent, 0, len(pending))
	var attempts int64
	for kind, t := range pending {
		list = append(list, mailstore.LoginEvent{LoginKind: kind, Count: t.count, First: t.first, Last: t.last})
		attempts += t.count
	}
	err := r.write(ctx, list)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.stats.Written += attempts
		return nil
	}
	// Some may be written: they are counted twice then, which is better than not at all.
	for kind, t := range pending {
		r.add(kind, *t)
	}
	return err
}

// Close writes what is pending. What is recorded later is dropped.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	return r.Flush(ctx)
}

// Stats returns the counts since NewRecorder.
func (r *Recorder) Stats() RecorderStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.stats
	stats.Pending = len(r.pending)
	return stats
}

// kinds bounds how many entries failures make: a guess from everywhere, or of all names, fills
// neither memory nor the database. Beyond, an entry has no address, and no name that is nobody's.
type kinds struct {
	period time.Time
	seen   map[mailkey.UserID]map[mailstore.LoginKind]struct{}
	size   int
}

// limit takes from a kind of failure what would make too many kinds.
func (k *kinds) limit(kind *mailstore.LoginKind) {
	if !kind.Period.Equal(k.period) {
		*k = kinds{period: kind.Period, seen: make(map[mailkey.UserID]map[mailstore.LoginKind]struct{})}
	}
	of := k.seen[kind.User]
	if _, ok := of[*kind]; ok {
		return
	}
	most := maxFailures
	if kind.User == (mailkey.UserID{}) {
		most = maxUnknown
	}
	if len(of) < most && k.size < maxFailuresInAll {
		if of == nil {
			of = make(map[mailstore.LoginKind]struct{})
			k.seen[kind.User] = of
		}
		of[*kind] = struct{}{}
		k.size++
		return
	}
	kind.Remote = SeveralAddresses
	if kind.User == (mailkey.UserID{}) {
		kind.Username = ""
	}
}

// SeveralAddresses takes the place of the address in entries for failures from too many.
const SeveralAddresses = "several"
