//go:build !race

package imap

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"gadwall/internal/heaptest"
)

// TestIdleMemory: what an idle session costs, in IDLE and between commands.
func TestIdleMemory(t *testing.T) {
	srv := newTestServer(t)
	srv.login(t).append("INBOX", "", message("one"))
	open := func(idle bool) {
		c := srv.login(t)
		c.ok("SELECT INBOX")
		c.ok("UID FETCH 1 (FLAGS BODY.PEEK[])")
		if idle {
			c.send("i IDLE\r\n")
			if line := c.line(); line != "+ idling" {
				t.Fatal(line)
			}
		}
		c.In = nil // the client's buffer does not count
	}
	// The client's half of the connection is among it. The database and its driver take memory meanwhile,
	// too, but not each time: sessions that cost more do.
	const sessions, budget, rounds = 40, 20 << 10, 3
	for range sessions { // what all sessions share grows first
		open(false)
	}
	for _, idle := range []bool{false, true} {
		for round := 1; ; round++ {
			before := heaptest.Settled()
			for range sessions {
				open(idle)
			}
			after := heaptest.Settled()
			each := (after.Objects - before.Objects + after.Stacks - before.Stacks) / sessions
			t.Logf("idle %v: %d bytes each, %d of them stack", idle, each, (after.Stacks-before.Stacks)/sessions)
			if each <= budget {
				break
			}
			if round == rounds {
				t.Errorf("idle %v: a session costs %d bytes, more than %d", idle, each, budget)
				break
			}
		}
	}
}

// TestIdleTLSMemory: what an idle session costs with TLS, and when it is compressed. The client forgets its
// keys and buffers, so the server's half is what counts.
func TestIdleTLSMemory(t *testing.T) {
	srv := newTestServer(t, func(o *Options) { o.TLSConfig = testTLS(t) })
	srv.login(t).append("INBOX", "", message("one"))
	open := func(compressed bool) {
		c := srv.dial(t)
		socket := c.Conn.Conn
		c.ok("STARTTLS")
		c.Upgrade(tls.Client(socket, &tls.Config{InsecureSkipVerify: true}))
		c.ok("LOGIN %q %q", testUser, testPassword)
		if compressed {
			c.compress()
		}
		c.ok("SELECT INBOX")
		c.ok("UID FETCH 1 (FLAGS BODY.PEEK[])")
		c.send("i IDLE\r\n")
		if line := c.line(); line != "+ idling" {
			t.Fatal(line)
		}
		c.Conn.Conn, c.In = socket, nil
	}
	const sessions, rounds = 40, 3
	for range sessions { // what all sessions share grows first
		open(false)
	}
	for _, compressed := range []bool{false, true} {
		budget := int64(idleTLSBudget)
		if compressed {
			budget = idleCompressedBudget
		}
		for round := 1; ; round++ {
			before := heaptest.Settled()
			for range sessions {
				open(compressed)
			}
			after := heaptest.Settled()
			each := (after.Objects - before.Objects + after.Stacks - before.Stacks) / sessions
			t.Logf("compressed %v: %d bytes each, %d of them stack", compressed, each,
				(after.Stacks-before.Stacks)/sessions)
			if each <= budget {
				break
			}
			if round == rounds {
				t.Errorf("compressed %v: a session costs %d bytes, more than %d", compressed, each, budget)
				break
			}
		}
	}
}

// Budgets of a session in IDLE with TLS.
const idleTLSBudget, idleCompressedBudget = 24 << 10, 28 << 10

// TestAppendMemory: many messages with all the headers and parts that a message can have do not pile up in one
// APPEND.
func TestAppendMemory(t *testing.T) {
	srv := newTestServer(t, func(o *Options) { o.MaxMessageSize = 8 << 20 })
	c := srv.login(t)
	var b strings.Builder
	for i := range 8 { // fields that are kept, as long as they may be
		fmt.Fprintf(&b, "To: %d@example.com,\r\n %s\r\n", i, strings.Repeat("(a comment that is dropped)\r\n ", 2000))
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	b.WriteString(strings.Repeat("--b\r\n\r\n\r\n", 1000))
	mail := b.String()
	before := heaptest.Settled()
	const messages = 30
	c.send("a APPEND INBOX")
	for range messages {
		c.send(fmt.Sprintf(" {%d+}\r\n%s", len(mail), mail))
	}
	c.send(" {5}\r\n") // asks only when it has taken all before
	if line := c.line(); line != "+ OK" {
		t.Fatal(line)
	}
	grown := heaptest.Settled().Objects - before.Objects
	each := grown / messages
	t.Logf("%d bytes for each message of %d", each, len(mail))
	// What is stored of such a message is up to 128 KiB of wire forms; the parsed message is about 1 MiB.
	if budget := int64(300 << 10); each > budget {
		t.Errorf("a message under way costs %d bytes, more than %d", each, budget)
	}
	c.send("hello\r\n")
	if _, status := c.until("a"); !strings.HasPrefix(status, "OK") {
		t.Error(status)
	}

	mail = "To: " + strings.Repeat("someone@example.com,\r\n ", 1200) + "last@example.com\r\n\r\nHello.\r\n"
	c.send("b APPEND INBOX")
	for range 350 {
		c.send(fmt.Sprintf(" {%d+}\r\n%s", len(mail), mail))
	}
	c.send("\r\n")
	if _, status := c.until("b"); !strings.HasPrefix(status, "NO [LIMIT]") {
		t.Error(status)
	}
}
