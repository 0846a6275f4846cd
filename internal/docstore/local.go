package docstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/wire"
)

// localConn is the client's end of an in-memory connection. The server has no end of it and no
// goroutine: Write runs the command that it brings, or starts a goroutine for it, and Read copies
// the reply out of the buffer that the command made it in. So a command that does not wait costs
// neither a switch of goroutines nor a copy of the request.
//
// A connection holds one command or one reply. A Write waits until the reply before has been read,
// as net.Pipe makes a Write wait for the reader.
type localConn struct {
	srv *Server
	// conn is what commands know of the connection. The command under way has it to itself.
	conn *conn
	// ctx ends with the connection, and stops the command under way.
	ctx    context.Context
	cancel context.CancelFunc
	// gone tells the server that the connection is closed and no command runs any more.
	gone func()

	writer, reader localHalf
	partial        []byte // of a message, in the course of Write

	mu sync.Mutex
	// hungUp and closed say which end closed the connection.
	hungUp, closed bool
	running        bool
	// unread is the reply, or the rest of it: its header and its body.
	unread     bool
	head, body []byte
	reply      bson.Raw // as the command made it
	headBuffer [wire.MaxReplyHeader]byte
}

// localHalf is one direction of a connection.
type localHalf struct {
	calls sync.Mutex // lets one call after the other wait
	// wake is signalled when something changed that a waiting call may wait for.
	wake     chan struct{}
	deadline time.Time // under localConn.mu
}

func (h *localHalf) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func newLocalConn(s *Server, host string) *localConn {
	l := &localConn{srv: s, conn: &conn{srv: s, id: connIDs.Add(1), host: host}}
	l.ctx, l.cancel = context.WithCancel(s.ctx)
	l.writer.wake, l.reader.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return l
}

// Write implements net.Conn. When it returns, the commands in b run or have ended.
func (l *localConn) Write(b []byte) (n int, err error) {
	l.writer.calls.Lock()
	defer l.writer.calls.Unlock()
	for rest := b; len(rest) > 0; n = len(b) - len(rest) {
		var message []byte
		message, rest, err = l.next(rest)
		if err != nil {
			l.srv.log.Warn("closing a connection", "conn", l.conn.id, "error", err)
			l.hangUp()
			return n, io.ErrClosedPipe
		}
		deadline, err := l.begin(message != nil)
		if err != nil {
			return n, err
		}
		if message == nil {
			return len(b), nil
		}
		l.start(message, deadline)
	}
	return n, nil
}

// next takes a message off b, together with what the calls before brought of it. It returns none if
// b ends in the middle of one.
func (l *localConn) next(b []byte) (message, rest []byte, err error) {
	if len(l.partial) == 0 {
		if message, rest, err = wire.Split(b); message != nil || err != nil {
			return message, rest, err
		}
	}
	for {
		need, err := wire.Need(l.partial)
		if err != nil {
			return nil, nil, err
		}
		if take := need - len(l.partial); take > len(b) {
			l.partial = append(l.partial, b...)
			return nil, nil, nil
		} else if take > 0 {
			l.partial = append(l.partial, b[:take]...)
			b = b[take:]
			continue
		}
		message, l.partial = l.partial, nil
		return message, b, nil
	}
}

// begin waits until there is neither a command nor a reply, and occupies the connection for a
// command. Without a command it only looks whether the connection is open.
func (l *localConn) begin(command bool) (deadline time.Time, err error) {
	err = l.await(&l.writer, func() bool { return !command || !l.running && !l.unread })
	if err != nil {
		if err == io.EOF {
			err = io.ErrClosedPipe
		}
		return time.Time{}, err
	}
	defer l.mu.Unlock()
	l.running = l.running || command
	return l.writer.deadline, nil
}

// await waits until ready, which it calls with mu locked. It returns without an error with mu
// locked.
func (l *localConn) await(h *localHalf, ready func() bool) error {
	for {
		l.mu.Lock()
		if err := l.stopped(h); err != nil {
			l.mu.Unlock()
			return err
		}
		if ready() {
			return nil
		}
		deadline := h.deadline
		l.mu.Unlock()
		if deadline.IsZero() {
			<-h.wake
			continue
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-h.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stopped says why a call may not go on. The caller has locked mu.
func (l *localConn) stopped(h *localHalf) error {
	switch {
	case l.closed:
		return io.ErrClosedPipe
	case l.hungUp:
		return io.EOF
	case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// start runs the command of a message, here if it only waits for what its context stops. A command
// that waits for the disk gets a goroutine, so that its client may give up before it ends.
func (l *localConn) start(message []byte, deadline time.Time) {
	if waitsForDisk(message) {
		m, err := wire.Read(bytes.NewReader(message)) // a copy: the client may use its buffer again
		if err != nil {
			l.refuse(err)
			return
		}
		l.srv.wg.Go(func() { l.run(l.ctx, m) })
		return
	}
	m, err := wire.Parse(message)
	if err != nil {
		l.refuse(err)
		return
	}
	// A panic that is to end the process ends it, whatever the client recovers from.
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			go panic(fmt.Sprintf("%v\n\n%s", p, stack))
			select {}
		}
	}()
	ctx := l.ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	l.run(ctx, m)
}

// waitsForDisk reports that a message's command may wait for writes of the disk, which no context
// stops. Reading commands, and writing ones in a transaction, do not.
func waitsForDisk(message []byte) bool {
	name, inTransaction := wire.Peek(message, "autocommit")
	cmd := commands[string(name)]
	return !cmd.direct && !(inTransaction && cmd.retryable)
}

// refuse ends the connection of a client that broke the protocol.
func (l *localConn) refuse(err error) {
	l.srv.log.Warn("closing a connection", "conn", l.conn.id, "error", err)
	l.end(func() { l.hangUpLocked() })
}

// run runs a command.
func (l *localConn) run(ctx context.Context, m *wire.Message) {
	reply := l.srv.handle(ctx, l.conn, m)
	silent, id, legacy := m.MoreToCome(), m.RequestID, m.Legacy
	m.Release()
	l.end(func() {
		switch {
		case reply == nil:
			l.hangUpLocked() // as a fail point wants it
		case silent, l.closed, l.hungUp:
			l.conn.sent(reply)
		default:
			l.conn.replies++
			l.head = wire.AppendReplyHeader(l.headBuffer[:0], l.conn.replies, id, legacy, len(reply))
			l.body, l.reply, l.unread = reply, reply, true
		}
	})
}

// end ends the command under way, with what becomes of its reply.
func (l *localConn) end(outcome func()) {
	l.mu.Lock()
	l.running = false
	outcome()
	l.changed()
}

// changed lets go of mu and tells everybody who waits.
func (l *localConn) changed() {
	var gone func()
	if (l.closed || l.hungUp) && !l.running {
		gone, l.gone = l.gone, nil
	}
	l.mu.Unlock()
	l.reader.signal()
	l.writer.signal()
	if gone != nil {
		l.cancel()
		gone()
	}
}

// Read implements net.Conn.
func (l *localConn) Read(b []byte) (int, error) {
	l.reader.calls.Lock()
	defer l.reader.calls.Unlock()
	if err := l.await(&l.reader, func() bool { return l.unread || len(b) == 0 }); err != nil {
		return 0, err
	}
	n := copy(b, l.head)
	l.head = l.head[n:]
	k := copy(b[n:], l.body)
	l.body = l.body[k:]
	if !l.unread || len(l.head)+len(l.body) > 0 {
		l.mu.Unlock()
		return n + k, nil
	}
	l.conn.sent(l.reply)
	l.unread, l.body, l.reply = false, nil, nil
	l.mu.Unlock()
	l.writer.signal()
	return n + k, nil
}

// Close implements net.Conn. It stops the command under way and does not wait for it.
func (l *localConn) Close() error {
	l.mu.Lock()
	l.closed = true
	l.cancel()
	l.changed()
	return nil
}

// hangUp closes the server's end.
func (l *localConn) hangUp() {
	l.mu.Lock()
	l.hangUpLocked()
	l.changed()
}

func (l *localConn) hangUpLocked() {
	l.hungUp = true
	l.cancel()
}

// SetDeadline implements net.Conn.
func (l *localConn) SetDeadline(t time.Time) error {
	if err := l.SetReadDeadline(t); err != nil {
		return err
	}
	return l.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (l *localConn) SetReadDeadline(t time.Time) error { return l.setDeadline(&l.reader, t) }

// SetWriteDeadline implements net.Conn. A command that a Write runs sees the deadline of its start.
func (l *localConn) SetWriteDeadline(t time.Time) error { return l.setDeadline(&l.writer, t) }

func (l *localConn) setDeadline(h *localHalf, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.hungUp {
		return io.ErrClosedPipe
	}
	if !h.deadline.Equal(t) {
		h.deadline = t
		h.signal()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (l *localConn) LocalAddr() net.Addr { return localAddr{} }

// RemoteAddr implements net.Conn.
func (l *localConn) RemoteAddr() net.Addr { return localAddr{} }

type localAddr struct{}

func (localAddr) Network() string { return "memory" }
func (localAddr) String() string  { return "memory" }

// serverEnd is an in-memory connection as the server closes it.
type serverEnd struct{ *localConn }

func (e serverEnd) Close() error {
	e.hangUp()
	return nil
}
