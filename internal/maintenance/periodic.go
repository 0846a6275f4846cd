package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gadwall/internal/lease"
)

// lookTries is how often per interval an instance looks whether it is time for a task: another
// instance may have done it since the last look.
const lookTries = 4

// A periodic task runs again and again, in one instance of all that serve.
type periodic struct {
	task *lease.Task
	// part is the part of the task whose latest time decides.
	part     string
	interval time.Duration // 0: never
	look     time.Duration // how often an instance looks whether it is time
	// do does the task under the lease, and records when.
	do func(ctx context.Context, l *lease.Lease) error
	// seen is told when any instance did the task last; it may be nil. failed is called after an
	// error.
	seen   func(at time.Time)
	failed func()
	// help, if not nil, does a part of what another instance is at.
	help func(ctx context.Context) error
	log  *slog.Logger
	now  func() time.Time
}

// Run does the task whenever it is time, until ctx ends.
func (p *periodic) Run(ctx context.Context) {
	if p.interval <= 0 {
		return
	}
	ticker := time.NewTicker(p.look)
	defer ticker.Stop()
	p.follow(ctx, ticker.C)
}

// follow looks at every tick whether it is time.
func (p *periodic) follow(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		if err := p.turn(ctx); err != nil && ctx.Err() == nil {
			p.failed()
			p.log.Error(p.task.Name+" failed; it begins again next time", "error", err)
		}
	}
}

// turn does the task if it is time and no other instance is at it.
func (p *periodic) turn(ctx context.Context) error {
	l, err := p.task.Acquire(ctx)
	if errors.Is(err, lease.ErrHeld) {
		if p.help != nil {
			return p.help(ctx)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release(ctx)
	// A little early rather than a whole turn late.
	if p.now().Sub(l.Done(p.part)) >= p.interval-p.look/2 {
		err = p.do(ctx, l)
	}
	if p.seen != nil {
		p.seen(l.Done(p.part))
	}
	if errors.Is(err, lease.ErrLost) {
		p.log.Warn(p.task.Name+" given up", "error", err)
		return nil
	}
	return err
}
