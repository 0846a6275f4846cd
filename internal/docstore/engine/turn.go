package engine

import (
	"runtime"
	"time"
)

// A turn is how long a command has had its processor.
type turn struct{ since time.Time }

// giveWay lets the goroutines that are ready on this processor run first, once a command has had it
// for maxTurn. Go takes it away only after 10 ms, and each of the many short steps of a small
// command may have to wait for so long.
func (t *turn) giveWay() {
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	if now.Sub(t.since) >= maxTurn {
		runtime.Gosched()
		t.since = time.Now()
	}
}
