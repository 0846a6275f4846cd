package sasl

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	gosasl "github.com/emersion/go-sasl"

	"gadwall/internal/account"
	"gadwall/internal/authcall"
	"gadwall/internal/bearer"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// ErrNotOffered reports a mechanism that the client may not use: there is none of that name, or
// its connection lacks what it needs.
var ErrNotOffered = errors.New("the mechanism is not offered")

// ErrUnavailable is matched by errors that say why a credential cannot be checked now: another
// server, which knows, does not answer.
var ErrUnavailable = errors.New("logins cannot be checked now")

// ErrMalformed is matched by the errors of responses that are not of the mechanism.
var ErrMalformed = errors.New("malformed response")

// malformed is an ErrMalformed. Its text may be told to the client.
type malformed string

func (m malformed) Error() string        { return string(m) }
func (m malformed) Is(target error) bool { return target == ErrMalformed }

// Client is who speaks.
type Client struct {
	// Client says whose turn a check is.
	logins.Client
	// Address is the client's address, for logs.
	Address string
	// Scope is what the login is for.
	Scope mailstore.Scope
	// Private says that nobody can read what the client sends: it may send passwords.
	Private bool
	// TLS says that the connection is encrypted by this server.
	TLS bool
	// State is the state of TLS after the handshake; nil without TLS. Mechanisms that are bound to the
	// connection need it.
	State *tls.ConnectionState
}

// Options of an Authenticator. Accounts is required.
type Options struct {
	Accounts *account.Accounts
	// Tokens checks bearer tokens; nil: there are no mechanisms with tokens.
	Tokens *bearer.Verifier
	// External knows the passwords of users; nil: the store does. Application passwords are in the store
	// in any case.
	External *authcall.Caller
	// CreateUsers lets the first login make a user whom External lets in.
	CreateUsers bool
	// Certificate says who a client with a certificate is.
	Certificate CertificateName
	// Logins decides when credentials are checked; nil means a Gate of the Authenticator's own.
	Logins *logins.Gate
}

// Authenticator logs clients in. It is safe for concurrent use.
type Authenticator struct {
	accounts *account.Accounts
	gate     *logins.Gate
	tokens   *bearer.Verifier // nil: none
	external *authcall.Caller // nil: none
	create   bool

	certificate CertificateName
}

// New returns an Authenticator.
func New(o Options) *Authenticator {
	if o.Logins == nil {
		o.Logins = account.NewGate(logins.Options{})
	}
	return &Authenticator{
		accounts: o.Accounts, gate: o.Logins,
		tokens: o.Tokens, external: o.External, create: o.CreateUsers,
		certificate: o.Certificate,
	}
}

// mechanism is a mechanism that the package has.
type mechanism struct {
	name string
	// offered reports whether a client may use it.
	offered func(a *Authenticator, c *Client) bool
	// begin returns the server of one exchange.
	begin func(x *Exchange) gosasl.Server
}

// mechanisms are in the order in which they are offered.
var mechanisms = []mechanism{
	{"EXTERNAL", certificates, func(x *Exchange) gosasl.Server { return &byCertificate{exchange: x} }},
	{"PLAIN", passwords, func(x *Exchange) gosasl.Server { return &plain{check: x.password} }},
	{"LOGIN", passwords, func(x *Exchange) gosasl.Server { return &login{check: x.password} }},
	{"SCRAM-SHA-256", scrams, func(x *Exchange) gosasl.Server { return &scramServer{exchange: x} }},
	{"SCRAM-SHA-256-PLUS", boundScrams, func(x *Exchange) gosasl.Server {
		return &scramServer{exchange: x, plus: true}
	}},
	{"OAUTHBEARER", tokens, func(x *Exchange) gosasl.Server { return &oauthBearer{exchange: x} }},
	{"XOAUTH2", tokens, func(x *Exchange) gosasl.Server { return &xoauth2{exchange: x} }},
}

// passwords reports whether the client may send passwords.
func passwords(_ *Authenticator, c *Client) bool { return c.Private }

// tokens reports whether the client may send tokens.
func tokens(a *Authenticator, c *Client) bool { return a.tokens != nil && c.Private }

// scrams reports whether the client may use SCRAM. No secret is sent; but who hears the exchange can
// try passwords with it.
func scrams(a *Authenticator, c *Client) bool {
	return a.external == nil && a.accounts.OffersScram() && c.Private
}

// boundScrams reports whether the client may bind SCRAM to its connection.
func boundScrams(a *Authenticator, c *Client) bool { return scrams(a, c) && exporter(c).IsSupported() }

// Mechanisms returns the names of the mechanisms that a client may use.
func (a *Authenticator) Mechanisms(c Client) []string {
	var names []string
	for _, m := range mechanisms {
		if m.offered(a, &c) {
			names = append(names, m.name)
		}
	}
	return names
}

// Known reports whether the package has a mechanism of this name, offered or not.
func Known(name string) bool {
	return slices.ContainsFunc(mechanisms, func(m mechanism) bool { return m.name == name })
}

// Begin begins an exchange, which lasts no longer than ctx. The name of the mechanism is in upper
// case. The error is ErrNotOffered.
func (a *Authenticator) Begin(ctx context.Context, name string, c Client) (*Exchange, error) {
	for _, m := range mechanisms {
		if m.name == name && m.offered(a, &c) {
			x := &Exchange{ctx: ctx, authenticator: a, client: c, mechanism: name, begun: time.Now()}
			x.server = m.begin(x)
			return x, nil
		}
	}
	return nil, ErrNotOffered
}

// Password logs in a client that sent a name and a password in a command of its protocol. method
// names the command in logs. Errors are those of an exchange, and ErrNotOffered if the client may not
// send passwords.
func (a *Authenticator) Password(
	ctx context.Context, c Client, method, username, password string,
) (*account.Account, error) {
	if !c.Private {
		return nil, ErrNotOffered
	}
	return a.login(ctx, &c, account.Attempt{Method: method, Username: username}, a.byPassword(password))
}

// TakesTokens reports whether there is a provider of tokens.
func (a *Authenticator) TakesTokens() bool { return a.tokens != nil }

// Bearer logs in a client that sent a bearer token in another way than by a mechanism. Errors are
// those of an exchange, and ErrNotOffered if the client may not send tokens.
func (a *Authenticator) Bearer(ctx context.Context, c Client, token string) (*account.Account, error) {
	if !tokens(a, &c) {
		return nil, ErrNotOffered
	}
	return a.login(ctx, &c, account.Attempt{Method: "bearer token"}, a.byToken(token))
}

// login makes one check when it is the client's turn.
func (a *Authenticator) login(
	ctx context.Context, c *Client, attempt account.Attempt, verify account.Verifier,
) (*account.Account, error) {
	attempt.Client, attempt.Scope, attempt.Address, attempt.TLS = c.Client, c.Scope, c.Address, c.TLS
	return a.accounts.Login(ctx, a.gate, attempt, verify)
}
