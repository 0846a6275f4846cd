package maintenance

import (
	"context"
	"time"
)

const (
	// restFactor is rest time divided by work time: paced work takes a quarter of what one client
	// can take. minWork is the least work between two rests, maxRest the longest rest.
	restFactor = 3
	minWork    = 20 * time.Millisecond
	maxRest    = 10 * time.Second
	// leaseAge is how long paced work goes on before it checks its lease again.
	leaseAge = 15 * time.Second
)

// A Pacer slows down work that is not urgent, and ends it when another instance has taken it over.
type Pacer struct {
	// Check returns an error if another instance does the work now.
	Check func(ctx context.Context) error
	// Now is the time, Rest waits; Rest itself and time.Now unless a test has its own.
	Now  func() time.Time
	Rest func(ctx context.Context, d time.Duration) error

	last  time.Time // end of the last rest
	asked time.Time // of Check
}

// Guard rests in proportion to the work since it was called last. Its error is that of ctx or of
// Check.
func (p *Pacer) Guard(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := p.Now()
	if p.last.IsZero() {
		p.last, p.asked = now, now
	}
	if now.Sub(p.asked) >= leaseAge {
		if err := p.Check(ctx); err != nil {
			return err
		}
		p.asked = now
	}
	worked := now.Sub(p.last)
	if worked < minWork {
		return nil
	}
	if err := p.Rest(ctx, min(restFactor*worked, maxRest)); err != nil {
		return err
	}
	p.last = p.Now()
	return nil
}

// Rest waits until d has passed, or ctx ends.
func Rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
