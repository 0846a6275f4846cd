package events

import (
	"log/slog"
	"sync"
	"time"
)

// outage tells the log once when Redis goes and once when it is back. Publishing and subscribing
// have connections of their own and fail apart; the outage lasts until both work again.
type outage struct {
	now func() time.Time

	mu      sync.Mutex
	since   time.Time // of the first failure; zero while Redis works
	failing map[string]struct{}
}

// begin notes a failure of a side.
func (o *outage) begin(log *slog.Logger, side string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing == nil {
		o.failing = make(map[string]struct{}, 2)
	}
	o.failing[side] = struct{}{}
	if !o.since.IsZero() {
		log.Debug("events: Redis is still unreachable", "side", side, "error", err)
		return
	}
	o.since = o.now()
	log.Warn("events: Redis is unreachable; other instances notice changes by polling",
		"side", side, "error", err)
}

// end notes that a side works.
func (o *outage) end(log *slog.Logger, side string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.failing, side)
	if o.since.IsZero() || len(o.failing) > 0 {
		return
	}
	log.Warn("events: Redis is back", "after", o.now().Sub(o.since).Round(time.Millisecond))
	o.since = time.Time{}
}
