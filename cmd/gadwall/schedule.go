package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gadwall/internal/lease"
)

// lookTries is how often per interval an instance looks whether it is time: another one may have ended in between.
const lookTries = 4

// A schedule does a task now and then, in one instance of all that run.
type schedule struct {
	task *lease.Task
	// part is the part of the task whose latest time decides.
	part     string
	interval time.Duration // 0: never
	look     time.Duration // how often an instance looks whether it is time
	// do does the task under the lease, and records when.
	do func(ctx context.Context, l *lease.Lease) error
	// seen is told when the task was done last, by any instance; nil if nobody wants to know. failed is called after an error.
	seen   func(at time.Time)
	failed func()
	log    *slog.Logger
	now    func() time.Time
}

// run does the task whenever it is time, until ctx ends.
func (s *schedule) run(ctx context.Context) {
	if s.interval <= 0 {
		return
	}
	ticker := time.NewTicker(s.look)
	defer ticker.Stop()
	s.follow(ctx, ticker.C)
}

// follow looks at every tick whether it is time.
func (s *schedule) follow(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		if err := s.turn(ctx); err != nil && ctx.Err() == nil {
			s.failed()
			s.log.Error(s.task.Name+" failed; it begins again next time", "error", err)
		}
	}
}

// turn does the task if it is time and no other instance is at it.
func (s *schedule) turn(ctx context.Context) error {
	l, err := s.task.Acquire(ctx)
	if errors.Is(err, lease.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release(ctx)
	// A little early rather than a whole turn late.
	if s.now().Sub(l.Done(s.part)) >= s.interval-s.look/2 {
		err = s.do(ctx, l)
	}
	if s.seen != nil {
		s.seen(l.Done(s.part))
	}
	if errors.Is(err, lease.ErrLost) {
		s.log.Warn(s.task.Name+" given up", "error", err)
		return nil
	}
	return err
}
