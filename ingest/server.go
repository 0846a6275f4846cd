package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gadwall/internal/activity"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/sessions"
	"gadwall/internal/sparselog"
	"gadwall/internal/submission"
)

// Options of a Server. Hostname is required, and Store, or Submission with an Authenticator.
type Options struct {
	// Store has the mailboxes into which LMTP and SMTP deliver.
	Store *mailstore.Store
	// Submission makes the server one for users who send mail (RFC 6409).
	Submission *submission.Service
	// LMTP selects LMTP; otherwise the server speaks SMTP.
	LMTP bool
	// Hostname is what the server calls itself, in greetings and trace lines.
	Hostname string
	// TLSConfig offers STARTTLS if it is not nil.
	TLSConfig *tls.Config
	// MaxMessageSize bounds a message, in octets; 0 is DefaultMaxMessageSize.
	MaxMessageSize int64
	// MaxConnections bounds the open connections of TrustedMTAs, and those of all others; 0 is
	// DefaultMaxConnections.
	MaxConnections int
	// MaxConnectionsPerAddress bounds those of one address (one /64 of IPv6) that is not trusted;
	// 0 is DefaultMaxConnectionsPerAddress.
	MaxConnectionsPerAddress int
	// TrustedMTAs are the networks of servers that hand on the mail of many. They have no limit
	// per address, and none on what a client may do without delivering a message. Unix sockets
	// need not be named. A client's address is what the connection's RemoteAddr says.
	TrustedMTAs []netip.Prefix
	// RejectOverQuota answers a full mailbox with 552 5.2.2, so that the sender gives up, instead
	// of 452 4.2.2, which makes it try again for days.
	RejectOverQuota bool
	// RejectSuspended refuses mail for users who are suspended; else it is taken.
	RejectSuspended bool
	// DetailMailboxes delivers mail for user+detail into the mailbox of that name, if the user has one
	// without a special use.
	DetailMailboxes bool
	// Postmaster is the address whose mailbox gets the mail for <Postmaster>, and for the
	// postmaster at Hostname unless a user has that address; empty refuses it.
	Postmaster string
	// Authenticator offers AUTH if it is not nil.
	Authenticator *sasl.Authenticator
	// Sessions has the users who are logged in; nil: nobody lists and ends their sessions.
	Sessions *sessions.Registry
	// PlaintextFrom are the networks whose clients may send passwords without TLS. Unix sockets need
	// not be named.
	PlaintextFrom []netip.Prefix
	// Metrics may be nil, and shared by several servers.
	Metrics *Metrics
	// Activity counts deliveries; nil counts for nobody.
	Activity *activity.Counts
	// Logger receives addresses and ids, never text of messages; nil is slog.Default().
	Logger *slog.Logger
}

// Server is an LMTP, SMTP or submission server.
type Server struct {
	opts  Options
	log   *slog.Logger
	store store
	role  *role
	rare  *sparselog.Logger
	gate  admission

	delivery *activity.Operation // all that the server asks the database for
	base     context.Context     // of deliveries; ends when Shutdown's patience does
	cancel   context.CancelFunc
	open     sync.WaitGroup // connections

	mu        sync.Mutex // taken before conn.mu
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	draining  bool
	stop      chan struct{} // closed when draining
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.Submission != nil {
		if o.Authenticator == nil {
			return nil, errors.New("ingest: submission needs Options.Authenticator")
		}
		return newServer(o, nil)
	}
	if o.Store == nil {
		return nil, errors.New("ingest: Options.Store is required")
	}
	return newServer(o, mailStore{o.Store})
}

func newServer(o Options, st store) (*Server, error) {
	if o.Hostname == "" {
		return nil, errors.New("ingest: Options.Hostname is required")
	}
	if o.MaxMessageSize == 0 {
		o.MaxMessageSize = DefaultMaxMessageSize
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxConnectionsPerAddress == 0 {
		o.MaxConnectionsPerAddress = DefaultMaxConnectionsPerAddress
	}
	if o.MaxMessageSize < 0 || o.MaxConnections < 0 || o.MaxConnectionsPerAddress < 0 {
		return nil, errors.New("ingest: negative limit")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	s := &Server{
		opts: o, store: st, role: roleSMTP,
		listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{}),
	}
	switch {
	case o.Submission != nil:
		s.role = roleSubmission
	case o.LMTP:
		s.role = roleLMTP
	}
	s.log = o.Logger.With("protocol", s.role.name)
	s.rare = sparselog.New(sparselog.Interval)
	s.gate = admission{
		max: o.MaxConnections, maxPerNetwork: o.MaxConnectionsPerAddress,
		networks: make(map[netip.Addr]*network),
	}
	s.stop = make(chan struct{})
	if o.Activity == nil {
		o.Activity = activity.New()
	}
	s.delivery = o.Activity.Operation(s.role.name, "delivery")
	s.base, s.cancel = context.WithCancel(s.delivery.Context(context.Background()))
	return s, nil
}

// Serve accepts connections on l until Shutdown, and closes l. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer s.forget(l)

	var pause time.Duration
	for {
		sock, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(sock)
		case s.stopping():
			return nil
		case !mayPass(err):
			return fmt.Errorf("%s: accept: %w", s.role.name, err)
		default:
			// Out of file descriptors, for instance: wait for some to be freed.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.rare.Warn(s.log, "cannot accept a connection", "error", err)
			select {
			case <-time.After(pause):
			case <-s.stop:
			}
		}
	}
}

// mayPass tells whether an error of Accept may be gone the next time.
func mayPass(err error) bool {
	return isTimeout(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.ECONNABORTED)
}

func (s *Server) forget(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// start serves a connection in a goroutine of its own.
func (s *Server) start(sock net.Conn) {
	c := newConn(s, sock)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Admission is up to the connection's goroutine: to ask for the client's address may mean to
	// wait for what a proxy says.
	if s.draining || len(s.conns) >= 2*s.opts.MaxConnections+maxTurnedAway {
		sock.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.open.Add(1)
	connections := s.opts.Metrics.connections.WithLabelValues(s.role.name)
	connections.Inc()
	go func() {
		defer s.open.Done()
		defer connections.Dec()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		}()
		c.serve()
	}()
}

// Shutdown stops accepting connections and ends each of them as soon as no body is being
// transferred or delivered on it. When ctx ends it cuts what is left; then nothing of that has been
// acknowledged.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.rare.Close()
	defer s.cancel()
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		close(s.stop)
	}
	for l := range s.listeners {
		l.Close() // Serve does it again
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() { // ends with the last connection
		s.open.Wait()
		close(ended)
	}()
	if ctx.Err() == nil {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
		}
	}
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		c.cut()
	}
	s.mu.Unlock()
	<-ended // abortTimeout bounds it
	return fmt.Errorf("%s: shutdown: %w", s.role.name, ctx.Err())
}
