// Package oidctest is a small provider of OpenID Connect for tests: discovery, keys that can change,
// introspection, and tokens as a test wants them.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ClientID and ClientSecret are those of the server under test.
const (
	ClientID     = "gadwall"
	ClientSecret = "s3cr:t&%"
)

// Provider is a provider on loopback.
type Provider struct {
	// Issuer is its URL.
	Issuer string

	t    testing.TB
	mu   sync.Mutex
	keys []jose.JSONWebKey // private ones; the last signs
	made int               // keys

	requests map[string]int // by path
	down     bool
	answers  map[string]map[string]any // to questions about tokens
	document map[string]any            // what discovery says beside what it must
}

// Claims are those of a token.
type Claims map[string]any

// New starts a provider with one key of RSA, until the test ends.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{
		t: t, requests: make(map[string]int), answers: make(map[string]map[string]any),
		document: make(map[string]any),
	}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(server.Close)
	p.Issuer = server.URL
	p.Rotate(jose.RS256)
	return p
}

// Rotate replaces all keys by a new one for an algorithm, RS256 or ES256.
func (p *Provider) Rotate(algorithm jose.SignatureAlgorithm) {
	p.t.Helper()
	var key crypto.Signer
	var err error
	if algorithm == jose.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	p.keys = []jose.JSONWebKey{{Key: key, KeyID: fmt.Sprint("key ", p.made), Algorithm: string(algorithm), Use: "sig"}}
}

// SetDown lets the provider answer everything with 503, or no longer.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// SetDocument changes a member of the discovery document.
func (p *Provider) SetDocument(name string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document[name] = value
}

// Requests returns how many requests for a path came.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

// Claims are good ones for a user, with changes; a change to nil leaves a claim out.
func (p *Provider) Claims(email string, changes Claims) Claims {
	now := time.Now()
	c := Claims{
		"iss": p.Issuer, "aud": ClientID, "sub": "user of " + email, "email": email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "openid mail",
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// Token returns a JWT with the signature of the newest key.
func (p *Provider) Token(email string, changes Claims) string {
	p.t.Helper()
	p.mu.Lock()
	key := p.keys[len(p.keys)-1]
	p.mu.Unlock()
	return p.Sign(key, p.Claims(email, changes))
}

// Sign returns a JWT with the signature of a key.
func (p *Provider) Sign(key jose.JSONWebKey, c Claims) string {
	p.t.Helper()
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// Unsigned returns a JWT of algorithm none.
func (p *Provider) Unsigned(email string) string {
	p.t.Helper()
	payload, err := json.Marshal(p.Claims(email, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + "."
}

// PublicKey returns the newest key that the provider publishes.
func (p *Provider) PublicKey() jose.JSONWebKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1].Public()
}

// Opaque makes an opaque token known, with what the provider says about it.
func (p *Provider) Opaque(token, email string, changes Claims) {
	c := p.Claims(email, changes)
	if _, ok := c["active"]; !ok {
		c["active"] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[token] = c
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[r.URL.Path]++
	if p.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		document := map[string]any{
			"issuer": p.Issuer, "jwks_uri": p.Issuer + "/keys", "introspection_endpoint": p.Issuer + "/introspect",
			"authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
		}
		maps.Copy(document, p.document)
		answer = document
	case "/keys":
		set := []any{map[string]string{"kty": "OKP", "crv": "X448", "x": "unknown to most"}}
		for _, key := range p.keys {
			set = append(set, key.Public())
		}
		answer = map[string]any{"keys": set}
	case "/introspect":
		// Form-encoded within Basic, as RFC 6749 section 2.3.1 says.
		id, secret, _ := r.BasicAuth()
		if r.Method != http.MethodPost || id != ClientID || secret != "s3cr%3At%26%25" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer = map[string]any{"active": false}
		if known, ok := p.answers[r.PostFormValue("token")]; ok {
			answer = known
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that left needs none
}
