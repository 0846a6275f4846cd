package imap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/imapconn"
	"gadwall/internal/logins"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

const (
	testUser     = "alice@example.com"
	testPassword = storetest.Password
	// testWait bounds every wait for the server, which may have little of a busy machine.
	testWait = 2 * time.Minute
)

// testServer is a server with one user on a database of its own.
type testServer struct {
	*Server
	db       *mongo.Database
	store    *mailstore.Store
	contents *contents.Store
	bus      events.Bus
	accounts *account.Accounts
	user     *mailstore.User
	addr     string
	errs     *errorLog
}

// errorLog fails the test when the server logs an error.
type errorLog struct {
	slog.Handler
	t     testing.TB
	allow bool
	heard atomic.Pointer[chan string] // gets all lines that it can take at once
}

func (l *errorLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *errorLog) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += fmt.Sprintf(" %s", a); return true })
	if r.Level >= slog.LevelError && !l.allow {
		l.t.Errorf("server logged: %s", line)
	}
	if heard := l.heard.Load(); heard != nil {
		select {
		case *heard <- line:
		default:
		}
	}
	return nil
}

func (l *errorLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *errorLog) WithGroup(string) slog.Handler      { return l }

// newTestServer starts a server; opts may change its options.
func newTestServer(t testing.TB, opts ...func(*Options)) *testServer {
	t.Helper()
	return newTestServerOn(t, dbtest.Database(t), opts...)
}

func newTestServerOn(t testing.TB, db *mongo.Database, opts ...func(*Options)) *testServer {
	t.Helper()
	errs := &errorLog{t: t}
	log := slog.New(errs)
	st := storetest.Open(t, storetest.Options{Database: db, Logger: log})
	user := st.User(t, testUser)
	accounts := testAccounts(t, st.Store, st.Bus, log)
	o := Options{
		Authenticator: testAuthenticator(accounts), Logger: log, Hostname: "mail.example.com",
		MaxMessageSize: 1 << 20,
		Comment:        "Shared comment", AdminURI: "mailto:admin@example.com",
	}
	for _, opt := range opts {
		opt(&o)
	}
	s := &testServer{db: db, contents: st.Contents, bus: st.Bus, accounts: accounts, user: user, errs: errs}
	return s.serve(t, o, st.Store)
}

func testAccounts(
	t testing.TB, store *mailstore.Store, bus events.Bus, log *slog.Logger,
) *account.Accounts {
	t.Helper()
	accounts, err := account.New(account.Options{Store: store, Bus: bus, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return accounts
}

// testAuthenticator has short delays after failures.
func testAuthenticator(accounts *account.Accounts) *sasl.Authenticator {
	return sasl.New(sasl.Options{Accounts: accounts, Logins: account.NewGate(logins.Options{Delay: time.Millisecond})})
}

// serve starts a server for what s has.
func (s *testServer) serve(t testing.TB, o Options, store *mailstore.Store) *testServer {
	t.Helper()
	srv := New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return &testServer{Server: srv, db: s.db, store: store, contents: s.contents, bus: s.bus, accounts: s.accounts,
		user: s.user, addr: l.Addr().String(), errs: s.errs}
}

// otherInstance opens the same database as another instance would whose events
// do not arrive here.
func (s *testServer) otherInstance(t testing.TB) *mailstore.Store {
	t.Helper()
	return storetest.Open(t, storetest.Options{Database: s.db, Logger: s.log}).Store
}

// testClient speaks raw IMAP; every failure of the connection fails the test.
type testClient struct {
	*imapconn.Conn
	t testing.TB
}

// dial connects and reads the greeting.
func (s *testServer) dial(t testing.TB) *testClient {
	t.Helper()
	conn, err := imapconn.Dial(s.addr, testWait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &testClient{conn, t}
}

// login connects and logs in.
func (s *testServer) login(t testing.TB) *testClient {
	t.Helper()
	return dialIMAP(t, s.addr, testUser, testPassword)
}

// dialIMAP logs in to any server.
func dialIMAP(t testing.TB, addr, user, password string) *testClient {
	t.Helper()
	conn, err := imapconn.Login(addr, user, password, testWait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &testClient{conn, t}
}

// send writes raw text.
func (c *testClient) send(text string) {
	c.t.Helper()
	if err := c.Send(text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// line reads one response without its end, literals included.
func (c *testClient) line() string {
	c.t.Helper()
	line, err := c.Response()
	if err != nil {
		c.t.Fatalf("read: %v (after %q)", err, line)
	}
	return line
}

// do sends a command and returns its untagged responses and its tagged one without the tag.
func (c *testClient) do(format string, args ...any) (untagged []string, status string) {
	c.t.Helper()
	untagged, status, err := c.Do(format, args...)
	if err != nil {
		c.t.Fatalf("%.200s: %v (after %q)", fmt.Sprintf(format, args...), err, untagged)
	}
	return untagged, status
}

// until reads up to the tagged response.
func (c *testClient) until(tag string) (untagged []string, status string) {
	c.t.Helper()
	untagged, status, err := c.Finish(tag)
	if err != nil {
		c.t.Fatalf("waiting for %s: %v (after %q)", tag, err, untagged)
	}
	return untagged, status
}

// ok sends a command that must succeed.
func (c *testClient) ok(format string, args ...any) (untagged []string, status string) {
	c.t.Helper()
	untagged, status = c.do(format, args...)
	if !strings.HasPrefix(status, "OK") {
		c.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), status)
	}
	return untagged, status
}

// no sends a command that must be refused, with this response code or text in the answer.
func (c *testClient) refused(want, format string, args ...any) {
	c.t.Helper()
	_, status := c.do(format, args...)
	if strings.HasPrefix(status, "OK") || !strings.Contains(status, want) {
		c.t.Errorf("%s: %s, want %q in it", fmt.Sprintf(format, args...), status, want)
	}
}

// append stores a message.
func (c *testClient) append(mailbox, flags, message string) (status string) {
	c.t.Helper()
	_, status = c.ok("APPEND %s (%s) \"17-Jul-1996 02:44:25 -0700\" {%d+}\r\n%s", mailbox, flags, len(message), message)
	return status
}

// closed reads until the server closes the connection and returns what came before.
func (c *testClient) closed() (lines []string) {
	c.t.Helper()
	for {
		line, err := c.Response()
		if err == io.EOF && line == "" {
			return lines
		}
		if err != nil {
			// A reset, when the server left bytes of ours unread.
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				c.t.Fatalf("the server did not close the connection; it said %q", lines)
			}
			return lines
		}
		lines = append(lines, line)
	}
}

// message is a small message.
func message(subject string) string {
	return string(mailgen.Simple(subject))
}

// testTLS returns a configuration with a certificate of its own for localhost.
func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
}
