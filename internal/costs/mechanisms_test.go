package costs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"gadwall/internal/account"
	"gadwall/internal/bearer"
	"gadwall/internal/imapconn"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/oidctest"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

// selfSigned is the configuration of a server whose certificate nobody checks.
func selfSigned(t *testing.T) *tls.Config {
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
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
}

// upgraded is a connection after STARTTLS.
func upgraded(t *testing.T, addr string) *imapconn.Conn {
	t.Helper()
	c := dial(t, addr)
	if _, err := c.Must("STARTTLS"); err != nil {
		t.Fatal(err)
	}
	c.Upgrade(tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}))
	return c
}

// serverState is the state of a connection with TLS, at the server.
func serverState(t *testing.T) *tls.ConnectionState {
	t.Helper()
	one, two := net.Pipe()
	server, client := tls.Server(one, selfSigned(t)), tls.Client(two, &tls.Config{InsecureSkipVerify: true})
	var both sync.WaitGroup
	both.Go(func() {
		if err := client.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := server.HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
	both.Wait()
	one.Close() // the end of TLS would wait for a reader
	two.Close()
	state := server.ConnectionState()
	return &state
}

// mechanisms are those by which a client of a server with all settings can log in, each with a login.
func mechanisms(t *testing.T, accounts *account.Accounts) map[string]func() {
	t.Helper()
	provider := oidctest.New(t)
	tokens := bearer.New(bearer.Options{Issuer: provider.Issuer, ClientID: oidctest.ClientID})
	t.Cleanup(tokens.Close)
	a := sasl.New(sasl.Options{Accounts: accounts, Tokens: tokens, Certificate: sasl.CertificateEmail})
	leaf := &x509.Certificate{EmailAddresses: []string{user}}
	client := sasl.Client{
		Client: logins.Client{Addr: netip.MustParseAddr("192.0.2.1")}, Address: "192.0.2.1",
		Scope: mailstore.ScopeIMAP, Private: true, TLS: true, State: serverState(t),
	}
	client.State.PeerCertificates = []*x509.Certificate{leaf}
	client.State.VerifiedChains = [][]*x509.Certificate{{leaf}}
	token := provider.Token(user, nil)
	binding, err := client.State.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	logsIn := func(name string, step func(challenge string) (string, error)) func() {
		return func() {
			t.Helper()
			x, err := a.Begin(t.Context(), name, client)
			if err != nil {
				t.Fatal(err)
			}
			challenge := []byte(nil)
			for done := false; !done; {
				response, err := step(string(challenge))
				if err != nil {
					t.Fatal(err)
				}
				if challenge, done, err = x.Next([]byte(response)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
	says := func(text string) func(string) (string, error) {
		return func(string) (string, error) { return text, nil }
	}
	scramClient, err := scram.SHA256.NewClient(user, storetest.Password, "")
	if err != nil {
		t.Fatal(err)
	}
	logsIn("SCRAM-SHA-256", scramClient.NewConversation().Step)() // the instance reads what all verifiers need
	logins := map[string]func(){
		"PLAIN":         logsIn("PLAIN", says("\x00"+user+"\x00"+storetest.Password)),
		"LOGIN":         nil, // a LOGIN is a PLAIN in two steps
		"EXTERNAL":      logsIn("EXTERNAL", says(user)),
		"OAUTHBEARER":   logsIn("OAUTHBEARER", says("n,,\x01auth=Bearer "+token+"\x01\x01")),
		"XOAUTH2":       logsIn("XOAUTH2", says("user="+user+"\x01auth=Bearer "+token+"\x01\x01")),
		"SCRAM-SHA-256": logsIn("SCRAM-SHA-256", scramClient.NewConversation().Step),
		"SCRAM-SHA-256-PLUS": logsIn("SCRAM-SHA-256-PLUS", scramClient.NewConversationWithChannelBinding(
			scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: binding}).Step),
	}
	for _, name := range a.Mechanisms(client) {
		if _, ok := logins[name]; !ok {
			t.Errorf("%s is offered, and not measured", name)
		}
	}
	return logins
}
