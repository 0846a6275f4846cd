package imap

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/imapconn"
	"gadwall/internal/mailstore"
)

// pipes is a listener for connections that have no buffers: what the server writes, the client
// has read.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// servePipes lets s accept such connections.
func (s *testServer) servePipes() *pipes {
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	go s.Serve(p) // ends with the server
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// login connects and logs in.
func (p *pipes) login(t *testing.T, user string) *testClient {
	t.Helper()
	client, server := net.Pipe()
	p.accept <- pipeConn{server}
	c := &testClient{imapconn.New(client, testWait), t}
	t.Cleanup(func() { c.Conn.Close() })
	c.line()
	c.ok("LOGIN %s %q", user, testPassword)
	c.ok("EXAMINE INBOX")
	return c
}

type pipeConn struct{ net.Conn }

func (pipeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// watchMemory returns a function that waits until the server's budget for FETCH is as wanted.
func (s *testServer) watchMemory(t *testing.T) func(what string, wanted func(budgetCounts) bool) {
	b := s.fetchMemory
	changed := make(chan struct{}, 1)
	var now budgetCounts
	b.mu.Lock()
	b.watch = func(c budgetCounts) {
		now = c
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	b.grant()
	b.mu.Unlock()
	return func(what string, wanted func(budgetCounts) bool) {
		t.Helper()
		timeout := time.After(testWait)
		for {
			b.mu.Lock()
			c := now
			b.mu.Unlock()
			if wanted(c) {
				return
			}
			select {
			case <-changed:
			case <-timeout:
				t.Fatalf("%s: %+v", what, c)
			}
		}
	}
}

// randomMails puts n mails of 60 KB that do not compress into the INBOX of a user.
func (s *testServer) randomMails(t *testing.T, user *mailstore.User, n int) {
	t.Helper()
	c := dialIMAP(t, s.addr, user.Username, testPassword)
	random := rand.New(rand.NewChaCha8([32]byte{}))
	for range n {
		var b strings.Builder
		b.WriteString("Subject: random\r\n\r\n")
		for b.Len() < 60_000 {
			fmt.Fprintf(&b, "%016x%016x%016x%016x\r\n", random.Uint64(), random.Uint64(),
				random.Uint64(), random.Uint64())
		}
		c.append("INBOX", "", b.String())
	}
}

// TestFetchNobodyReads: sessions of one user that fetch and read nothing have a share of the
// memory and no more. Those of another user go on, and all memory comes back when the sessions end.
func TestFetchNobodyReads(t *testing.T) {
	const share = 2 * maxBatchMemory
	s := newTestServer(t, func(o *Options) { o.FetchMemory = fetchShares * share })
	bob, err := s.store.CreateUser(t.Context(), mailstore.NewUser{Username: "bob@example.com", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	s.randomMails(t, s.user, 20)
	s.randomMails(t, bob, 20)
	wait := s.watchMemory(t)
	p := s.servePipes()

	const sessions = 20
	var stalled []*testClient
	for range sessions {
		c := p.login(t, testUser)
		c.send("x FETCH 1:* BODY.PEEK[]\r\n")
		stalled = append(stalled, c)
	}
	// The batches of 480 KB that fit while there is room for one that is larger; all others wait.
	held := int64(share-maxBatchMemory)/(480<<10) + 1
	wait("sessions that stall", func(c budgetCounts) bool { return c.waiting == int(sessions-held) })
	if peak := s.fetchMemory.peak; peak > share {
		t.Errorf("one user has had %d octets of memory, the share is %d", peak, share)
	}
	for range 3 {
		if lines, _ := p.login(t, bob.Username).ok("FETCH 1:* BODY.PEEK[]"); len(lines) != 20 {
			t.Errorf("another user got %d mails", len(lines))
		}
	}
	// When most of them leave, the memory that they had goes to those that wait.
	for _, c := range stalled[2:] {
		c.Conn.Close()
	}
	for _, c := range stalled[:2] {
		if lines, _, err := c.Finish("x"); err != nil || len(lines) != 20 {
			t.Errorf("%d mails, %v", len(lines), err)
		}
	}
	wait("the end", func(c budgetCounts) bool { return c.used == 0 && c.waiting == 0 })
	if peak := s.fetchMemory.peak; peak > fetchShares*share {
		t.Errorf("%d octets of memory were in use, %d are allowed", peak, fetchShares*share)
	}
	if len(s.fetchMemory.byUser) != 0 {
		t.Errorf("%d users are still counted", len(s.fetchMemory.byUser))
	}
}

// TestFetchReadsAhead: the next batch is read when the client has read half of this one, and
// memory comes back message by message.
func TestFetchReadsAhead(t *testing.T) {
	s := newTestServer(t)
	s.randomMails(t, s.user, 40)
	wait := s.watchMemory(t)
	p := s.servePipes()
	c := p.login(t, testUser)
	c.send("x FETCH 1:* BODY.PEEK[]\r\n")
	leases := func(n int64) func(budgetCounts) bool {
		return func(c budgetCounts) bool { return c.leases == n }
	}
	wait("the first batch", leases(1))
	const batch = 8 * 60_000 // of 512 KiB
	read := func(n int64) {
		t.Helper()
		if _, err := io.CopyN(io.Discard, c.In, n); err != nil {
			t.Fatal(err)
		}
	}
	read(batch/2 - 2*writeChunk)
	// Another session does all of it meanwhile: the first would have read on by now.
	p.login(t, testUser).ok("FETCH 1:* BODY.PEEK[]")
	const all = 5 // batches
	wait("half of the first batch", leases(1+all))
	read(4 * writeChunk)
	wait("more than half of the first batch", leases(2+all))
	read(batch)
	wait("half of the second batch", leases(3+all))
	if _, status := c.until("x"); !strings.HasPrefix(status, "OK") {
		t.Error(status)
	}
	wait("the end", func(c budgetCounts) bool { return c.used == 0 && c.leases == 2*all })
}

// TestFetchMemoryOfQueries: also what a query has read of flags and envelopes counts.
func TestFetchMemoryOfQueries(t *testing.T) {
	s := newTestServer(t)
	c := s.selectMails(t, message("a"), message("b"))
	wait := s.watchMemory(t)
	for i, items := range []string{"FLAGS", "(ENVELOPE BODYSTRUCTURE)", "BODY.PEEK[HEADER]", "BODY.PEEK[]<0.1>"} {
		c.ok("FETCH 1:* %s", items)
		wait(items, func(c budgetCounts) bool { return c.leases == int64(i+1) && c.used == 0 })
	}
}
