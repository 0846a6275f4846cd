package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/account"
	"gadwall/internal/activity"
	"gadwall/internal/census"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/pulse"
	"gadwall/internal/sasl"
	databaseschema "gadwall/internal/schema"
	"gadwall/internal/sessions"
	"gadwall/internal/submission"
	"gadwall/quota"
)

// Users is what the API needs of the mail store.
type Users interface {
	CreateUser(ctx context.Context, n mailstore.NewUser) (*mailstore.User, error)
	UserByID(ctx context.Context, id mailkey.UserID) (*mailstore.User, error)
	UserByName(ctx context.Context, name string) (*mailstore.User, error)
	UserPage(ctx context.Context, q mailstore.UserQuery) (users []*mailstore.User, more bool, err error)

	ChangeProfile(ctx context.Context, user mailkey.UserID, c mailstore.UserChange) error
	ChangeLimits(ctx context.Context, user mailkey.UserID,
		change func(quota.Limits) quota.Limits) (quota.Account, error)
	SetGroups(ctx context.Context, user mailkey.UserID, groups []string) error
	RenameUser(ctx context.Context, user mailkey.UserID, name string, keepAlias bool) error
	Suspend(ctx context.Context, user mailkey.UserID) error
	Resume(ctx context.Context, user mailkey.UserID) error
	DeleteUser(ctx context.Context, user mailkey.UserID) error
	DeleteUserAfter(ctx context.Context, user mailkey.UserID, after time.Time) error
	Undelete(ctx context.Context, user mailkey.UserID) error

	Addresses(ctx context.Context, user mailkey.UserID) ([]string, error)
	AddAlias(ctx context.Context, user mailkey.UserID, address string) error
	RemoveAlias(ctx context.Context, user mailkey.UserID, address string) error

	AddAppPassword(ctx context.Context, user mailkey.UserID, name string, scopes mailstore.Scope) (
		*mailstore.AppPassword, string, error)
	AppPasswords(ctx context.Context, user mailkey.UserID) ([]mailstore.AppPassword, error)
	RevokeAppPassword(ctx context.Context, user mailkey.UserID, id string) error

	Domains(ctx context.Context, after string, limit int) (list []mailstore.Domain, more bool, err error)
	DomainByName(ctx context.Context, name string) (*mailstore.Domain, error)
	ChangeDomain(ctx context.Context, name string, c mailstore.DomainChange) error
	ForgetDomain(ctx context.Context, name string) error

	LoginPage(ctx context.Context, q mailstore.LoginQuery) (list []mailstore.LoginEvent, next string, err error)

	CreateToken(ctx context.Context, t mailstore.Token) (*mailstore.Token, string, error)
	TokenBySecret(ctx context.Context, secret string) (*mailstore.Token, error)
	Tokens(ctx context.Context) ([]mailstore.Token, error)
	TokensOf(ctx context.Context, user mailkey.UserID) ([]mailstore.Token, error)
	RevokeTokenOf(ctx context.Context, user mailkey.UserID, id string) error
	RevokeToken(ctx context.Context, id string) error
}

var _ Users = (*mailstore.Store)(nil)

// Disk is the state of the disk under the embedded database.
type Disk struct {
	FreeBytes     uint64 `json:"freeBytes"`
	WritesRefused bool   `json:"writesRefused"` // too little is free to store anything new
}

// Options of a Server. Users and Ping are required.
type Options struct {
	Users Users
	// Accounts open the mail of users; nil: the API has no mail.
	Accounts *account.Accounts
	// Submission sends the mail of users; nil: the API cannot.
	Submission *submission.Service
	// Webhooks are sent what happens; nil: the API has no webhooks.
	Webhooks Webhooks
	// Ping asks the database for a sign of life.
	Ping func(context.Context) error
	// Disk returns the state of the database's disk; nil if this process does not know it.
	Disk func() (Disk, error)
	// Instances are those of the database, Sampler and Tail what this one did lately, and Census takes
	// stock of what is stored. Without one of them the API lacks its route.
	Instances *databaseschema.Schema
	Sampler   *pulse.Sampler
	Tail      *pulse.Tail
	Census    *census.Taker
	// Sessions lists and ends sessions; nil: the API has no sessions.
	Sessions Sessions
	// Registry has the streams of updates as sessions; nil: they are none.
	Registry *sessions.Registry
	// Token, if not empty, or a token of Users, must come with every request but /health. If it is
	// empty, the server answers only requests for loopback hosts.
	Token string
	// TokenRequired says that requests without a token or a password are refused from everywhere.
	TokenRequired bool
	// Authenticator logs users in who show a password or a token of a provider; nil: nobody does.
	Authenticator *sasl.Authenticator
	// PlaintextFrom are the networks whose clients may send passwords without TLS; nil is the machine
	// itself.
	PlaintextFrom []netip.Prefix
	// MaxConnections and MaxConnectionsPerAddress bound open connections; 0 means 1,000 and 200.
	MaxConnections, MaxConnectionsPerAddress int
	// MaxMessageSize bounds a message that is uploaded, in octets; 0 means 512 MiB.
	MaxMessageSize int64
	// Updates counts what streams of updates do; nil counts for nobody.
	Updates *UpdateMetrics
	// Gatherer is what /metrics shows; nil shows nothing.
	Gatherer prometheus.Gatherer
	// Activity counts requests; nil counts for nobody.
	Activity *activity.Counts
	// Logger receives what the server logs; nil means slog.Default().
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
	connections *connections
	document    []byte // OpenAPI
	counts      counts

	streams       *updateStreams
	watches       *watchStreams
	updateMetrics *UpdateMetrics
	heartbeat     time.Duration   // of streams
	retry         time.Duration   // after which clients come back that were cut
	updateWait    time.Duration   // in which a client takes what a stream sends
	closing       context.Context // ends when the server shuts down
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Gatherer == nil {
		o.Gatherer = prometheus.NewRegistry()
	}
	if o.Activity == nil {
		o.Activity = activity.New()
	}
	if o.Updates == nil {
		o.Updates = NewUpdateMetrics(nil)
	}
	if o.MaxMessageSize <= 0 {
		o.MaxMessageSize = defaultMaxMessageSize
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = defaultMaxConnections
	}
	if o.MaxConnectionsPerAddress <= 0 {
		o.MaxConnectionsPerAddress = defaultMaxConnectionsPerAddress
	}
	s := &Server{
		opts: o, token: sha256.Sum256([]byte(o.Token)), log: o.Logger,
		crossOrigin: http.NewCrossOriginProtection(),
		connections: newConnections(o.MaxConnections, o.MaxConnectionsPerAddress),

		streams:       &updateStreams{max: maxStreams, maxPerUser: maxStreamsPerUser, open: o.Updates.open},
		watches:       &watchStreams{max: maxWatches, open: o.Updates.watches},
		updateMetrics: o.Updates, heartbeat: heartbeat, retry: retryAfter, updateWait: updateWait,
	}
	var closed context.CancelFunc
	s.closing, closed = context.WithCancel(context.Background())
	routes := s.routes()
	s.document = document(routes)
	s.counts = newCounts(o.Activity, routes)
	s.http = &http.Server{
		Handler:           s.handler(routes),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       markReserved,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(closed)
	return s
}

// Serve answers requests on l until Shutdown, and returns nil then. It closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(s.connections.listener(l))
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
