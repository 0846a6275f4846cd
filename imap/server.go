package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gadwall/imap/deflate"
	"gadwall/internal/activity"
	"gadwall/internal/mailkey"
	"gadwall/internal/sasl"
	"gadwall/internal/sessions"
	"gadwall/internal/sparselog"
)

// Options configure a Server.
type Options struct {
	// Authenticator is required: it logs users in.
	Authenticator *sasl.Authenticator

	// TLSConfig enables STARTTLS. A listener for implicit TLS is passed to
	// Serve as tls.NewListener gives it.
	TLSConfig *tls.Config
	// Hostname stands in the greeting; empty means the machine's name.
	Hostname string
	Logger   *slog.Logger

	// PlaintextFrom are the networks whose clients may send passwords without TLS,
	// as a balancer that ends TLS does. Nil means loopback; an empty list means none.
	// A client's address is what the connection's RemoteAddr says. A Unix socket
	// never leaves the machine: its clients may always send passwords.
	PlaintextFrom []netip.Prefix
	// Comment and AdminURI are the entries /shared/comment and /shared/admin of the server
	// (RFC 5464 section 3.2.1.1); empty means that there is none.
	Comment, AdminURI string
	// NoUnauthenticate does without UNAUTHENTICATE, for a server behind a proxy that lets everything
	// pass after a login (RFC 8437 section 8).
	NoUnauthenticate bool
	// Version stands in the answer to ID; empty means that the server does not tell it.
	Version string
	// MaxMessageSize bounds APPEND, in bytes; 0 means 512 MiB.
	MaxMessageSize int64
	// MaxConnections bounds open connections; 0 means 20,000.
	MaxConnections int
	// MaxConnectionsPerAddress bounds the open connections of one client address
	// (of one /64 network of IPv6); 0 means 500. Clients on loopback and on Unix sockets
	// are exempt, since many users reach the server through one program there (webmail).
	MaxConnectionsPerAddress int
	// MaxConnectionsPerUser bounds the connections that are logged in as one user;
	// 0 means 1,000.
	MaxConnectionsPerUser int
	// MaxCommandsPerMinute bounds the commands of all sessions of a user; further ones wait. A user who
	// was silent for a minute may send so many at once. 0: no limit.
	MaxCommandsPerMinute int
	// FetchMemory bounds, in bytes, what the FETCHes of all sessions have read and not yet
	// written; 0 means 128 MiB. One user's sessions have at most a quarter of it.
	FetchMemory int64
	// PollInterval is how old a view may get without an event before it is
	// compared with the database; 0 means 30 seconds. Where events of other
	// instances arrive, it is 5 to 10 minutes instead. For sessions in IDLE, the
	// server compares all views by one query.
	PollInterval time.Duration
	// Sessions has the connections on which users are logged in; nil if nobody asks for them.
	Sessions *sessions.Registry
	// Activity counts commands; nil counts for nobody.
	Activity *activity.Counts
}

// Server is an IMAP server. Its methods may be called from any goroutine.
type Server struct {
	opts Options
	log  *slog.Logger

	rare *sparselog.Logger // for lines that clients can cause as often as they like

	fetchMemory *budget // of the batches of all FETCHes
	describing  *budget // of descriptions; who has some of it waits for no fetchMemory

	clients clientCounts // what ID told
	counts  *counts      // of commands

	compressors *deflate.Pool // of sessions that compress

	// As the constants of these names; tests have other ones.
	notifyPause, notifyPatience      time.Duration
	notifyMailboxes, notifyResponses int

	longLines atomic.Int32 // long lines of clients that are not logged in

	views     poller    // of sessions that wait
	leftovers leftovers // of sessions that wait for the first time
	polling   sync.Once

	ctx    context.Context // ends when connections must end at once
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perAddr   map[netip.Addr]int
	perUser   map[mailkey.UserID]userSessions
	stopping  bool
	stop      context.Context // ends when stopping
	beginStop context.CancelFunc

	shutdownNotice time.Duration // how often Shutdown logs what it waits for
	progressEvery  time.Duration // how often a long command tells how far it is
	trustEvents    time.Duration // how long an event is believed that the database does not confirm
	quietAfter     time.Duration // of the connections that begin; guarded by mu
	writeTimeout   time.Duration // likewise
	wg             sync.WaitGroup
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("imap: server closed")

// New returns a server; Options.Authenticator is required.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Hostname == "" {
		opts.Hostname, _ = os.Hostname() // the greeting does without
	}
	if opts.MaxMessageSize <= 0 {
		opts.MaxMessageSize = defaultMaxMessageSize
	}
	if opts.MaxConnections <= 0 {
		opts.MaxConnections = defaultMaxConnections
	}
	if opts.MaxConnectionsPerAddress <= 0 {
		opts.MaxConnectionsPerAddress = defaultMaxConnectionsPerAddress
	}
	if opts.MaxConnectionsPerUser <= 0 {
		opts.MaxConnectionsPerUser = defaultMaxConnectionsPerUser
	}
	if opts.PlaintextFrom == nil {
		opts.PlaintextFrom = loopback
	}
	if opts.Activity == nil {
		opts.Activity = activity.New()
	}
	if opts.FetchMemory <= 0 {
		opts.FetchMemory = defaultFetchMemory
	}
	if opts.PollInterval <= 0 {
		opts.PollInterval = pollInterval
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop, beginStop := context.WithCancel(ctx)
	return &Server{
		opts: opts, log: opts.Logger,
		ctx: ctx, cancel: cancel,
		counts:      newCounts(opts.Activity),
		compressors: deflate.NewPool(maxCompressors),
		notifyPause: notifyPause, notifyPatience: notifyPatience,
		notifyMailboxes: maxNotifyMailboxes, notifyResponses: maxNotifyResponses,
		rare:        sparselog.New(sparselog.Interval),
		describing:  newBudget(describingMemory, describingMemory/fetchShares, describeMemory),
		fetchMemory: newBudget(opts.FetchMemory, opts.FetchMemory/fetchShares, maxBatchMemory),
		listeners:   make(map[net.Listener]struct{}),
		conns:       make(map[*conn]struct{}),
		perAddr:     make(map[netip.Addr]int),
		perUser:     make(map[mailkey.UserID]userSessions),
		stop:        stop, beginStop: beginStop,
		shutdownNotice: shutdownNotice,
		progressEvery:  progressInterval,
		trustEvents:    trustEvents,
		quietAfter:     quietAfter,
		writeTimeout:   writeTimeout,
	}
}

// Serve accepts connections from l until Shutdown, and then returns
// ErrServerClosed, or until the listener fails. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()

	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			select {
			case <-s.stop.Done():
				return ErrServerClosed
			default:
			}
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() && !isResourceError(err) {
				return fmt.Errorf("imap: accept: %w", err)
			}
			// Out of file descriptors, for instance: wait for some to be freed.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.rare.Warn(s.log, "imap: accept", "error", err, "retry_in", pause)
			select {
			case <-time.After(pause):
				continue
			case <-s.stop.Done():
				return ErrServerClosed
			}
		}
		pause = 0
		s.start(nc)
	}
}

// start takes a connection in, or turns it away, without waiting for it.
func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	refuse := ""
	switch {
	case s.stopping:
		refuse = "[UNAVAILABLE] Server is shutting down"
	case len(s.conns) >= s.opts.MaxConnections:
		refuse = "[LIMIT] Too many connections"
	default:
		s.conns[c] = struct{}{}
		c.in.quietAfter, c.out.timeout = s.quietAfter, s.writeTimeout
		s.wg.Add(1)
		s.polling.Do(func() { s.wg.Go(s.poll) })
	}
	s.mu.Unlock()
	if refuse != "" {
		s.rare.Warn(s.log, "imap: connection refused", "why", refuse)
		c.turnAway(refuse)
		c.close()
		return
	}
	go func() {
		defer s.wg.Done()
		defer c.close()
		defer s.forget(c) // before the client can see the end and connect again
		// A listener for the PROXY protocol reads the client's address from the
		// connection, and so may wait here.
		c.identify()
		if !s.admitAddress(c) {
			s.rare.Warn(c.log, "imap: connection refused: too many of the address")
			c.turnAway(fmt.Sprintf("[LIMIT] Too many connections from your address, %d are allowed",
				s.opts.MaxConnectionsPerAddress))
			return
		}
		c.serve(s.ctx)
	}()
}

// turnAway writes an untagged BYE, if that is possible at once.
func (c *conn) turnAway(text string) {
	if !c.tls { // no handshake for those
		_ = c.socket.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.socket.Write([]byte("* BYE " + text + "\r\n")) // a courtesy
	}
}

// admitAddress counts a connection for its client's address, unless there are too
// many.
func (s *Server) admitAddress(c *conn) bool {
	if c.local {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAddr[c.network] >= s.opts.MaxConnectionsPerAddress {
		return false
	}
	s.perAddr[c.network]++
	c.countedAddress = true
	return true
}

// admitUser counts a connection for the user who logs in, unless there are too
// many.
func (s *Server) admitUser(user mailkey.UserID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pruneUsers()
	u, ok := s.perUser[user]
	if u.count >= s.opts.MaxConnectionsPerUser {
		return false
	}
	if !ok {
		u.pace = newPace(s.opts.MaxCommandsPerMinute)
	}
	u.count++
	s.perUser[user] = u
	return true
}

// leaveUser takes the user from a connection.
func (s *Server) leaveUser(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropUser(c.account.UserID())
	c.account, c.pace = nil, nil
}

// forget ends the counting of a connection.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.countedAddress {
		countDown(s.perAddr, c.network)
	}
	if c.account != nil {
		s.dropUser(c.account.UserID())
	}
}

// dropUser takes a connection from a user; s.mu is held.
func (s *Server) dropUser(user mailkey.UserID) {
	u := s.perUser[user]
	if u.count--; u.count <= 0 && u.rested() {
		delete(s.perUser, user)
		return
	}
	s.perUser[user] = u
}

// countDown subtracts one from a counter and drops it at zero.
func countDown[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// Shutdown stops listening, lets running commands finish, says BYE to every
// client and waits for all connections to end. When ctx ends first, the rest
// is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.beginStop()
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.in.interrupt()
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() { // ends with the last connection
		s.wg.Wait()
		close(ended)
	}()
	defer s.rare.Close()
	defer s.leftovers.stop()
	defer s.cancel()
	notice := time.NewTicker(s.shutdownNotice)
	defer notice.Stop()
	for done := false; !done; {
		select {
		case <-ended:
			return nil
		case <-notice.C:
			s.log.Info("imap: waiting for sessions to finish their commands", "sessions", s.Connections())
		case <-ctx.Done():
			done = true
		}
	}
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	<-ended
	return ctx.Err()
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
