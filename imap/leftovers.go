package imap

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// leftovers gives back to the system what many new sessions have left behind by the time they wait:
// garbage of their logins, and stacks that have grown. The runtime would keep it: nothing allocates
// any more, so nothing is collected. It is safe for concurrent use.
type leftovers struct {
	mu      sync.Mutex
	rested  int         // sessions that began to wait since the last time
	timer   *time.Timer // calls giveBack; nil: not yet
	took    time.Duration
	stopped bool

	free func() // for tests
}

// rest notes that a new session waits.
func (l *leftovers) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rested++
	if l.rested >= restBurst && l.timer == nil && !l.stopped {
		l.timer = time.AfterFunc(max(restPause, restShare*l.took), l.giveBack)
	}
}

// giveBack frees. Sessions that begin to wait from now on count for the next time.
func (l *leftovers) giveBack() {
	l.mu.Lock()
	l.rested, l.timer = 0, nil
	free := l.free
	l.mu.Unlock()
	if free == nil {
		free = freeStacks
	}
	begun := time.Now()
	free()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = time.Since(begun)
}

// freeStacks collects garbage and gives free memory back. Each collection halves a stack that is too
// large.
func freeStacks() {
	for range stackHalvings {
		runtime.GC()
	}
	debug.FreeOSMemory()
}

// stop ends that.
func (l *leftovers) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
