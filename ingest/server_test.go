package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// conversations deliver one message to ada, with its octets in order. The
// message counts as sent once all of the first part was.
var conversations = []struct {
	name, sent, after string
}{
	{"DATA", opening + "DATA\r\nSubject: x\r\n\r\n..\r\n.\r\n", "QUIT\r\n"},
	{"BDAT", opening + "BDAT 5\r\nabcdeBDAT 8 LAST\r\nfghij\r\n.", "QUIT\r\n"},
	{"BDAT 0 LAST", opening + "BDAT 4\r\nabc\nBDAT 0 LAST\r\n", "QUIT\r\n"},
}

const opening = "LHLO c\r\nMAIL FROM:<g@example.net>\r\nRCPT TO:<ada@example.com>\r\n"

// A connection that ends anywhere delivers nothing, unless the whole message had
// been sent; and it leaves nothing behind.
func TestConnectionEndsAnywhere(t *testing.T) {
	for _, conv := range conversations {
		t.Run(conv.name, func(t *testing.T) {
			whole := conv.sent + conv.after
			for n := range len(whole) + 1 {
				st := newFakeStore("ada@example.com")
				ts := startServer(t, st, Options{LMTP: true})
				c := ts.dial(t)
				c.send(whole[:n])
				if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c.r); err != nil {
					t.Fatal(err)
				}
				ts.stop(t)
				st.check(t)
				want := 0
				if n >= len(conv.sent) {
					want = 1
				}
				if got := len(st.messages()); got != want {
					t.Fatalf("after %q: %d messages, want %d", whole[:n], got, want)
				}
			}
		})
	}
}

// The same under TLS, whose orderly end is another kind of EOF.
func TestTLSConnectionEndsWithinChunk(t *testing.T) {
	st := newFakeStore("ada@example.com")
	ts := startServer(t, st, Options{LMTP: true, TLSConfig: testTLS(t)})
	c := ts.dial(t)
	c.want("220 ")
	c.cmd("LHLO c", "250 ")
	// What was sent in clear behind STARTTLS is not executed.
	c.send("STARTTLS\r\nMAIL FROM:<evil@example.net>\r\n")
	c.want("220 2.0.0")
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	c = newClient(t, conn)
	c.cmd("MAIL FROM:<g@example.net>", "503 5.5.1") // the greeting is forgotten
	c.send("LHLO c\r\n")
	for {
		line := c.line()
		if strings.Contains(line, "STARTTLS") {
			t.Error("STARTTLS is offered under TLS")
		}
		if line[3] == ' ' {
			break
		}
	}
	c.cmd("MAIL FROM:<g@example.net>", "250 ")
	c.cmd("RCPT TO:<ada@example.com>", "250 ")
	c.send("BDAT 10 LAST\r\nabc")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, c.r) // ends when the server has given up
	ts.stop(t)
	st.check(t)
	if m := st.messages(); len(m) != 0 {
		t.Errorf("half a message was delivered: %q", m)
	}
}

func TestSTARTTLS(t *testing.T) {
	st := newFakeStore("ada@example.com")
	ts := startServer(t, st, Options{TLSConfig: testTLS(t)})
	c := ts.dial(t)
	c.want("220 ")
	c.send("EHLO c\r\n")
	offered := false
	for {
		line := c.line()
		offered = offered || line == "250-STARTTLS"
		if line[3] == ' ' {
			break
		}
	}
	if !offered {
		t.Error("STARTTLS is not offered")
	}
	c.cmd("MAIL FROM:<g@example.net>", "250 ")
	c.cmd("STARTTLS", "220 2.0.0")
	c = newClient(t, tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}))
	c.cmd("EHLO c", "250 ")
	c.cmd("RCPT TO:<ada@example.com>", "503 ") // the transaction is forgotten too
	c.cmd("MAIL FROM:<g@example.net>", "250 ")
	c.cmd("RCPT TO:<ada@example.com>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("x\r\n.", "250 2.1.5")
	c.cmd("STARTTLS", "503 ")
	c.cmd("QUIT", "221 ")
	if m := st.messages(); len(m) != 1 || !strings.Contains(m[0].prefix, " with ESMTPS id ") {
		t.Errorf("delivered %q", m)
	}
}

func TestLineLimits(t *testing.T) {
	st := newFakeStore("ada@example.com")
	ts := startServer(t, st, Options{})
	c := ts.dial(t)
	c.want("220 ")
	// A command just within the limit is answered, one beyond it refused.
	c.cmd("NOOP "+strings.Repeat("x", maxCommandLine-len("NOOP \r\n")), "250 ")
	c.cmd("NOOP "+strings.Repeat("x", maxCommandLine-len("NOOP \r\n")+1), "500 5.5.2 Line too long")
	c.cmd("NOOP "+strings.Repeat("x", maxOverlongLine/2), "500 5.5.2 Line too long")
	c.cmd("EHLO "+strings.Repeat("x", maxHelo+1), "501 ")
	c.cmd("EHLO c", "250 ")
	// Lines of messages have no limit.
	body := strings.Repeat("long", 1<<20) + "\r\n"
	c.cmd("MAIL FROM:<g@example.net>", "250 ")
	c.cmd("RCPT TO:<ada@example.com>", "250 ")
	c.cmd("DATA", "354 ")
	c.send(body)
	c.cmd(".", "250 ")
	if m := st.messages(); len(m) != 1 || m[0].body != body {
		t.Errorf("the long line did not arrive as sent")
	}
	// BDAT at the start of an overlong line: a chunk may follow.
	c.send("BDAT 1" + strings.Repeat(" ", maxCommandLine) + "\r\nQ")
	c.want("500 5.5.2")
	c.wantClosed()

	c = ts.dial(t)
	c.want("220 ")
	for range maxMistakes {
		c.cmd("\x00", "500 ")
	}
	c.cmd("\x00", "421 4.7.0")
	c.wantClosed()
}

func TestMaxRecipients(t *testing.T) {
	st := newFakeStore("ada@example.com")
	ts := startServer(t, st, Options{LMTP: true})
	c := ts.dial(t)
	c.open("LHLO")
	for i := range maxRecipients {
		c.cmd(fmt.Sprintf("RCPT TO:<ada+%d@example.com>", i), "250 ")
	}
	c.cmd("RCPT TO:<ada@example.com>", "452 4.5.3")
	c.cmd("DATA", "354 ")
	c.send("x\r\n.\r\n")
	for i := range maxRecipients {
		c.want(fmt.Sprintf("250 2.1.5 <ada+%d@example.com>", i))
	}
	c.cmd("QUIT", "221 ")
	if n := len(st.messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A stopping server tells idle clients so, and finishes the message in progress.
func TestShutdown(t *testing.T) {
	st := newFakeStore("ada@example.com")
	st.hold = make(chan struct{})
	st.reached = make(chan string, 100)
	ts := startServer(t, st, Options{LMTP: true})
	idle, busy := ts.dial(t), ts.dial(t)
	idle.want("220 ")
	busy.open("LHLO", "ada@example.com")
	busy.cmd("DATA", "354 ")
	busy.send("x\r\n.\r\nMAIL FROM:<g@example.net>\r\n")
	for <-st.reached != "held" {
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		ts.once.Do(func() { stopped <- ts.Shutdown(ctx) })
	}()
	idle.want("421 4.3.2")
	idle.wantClosed()
	close(st.hold)
	busy.want("250 2.1.5")
	busy.want("250 ") // to MAIL, which had been sent before
	busy.want("421 4.3.2")
	busy.wantClosed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ts.addr); err == nil {
		t.Error("still accepting")
	}
	if n := len(st.messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	st.check(t)
}

// When patience ends, what is in progress is cut, unacknowledged and without a trace.
func TestShutdownCuts(t *testing.T) {
	st := newFakeStore("ada@example.com")
	st.hold = make(chan struct{}) // nobody releases it
	st.reached = make(chan string, 100)
	ts := startServer(t, st, Options{LMTP: true})
	sending, waiting := ts.dial(t), ts.dial(t)
	sending.open("LHLO", "ada@example.com")
	sending.cmd("DATA", "354 ")
	sending.send("half")
	waiting.open("LHLO", "ada@example.com")
	waiting.cmd("DATA", "354 ")
	waiting.send("x\r\n.\r\n")
	for <-st.reached != "held" {
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ts.once.Do(func() {
		if err := ts.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
	})
	for _, c := range []*client{sending, waiting} {
		if line, err := c.r.ReadString('\n'); err == nil && strings.HasPrefix(line, "2") {
			t.Errorf("acknowledged: %q", line)
		}
	}
	if n := len(st.messages()); n != 0 {
		t.Errorf("%d messages, want 0", n)
	}
	st.check(t)
}

// A client that never reads its replies does not keep the server from stopping.
func TestShutdownWithClientThatDoesNotRead(t *testing.T) {
	srv, err := newServer(Options{Hostname: "mx.example.com", Logger: newTestLog(t)}, newFakeStore())
	if err != nil {
		t.Fatal(err)
	}
	l := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	ours, theirs := net.Pipe() // without any buffer: the greeting is stuck already
	defer ours.Close()
	l.conns <- theirs
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if d := time.Since(start); d > writeTimeout/2 {
		t.Errorf("shutdown took %v", d)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A client that stops in the middle of a TLS handshake does not keep the server from stopping.
func TestShutdownDuringHandshake(t *testing.T) {
	ts := startServer(t, newFakeStore(), Options{TLSConfig: testTLS(t)})
	c := ts.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	c.cmd("STARTTLS", "220 ")
	c.send("\x16\x03\x01") // the beginning of a record
	ts.stop(t)             // within fails the test
	c.wantClosed()
}

// Nor does one that waits for the reply about a user who does not exist.
func TestShutdownDuringDelay(t *testing.T) {
	inBubble(t, newFakeStore(), Options{}, func(t *testing.T, p piped) {
		c := p.dial(t)
		c.open("EHLO")
		for range freeRefusals {
			c.cmd("RCPT TO:<x@example.com>", "550 ")
		}
		start := time.Now()
		c.send(strings.Repeat("RCPT TO:<x@example.com>\r\n", 5))
		synctest.Wait() // until the first of them waits
		go p.Shutdown(context.Background())
		for range 5 {
			c.want("550 ")
		}
		c.want("421 4.3.2")
		c.wantClosed()
		if d := time.Since(start); d != 0 {
			t.Errorf("the server waited %v", d)
		}
	})
}

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"mx.example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
