package maintenance

import (
	"context"
	"errors"
	"time"

	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
)

// ErrReported: another process, which this one helped, has ended the check and reported what it found.
var ErrReported = errors.New("another process was at the same check, with the help of this one, " +
	"and has reported what was found")

// helpInterval is how often a process that helps looks whether there is more to do.
const helpInterval = 2 * time.Second

// CheckByHand is Check for a command: shared, if the store is not small. If another process is at a
// check with the same options, it helps that one, and goes on in its place if it was killed.
func CheckByHand(ctx context.Context, mail *mailstore.Store, o CheckOptions) (*Checked, error) {
	o.Shared = true
	c, err := newCheck(ctx, mail, o)
	if err != nil {
		return &Checked{}, err
	}
	if !c.keep {
		return Check(ctx, mail, o)
	}
	task := &lease.Task{Name: "check-by-hand" + o.mode(), Database: mail.MessageCollection().Database(),
		Redis: o.Redis, Log: o.Log}
	for helping := false; ; {
		l, err := task.Acquire(ctx)
		if err == nil {
			defer l.Release(ctx)
			if helping { // the other one has ended, or it was killed
				if under, err := c.under(ctx); err != nil || !under {
					return &Checked{}, errors.Join(err, ErrReported)
				}
			}
			pacer := &Pacer{Check: l.Check, Now: time.Now,
				Rest: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
			o.Guard = pacer.Guard
			return Check(ctx, mail, o)
		}
		if !errors.Is(err, lease.ErrHeld) {
			return &Checked{}, err
		}
		if !helping {
			helping = true
			c.o.log().Warn("another process is at this check, or was killed a moment ago: helping")
		}
		if _, _, err := HelpCheck(ctx, mail, o); err != nil {
			return &Checked{}, err
		}
		rest := o.poll
		if rest == nil {
			rest = func(ctx context.Context) error { return Rest(ctx, helpInterval) }
		}
		if err := rest(ctx); err != nil {
			return &Checked{}, err
		}
	}
}

// under reports whether a check was begun that is not ended.
func (c *check) under(ctx context.Context) (bool, error) {
	for _, s := range c.stages() {
		if round, err := c.job(s).Find(ctx); err != nil || round != nil {
			return round != nil, err
		}
	}
	return false, nil
}
