package sasl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

func newScramEnv(t testing.TB, opts ...func(*Options)) *env {
	return newEnvOn(t, storetest.Open(t, storetest.Options{Scram: true}), opts...)
}

// connection is both ends of a connection with TLS.
func connection(t *testing.T, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	one, two := net.Pipe()
	s := tls.Server(one, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}})
	c := tls.Client(two, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	var both sync.WaitGroup
	both.Go(func() {
		if err := s.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
	both.Wait()
	// Without reading, pipes would make closing wait.
	one.Close()
	two.Close()
	return c.ConnectionState(), s.ConnectionState()
}

// overTLS is the client private on a connection.
func overTLS(state tls.ConnectionState) Client {
	c := private
	c.State = &state
	return c
}

// authenticate runs a client against the server.
func (e *env) authenticate(
	t *testing.T, mechanism string, c Client, client *scram.ClientConversation,
) (*Exchange, error) {
	t.Helper()
	x, err := e.Begin(t.Context(), mechanism, c)
	if err != nil {
		t.Fatal(err)
	}
	message, err := client.Step("")
	if err != nil {
		t.Fatal(err)
	}
	for {
		challenge, done, err := x.Next([]byte(message))
		if err != nil || done {
			return x, err
		}
		if message, err = client.Step(string(challenge)); err != nil {
			t.Fatalf("the client: %v", err)
		}
		if client.Done() && !client.Valid() {
			t.Error("the client does not believe the server")
		}
	}
}

func newClient(t *testing.T, username, password, as string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(username, password, as)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScram(t *testing.T) {
	e := newScramEnv(t)
	e.store.User(t, "bob@example.com")
	for name, tt := range map[string]struct {
		username, password, as string
		err                    error
	}{
		"right":        {testUser, testPassword, "", nil},
		"any case":     {"ALICE@example.COM", testPassword, "", nil},
		"as itself":    {testUser, testPassword, testUser, nil},
		"as bob":       {testUser, testPassword, "bob@example.com", account.ErrNotAuthorized},
		"wrong":        {testUser, "wrong horse", "", mailstore.ErrAuthFailed},
		"no such user": {"eve@example.com", testPassword, "", mailstore.ErrAuthFailed},
		"no address":   {"x=y,z", testPassword, "", mailstore.ErrAuthFailed},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, tt.username, tt.password, tt.as).NewConversation()
			x, err := e.authenticate(t, "SCRAM-SHA-256", private, client)
			if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || x.Account().Username() != testUser) {
				t.Errorf("%v, %v, want %v", x.Account(), err, tt.err)
			}
			if x.Username() != tt.username {
				t.Errorf("it was %q", x.Username())
			}
		})
	}
	if err := e.store.Suspend(t.Context(), e.user.ID); err != nil {
		t.Fatal(err)
	}
	_, err := e.authenticate(t, "SCRAM-SHA-256", private, newClient(t, testUser, testPassword, "").NewConversation())
	if !errors.Is(err, mailstore.ErrSuspended) {
		t.Errorf("suspended: %v", err)
	}
}

// TestScramPlus: the proof is bound to the connection, and nobody takes that away.
func TestScramPlus(t *testing.T) {
	e := newScramEnv(t)
	for name, version := range map[string]uint16{"TLS 1.3": tls.VersionTLS13, "TLS 1.2": tls.VersionTLS12} {
		t.Run(name, func(t *testing.T) {
			theirs, ours := connection(t, version)
			elsewhere, _ := connection(t, version)
			c := overTLS(ours)
			if got := e.Mechanisms(c); !slices.Contains(got, "SCRAM-SHA-256-PLUS") {
				t.Fatalf("offered: %q", got)
			}
			binding, err := scram.NewTLSExporterBinding(&theirs)
			if err != nil {
				t.Fatal(err)
			}
			user := newClient(t, testUser, testPassword, "")
			x, err := e.authenticate(t, "SCRAM-SHA-256-PLUS", c, user.NewConversationWithChannelBinding(binding))
			if err != nil || x.Account().Username() != testUser {
				t.Errorf("bound: %v, %v", x.Account(), err)
			}
			// Somebody in between has two connections.
			other, err := scram.NewTLSExporterBinding(&elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.authenticate(t, "SCRAM-SHA-256-PLUS", c, user.NewConversationWithChannelBinding(other))
			if !errors.Is(err, mailstore.ErrAuthFailed) {
				t.Errorf("bound to another connection: %v", err)
			}
			// Or took the mechanism out of what the server offers, and the client is not to know.
			_, err = e.authenticate(t, "SCRAM-SHA-256", c, user.NewConversationAdvertisingChannelBinding())
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("downgrade: %v", err)
			}
			if _, err := e.authenticate(t, "SCRAM-SHA-256", c, user.NewConversation()); err != nil {
				t.Errorf("a client without bindings: %v", err)
			}
			for mechanism, message := range map[string]string{
				"SCRAM-SHA-256":      "p=tls-exporter,,n=alice,r=abc",
				"SCRAM-SHA-256-PLUS": "n,,n=alice,r=abc",
			} {
				x, err := e.Begin(t.Context(), mechanism, c)
				if err != nil {
					t.Fatal(err)
				}
				talk(t, x, message1(message, ErrMalformed))
			}
			x, err = e.Begin(t.Context(), "SCRAM-SHA-256-PLUS", c)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, x, message1("p=tls-unique,,n=alice,r=abc", ErrMalformed))
		})
	}
	// Where the server has no binding, a client that has one may say so.
	_, err := e.authenticate(t, "SCRAM-SHA-256", private,
		newClient(t, testUser, testPassword, "").NewConversationAdvertisingChannelBinding())
	if err != nil {
		t.Errorf("flag y without bindings: %v", err)
	}
}

func message1(response string, err error) message { return message{[]byte(response), "", false, err} }

func TestScramIsOffered(t *testing.T) {
	e := newScramEnv(t)
	if got, want := e.Mechanisms(private), []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"}; !slices.Equal(got, want) {
		t.Errorf("offered: %q, want %q", got, want)
	}
	if got := e.Mechanisms(open); len(got) != 0 {
		t.Errorf("offered without TLS: %q", got)
	}
	if got := newEnv(t).Mechanisms(private); slices.Contains(got, "SCRAM-SHA-256") {
		t.Errorf("offered without verifiers: %q", got)
	}
}

func TestScramMalformed(t *testing.T) {
	e := newScramEnv(t)
	for _, first := range []string{
		"", "n,,", "n,,n=alice", "n,,r=abc", "x,,n=alice,r=abc", "n,,m=ext,n=alice,r=abc", "n,,n=a=2,r=abc",
		"n,,n=alice,r=" + strings.Repeat("a", maxScramMessage), "n,a=,n=alice,r=abc",
	} {
		talk(t, e.begin(t, "SCRAM-SHA-256"), message1(first, ErrMalformed))
	}
	for _, final := range []string{
		"", "c=biws", "c=biws,r=abc,p=AAAA", "c=biws,r=abc", strings.Repeat("c", maxScramMessage+1),
	} {
		x := e.begin(t, "SCRAM-SHA-256")
		if _, done, err := x.Next([]byte("n,,n=" + testUser + ",r=abc")); done || err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Next([]byte(final))
		if done || !errors.Is(err, mailstore.ErrAuthFailed) && !errors.Is(err, ErrMalformed) {
			t.Errorf("final message %.100q: done %t, %v", final, done, err)
		}
	}
}

// FuzzScram: no messages that come from no client log anybody in.
func FuzzScram(f *testing.F) {
	e := newScramEnv(f, undelayed)
	f.Add("n,,n=alice@example.com,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("p=tls-exporter,a=b,n=alice@example.com,r=abc", "c=,r=,p=")
	f.Fuzz(func(t *testing.T, first, final string) {
		x := e.begin(t, "SCRAM-SHA-256")
		for _, m := range []string{first, final, ""} {
			_, done, err := x.Next([]byte(m))
			if done {
				t.Fatalf("logged in by %q, %q", first, final)
			}
			if err != nil {
				return
			}
		}
	})
}
