package mailstore

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"gadwall/internal/mailkey"
)

// Long operations (removing, copying or changing more messages than one transaction takes) would
// otherwise take processors and disk from everybody else, batch after batch. So they take turns,
// and rest while others have work to do.

// longOperations bounds the batches of long operations that run at a time in this process.
func longOperations() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// traffic counts the work done for users: transactions, deliveries that queue, and queries of
// messages. Several users share a counter, which is good enough to see whether other users have
// work.
type traffic [64]atomic.Uint64

func (t *traffic) note(user mailkey.UserID) { t[int(user[0])%len(t)].Add(1) }

// others returns the count of all users but this one.
func (t *traffic) others(user mailkey.UserID) uint64 {
	var n uint64
	for i := range t {
		if i != int(user[0])%len(t) {
			n += t[i].Load()
		}
	}
	return n
}

// A pacer runs the batches of one long operation. The first runs at once, because most operations
// have only one.
type pacer struct {
	store *Store
	user  mailkey.UserID
	begun bool
	// rest is the time to rest before the next batch.
	rest time.Duration
}

// batch runs f. After a batch during which something was done for other users, it first rests for
// as long as that batch took, at most maxRest.
func (p *pacer) batch(ctx context.Context, f func() error) error {
	if p.begun {
		if err := p.wait(ctx); err != nil {
			return err
		}
		defer func() { <-p.store.long }()
	}
	p.begun = true
	others, start := p.store.traffic.others(p.user), time.Now()
	err := f()
	p.rest = 0
	if p.store.traffic.others(p.user) != others {
		p.rest = min(time.Since(start), maxRest)
	}
	return err
}

// wait rests, and waits for a turn.
func (p *pacer) wait(ctx context.Context) error {
	if p.rest > 0 {
		t := time.NewTimer(p.rest)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case p.store.long <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
