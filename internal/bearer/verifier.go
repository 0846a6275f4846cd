package bearer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"gadwall/internal/proofs"
)

// ErrInvalid is matched by errors that say what is wrong with a token.
var ErrInvalid = errors.New("invalid token")

// ErrScope reports a token that is good, but not for mail.
var ErrScope = errors.New("the token lacks a scope")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, quoted(fmt.Sprintf(format, args...)))
}

// Options of a Verifier. Issuer and ClientID are required.
type Options struct {
	// Issuer names the provider: an https URL, or an http URL of this machine.
	Issuer string
	// ClientID is the server's name at the provider.
	ClientID string
	// ClientSecret goes with ClientID in questions to the provider.
	ClientSecret string
	// Audience is whom tokens must be for; empty means ClientID.
	Audience string
	// UsernameClaim is the claim that holds the user's name; empty means email.
	UsernameClaim string
	// Scope is what tokens must be for: names with spaces between them. It may be empty.
	Scope string
	// Introspect asks the provider about each token. Otherwise tokens are JWTs.
	Introspect bool

	// Transport carries requests to the provider; nil means one like http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	opts     Options
	provider *provider
	known    *proofs.Cache[string] // names of users, by what the provider was asked about
}

// New returns a Verifier. It asks the provider nothing before the first token comes. The caller
// closes it.
func New(o Options) *Verifier {
	if o.Audience == "" {
		o.Audience = o.ClientID
	}
	if o.UsernameClaim == "" {
		o.UsernameClaim = claimEmail
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Verifier{
		opts: o, provider: newProvider(o.Issuer, o.Transport, o.Now),
		known: proofs.New[string](remember, maxRemembered),
	}
}

// Close ends requests to the provider.
func (v *Verifier) Close() { v.provider.close() }

// Scope returns what tokens must be for.
func (v *Verifier) Scope() string { return v.opts.Scope }

// Discovery returns the URL of the provider's discovery document.
func (v *Verifier) Discovery() string {
	return strings.TrimSuffix(v.opts.Issuer, "/") + "/.well-known/openid-configuration"
}

// Username returns the name of the user whose token it is. Errors: ErrInvalid, ErrScope; others mean
// that the provider could not be asked.
func (v *Verifier) Username(ctx context.Context, token string) (string, error) {
	if !wellFormed(token) {
		return "", invalid("it has not the form of a bearer token")
	}
	if v.opts.Introspect {
		return v.introspect(ctx, token)
	}
	c, err := v.verify(ctx, token)
	if err != nil {
		return "", err
	}
	return v.usernameOf(c)
}

// wellFormed checks the syntax b64token of RFC 6750 section 2.1.
func wellFormed(token string) bool {
	trimmed := strings.TrimRight(token, "=")
	return trimmed != "" && len(token) <= maxToken && !strings.ContainsFunc(trimmed, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("-._~+/", r))
	})
}

// algorithms are those of signatures with a public key. A provider's keys say which of them it uses.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// verify checks a JWT.
func (v *Verifier) verify(ctx context.Context, token string) (claims, error) {
	set := &keySet{provider: v.provider}
	config := &oidc.Config{ClientID: v.opts.Audience, Now: v.opts.Now}
	for _, a := range algorithms {
		config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, string(a))
	}
	checked, err := oidc.NewVerifier(v.opts.Issuer, set, config).Verify(ctx, token)
	if set.trouble != nil {
		return nil, set.trouble
	}
	if err != nil {
		return nil, invalid("%v", err)
	}
	var c claims
	if err := checked.Claims(&c); err != nil {
		return nil, invalid("%v", err)
	}
	return c, nil
}

// keySet checks the signature of one token.
type keySet struct {
	provider *provider
	trouble  error // that the keys are not known
}

var _ oidc.KeySet = (*keySet)(nil)

// VerifySignature implements oidc.KeySet. It looks at the provider's keys anew if none of those that
// are known is the token's.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSigned(token, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("not a JWT with one signature")
	}
	header := jws.Signatures[0].Header
	for _, look := range []struct{ age, bearable time.Duration }{{refreshAfter, maxAge}, {freshAfter, freshAfter}} {
		s, err := k.provider.current(ctx, look.age, look.bearable)
		if err != nil {
			k.trouble = err
			return nil, err
		}
		named := false
		for _, key := range s.keys {
			if header.KeyID != "" && key.KeyID != header.KeyID ||
				key.Algorithm != "" && key.Algorithm != header.Algorithm {
				continue
			}
			named = true
			if payload, err := jws.Verify(&key); err == nil {
				return payload, nil
			}
		}
		if named && header.KeyID != "" {
			return nil, errors.New("the signature is wrong")
		}
	}
	return nil, errors.New("no key of the provider made the signature")
}

// introspect asks the provider (RFC 7662 section 2).
func (v *Verifier) introspect(ctx context.Context, token string) (string, error) {
	key := v.known.KeyOf(token)
	if username, ok := v.known.Get(key); ok {
		return username, nil
	}
	s, err := v.provider.current(ctx, refreshAfter, maxAge)
	if err != nil {
		return "", err
	}
	if s.introspection == "" {
		return "", errors.New("the provider does not offer introspection")
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("introspection: %s", quoted(err.Error()))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 section 2.3.1: both are form-encoded before they become a user name and a password.
	req.SetBasicAuth(url.QueryEscape(v.opts.ClientID), url.QueryEscape(v.opts.ClientSecret))
	var c claims
	if err := v.provider.ask(req, &c); err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	until, err := v.active(c)
	if err != nil {
		return "", err
	}
	username, err := v.usernameOf(c)
	if err != nil {
		return "", err
	}
	v.known.AddFor(key, username, until.Sub(v.opts.Now()))
	return username, nil
}

// active checks the answer to a question about a token (RFC 7662 section 2.2). It returns until when
// the token is good.
func (v *Verifier) active(c claims) (until time.Time, err error) {
	now := v.opts.Now()
	if active, _ := claim[bool](c, "active"); !active {
		return until, invalid("the provider says that it is not active")
	}
	if issuer, ok := claim[string](c, "iss"); ok && issuer != v.opts.Issuer {
		return until, invalid("it is of another issuer: %q", issuer)
	}
	audience, ok := claim[texts](c, "aud")
	if !ok { // it is optional; then the token is for its client
		audience, _ = claim[texts](c, "client_id")
	}
	if !slices.Contains(audience, v.opts.Audience) {
		return until, invalid("it is for %q", audience)
	}
	until = now.Add(remember)
	if end, ok := claim[json.Number](c, "exp"); ok {
		seconds, err := end.Float64()
		if err != nil || !now.Before(time.Unix(int64(seconds), 0)) {
			return until, invalid("its time is over")
		}
		until = time.Unix(int64(seconds), 0)
	}
	return until, nil
}
