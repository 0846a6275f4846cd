package sasl

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// withCertificate is a client whose certificate the handshake has verified, or only seen.
func withCertificate(verified bool, cn string, emails ...string) Client {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, EmailAddresses: emails}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if verified {
		state.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	return overTLS(state)
}

func TestExternalCertificate(t *testing.T) {
	email := newEnv(t, func(o *Options) { o.Certificate = CertificateEmail })
	cn := newEnv(t, func(o *Options) { o.Certificate = CertificateCN })
	const bob = "bob@example.com"
	email.store.User(t, bob)
	for name, tt := range map[string]struct {
		e    *env
		c    Client
		as   string
		user string
		err  error
	}{
		"its own":         {email, withCertificate(true, "x", testUser), "", testUser, nil},
		"named":           {email, withCertificate(true, "x", testUser), "Alice@Example.com", testUser, nil},
		"the second name": {email, withCertificate(true, "", testUser, bob), bob, bob, nil},
		"another user":    {email, withCertificate(true, "x", testUser), bob, "", account.ErrNotAuthorized},
		"nobody":          {email, withCertificate(true, "x", "eve@example.com"), "", "", mailstore.ErrAuthFailed},
		"no name":         {email, withCertificate(true, "x", testUser), "a\x00b", "", ErrMalformed},
		"common name":     {cn, withCertificate(true, testUser, bob), "", testUser, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := tt.e.Begin(t.Context(), "EXTERNAL", tt.c)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, x, message{nil, "", false, nil}, message{[]byte(tt.as), "", tt.err == nil, tt.err})
			if a := x.Account(); a != nil && a.Username() != tt.user {
				t.Errorf("account of %s", a.Username())
			}
		})
	}
	for name, tt := range map[string]struct {
		e *env
		c Client
	}{
		"not verified":     {email, withCertificate(false, "x", testUser)},
		"without the name": {email, withCertificate(true, testUser)},
		"without TLS":      {email, private},
		"switched off":     {newEnv(t), withCertificate(true, testUser, testUser)},
		"empty name":       {cn, withCertificate(true, "", testUser)},
	} {
		if slices.Contains(tt.e.Mechanisms(tt.c), "EXTERNAL") {
			t.Errorf("%s: it is offered", name)
		}
		if _, err := tt.e.Begin(t.Context(), "EXTERNAL", tt.c); !errors.Is(err, ErrNotOffered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
