package imap

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gadwall/imap/wire"
)

// errInterrupted is what a read gives that was waiting for a command when the
// server began to stop.
var errInterrupted = errors.New("imap: server is stopping")

// input reads from a connection: it sets a deadline for each read, can be
// interrupted while it waits for a command, and can watch the connection for
// the client's leaving while a command runs (net/http does the same).
//
// read and write belong to the connection's goroutine, as do all methods but
// interrupt and wake. That goroutine waits for the client's next byte and for
// other things at the same time by await, which they end. The watcher is a
// goroutine that reads one byte ahead while a command runs; it is started by a
// timer and ended by the next read (unwatch).
type input struct {
	conn        net.Conn
	bytes       int64         // read so far
	total       *atomic.Int64 // by all connections
	mu          sync.Mutex
	timeout     time.Duration
	limit       time.Time // no deadline goes past it, unless it is zero
	idle        bool      // waiting for a command
	quiet       bool      // the next wait for a command ends with wire.ErrQuiet after quietAfter
	quietAfter  time.Duration
	awaiting    bool // await waits, and hears others
	woken       bool // since await told of it
	interrupted bool
	timer       *time.Timer   // starts the watcher, while armed
	watcher     chan struct{} // closed when the watcher ends; nil: there is none
	aborted     bool          // the watcher's read was ended by unwatch

	// Written by the watcher, read after it has ended; and by await.
	ahead    [1]byte
	hasAhead bool
	err      error
}

func newInput(conn net.Conn) *input {
	return &input{conn: conn, timeout: greetTimeout, quietAfter: quietAfter}
}

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
		in.mu.Lock()
		in.quiet = false // something has come: the rest of it is waited for
		in.mu.Unlock()
		in.hasAhead = false
		p[0] = in.ahead[0]
		return 1, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	in.mu.Lock()
	if in.idle && in.interrupted {
		in.mu.Unlock()
		return 0, errInterrupted
	}
	timeout, quiet := in.timeout, in.quiet && in.timeout > in.quietAfter
	if quiet {
		timeout = in.quietAfter
	}
	in.quiet = false
	err := in.conn.SetReadDeadline(in.deadline(timeout))
	in.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := in.conn.Read(p)
	if err != nil && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		in.mu.Lock()
		switch {
		case in.idle && in.interrupted:
			err = errInterrupted
		case quiet && (in.limit.IsZero() || time.Now().Before(in.limit)):
			err = wire.ErrQuiet
		}
		in.mu.Unlock()
	}
	return n, err
}

// deadline is after the timeout, or at the limit. in.mu is held.
func (in *input) deadline(timeout time.Duration) time.Time {
	t := time.Now().Add(timeout)
	if !in.limit.IsZero() && t.After(in.limit) {
		return in.limit
	}
	return t
}

// wait says that the next reads wait for a command, each at most timeout long, and may be
// interrupted. With quiet, the first of them returns wire.ErrQuiet if nothing comes for quietAfter.
func (in *input) wait(timeout time.Duration, quiet bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.idle, in.timeout, in.quiet = true, timeout, quiet
}

// arrival is what ended await.
type arrival int

const (
	nothing     arrival = iota // the time is over
	spoke                      // the client has sent something, which the next read has
	left                       // the client is gone, or the connection failed
	awake                      // wake was called
	interrupted                // interrupt was called, perhaps before
)

// await waits until the client has sent something, or for the time given. If the caller hears others,
// it also ends when another goroutine calls wake or has called it since await ended.
func (in *input) await(timeout time.Duration, hears bool) arrival {
	in.unwatch()
	raw := in.socket()
	if raw != nil && !in.hasAhead && in.err == nil {
		in.takeDecrypted()
	}
	switch {
	case in.hasAhead:
		return spoke
	case in.err != nil:
		return left
	}
	in.mu.Lock()
	switch {
	case in.interrupted:
		in.mu.Unlock()
		return interrupted
	case in.woken && hears:
		in.woken = false
		in.mu.Unlock()
		return awake
	}
	in.awaiting = hears
	err := in.conn.SetReadDeadline(in.deadline(timeout))
	in.mu.Unlock()
	n := 0
	if err == nil && raw != nil {
		err = raw.Read(hasArrived)
	}
	if err == nil {
		n, err = in.conn.Read(in.ahead[:])
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.awaiting = false
	switch {
	case n > 0:
		in.hasAhead = true
		return spoke
	case !errors.Is(err, os.ErrDeadlineExceeded):
		in.err = err
		return left
	case in.interrupted:
		return interrupted
	case in.woken && hears:
		in.woken = false
		return awake
	}
	return nothing
}

// socket is what is below TLS, if the connection has TLS and something below that can be waited for.
// Waiting there takes half the stack that waiting in a read of crypto/tls takes.
func (in *input) socket() syscall.RawConn {
	tc, ok := in.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	below, ok := tc.NetConn().(syscall.Conn)
	if !ok {
		return nil // what reads ahead itself, for instance
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return nil // Read will say why
	}
	return raw
}

// takeDecrypted reads ahead if TLS has something that it has taken from the socket already.
func (in *input) takeDecrypted() {
	if in.conn.SetReadDeadline(past) != nil {
		return // Read will say why
	}
	n, err := in.conn.Read(in.ahead[:])
	switch {
	case n > 0:
		in.hasAhead = true
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		in.err = err
	}
}

// hasArrived reports whether a read of the socket would not wait.
func hasArrived(fd uintptr) bool {
	var first [1]byte
	_, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err != syscall.EAGAIN && err != syscall.EINTR
}

// wake ends await, now or the next time. It may be called from any goroutine, and does not block.
func (in *input) wake() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.woken = true
	if in.awaiting {
		_ = in.conn.SetReadDeadline(past) // a dead connection ends by itself
	}
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
	in.idle, in.timeout, in.quiet = false, readTimeout, false
}

// interrupt ends a read that waits for a command, and await, now or later. It may be called from
// any goroutine.
func (in *input) interrupt() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.interrupted = true
	if in.awaiting || in.idle && in.watcher == nil {
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
			in.start(gone)
		}
	})
	in.timer = t
}

// start runs the watcher; in.mu is held.
func (in *input) start(gone func()) {
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
