package imap

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/time/rate"

	"gadwall/imap/deflate"
	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/activity"
	"gadwall/internal/events"
	"gadwall/internal/logins"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
)

// conn is one connection. Its fields belong to the goroutine that runs serve.
type conn struct {
	srv     *Server
	log     *slog.Logger
	connLog *slog.Logger // log without the user

	socket  net.Conn // what Accept gave; set once
	netConn net.Conn // the same, or TLS over it after STARTTLS
	in      *input
	out     *output
	dec     *wire.Decoder
	enc     *wire.Encoder

	remote  string     // the client's address, for logs; "unix" on a Unix socket
	network netip.Addr // of the client, for limits; see logins.NetworkOf
	local   bool       // the client is on this machine
	trusted bool       // the client may send passwords without TLS
	tls     bool

	compressed *compression // nil unless COMPRESS was sent
	// plain has what came behind the compressed data of before an UNAUTHENTICATE; nil if there were none.
	plain *deflate.Reader

	started time.Time

	actor activity.Actor // at the command that runs

	session  *sessions.Session // from the login on
	kicked   chan struct{}     // closed when the session is to end
	clientID string            // what ID told of the client

	pollJitter time.Duration // spreads the looks of sessions that began together

	countedAddress bool // Server.perAddr counts the connection
	countedLine    bool // Server.longLines does

	state   imap.ConnState
	account *account.Account     // from the login on
	pace    *rate.Limiter        // likewise; see keepPace
	sub     *events.Subscription // from the first SELECT or IDLE on
	heard   []mailkey.UserID     // whose events sub has
	sel     *selected            // nil unless state is selected
	series  *series              // nil unless the next command is of one

	enabled     extensions
	annotations annotations
	notify      *notifications // nil until NOTIFY
	// betweenCommands is set while the session tells changes by itself.
	betweenCommands bool

	commands     int
	knowsID      bool // the client has sent ID
	rested       bool // it has waited for long
	badInRow     int
	authFailures int
	closing      bool   // end after the running command
	ended        string // why, for the log
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		srv: s, socket: nc, netConn: nc, started: time.Now(),
		state: imap.ConnStateNotAuthenticated, log: s.log,
		ended: "client left", pollJitter: rand.N(trustedPollInterval),
	}
	_, c.tls = nc.(*tls.Conn)
	c.in = newInput(nc)
	c.in.total = &s.counts.traffic.Received
	c.dec = wire.NewDecoder(c.in)
	c.out = &output{conn: nc, timeout: writeTimeout, total: &s.counts.traffic.Sent}
	c.enc = wire.NewEncoder(c.out)
	c.dec.Continue = c.continueLiteral
	c.beforeLogin()
	return c
}

// identify notes who the client is, as the connection's RemoteAddr says, and gives
// the session an id that all its log lines carry.
func (c *conn) identify() {
	attrs := []any{"session", cryptorand.Text()[:sessionIDLength]}
	switch a := c.socket.RemoteAddr().(type) {
	case *net.TCPAddr:
		at := a.AddrPort()
		addr := at.Addr().Unmap().WithZone("")
		c.network, c.local = logins.NetworkOf(addr), addr.IsLoopback()
		c.trusted = containsAddr(c.srv.opts.PlaintextFrom, addr)
		c.remote = addr.String()
		attrs = append(attrs, "remote", c.remote, "port", at.Port())
	case *net.UnixAddr:
		c.local, c.trusted, c.remote = true, true, "unix"
		attrs = append(attrs, "remote", c.remote)
	default:
		c.remote = a.String()
		attrs = append(attrs, "remote", c.remote)
	}
	c.connLog = c.srv.log.With(attrs...)
	c.log = c.connLog
}

// loopback are the networks that never leave the machine.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func containsAddr(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// isResourceError reports whether Accept failed for want of something that
// comes back.
func isResourceError(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ECONNABORTED)
}

// continueLiteral asks for the bytes of a literal (RFC 3501 section 7.5).
func (c *conn) continueLiteral() error {
	c.enc.Raw("+ OK\r\n")
	return c.enc.Flush()
}

// abort cuts the connection off, from any goroutine.
func (c *conn) abort() { c.socket.Close() }

// serve runs the connection until its end.
func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(c.actor.Context(ctx))
	defer cancel()
	defer c.enc.Flush()
	defer c.endLongLine()
	defer c.recovered("connection")
	if tc, ok := c.netConn.(*tls.Conn); ok {
		if err := c.handshake(tc); err != nil {
			c.log.Debug("imap: TLS handshake", "error", err)
			return
		}
	}
	c.greet()
	for !c.closing && c.enc.Flush() == nil {
		if c.isStopping() || c.isKicked() {
			c.sayStopped()
			return
		}
		if c.notify.pushes() {
			if spoken, err := c.push(ctx); err != nil || !spoken {
				return
			}
		}
		if !c.hasInput() {
			c.endSeries()
		}
		c.in.wait(c.patience(), !c.hasInput())
		err := c.dec.Start()
		if errors.Is(err, wire.ErrQuiet) {
			err = c.rest()
		}
		if err != nil {
			c.endOfInput(err)
			return
		}
		c.in.busy()
		c.command(ctx, cancel)
		c.endLongLine()
	}
}

// handshake negotiates TLS; when the server stops meanwhile, it is given up.
func (c *conn) handshake(tc *tls.Conn) error {
	ctx, cancel := context.WithTimeout(c.srv.stop, greetTimeout)
	defer cancel()
	return tc.HandshakeContext(ctx)
}

// close ends everything that belongs to the connection.
func (c *conn) close() {
	c.in.unwatch()
	c.endSeries()
	if c.compressed != nil {
		c.compressed.out.Release()
	}
	c.netConn.Close()
	c.closeSession()
	c.sel = nil
	if c.sub != nil {
		c.sub.Close()
	}
	if errors.Is(c.enc.Err(), os.ErrDeadlineExceeded) {
		c.ended = "client reads nothing"
	}
	if c.account != nil {
		c.log.Info("imap: logout", "why", c.ended, "commands", c.commands,
			"bytes_in", c.in.bytes, "bytes_out", c.out.bytes,
			"duration", time.Since(c.started).Round(time.Millisecond))
	}
}

func (c *conn) greet() {
	c.enc.Untagged().Raw("OK [CAPABILITY ").Raw(c.capabilities()).Raw("] ").
		Text(c.srv.opts.Hostname + " Gadwall ready").CRLF()
}

// rest waits for a command with as little memory as that takes, and begins to read it.
func (c *conn) rest() error {
	c.release()
	if c.in.await(c.patience(), false) == nothing {
		return os.ErrDeadlineExceeded
	}
	return c.dec.Start()
}

// release gives memory back for a long wait.
func (c *conn) release() {
	c.dropCache()
	c.dec.Rest()
	if c.compressed != nil {
		c.compressed.in.Release()
	}
	if !c.rested {
		c.rested = true
		c.srv.leftovers.rest()
	}
}

// patience is how long to wait for the next command.
func (c *conn) patience() time.Duration {
	if c.state == imap.ConnStateNotAuthenticated {
		return loginTimeout // input.limit bounds all of it
	}
	return autologout
}

func (c *conn) isStopping() bool {
	return c.srv.stop.Err() != nil
}

// endOfInput says farewell, where there is somebody to hear it.
func (c *conn) endOfInput(err error) {
	var ne net.Error
	switch {
	case errors.Is(err, errInterrupted):
		c.sayStopped()
	case errors.Is(err, wire.ErrDrain):
		c.bye("TOOBIG", "Line is too long")
	case errors.As(err, &ne) && ne.Timeout():
		c.bye("", "Autologout; idle for too long")
	case errors.Is(err, io.EOF):
	default:
		c.ended = "connection lost"
		c.log.Debug("imap: connection lost", "error", err)
	}
}

// bye writes an untagged BYE and ends the connection after it.
func (c *conn) bye(code, text string) {
	c.closing, c.ended = true, text
	if c.enc.LineOpen() {
		return // in the middle of something: it would not be understood
	}
	c.enc.Untagged().Raw("BYE ")
	if code != "" {
		c.enc.Byte('[').Raw(code).Raw("] ")
	}
	c.enc.Text(text).CRLF()
}

// command reads and runs one command, whose first line was read, and answers it.
func (c *conn) command(ctx context.Context, gone func()) {
	c.commands++
	c.session.Touch()
	cmd := &command{args: c.dec}
	var err error
	if cmd.tag, err = c.dec.Tag(); err == nil {
		c.in.arm(watchAfter, gone)
		if err = c.keepPace(ctx); err == nil {
			err = c.run(ctx, cmd)
		}
		c.in.unwatch()
	} else {
		c.status("*", imap.StatusResponseTypeBad, "", "No valid tag")
		c.badInRow++
	}
	if c.closing || c.enc.Err() != nil {
		return
	}
	if c.enc.Flush() != nil {
		return
	}
	if err := c.dec.Resync(); err != nil {
		c.endOfInput(err)
		c.closing = true
		return
	}
	if c.badInRow >= c.maxBad() {
		c.bye("CLIENTBUG", "Too many bad commands")
		return
	}
	if cmd.after != nil && err == nil {
		if err := cmd.after(); err != nil {
			c.log.Debug("imap: after command", "error", err)
			c.closing = true
		}
	}
}

func (c *conn) maxBad() int {
	if c.state == imap.ConnStateNotAuthenticated {
		return maxBadUnauthenticated
	}
	return maxBadCommands
}

// run finds the handler of a command and calls it. The error is that of a command
// that was not OK.
func (c *conn) run(ctx context.Context, cmd *command) error {
	r, err := c.parseName(cmd)
	if err != nil || cmd.name != "FETCH" && cmd.name != "UID FETCH" {
		c.endSeries()
	}
	if err == nil && (r.sync != syncNone || r.states == inSelected) && cmd.name != "UNSELECT" {
		if err = c.refresh(ctx); errors.Is(err, mailstore.ErrNoSuchMailbox) {
			c.bye("", "Selected mailbox is not there any more")
			r.sync = syncNone
		}
	}
	if err != nil {
		r.run = func(*conn, context.Context, *command) error { return err }
	}
	begun, operation := time.Now(), c.srv.counts.of(cmd.name)
	c.actor.At(operation)
	cmd.result = activity.Failed // by a panic, for instance
	defer func() {
		c.actor.At(nil)
		operation.Done(cmd.result, time.Since(begun))
	}()
	return c.execute(ctx, cmd, r)
}

// execute calls a handler and writes its answer. A panic costs the connection,
// not the server.
func (c *conn) execute(ctx context.Context, cmd *command, r rule) error {
	defer c.recovered("command " + cmd.name)
	written := c.enc.Written()
	err := r.run(c, ctx, cmd)
	if c.enc.Err() != nil {
		cmd.result = activity.Aborted
		return c.enc.Err()
	}
	if err != nil && c.dec.Err() != nil {
		// There is nothing more to read, and most likely nobody to answer.
		cmd.result = activity.Aborted
		c.endOfInput(c.dec.Err())
		c.closing = true
		return err
	}
	if err != nil && ctx.Err() != nil {
		cmd.result = activity.Aborted
		c.log.Debug("imap: command ended with the connection", "command", cmd.name, "error", err)
		c.closing = true
		return err
	}
	if c.enc.LineOpen() {
		// A handler failed in the middle of a response: nothing that follows
		// would be understood.
		c.srv.rare.Error(c.log, "imap: response cut off", "command", cmd.name, "error", err)
		c.closing = true
		return err
	}
	if c.account != nil && !c.closing {
		mode := r.sync
		if cmd.numbered {
			mode = syncNoExpunge
		}
		if serr := c.sync(ctx, mode); serr != nil {
			c.syncFailed(serr)
			if c.enc.LineOpen() || c.enc.Err() != nil {
				return serr
			}
			// After BYE, too: the client has to know what became of the command.
		} else if c.sel != nil {
			c.warn(c.enc.Written() != written)
		}
	}
	if err != nil {
		typ, code, text := c.explain(ctx, cmd.name, err)
		if typ == imap.StatusResponseTypeBad {
			c.badInRow++
		} else {
			c.badInRow = 0
		}
		cmd.result = resultOf(imap.ResponseCode(code))
		c.status(cmd.tag, typ, code, text)
		return err
	}
	c.badInRow = 0
	cmd.result = activity.OK
	if cmd.answered {
		return nil
	}
	if cmd.answer.text == "" {
		cmd.answer.text = cmd.name + " completed"
	}
	if cmd.removed && c.sel != nil && c.enabled.has(qresync) {
		cmd.answer.code = highestModSeq(c.sel.told())
	}
	c.status(cmd.tag, imap.StatusResponseTypeOK, cmd.answer.code, cmd.answer.text)
	return nil
}

// recovered is deferred: a panic ends the connection, which is told so.
func (c *conn) recovered(where string) {
	if p := recover(); p != nil {
		c.log.Error("imap: panic", "where", where, "panic", p, "stack", string(debug.Stack()))
		c.bye("SERVERBUG", "Internal error")
	}
}

// syncFailed decides what it means that the view could not be brought up to date.
func (c *conn) syncFailed(err error) {
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		// RFC 2180 section 3.3: the mailbox was deleted by another session.
		c.bye("", "Selected mailbox was deleted")
		return
	}
	if c.enc.LineOpen() || c.enc.Err() != nil {
		c.closing = true
		return
	}
	// The command itself is done; changes are told when the database is back.
	c.srv.rare.Warn(c.log, "imap: could not look for changes", "error", err)
}

// status writes a status response: tagged, or untagged for "*".
func (c *conn) status(tag string, typ imap.StatusResponseType, code, text string) {
	text = text[:min(len(text), maxText)]
	c.enc.Raw(tag).SP().Raw(string(typ)).SP()
	if code != "" {
		c.enc.Byte('[').Raw(code).Raw("] ")
	}
	c.enc.Text(text).CRLF()
}
