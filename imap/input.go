package imap

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// errInterrupted is what a read gives that was waiting for a command when the
// server began to stop.
var errInterrupted = errors.New("imap: server is stopping")

// input reads from a connection: it sets a deadline for each read, can be
// interrupted while it waits for a command, and can watch the connection for
// the client's leaving while a command runs (net/http does the same).
//
// read and write belong to the connection's goroutine, as do all methods but
// interrupt. The watcher is a goroutine that reads one byte ahead; it is
// started by a timer or by watch and ended by the next read (unwatch).
type input struct {
	conn  net.Conn
	bytes int64         // read so far
	total *atomic.Int64 // by all connections
	// onQuiet is called when no command came for quietAfter.
	onQuiet func()

	mu          sync.Mutex
	timeout     time.Duration
	limit       time.Time // no deadline goes past it, unless it is zero
	idle        bool      // waiting for a command
	interrupted bool
	timer       *time.Timer   // starts the watcher, while armed
	watcher     chan struct{} // closed when the watcher ends; nil: there is none
	aborted     bool          // the watcher's read was ended by unwatch

	// Written by the watcher, read after it has ended.
	ahead    [1]byte
	hasAhead bool
	err      error
}

func newInput(conn net.Conn) *input { return &input{conn: conn, timeout: greetTimeout} }

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.read(p)
	in.bytes += int64(n)
	if in.total != nil {
		in.total.Add(int64(n))
	}
	return n, err
}

func (in *input) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	in.unwatch()
	if in.hasAhead {
		in.hasAhead = false
		p[0] = in.ahead[0]
		return 1, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	if in.onQuiet != nil && in.waiting() {
		n, err := in.readFor(p, quietAfter)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		in.onQuiet()
	}
	return in.readFor(p, 0)
}

// waiting reports whether the next read waits for a command, for long.
func (in *input) waiting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.idle && in.timeout > quietAfter
}

// readFor reads once, for at most the time given, or the usual time for 0.
func (in *input) readFor(p []byte, timeout time.Duration) (int, error) {
	in.mu.Lock()
	if in.idle && in.interrupted {
		in.mu.Unlock()
		return 0, errInterrupted
	}
	if timeout == 0 {
		timeout = in.timeout
	}
	deadline := time.Now().Add(timeout)
	if !in.limit.IsZero() && deadline.After(in.limit) {
		deadline = in.limit
	}
	err := in.conn.SetReadDeadline(deadline)
	in.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := in.conn.Read(p)
	if err != nil && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		in.mu.Lock()
		if in.idle && in.interrupted {
			err = errInterrupted
		}
		in.mu.Unlock()
	}
	return n, err
}

// wait says that the next read waits for a command, at most timeout long, and
// may be interrupted.
func (in *input) wait(timeout time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.idle, in.timeout = true, timeout
}

// limitTo sets the time at which the client must be logged in; the zero time lifts the limit.
func (in *input) limitTo(t time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.limit = t
}

// busy says that the next reads are inside a command.
func (in *input) busy() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.idle, in.timeout = false, readTimeout
}

// interrupt ends a read that waits for a command, now or later. It may be called from any
// goroutine.
func (in *input) interrupt() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.interrupted = true
	if in.idle && in.watcher == nil {
		_ = in.conn.SetReadDeadline(past) // a dead connection ends by itself
	}
}

var past = time.Unix(1, 0)

// arm makes a watcher start after delay, unless something is read before. When
// the client leaves, gone is called.
func (in *input) arm(delay time.Duration, gone func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var t *time.Timer
	t = time.AfterFunc(delay, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.timer == t && in.watcher == nil {
			in.start(gone, nil)
		}
	})
	in.timer = t
}

// watch starts a watcher at once. When the client has sent something, readable
// is called; when it has left, gone.
func (in *input) watch(readable, gone func()) {
	in.unwatch()
	if in.hasAhead {
		readable()
		return
	}
	if in.err != nil {
		gone()
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.start(gone, readable)
}

// start runs the watcher; in.mu is held.
func (in *input) start(gone, readable func()) {
	if in.hasAhead || in.err != nil {
		return
	}
	done := make(chan struct{})
	in.watcher, in.aborted = done, false
	_ = in.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		n, err := in.conn.Read(in.ahead[:])
		in.mu.Lock()
		aborted := in.aborted
		in.mu.Unlock()
		switch {
		case n == 1:
			in.hasAhead = true
			if readable != nil {
				readable()
			}
		case err != nil && aborted && errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			in.err = err
			gone()
		}
	}()
}

// unwatch stops the timer and the watcher, and waits for its end.
func (in *input) unwatch() {
	in.mu.Lock()
	if in.timer != nil {
		in.timer.Stop()
		in.timer = nil
	}
	done := in.watcher
	if done != nil {
		in.watcher, in.aborted = nil, true
		_ = in.conn.SetReadDeadline(past)
	}
	in.mu.Unlock()
	if done != nil {
		<-done
	}
}

// replace goes on with another connection (TLS over the same socket) and drops
// what was read ahead.
func (in *input) replace(conn net.Conn) {
	in.unwatch()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conn, in.hasAhead, in.err = conn, false, nil
}
