package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"gadwall/internal/mailstore"
)

// Users is what the API needs of the mail store.
type Users interface {
	CreateUser(ctx context.Context, n mailstore.NewUser) (*mailstore.User, error)
}

var _ Users = (*mailstore.Store)(nil)

// Options of a Server. Users and Ping are required.
type Options struct {
	Users Users
	// Ping asks the database for a sign of life.
	Ping func(context.Context) error
	// Token, if not empty, must come with every request but /health. If it is
	// empty, only requests for loopback hosts are answered.
	Token string
	// Gatherer is what /metrics shows; nil shows nothing.
	Gatherer prometheus.Gatherer
	// Logger may be nil.
	Logger *slog.Logger
}

// Server answers HTTP requests.
type Server struct {
	opts  Options
	token [sha256.Size]byte
	log   *slog.Logger
	http  *http.Server
	// crossOrigin refuses what a browser says comes from a page of another origin.
	crossOrigin *http.CrossOriginProtection
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Gatherer == nil {
		o.Gatherer = prometheus.NewRegistry()
	}
	s := &Server{opts: o, token: sha256.Sum256([]byte(o.Token)), log: o.Logger,
		crossOrigin: http.NewCrossOriginProtection()}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers requests on l until Shutdown, and returns nil then. It closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown lets requests in progress finish, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{})
	route := func(method, path string, h http.Handler) {
		mux.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
				w.Header().Set("Allow", method)
				fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "use "+method)
				return
			}
			h.ServeHTTP(w, r)
		}))
	}
	route(http.MethodPost, "/user/create", s.guarded(s.createUser))
	route(http.MethodGet, "/health", http.HandlerFunc(s.health))
	route(http.MethodGet, "/metrics", s.guarded(metrics.ServeHTTP))
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "NotFound", "no such resource")
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// guarded lets through who may ask: see the package comment.
func (s *Server) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Token != "" {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			// Of equal length whatever was sent, so that the comparison tells nothing.
			sent := sha256.Sum256([]byte(strings.TrimSpace(token)))
			if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sent[:], s.token[:]) != 1 {
				w.Header().Set("WWW-Authenticate", `Bearer realm="gadwall"`)
				fail(w, http.StatusUnauthorized, "Unauthorized", "this needs the header Authorization: Bearer TOKEN")
				return
			}
		} else if !isLoopbackHost(r.Host) {
			fail(w, http.StatusForbidden, "Forbidden", "without a token, only requests to a loopback host name or address are answered")
			return
		}
		if err := s.crossOrigin.Check(r); err != nil {
			fail(w, http.StatusForbidden, "CrossOrigin", "a page of another origin may not ask this")
			return
		}
		h(w, r)
	}
}

// isLoopbackHost checks a Host header.
func isLoopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
