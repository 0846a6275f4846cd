package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"gadwall/internal/mailstore"
)

// Options of a Server. Store and Hostname are required.
type Options struct {
	Store *mailstore.Store
	// LMTP selects LMTP; otherwise the server speaks SMTP.
	LMTP bool
	// Hostname is what the server calls itself, in greetings and trace lines.
	Hostname string
	// TLSConfig offers STARTTLS if it is not nil.
	TLSConfig *tls.Config
	// MaxMessageSize bounds a message, in octets; 0 is DefaultMaxMessageSize.
	MaxMessageSize int64
	// MaxConnections bounds the open connections; 0 is DefaultMaxConnections.
	MaxConnections int
	// RejectOverQuota answers a full mailbox with 552 5.2.2, so that the sender
	// gives up, instead of 452 4.2.2, which makes it try again for days.
	RejectOverQuota bool
	// Metrics may be nil, and shared by several servers.
	Metrics *Metrics
	// Logger may be nil. It receives addresses and ids, never text of messages.
	Logger *slog.Logger
}

// Server is an LMTP or SMTP server.
type Server struct {
	opts  Options
	log   *slog.Logger
	store store
	smtp  *smtp.Server
	proto string // "LMTP" or "SMTP"

	base   context.Context // of deliveries; ends when Shutdown's patience does
	cancel context.CancelFunc
	bodies sync.WaitGroup // sessions working on a body

	serving sync.WaitGroup // calls of Serve

	mu        sync.Mutex
	listeners []net.Listener
	guards    map[*guard]struct{}
	draining  bool
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
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
	if o.MaxMessageSize < 0 || o.MaxConnections < 0 {
		return nil, errors.New("ingest: negative limit")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	s := &Server{opts: o, store: st, proto: "SMTP", guards: make(map[*guard]struct{})}
	if o.LMTP {
		s.proto = "LMTP"
	}
	s.log = o.Logger.With("protocol", s.proto)
	s.base, s.cancel = context.WithCancel(context.Background())

	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.LMTP = o.LMTP
	s.smtp.Domain = o.Hostname
	s.smtp.MaxRecipients = maxRecipients
	s.smtp.EnableSMTPUTF8 = true
	// These limits and deadlines are the guard's and the session's: see guard.
	s.smtp.MaxLineLength = 0
	s.smtp.MaxMessageBytes = 0
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = 0, 0
	// Only so that AUTH is answered with "unsupported mechanism" rather than
	// "TLS is required": there is no mechanism.
	s.smtp.AllowInsecureAuth = true
	s.smtp.ErrorLog = smtpLog{s.log}
	return s, nil
}

// Serve accepts connections on l until Shutdown, and closes l then. It returns
// nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	l = guardListener{netutil.LimitListener(l, s.opts.MaxConnections), s}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners = append(s.listeners, l)
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()

	err := s.smtp.Serve(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.draining {
		return fmt.Errorf("%s: %w", s.proto, err)
	}
	return nil
}

// Shutdown stops accepting connections and ends each of them as soon as no body
// is being transferred or delivered on it. When ctx ends it cuts what is left;
// then nothing of that has been acknowledged. It may be called once.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	s.mu.Lock()
	s.draining = true
	for _, l := range s.listeners {
		l.Close() // go-smtp does it again
	}
	for g := range s.guards {
		g.drain()
	}
	s.mu.Unlock()
	// go-smtp begins to count a connection only after it is accepted, so all
	// must have been accepted before it waits for them.
	s.serving.Wait()

	_ = s.smtp.Shutdown(ctx) // its only news would be that the listeners are closed, or ctx
	done := make(chan struct{})
	go func() {
		s.bodies.Wait()
		close(done)
	}()
	if ctx.Err() == nil {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
		}
	}
	s.cancel()
	s.mu.Lock()
	guards := slices.Collect(maps.Keys(s.guards))
	s.mu.Unlock()
	for _, g := range guards {
		_ = g.cut() // it may have closed meanwhile
	}
	<-done // abortTimeout bounds it
	return fmt.Errorf("%s: shutdown: %w", s.proto, ctx.Err())
}

// guardListener puts a guard around every accepted connection.
type guardListener struct {
	net.Listener
	srv *Server
}

func (l guardListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := newGuard(l.srv, conn)
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	l.srv.guards[g] = struct{}{}
	l.srv.opts.Metrics.connections.WithLabelValues(l.srv.proto).Inc()
	if l.srv.draining {
		g.drain()
	}
	return g, nil
}

// forget drops a connection that closes. Locks are taken in the order Server.mu,
// guard.sending, guard.mu.
func (s *Server) forget(g *guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.guards[g]; ok {
		delete(s.guards, g)
		s.opts.Metrics.connections.WithLabelValues(s.proto).Dec()
	}
}

// smtpLog carries what go-smtp has to say; most of it is clients that hung up.
type smtpLog struct{ log *slog.Logger }

func (l smtpLog) Printf(format string, v ...any) { l.log.Warn("smtp: " + fmt.Sprintf(format, v...)) }
func (l smtpLog) Println(v ...any)               { l.log.Warn("smtp: " + fmt.Sprint(v...)) }
