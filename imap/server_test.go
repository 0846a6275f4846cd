package imap

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/events"
	"gadwall/internal/imapconn"
	"gadwall/internal/logins"
	"gadwall/internal/logtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

func TestStartTLS(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.TLSConfig = testTLS(t) })
	c := srv.dial(t)
	if untagged, _ := c.ok("CAPABILITY"); !strings.Contains(untagged[0], " STARTTLS") {
		t.Errorf("capabilities before TLS: %s", untagged[0])
	}
	c.ok("STARTTLS")
	c.Upgrade(tls.Client(c.Conn.Conn, &tls.Config{InsecureSkipVerify: true}))
	if untagged, _ := c.ok("CAPABILITY"); strings.Contains(untagged[0], "STARTTLS") {
		t.Errorf("capabilities under TLS: %s", untagged[0])
	}
	c.refused("BAD", "STARTTLS")
	c.ok("LOGIN %s %q", testUser, testPassword)
	c.ok("SELECT INBOX")
	c.ok("LOGOUT")
}

// TestStartTLSInjection: commands that came in plain text behind STARTTLS are
// not run under TLS.
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.TLSConfig = testTLS(t) })
	c := srv.dial(t)
	c.send("a STARTTLS\r\nb NOOP\r\n")
	if _, status := c.until("a"); !strings.HasPrefix(status, "OK") {
		t.Fatal(status)
	}
	c.Upgrade(tls.Client(c.Conn.Conn, &tls.Config{InsecureSkipVerify: true}))
	c.send("c NOOP\r\n")
	if line := c.line(); !strings.HasPrefix(line, "c ") {
		t.Errorf("the first answer under TLS is %q", line)
	}
}

// remoteConn is a connection that does not look like one of this machine.
type remoteConn struct {
	net.Conn
	ip net.IP
}

func (c remoteConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: c.ip, Port: c.Conn.RemoteAddr().(*net.TCPAddr).Port}
}

// remoteListener accepts connections that seem to come from an address.
type remoteListener struct {
	net.Listener
	ip net.IP
}

// serveRemote lets s accept connections that seem to come from ip, and returns a
// server to dial there.
func (s *testServer) serveRemote(t *testing.T, ip string) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(&remoteListener{l, net.ParseIP(ip)}) // ends with the server
	remote := *s
	remote.addr = l.Addr().String()
	return &remote
}

func (l *remoteListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{c, l.ip}, nil
}

// TestLoginDisabled: no password over a network without TLS.
func TestLoginDisabled(t *testing.T) {
	t.Parallel()
	c := newTestServer(t).serveRemote(t, "192.0.2.1").dial(t)
	untagged, _ := c.ok("CAPABILITY")
	if !strings.Contains(untagged[0], "LOGINDISABLED") || strings.Contains(untagged[0], "AUTH=") {
		t.Errorf("capabilities: %s", untagged[0])
	}
	c.refused("NO [PRIVACYREQUIRED]", "LOGIN %s %q", testUser, testPassword)
	c.refused("NO [PRIVACYREQUIRED]", "AUTHENTICATE PLAIN")
}

func TestTooManyFailedLogins(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	c := srv.dial(t)
	for i := range maxAuthFailures {
		c.send(fmt.Sprintf("a%d LOGIN x y\r\n", i))
	}
	lines := c.closed()
	if n := len(lines); n != maxAuthFailures+1 || !strings.HasPrefix(lines[n-2], "* BYE ") {
		t.Errorf("got %q", lines)
	}
}

// TestLoginWaits: after a failed login, the next one from that address waits, with the right
// password too; others do not. One that waits ends with the server.
func TestLoginWaits(t *testing.T) {
	t.Parallel()
	st := storetest.Open(t, storetest.Options{})
	srv := newTestServerOn(t, st.Database, func(o *Options) {
		o.Authenticator = sasl.New(sasl.Options{Accounts: testAccounts(t, st.Store, st.Bus, slog.Default()),
			Logins: account.NewGate(logins.Options{Delay: time.Hour})})
		o.PlaintextFrom = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	})
	one := srv.serveRemote(t, "192.0.2.1")
	one.dial(t).refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", testUser)
	waits := one.dial(t)
	waits.send(fmt.Sprintf("a LOGIN %s %q\r\n", testUser, testPassword))
	srv.serveRemote(t, "192.0.2.2").login(t)
	srv.login(t)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := waits.closed(); len(lines) == 0 || strings.HasPrefix(lines[0], "a OK") {
		t.Errorf("it said %q", lines)
	}
}

func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	c := srv.dial(t)
	c.send(strings.Repeat("x\r\n", maxBadUnauthenticated))
	lines := c.closed()
	if n := len(lines); n != maxBadUnauthenticated+1 || !strings.HasPrefix(lines[n-1], "* BYE ") {
		t.Errorf("got %q", lines)
	}
}

// TestPipelining sends everything at once; answers come in order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	c := srv.dial(t)
	var script strings.Builder
	fmt.Fprintf(&script, "a LOGIN %s %q\r\nb SELECT INBOX\r\n", testUser, testPassword)
	for i := range 50 {
		fmt.Fprintf(&script, "c%d APPEND INBOX {%d+}\r\n%s\r\n", i, len(message("x")), message("x"))
	}
	script.WriteString("d IDLE\r\nDONE\r\ne FETCH 1:* (UID)\r\nf LOGOUT\r\n")
	go c.send(script.String())
	for _, tag := range []string{"a", "b"} {
		c.until(tag)
	}
	for i := range 50 {
		if _, status := c.until(fmt.Sprintf("c%d", i)); !strings.HasPrefix(status, "OK") {
			t.Fatal(status)
		}
	}
	c.until("d")
	if untagged, _ := c.until("e"); len(untagged) != 50 {
		t.Errorf("%d messages", len(untagged))
	}
	c.until("f")
	if rest := c.closed(); len(rest) != 0 {
		t.Errorf("after LOGOUT: %q", rest)
	}
}

// TestShutdown: idle clients, clients in IDLE and busy ones are told, and a
// command that runs is finished.
func TestShutdown(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	srv.shutdownNotice = time.Millisecond
	heard := make(chan string)
	srv.errs.heard.Store(&heard)
	waiting, idling, fresh := srv.login(t), srv.login(t), srv.dial(t)
	idling.ok("SELECT INBOX")
	idling.send("i IDLE\r\n")
	if line := idling.line(); line != "+ idling" {
		t.Fatal(line)
	}
	appending := srv.login(t)
	msg := message("late")
	appending.send(fmt.Sprintf("a APPEND INBOX {%d}\r\n", len(msg)))
	if line := appending.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatal(line)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		defer cancel()
		done <- srv.Shutdown(ctx)
	}()
	for _, c := range []*testClient{waiting, idling, fresh} {
		lines := c.closed()
		// In IDLE, too: a tagged OK would say that the client has ended it.
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "* BYE [UNAVAILABLE]") {
			t.Errorf("on shutdown: %q", lines)
		}
	}
	for line := ""; line != "imap: waiting for sessions to finish their commands sessions=1"; {
		select {
		case line = <-heard:
		case <-time.After(testWait):
			t.Fatal("it did not log what it waits for")
		}
	}
	appending.send(msg + "\r\n")
	lines := appending.closed()
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "a OK [APPENDUID ") || !strings.HasPrefix(lines[1], "* BYE ") {
		t.Errorf("the command under way: %q", lines)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := srv.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestShutdownTimeout: a client that never finishes is cut off.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	c := srv.login(t)
	c.send("a APPEND INBOX {10}\r\n")
	c.line()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Shutdown(ctx); err != context.Canceled {
		t.Errorf("Shutdown: %v", err)
	}
	c.closed()
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.MaxConnections = 1 })
	c := srv.dial(t)
	srv.turnedAway(t)
	c.ok("NOOP")
}

// TestRefusedConnectionsLog: connections that are refused one after the other do not fill the log.
func TestRefusedConnectionsLog(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	srv := newTestServer(t, func(o *Options) {
		o.MaxConnections = 1
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	srv.dial(t)
	for range 20 {
		srv.turnedAway(t)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, "connection refused") != 2 || !strings.Contains(text, "times=19") {
		t.Errorf("it logged\n%s", text)
	}
}

// turnedAway connects and expects BYE [LIMIT].
func (s *testServer) turnedAway(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &testClient{imapconn.New(conn, testWait), t}
	if lines := c.closed(); len(lines) != 1 || !strings.HasPrefix(lines[0], "* BYE [LIMIT]") {
		t.Errorf("one connection too many: %q", lines)
	}
}

// TestConnectionsPerAddress: the address is what RemoteAddr says; IPv6 addresses of
// one network count together; this machine's own are not counted.
func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.MaxConnectionsPerAddress = 2 })
	srv.dial(t)
	srv.dial(t)
	srv.dial(t)
	one := srv.serveRemote(t, "192.0.2.1")
	one.dial(t)
	second := one.dial(t)
	one.turnedAway(t)
	srv.serveRemote(t, "192.0.2.2").dial(t)
	srv.serveRemote(t, "2001:db8::1").dial(t)
	srv.serveRemote(t, "2001:db8::2").dial(t)
	srv.serveRemote(t, "2001:db8::3").turnedAway(t)
	srv.serveRemote(t, "2001:db8:0:1::3").dial(t)

	second.ok("LOGOUT")
	second.closed()
	one.dial(t)
}

// TestConnectionsPerUser: a login too many is refused, and possible again when
// another session of the user has ended.
func TestConnectionsPerUser(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.MaxConnectionsPerUser = 2 })
	srv.login(t)
	second := srv.login(t)
	c := srv.dial(t)
	c.refused("NO [LIMIT]", "LOGIN %s %q", testUser, testPassword)
	second.ok("LOGOUT")
	second.closed()
	c.ok("LOGIN %s %q", testUser, testPassword)
}

// TestLogLines: the lines of a session carry its id and the client's address and
// port; the last one says what it did and why it ended.
func TestLogLines(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	srv := newTestServer(t, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	c := srv.login(t)
	c.ok("NOOP")
	c.ok("LOGOUT")
	c.closed()
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	type line struct {
		Msg, Session, Remote, User, Why string
		Port, Commands                  int
		In                              int64 `json:"bytes_in"`
		Out                             int64 `json:"bytes_out"`
	}
	lines := make(map[string]line)
	for text := range strings.Lines(log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		lines[l.Msg] = l
	}
	in, out := lines["imap: login"], lines["imap: logout"]
	if in.Session == "" || in.Remote != "127.0.0.1" || in.Port != c.LocalAddr().(*net.TCPAddr).Port {
		t.Errorf("login: %+v", in)
	}
	if out.Session != in.Session || out.User != testUser || out.Why != "Logging out" || out.Commands != 3 ||
		out.In != int64(len("t1 LOGIN \"\" \"\"\r\nt2 NOOP\r\nt3 LOGOUT\r\n")+len(testUser)+len(testPassword)) ||
		out.Out != c.Received {
		t.Errorf("logout: %+v; received %d", out, c.Received)
	}
}

// TestPlaintextFrom: clients of the networks named may log in without TLS, and no
// others; nobody is named by an empty list.
func TestPlaintextFrom(t *testing.T) {
	t.Parallel()
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	srv := newTestServer(t, func(o *Options) { o.PlaintextFrom = from })
	for _, ip := range []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1::1"} {
		srv.serveRemote(t, ip).login(t)
	}
	for _, ip := range []string{"192.0.3.7", "2001:db9::1", "127.0.0.1"} {
		srv.serveRemote(t, ip).dial(t).refused("NO [PRIVACYREQUIRED]", "LOGIN %s %q", testUser, testPassword)
	}
	none := newTestServer(t, func(o *Options) { o.PlaintextFrom = []netip.Prefix{} })
	none.dial(t).refused("NO [PRIVACYREQUIRED]", "LOGIN %s %q", testUser, testPassword)
}

// TestPanic: a handler that panics costs its connection only, and never sends
// half an answer as if it were whole.
func TestPanic(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	srv.errs.allow = true
	for name, run := range map[string]handler{
		"at once":   func(*conn, context.Context, *command) error { panic("test") },
		"in a line": func(c *conn, _ context.Context, _ *command) error { c.enc.Raw("* 1"); panic("test") },
		"error in a line": func(c *conn, _ context.Context, _ *command) error {
			c.enc.Raw("* 1")
			return io.ErrNoProgress
		},
		"in a literal": func(c *conn, _ context.Context, _ *command) error {
			return c.enc.Raw("* 1 FETCH (BODY[] ").Literal(10, func(io.Writer) error { panic("test") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			client, server := net.Pipe()
			defer client.Close()
			c := newConn(srv.Server, server)
			c.enc.Reset(&out)
			go io.WriteString(client, "x NOOP\r\n")
			if err := c.dec.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.dec.Tag(); err != nil {
				t.Fatal(err)
			}
			_ = c.execute(context.Background(), &command{tag: "x", name: "TEST", args: c.dec},
				rule{run: run, sync: syncNone})
			if !c.closing && c.enc.Err() == nil {
				t.Errorf("the connection lives on, after %q", out.String())
			}
			_ = c.enc.Flush()
			if s := out.String(); name == "at once" && !strings.HasPrefix(s, "* BYE [SERVERBUG]") ||
				name != "at once" && strings.Contains(s, "BYE") {
				t.Errorf("it said %q", s)
			}
		})
	}
}

// TestDisconnectCancels: when the client leaves, its running command's context ends.
func TestDisconnectCancels(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	in := newInput(server)
	defer in.unwatch()
	gone := make(chan struct{})
	in.arm(time.Millisecond, func() { close(gone) })
	client.Close()
	select {
	case <-gone:
	case <-time.After(testWait):
		t.Fatal("nobody noticed")
	}
}

// TestWatchKeepsBytes: what the watcher reads ahead is not lost, however often
// it is started and stopped.
func TestWatchKeepsBytes(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	const n = 200
	go func() {
		for i := range n {
			if _, err := client.Write([]byte{byte(i), byte(i)}); err != nil {
				return
			}
		}
	}()
	in := newInput(server)
	for i := range 2 * n {
		if i%3 == 0 {
			if i%2 == 0 {
				if got := in.await(time.Hour, true); got != spoke {
					t.Fatal(got)
				}
			} else {
				in.arm(0, func() { t.Error("gone") })
			}
		}
		var b [1]byte
		if _, err := io.ReadFull(in, b[:]); err != nil {
			t.Fatal(err)
		}
		if b[0] != byte(i/2) {
			t.Fatalf("byte %d is %d, want %d", i, b[0], i/2)
		}
	}
}

// TestAwait: await ends when the client speaks, when others wake it, and when the client goes.
func TestAwait(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	in := newInput(server)
	if got := in.await(0, true); got != nothing {
		t.Errorf("without time: %v", got)
	}
	in.wake()
	if got := in.await(0, false); got != nothing {
		t.Errorf("deaf: %v", got)
	}
	if got := in.await(time.Hour, true); got != awake {
		t.Errorf("woken before: %v", got)
	}
	for range 100 {
		go in.wake()
		if got := in.await(time.Hour, true); got != awake {
			t.Errorf("woken: %v", got)
		}
	}
	go client.Write([]byte("x"))
	if got := in.await(time.Hour, true); got != spoke {
		t.Errorf("spoken to: %v", got)
	}
	in.wake()
	if got := in.await(time.Hour, true); got != spoke {
		t.Errorf("before the byte is read: %v", got)
	}
	var b [2]byte
	if n, err := in.Read(b[:]); n != 1 || err != nil || b[0] != 'x' {
		t.Errorf("read %q: %v", b[:n], err)
	}
	if got := in.await(time.Hour, true); got != awake {
		t.Errorf("woken before the read: %v", got)
	}
	go client.Close()
	if got := in.await(time.Hour, true); got != left {
		t.Errorf("alone: %v", got)
	}
	if _, err := in.Read(b[:]); err != io.EOF {
		t.Errorf("read of a closed connection: %v", err)
	}
	in.interrupt()

	client, server = net.Pipe()
	defer client.Close()
	in = newInput(server)
	go in.interrupt()
	for range 2 {
		if got := in.await(time.Hour, true); got != interrupted {
			t.Errorf("interrupted: %v", got)
		}
	}
}

// A byte that was read ahead is the beginning of a command, the rest of which is waited for: nothing of
// it is lost to a wait that ends early.
func TestQuietBehindAByte(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	in := newInput(server)
	in.quietAfter = time.Nanosecond
	go client.Write([]byte("a"))
	if got := in.await(time.Hour, true); got != spoke {
		t.Fatal(got)
	}
	in.wait(time.Hour, true)
	var b [1]byte
	if n, err := in.Read(b[:]); n != 1 || err != nil {
		t.Fatalf("read %q: %v", b[:n], err)
	}
	go client.Write([]byte("1"))
	if n, err := in.Read(b[:]); n != 1 || err != nil || b[0] != '1' {
		t.Errorf("then read %q: %v", b[:n], err)
	}
}

// TestQuiet: a session goes on after its client was quiet, whatever the connection is made of.
func TestQuiet(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.TLSConfig = testTLS(t) })
	srv.mu.Lock()
	srv.quietAfter = time.Nanosecond
	srv.mu.Unlock()
	converse := func(c *testClient) {
		c.ok("SELECT INBOX")
		c.send("a NO")
		c.send("OP\r\n")
		c.until("a")
		c.send("b NOOP\r\nc NOOP\r\nd IDLE\r\nDONE\r\ne NOOP\r\n")
		for _, tag := range []string{"b", "c", "d", "e"} {
			if _, status := c.until(tag); !strings.HasPrefix(status, "OK") {
				t.Errorf("%s: %s", tag, status)
			}
		}
		c.append("INBOX", "", message(strings.Repeat("long ", 2000)))
		c.ok("FETCH 1:* BODY.PEEK[]")
	}
	c := srv.dial(t)
	c.send("l LOGIN {5}\r\n")
	if line := c.line(); line != "+ OK" {
		t.Fatal(line)
	}
	c.send("wrong {5+}\r\nwrong\r\n")
	if _, status := c.until("l"); !strings.HasPrefix(status, "NO") {
		t.Fatal(status)
	}
	c.ok("LOGIN %q %q", testUser, testPassword)
	converse(c)
	c.compress()
	converse(c)
	c = srv.dial(t)
	c.ok("STARTTLS")
	c.Upgrade(tls.Client(c.Conn.Conn, &tls.Config{InsecureSkipVerify: true}))
	c.ok("LOGIN %q %q", testUser, testPassword)
	converse(c)
	c.ok("LOGOUT")
}

// TestInterrupt: a read that waits for a command ends, one inside a command does not.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	in := newInput(server)
	in.wait(time.Hour, false)
	go in.interrupt()
	if _, err := in.Read(make([]byte, 1)); err != errInterrupted {
		t.Errorf("waiting: %v", err)
	}
	if _, err := in.Read(make([]byte, 1)); err != errInterrupted {
		t.Errorf("waiting again: %v", err)
	}
	in.busy()
	go client.Write([]byte("x"))
	if n, err := in.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("busy: %d, %v", n, err)
	}
}

// TestOverQuota: a message that cannot fit is refused before it is sent, and
// nothing of it is left.
func TestOverQuota(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	limits := srv.user.Limits
	limits.Bytes = 1000
	if err := srv.store.SetLimits(context.Background(), srv.user.ID, limits); err != nil {
		t.Fatal(err)
	}
	c := srv.login(t)
	c.refused("NO [OVERQUOTA]", "APPEND INBOX {2000}")
	c.append("INBOX", "", strings.Repeat("x", 600))
	c.refused("NO [OVERQUOTA]", "APPEND INBOX {600+}\r\n%s", strings.Repeat("x", 600))
	c.ok("SELECT INBOX")
	c.refused("NO [OVERQUOTA]", "COPY 1 Archive")
	c.ok("MOVE 1 Archive")
	if untagged, _ := c.ok("STATUS Archive (MESSAGES SIZE)"); untagged[0] != "* STATUS Archive (MESSAGES 1 SIZE 600)" {
		t.Error(untagged)
	}
}

// TestPolling: without events, a view is compared with the database when it is old.
func TestPolling(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t, func(o *Options) { o.PollInterval = time.Millisecond })
	c := srv.login(t)
	c.ok("SELECT INBOX")
	box, err := srv.store.MailboxByPath(context.Background(), srv.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	c.send("i IDLE\r\n")
	if line := c.line(); line != "+ idling" {
		t.Fatal(line)
	}
	w := srv.contents.NewWriter(context.Background())
	if _, err := io.WriteString(w, message("elsewhere")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = srv.otherInstance(t).Deliver(context.Background(), stored,
		[]mailstore.Delivery{{Mailbox: box.Key, Magic: stored.Magics[0]}})
	if err != nil {
		t.Fatal(err)
	}
	if line := c.line(); line != "* 1 EXISTS" {
		t.Errorf("polling told %q", line)
	}
	c.send("DONE\r\n")
	c.until("i")
}

// hearingBus is a bus that other instances may be heard on.
type hearingBus struct {
	events.Bus
	hears atomic.Bool
}

func (b *hearingBus) Connected() bool { return b.hears.Load() }

// TestPollAfter: a session that hears other instances looks seldom, and not together with others.
func TestPollAfter(t *testing.T) {
	t.Parallel()
	bus := &hearingBus{Bus: events.NewLocal()}
	st := storetest.Open(t, storetest.Options{Bus: bus})
	accounts := testAccounts(t, st.Store, bus, slog.Default())
	user := st.User(t, testUser)
	srv := New(Options{Authenticator: testAuthenticator(accounts), PollInterval: time.Second})
	seen := make(map[time.Duration]bool)
	for range 100 {
		client, server := net.Pipe()
		defer client.Close()
		c := newConn(srv, server)
		c.account = accounts.Of(user)
		bus.hears.Store(false)
		if d := c.pollAfter(); d != time.Second {
			t.Fatalf("deaf: %v", d)
		}
		bus.hears.Store(true)
		d := c.pollAfter()
		if d < trustedPollInterval || d >= 2*trustedPollInterval || d != c.pollAfter() {
			t.Fatalf("hearing: %v, then %v", d, c.pollAfter())
		}
		seen[d] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different times of 100 sessions", len(seen))
	}
}
