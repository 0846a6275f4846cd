package submission

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// copies saves copies of messages that the smarthost has taken. The first try is the client's. What
// fails then waits in memory, and one goroutine tries again: the messages are sent, so nobody else
// would.
type copies struct {
	service *Service

	mu      sync.Mutex
	waiting []*waitingCopy // the goroutine runs while there are any
	closed  bool
	running sync.WaitGroup
	stop    context.CancelFunc // ends the pause and the tries
	ctx     context.Context
	hurry   chan struct{} // closed when the pauses are over
	pause   time.Duration // the first one
}

// waitingCopy is a copy that is not saved yet.
type waitingCopy struct {
	saved *account.SentCopy
	log   *slog.Logger
	since time.Time
}

func (c *copies) init(s *Service) {
	c.service = s
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.hurry, c.pause = make(chan struct{}), firstCopyPause
}

// save saves a copy, or sees to it later. It returns nil if the copy is not saved yet.
func (c *copies) save(ctx context.Context, saved *account.SentCopy, log *slog.Logger) *account.Saved {
	ctx, cancel := context.WithTimeout(ctx, saveWait)
	defer cancel()
	at, err := saved.Save(ctx)
	if err == nil {
		c.done(at, log)
		return at
	}
	if isFinal(err) {
		c.lost(log, err)
		return nil
	}
	if !c.add(&waitingCopy{saved, log, time.Now()}) {
		c.lost(log, err)
		return nil
	}
	c.service.opts.Metrics.copies.WithLabelValues("retried").Inc()
	c.service.rare.Warn(log, "the copy of a sent message waits for the database", "error", err)
	return nil
}

// isFinal reports whether a copy need not be tried again.
func isFinal(err error) bool {
	var missing *dedupe.MissingError
	return errors.Is(err, quota.ErrOverQuota) || errors.As(err, &missing) ||
		errors.Is(err, mailstore.ErrNoSuchUser) || errors.Is(err, mailstore.ErrTooMany) ||
		errors.Is(err, mailstore.ErrUIDsExhausted)
}

func (c *copies) done(at *account.Saved, log *slog.Logger) {
	result := "saved"
	if at.Existed {
		result = "existed"
	}
	c.service.opts.Metrics.copies.WithLabelValues(result).Inc()
	log.Debug("copy saved", "mailbox", at.Path, "uid", at.UID, "existed", at.Existed)
}

// lost gives a copy up. What the smarthost has is sent all the same.
func (c *copies) lost(log *slog.Logger, err error) {
	c.service.opts.Metrics.copies.WithLabelValues("lost").Inc()
	log.Error("a message was sent, and its copy is given up", "error", err)
}

// add makes a copy wait. It reports false if there is no room, or no time.
func (c *copies) add(w *waitingCopy) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.waiting) >= maxCopies {
		return false
	}
	c.waiting = append(c.waiting, w)
	c.service.opts.Metrics.waiting.Set(float64(len(c.waiting)))
	if len(c.waiting) == 1 {
		c.running.Go(c.run)
	}
	return true
}

// first returns the copy that has waited for longest, or nil.
func (c *copies) first() *waitingCopy {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return nil
	}
	return c.waiting[0]
}

// drop takes the first copy out, and reports whether there is another one. The goroutine ends
// otherwise.
func (c *copies) drop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = c.waiting[1:]
	c.service.opts.Metrics.waiting.Set(float64(len(c.waiting)))
	return len(c.waiting) > 0
}

// run tries the copies in their order until none waits. If one cannot be saved, those behind it
// cannot either, as long as the database is the reason.
func (c *copies) run() {
	pause := c.pause
	for {
		w := c.first()
		ctx, cancel := context.WithTimeout(c.ctx, copyTimeout)
		at, err := w.saved.Save(ctx)
		cancel()
		switch {
		case err == nil:
			c.done(at, w.log)
			pause = c.pause
		case isFinal(err), time.Since(w.since) > copyPatience, c.ctx.Err() != nil:
			c.lost(w.log, err)
		default:
			c.service.rare.Warn(w.log, "the copy of a sent message still waits for the database", "error", err)
			c.rest(pause)
			pause = min(2*pause, maxCopyPause)
			continue
		}
		if !c.drop() {
			return
		}
	}
}

// rest waits between two tries, not for long when everything ends.
func (c *copies) rest(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-c.ctx.Done():
		return
	case <-c.hurry:
	}
	timer.Reset(min(pause, c.pause))
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

// close tries what waits, until ctx ends, and gives up the rest.
func (c *copies) close(ctx context.Context) {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.hurry)
	}
	c.mu.Unlock()
	defer context.AfterFunc(ctx, c.stop)()
	c.running.Wait()
	c.stop()
}
