package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"gadwall/internal/authcall"
	"gadwall/internal/bearer"
)

// Logins says how clients log in, beside the passwords that the store has.
type Logins struct {
	OIDCIssuer        string `name:"oidc-issuer" env:"GADWALL_OIDC_ISSUER" placeholder:"URL" help:"Provider of OpenID Connect whose tokens take the place of passwords (OAUTHBEARER, XOAUTH2, and Bearer over HTTP); https, or http on loopback."`
	OIDCClientID      string `name:"oidc-client-id" env:"GADWALL_OIDC_CLIENT_ID" placeholder:"ID" help:"The name of this server at the provider."`
	OIDCClientSecret  string `name:"oidc-client-secret" env:"GADWALL_OIDC_CLIENT_SECRET" placeholder:"SECRET" help:"Its secret there, for --oidc-introspection."`
	OIDCAudience      string `name:"oidc-audience" env:"GADWALL_OIDC_AUDIENCE" placeholder:"NAME" help:"Whom tokens must be for (claim aud); default: --oidc-client-id."`
	OIDCUsernameClaim string `name:"oidc-username-claim" env:"GADWALL_OIDC_USERNAME_CLAIM" default:"email" help:"The claim that holds the user's name here."`
	OIDCScope         string `name:"oidc-scope" env:"GADWALL_OIDC_SCOPE" placeholder:"NAMES" help:"Scopes that a token must have, with spaces between them."`
	OIDCIntrospection bool   `name:"oidc-introspection" env:"GADWALL_OIDC_INTROSPECTION" help:"Ask the provider about each token (RFC 7662), rather than check the signature of a JWT."`

	Scram bool `name:"scram" env:"GADWALL_SCRAM" help:"Offer SCRAM-SHA-256, and keep a second verifier of each password for it, which is weaker than its hash."`

	AuthURL         string   `name:"auth-url" env:"GADWALL_AUTH_URL" placeholder:"URL" help:"Program that is asked over HTTP whether a password is right, rather than the store; https, or http on loopback."`
	AuthSecret      string   `name:"auth-secret" env:"GADWALL_AUTH_SECRET" placeholder:"SECRET" help:"Secret with which questions to --auth-url are signed."`
	AuthTimeout     Duration `name:"auth-timeout" env:"GADWALL_AUTH_TIMEOUT" default:"5s" help:"How long a question to --auth-url may take."`
	AuthCache       Duration `name:"auth-cache" env:"GADWALL_AUTH_CACHE" default:"1m" help:"How long a password that --auth-url found right is not asked about again; 0s asks at each login."`
	AuthCreateUsers bool     `name:"auth-create-users" env:"GADWALL_AUTH_CREATE_USERS" help:"Make a user at the first login that --auth-url allows."`
}

func (l *Logins) check() error {
	if err := l.checkCall(); err != nil {
		return err
	}
	if l.OIDCIssuer == "" {
		if l.OIDCClientID != "" || l.OIDCClientSecret != "" || l.OIDCAudience != "" || l.OIDCScope != "" ||
			l.OIDCIntrospection {
			return errors.New("--oidc-client-id and the like: need --oidc-issuer")
		}
		return nil
	}
	if !isServiceURL(l.OIDCIssuer) {
		return errors.New("--oidc-issuer: want an https URL, or http on loopback")
	}
	if l.OIDCClientID == "" {
		return errors.New("--oidc-issuer: needs --oidc-client-id")
	}
	if l.OIDCUsernameClaim == "" {
		return errors.New("--oidc-username-claim: must not be empty")
	}
	if l.OIDCIntrospection && l.OIDCClientSecret == "" {
		return errors.New("--oidc-introspection: needs --oidc-client-secret")
	}
	return nil
}

const (
	// minAuthSecret is the least length of --auth-secret in octets.
	minAuthSecret = 16
	// maxAuthTimeout and maxAuthCache bound --auth-timeout and --auth-cache.
	maxAuthTimeout = time.Minute
	maxAuthCache   = time.Hour
)

func (l *Logins) checkCall() error {
	switch {
	case l.AuthURL != "" && l.Scram:
		return errors.New("--scram: needs the passwords, which --auth-url keeps")
	case l.AuthURL == "" && (l.AuthSecret != "" || l.AuthCreateUsers):
		return errors.New("--auth-secret, --auth-create-users: need --auth-url")
	case l.AuthURL == "":
		return nil
	case !isServiceURL(l.AuthURL):
		return errors.New("--auth-url: want an https URL, or http on loopback")
	case len(l.AuthSecret) < minAuthSecret:
		return fmt.Errorf("--auth-url: needs --auth-secret of at least %d characters", minAuthSecret)
	case l.AuthTimeout <= 0 || l.AuthTimeout > Duration(maxAuthTimeout):
		return fmt.Errorf("--auth-timeout: want more than 0s and at most %v", Duration(maxAuthTimeout))
	case l.AuthCache < 0 || l.AuthCache > Duration(maxAuthCache):
		return fmt.Errorf("--auth-cache: want 0s to %v", Duration(maxAuthCache))
	}
	return nil
}

// External returns what asks the program of --auth-url; nil without one. The caller closes it.
func (l *Logins) External(version string) *authcall.Caller {
	if l.AuthURL == "" {
		return nil
	}
	return authcall.New(authcall.Options{
		URL: l.AuthURL, Secret: l.AuthSecret, Timeout: time.Duration(l.AuthTimeout),
		Remember: time.Duration(l.AuthCache), Version: version,
	})
}

// isServiceURL checks the URL of a service that is told secrets.
func isServiceURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "http" {
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	}
	return u.Scheme == "https"
}

// Tokens returns what checks tokens; nil without a provider. The caller closes it.
func (l *Logins) Tokens() *bearer.Verifier {
	if l.OIDCIssuer == "" {
		return nil
	}
	return bearer.New(bearer.Options{
		Issuer: l.OIDCIssuer, ClientID: l.OIDCClientID, ClientSecret: l.OIDCClientSecret, Audience: l.OIDCAudience,
		UsernameClaim: l.OIDCUsernameClaim, Scope: l.OIDCScope, Introspect: l.OIDCIntrospection,
	})
}
