package bearer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gadwall/internal/oidctest"
)

const ada = "ada@example.com"

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	add time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

func newVerifier(t *testing.T, p *oidctest.Provider, opts ...func(*Options)) (*Verifier, *clock) {
	c := new(clock)
	o := Options{Issuer: p.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Now: c.now}
	for _, opt := range opts {
		opt(&o)
	}
	v := New(o)
	t.Cleanup(v.Close)
	return v, c
}

func expect(t *testing.T, v *Verifier, token, username string, want error) {
	t.Helper()
	got, err := v.Username(t.Context(), token)
	if got != username || !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("username %q, %v; want %q, %v", got, err, username, want)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("the token is in the error %q", err)
	}
}

// expectTrouble checks that nobody knows what the token is worth.
func expectTrouble(t *testing.T, v *Verifier, token string) {
	t.Helper()
	name, err := v.Username(t.Context(), token)
	if err == nil || errors.Is(err, ErrInvalid) || errors.Is(err, ErrScope) {
		t.Errorf("username %q, %v; want trouble", name, err)
	}
}

func TestTokens(t *testing.T) {
	p := oidctest.New(t)
	stranger := oidctest.New(t)
	v, _ := newVerifier(t, p, func(o *Options) { o.Scope = "mail" })
	hmac := jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), Algorithm: string(jose.HS256),
		KeyID: p.PublicKey().KeyID}
	ownKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged := jose.JSONWebKey{Key: ownKey, Algorithm: string(jose.RS256), KeyID: p.PublicKey().KeyID}
	good := p.Token(ada, nil)
	past, tomorrow := time.Now().Add(-time.Second).Unix(), time.Now().Add(24*time.Hour).Unix()
	for name, tt := range map[string]struct {
		token    string
		username string
		err      error
	}{
		"good":                   {good, ada, nil},
		"several audiences":      {p.Token(ada, oidctest.Claims{"aud": []string{"x", oidctest.ClientID}}), ada, nil},
		"scope as a list":        {p.Token(ada, oidctest.Claims{"scope": nil, "scp": []string{"mail"}}), ada, nil},
		"verified as a text":     {p.Token(ada, oidctest.Claims{"email_verified": "true"}), ada, nil},
		"nothing about verified": {p.Token(ada, oidctest.Claims{"email_verified": nil}), ada, nil},

		"without the scope":  {p.Token(ada, oidctest.Claims{"scope": "openid email"}), "", ErrScope},
		"expired":            {p.Token(ada, oidctest.Claims{"exp": past}), "", ErrInvalid},
		"without an end":     {p.Token(ada, oidctest.Claims{"exp": nil}), "", ErrInvalid},
		"of tomorrow":        {p.Token(ada, oidctest.Claims{"nbf": tomorrow}), "", ErrInvalid},
		"for another":        {p.Token(ada, oidctest.Claims{"aud": "another"}), "", ErrInvalid},
		"for nobody":         {p.Token(ada, oidctest.Claims{"aud": nil}), "", ErrInvalid},
		"of another issuer":  {p.Token(ada, oidctest.Claims{"iss": stranger.Issuer}), "", ErrInvalid},
		"of a stranger":      {stranger.Token(ada, oidctest.Claims{"iss": p.Issuer}), "", ErrInvalid},
		"unsigned":           {p.Unsigned(ada), "", ErrInvalid},
		"with a shared key":  {p.Sign(hmac, p.Claims(ada, nil)), "", ErrInvalid},
		"forged":             {p.Sign(forged, p.Claims(ada, nil)), "", ErrInvalid},
		"not verified":       {p.Token(ada, oidctest.Claims{"email_verified": false}), "", ErrInvalid},
		"not verified, text": {p.Token(ada, oidctest.Claims{"email_verified": "false"}), "", ErrInvalid},
		"of nobody":          {p.Token(ada, oidctest.Claims{"email": nil}), "", ErrInvalid},
		"of a number":        {p.Token(ada, oidctest.Claims{"email": 7}), "", ErrInvalid},
		"cut":                {good[:len(good)-10], "", ErrInvalid},
		"no JWT":             {"opaque", "", ErrInvalid},
		"as JSON":            {`{"payload":"e30","signatures":[]}`, "", ErrInvalid},
		"too long":           {good + strings.Repeat("A", maxToken), "", ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) { expect(t, v, tt.token, tt.username, tt.err) })
	}
	if n := p.Requests("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestClaimOfChoice(t *testing.T) {
	p := oidctest.New(t)
	v, _ := newVerifier(t, p, func(o *Options) { o.UsernameClaim, o.Audience = "upn", "mail" })
	expect(t, v, p.Token("x@y.z", oidctest.Claims{"upn": ada, "aud": "mail", "email_verified": false}), ada, nil)
	expect(t, v, p.Token(ada, oidctest.Claims{"aud": "mail"}), "", ErrInvalid)
}

// TestRotation: a token with a key that is not known yet makes the verifier look. Tokens with keys
// that do not exist do not make it look again and again.
func TestRotation(t *testing.T) {
	p := oidctest.New(t)
	v, c := newVerifier(t, p)
	old := p.Token(ada, nil)
	expect(t, v, old, ada, nil)
	p.Rotate(jose.ES256)
	c.advance(freshAfter)
	expect(t, v, p.Token(ada, nil), ada, nil)
	for range 20 {
		expect(t, v, old, "", ErrInvalid)
	}
	if n := p.Requests("/keys"); n != 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
	// A key that was withdrawn is not used for longer than a refresh takes to come.
	withdrawn := p.Token(ada, nil)
	p.Rotate(jose.RS256)
	expect(t, v, withdrawn, ada, nil)
	c.advance(refreshAfter)
	expect(t, v, withdrawn, "", ErrInvalid)
}

// TestProviderAway: without the provider, nobody is told that a token is wrong. What is known goes
// on to be used for a while.
func TestProviderAway(t *testing.T) {
	p := oidctest.New(t)
	v, c := newVerifier(t, p)
	token := p.Token(ada, oidctest.Claims{"exp": time.Now().Add(100 * 24 * time.Hour).Unix()})
	p.SetDown(true)
	for range 20 {
		expectTrouble(t, v, token)
	}
	if n := p.Requests("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("a provider that is down was asked %d times at once", n)
	}
	p.SetDown(false)
	c.advance(retryAfter)
	expect(t, v, token, ada, nil)

	p.SetDown(true)
	c.advance(refreshAfter)
	expect(t, v, token, ada, nil)
	c.advance(freshAfter)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	// It may be the provider's new one.
	expectTrouble(t, v, p.Sign(jose.JSONWebKey{Key: key, KeyID: "new", Algorithm: "RS256"}, p.Claims(ada, nil)))
	c.advance(maxAge)
	expectTrouble(t, v, token)
	p.SetDown(false)
	c.advance(retryAfter)
	expect(t, v, token, ada, nil)
}

// TestDiscoveryIsChecked: a document of another issuer, or one that is none, is not used.
func TestDiscoveryIsChecked(t *testing.T) {
	p := oidctest.New(t)
	for name, value := range map[string]any{
		"issuer": "https://other.example.com", "jwks_uri": "http://127.0.0.1:1/keys",
		"introspection_endpoint": 7, "padding": strings.Repeat("x", maxAnswer),
	} {
		t.Run(name, func(t *testing.T) {
			p.SetDocument(name, value)
			defer p.SetDocument(name, map[string]any{"issuer": p.Issuer, "jwks_uri": p.Issuer + "/keys",
				"introspection_endpoint": p.Issuer + "/introspect", "padding": ""}[name])
			v, _ := newVerifier(t, p)
			expectTrouble(t, v, p.Token(ada, nil))
		})
	}
	v, _ := newVerifier(t, p)
	expect(t, v, p.Token(ada, nil), ada, nil)
	if sameProtection("https://id.example.com", "http://id.example.com/keys") {
		t.Error("keys may come without TLS")
	}
}

// TestOneFetch: however many tokens come at once, the provider is asked once; a caller that leaves
// does not end that.
func TestOneFetch(t *testing.T) {
	p := oidctest.New(t)
	v, _ := newVerifier(t, p)
	token := p.Token(ada, nil)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := v.Username(gone, token); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { expect(t, v, token, ada, nil) })
	}
	all.Wait()
	if n := p.Requests("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestIntrospection(t *testing.T) {
	p := oidctest.New(t)
	v, _ := newVerifier(t, p, func(o *Options) { o.Introspect, o.Scope = true, "mail" })
	for token, changes := range map[string]oidctest.Claims{
		"good":      nil,
		"client":    {"aud": nil, "client_id": oidctest.ClientID},
		"noissuer":  {"iss": nil},
		"inactive":  {"active": false},
		"expired":   {"exp": time.Now().Add(-time.Second).Unix()},
		"strange":   {"iss": "https://other.example.com"},
		"otheraud":  {"aud": "another"},
		"noaud":     {"aud": nil},
		"noscope":   {"scope": "openid"},
		"nobody":    {"email": nil},
		"notactive": {"active": "true"},
	} {
		p.Opaque(token, ada, changes)
	}
	for _, token := range []string{"good", "client", "noissuer"} {
		expect(t, v, token, ada, nil)
	}
	for _, token := range []string{
		"inactive", "expired", "strange", "otheraud", "noaud", "nobody", "notactive", "never",
	} {
		expect(t, v, token, "", ErrInvalid)
	}
	expect(t, v, "noscope", "", ErrScope)
	expect(t, v, "n\x00t a token", "", ErrInvalid)

	// What was good a moment ago costs no question; what was not does.
	before := p.Requests("/introspect")
	expect(t, v, "good", ada, nil)
	expect(t, v, "never", "", ErrInvalid)
	if n := p.Requests("/introspect") - before; n != 1 {
		t.Errorf("%d questions", n)
	}
	p.SetDown(true)
	expect(t, v, "good", ada, nil)
	expectTrouble(t, v, "never")
	p.SetDown(false)
}
