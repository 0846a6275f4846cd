package ingest

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/sessions"
)

// conn is a connection. One goroutine reads its commands, executes them and replies; all fields
// above mu belong to that goroutine. Others only end the connection: see drain and cut.
type conn struct {
	srv    *Server
	log    *slog.Logger
	remote net.Addr
	raw    net.Conn // the TCP or TLS connection
	in     input
	out    []byte // replies that wait to be sent
	outErr error  // the socket's first write error; there is no second attempt

	tls      bool
	hello    string            // argument of the greeting; empty before it, and after STARTTLS
	extended bool              // greeted with EHLO or LHLO
	account  *account.Account  // who has authenticated; nil for nobody
	session  *sessions.Session // of the account
	tx       *transaction
	mistakes int // commands that made no sense, since the last message
	idle     int // commands that did nothing for a message, since the last one
	refused  int // recipients that were unknown

	origin origin

	helloEnd   time.Time // when the client must have greeted
	commandEnd time.Time // when the client must have sent the command that is waited for
	bodyEnd    time.Time // when the transfer of the body must be over; zero outside of bodies

	sock     net.Conn // the accepted connection, below TLS
	mu       sync.Mutex
	waiting  bool // blocked waiting for a command
	draining bool // the server is shutting down, or the session was told to end
	kicked   bool // the session was told to end
}

var (
	errQuit     = errors.New("the client quit")
	errHungUp   = errors.New("hung up")
	errShutdown = errors.New("shutting down")
)

func newConn(srv *Server, sock net.Conn) *conn {
	c := &conn{srv: srv, sock: sock, raw: sock}
	c.in = newInput(socketReader{c})
	return c
}

// serve handles the connection from its greeting to its end.
func (c *conn) serve() {
	defer c.close()
	defer c.recover()
	c.remote = c.sock.RemoteAddr()
	c.origin = c.srv.originOf(c.remote)
	c.log = c.srv.log.With("session", newID()).With(remoteAttrs(c.remote)...)
	if refusal, reason := c.srv.gate.admit(c.origin); refusal != nil {
		c.turnAway(*refusal, reason)
		return
	}
	defer c.srv.gate.leave(c.origin)
	c.log.Debug("connected")
	c.ended(c.converse())
}

// turnAway tells a client why it cannot stay, if that is possible at once.
func (c *conn) turnAway(r reply, reason string) {
	c.srv.refusal(reason)
	c.srv.rare.Warn(c.log, "connection refused", "reason", reason)
	if _, ok := c.sock.(*tls.Conn); !ok { // no handshake for those
		_ = c.hangUp(r)
	}
}

// refusal counts what was refused.
func (s *Server) refusal(reason string) {
	s.opts.Metrics.refusals.WithLabelValues(s.role.name, reason).Inc()
}

// converse answers commands until the connection ends.
func (c *conn) converse() error {
	c.helloEnd = time.Now().Add(greetingTimeout)
	if err := c.greet(); err != nil {
		return err
	}
	for {
		c.commandEnd = time.Now().Add(commandTimeout)
		if c.hello == "" {
			c.commandEnd = c.helloEnd
		}
		line, err := c.in.readLine(maxCommandLine)
		switch {
		case errors.Is(err, errLineTooLong), errors.Is(err, errLineEndless):
			err = c.overlong(line, err)
		case err == nil:
			err = c.execute(string(line))
		}
		if err != nil {
			return err
		}
	}
}

// overlong answers a line beyond the limit, of which start is the beginning. If it may be a BDAT
// command, a chunk may follow: nobody knows where commands begin again.
func (c *conn) overlong(start []byte, err error) error {
	if errors.Is(err, errLineEndless) || parseCommand(string(start)).verb == "BDAT" {
		return c.hangUp(replyTooLong)
	}
	return c.reply(replyTooLong)
}

// ended says the last word, if the client is there to hear it.
func (c *conn) ended(err error) {
	switch {
	case errors.Is(err, errShutdown) && c.isKicked():
		_ = c.reply(replyKicked)
	case errors.Is(err, errShutdown):
		// Without lingering: the server has no time, and idle clients send nothing.
		_ = c.reply(reply{421, "4.3.2", c.srv.opts.Hostname + " is shutting down, try again"})
	case isTimeout(err) && c.outErr == nil:
		if c.hello == "" {
			c.srv.refusal(refusedSilent)
		}
		_ = c.hangUp(c.tooSlow())
	}
	c.log.Debug("disconnected", "error", err)
}

// tooSlow is the reply to a client that let its time pass (RFC 5321 section 4.5.3.2).
func (c *conn) tooSlow() reply {
	if !c.bodyEnd.IsZero() {
		return replySlow
	}
	return replyIdle
}

// recover keeps a fault in one connection from ending the server.
func (c *conn) recover() {
	if p := recover(); p != nil {
		c.log.Error("panic", "error", p, "stack", string(debug.Stack()))
		_ = c.hangUp(replyPanic)
	}
}

// reply answers a command. It ends a conversation with too many mistakes, or too many commands that
// do nothing for a message.
func (c *conn) reply(r reply) error {
	if r.mistake() {
		if c.mistakes++; c.mistakes > maxMistakes {
			return c.cutOff(replyMistakes, refusedMistakes)
		}
	}
	if r.code == 503 && c.tooIdle() {
		return c.cutOff(replyIdlers, refusedIdle)
	}
	return c.answer(r)
}

// answer appends a reply to those that wait.
func (c *conn) answer(r reply) error {
	c.out = r.appendTo(c.out)
	if len(c.out) >= writeBuffer {
		return c.flush()
	}
	return nil
}

// cutOff ends the connection of a client that goes too far.
func (c *conn) cutOff(r reply, reason string) error {
	c.srv.refusal(reason)
	c.srv.rare.Info(c.log, "connection cut off", "reason", reason)
	return c.hangUp(r)
}

// hangUp sends a last reply and makes the connection end.
func (c *conn) hangUp(r reply) error {
	c.out = r.appendTo(c.out)
	if err := c.flush(); err != nil {
		return err
	}
	c.linger()
	return errHungUp
}

// linger waits until the client has heard the last reply: closing a socket with octets that nobody
// has read may take away replies that are on their way.
func (c *conn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	// The deadline bounds a client that goes on sending.
	c.sock.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.sock, maxLinger))
}

// flush sends the waiting replies.
func (c *conn) flush() error {
	if len(c.out) == 0 || c.outErr != nil {
		return c.outErr
	}
	c.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, c.outErr = c.raw.Write(c.out)
	c.out = c.out[:0]
	return c.outErr
}

// socketReader reads from the socket after sending the replies that wait. So replies to pipelined
// commands leave together (RFC 2920 section 3.2), and no client waits for one that is held back.
type socketReader struct{ c *conn }

func (r socketReader) Read(p []byte) (int, error) {
	c := r.c
	if err := c.flush(); err != nil {
		return 0, err
	}
	inBody := !c.bodyEnd.IsZero()
	deadline := c.commandEnd
	if inBody {
		deadline = earlier(time.Now().Add(commandTimeout), c.bodyEnd)
	}
	if inBody {
		c.raw.SetReadDeadline(deadline)
		return c.raw.Read(p)
	}
	if !c.wait(deadline) {
		return 0, errShutdown
	}
	n, err := c.raw.Read(p)
	if c.waited() && err != nil {
		err = errShutdown
	}
	return n, err
}

// wait sets the deadline for a read that drain may cut short. It returns false if the server is
// shutting down already.
func (c *conn) wait(deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return false
	}
	c.waiting = true
	c.sock.SetReadDeadline(deadline)
	return true
}

// waited ends what wait began, and tells whether the server is shutting down.
func (c *conn) waited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	return c.draining
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// drain makes the connection end as soon as no body is being transferred.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.waiting {
		c.sock.SetReadDeadline(time.Unix(1, 0))
	}
}

// cut closes the socket under the connection's goroutine.
func (c *conn) cut() { _ = c.sock.Close() }

// close gives up what the connection holds.
func (c *conn) close() {
	c.session.Close()
	c.reset()
	_ = c.flush() // the client may be gone
	_ = c.raw.Close()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
