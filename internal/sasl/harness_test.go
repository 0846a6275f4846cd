package sasl

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

const (
	testUser     = "alice@example.com"
	testPassword = storetest.Password
)

// env is an Authenticator over a store with one user.
type env struct {
	*Authenticator
	store *storetest.Store
	user  *mailstore.User
}

// newEnv makes an env; opts may change its options.
func newEnv(t testing.TB, opts ...func(*Options)) *env {
	t.Helper()
	return newEnvOn(t, storetest.Open(t, storetest.Options{}), opts...)
}

func newEnvOn(t testing.TB, store *storetest.Store, opts ...func(*Options)) *env {
	t.Helper()
	accounts, err := account.New(account.Options{Store: store.Store, Bus: store.Bus})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Accounts: accounts, Logins: account.NewGate(logins.Options{Delay: time.Millisecond})}
	for _, opt := range opts {
		opt(&o)
	}
	return &env{Authenticator: New(o), store: store, user: store.User(t, testUser)}
}

// undelayed is an option of an env whose failures delay nobody.
func undelayed(o *Options) {
	o.Logins = logins.New(logins.Options{Failed: func(error) bool { return false }})
}

// private is a client whose connection nobody can read.
var private = Client{
	Client: logins.Client{Addr: netip.MustParseAddr("192.0.2.1")}, Address: "192.0.2.1",
	Scope: mailstore.ScopeIMAP, Private: true, TLS: true,
}

// open is a client whose connection anybody can read.
var open = Client{
	Client: logins.Client{Addr: netip.MustParseAddr("192.0.2.2")}, Address: "192.0.2.2",
	Scope: mailstore.ScopeIMAP,
}

// begin begins an exchange that must be offered.
func (e *env) begin(t testing.TB, mechanism string) *Exchange {
	t.Helper()
	x, err := e.Begin(t.Context(), mechanism, private)
	if err != nil {
		t.Fatalf("%s: %v", mechanism, err)
	}
	return x
}

// message is one step of an exchange: a response, and what follows it.
type message struct {
	response  []byte
	challenge string
	done      bool
	err       error // what errors.Is must find
}

// talk runs an exchange and compares every step.
func talk(t *testing.T, x *Exchange, messages ...message) {
	t.Helper()
	for i, m := range messages {
		challenge, done, err := x.Next(m.response)
		if string(challenge) != m.challenge || done != m.done || !errors.Is(err, m.err) || m.err == nil && err != nil {
			t.Errorf("step %d, response %q: challenge %q, done %t, error %v; want %q, %t, %v",
				i, m.response, challenge, done, err, m.challenge, m.done, m.err)
			return
		}
	}
	if last := messages[len(messages)-1]; last.done != (x.Account() != nil) {
		t.Errorf("done %t with account %v", last.done, x.Account())
	}
}
