//go:build !race

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/heaptest"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/pulse"
	"gadwall/internal/sasl"
)

// TestMemoryOfLargeMessages runs the whole server within the test, where garbage can be collected
// before heap in use is read, and sends large messages through it by many connections at once: the
// peak of the heap may grow by no more than 4 MiB for each, clients and database included, whatever
// its size. Connections are open, users logged in and mailboxes selected before it begins. The
// collector lets a quarter of what is in use lie about, not as much again: the test is about what
// messages hold, about half of the budget.
// GADWALL_TEST_LARGE=NxM has N messages of M megabytes.
func TestMemoryOfLargeMessages(t *testing.T) {
	count, megabytes := 16, 12
	if v := os.Getenv("GADWALL_TEST_LARGE"); v != "" {
		if _, err := fmt.Sscanf(v, "%dx%d", &count, &megabytes); err != nil {
			t.Fatalf("GADWALL_TEST_LARGE: %v", err)
		}
	}
	const (
		each = 4 << 20
		// shared is for what all messages share, buffers of the database and its driver and
		// encoders of the processors.
		shared = 32 << 20
	)
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	s := startOwnServer(t)
	lines := megabytes * 1_000_000 / 78
	length := int64(len(largeHead)) + int64(lines)*78
	t.Logf("%d messages of %d octets", count, length)
	// phase measures what count calls of one do to the heap, each with a connection that open made
	// before.
	phase := func(name string, budget int64, open func() (*memoryClient, error),
		one func(c *memoryClient, i int) error) {
		t.Helper()
		clients := make([]*memoryClient, count)
		for i := range clients {
			var err error
			if clients[i], err = open(); err != nil {
				t.Fatal(err)
			}
			defer clients[i].Close()
		}
		before := heaptest.Settled()
		peak := heaptest.Watch()
		start := time.Now()
		var all sync.WaitGroup
		errs := make([]error, count)
		for i, c := range clients {
			all.Go(func() { errs[i] = one(c, i) })
		}
		all.Wait()
		most := peak()
		grown, live := most.InUse-before.InUse, most.Live-before.Live
		took := time.Since(start)
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%-6s %d at once in %v: heap in use %.1f MiB before, grew by %.1f MiB (live: "+
			"%.1f) at the peak, %.2f MiB (live: %.2f) for each",
			name, count, took.Round(time.Millisecond),
			mib(before.InUse), mib(grown), mib(live), mib(grown)/float64(count), mib(live)/float64(count))
		if grown > budget {
			t.Errorf("%s: the heap grew by %.1f MiB, want at most %.1f MiB", name, mib(grown), mib(budget))
		}
	}
	deliver := func(c *memoryClient, i int) error {
		if err := c.command("354", "MAIL FROM:<a@example.net>\r\nRCPT TO:<%s>\r\nDATA", memoryUser); err != nil {
			return err
		}
		if err := c.send(newLargeMail(uint64(i), lines), "\r\n.\r\n"); err != nil {
			return err
		}
		return c.answer("250 ")
	}
	appendOne := func(c *memoryClient, i int) error {
		if err := c.command("+ ", "a APPEND INBOX {%d}", length); err != nil {
			return err
		}
		if err := c.send(newLargeMail(uint64(1000+i), lines), "\r\n"); err != nil {
			return err
		}
		return c.answer("a OK")
	}
	fetch := func(c *memoryClient, i int) error {
		fmt.Fprintf(c, "f FETCH %d BODY.PEEK[]\r\n", i+1)
		return c.answer("f OK")
	}
	// Each code path has run once.
	warm := func(open func() (*memoryClient, error), one func(c *memoryClient, i int) error, i int) {
		t.Helper()
		c, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := one(c, i); err != nil {
			t.Fatal(err)
		}
	}
	warm(s.lmtp, deliver, 2000)
	warm(s.imap, appendOne, 2001)
	warm(s.imap, fetch, 0)

	// Passwords take 19 MiB for each processor, and there is garbage of others before it is collected.
	passwords := int64(min(runtime.GOMAXPROCS(0), 8)) * 19 << 20
	phase("LOGIN", 3*passwords+shared, func() (*memoryClient, error) { return dialMemory(s.imapAddr) },
		func(c *memoryClient, _ int) error { return c.login() })
	budget := int64(count)*each + shared
	phase("LMTP", budget, s.lmtp, deliver)
	phase("APPEND", budget, s.imap, appendOne)
	phase("FETCH", budget, s.imap, fetch)

	// Clients that have stopped reading: what a FETCH under way holds.
	clients := make([]*memoryClient, count)
	for i := range clients {
		c, err := s.imap()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
	}
	before := heaptest.Settled()
	for i, c := range clients {
		fmt.Fprintf(c, "f FETCH %d BODY.PEEK[]\r\n", i+1)
		if _, err := io.CopyN(io.Discard, c.r, 1_000_000); err != nil {
			t.Fatal(err)
		}
	}
	held := heaptest.Settled().Live - before.Live
	t.Logf("%d FETCHes that nobody reads: %.2f MiB for each", count, mib(held)/float64(count))
	if held > int64(count)*each {
		t.Errorf("a FETCH that nobody reads holds %.2f MiB", mib(held)/float64(count))
	}
	for _, c := range clients { // and then they do
		if err := c.answer("f OK"); err != nil {
			t.Fatal(err)
		}
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

const (
	memoryUser     = "ada@example.com"
	memoryPassword = "correct horse battery"
)

// ownServer is a server within the test.
type ownServer struct{ imapAddr, lmtpAddr string }

func startOwnServer(t *testing.T) *ownServer {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	c := &serveCmd{}
	c.Storage = config.Storage{DataDir: dataDir(t), MongoDBDatabase: "gadwall"}
	c.Hostname, c.MaxMessageSize = "mail.example.com", 2<<30
	store, err := node.Open(t.Context(), node.Options{Storage: c.Storage, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: memoryUser,
		Password: memoryPassword}); err != nil {
		t.Fatal(err)
	}
	open := make(listeners)
	for _, name := range []string{"IMAP", "LMTP"} {
		if open[name], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	logins := sasl.New(sasl.Options{Accounts: store.Accounts})
	lately := newLately(store, pulse.NewTail(log.Handler()), log)
	t.Cleanup(lately.census.Close)
	protocols, err := c.protocols(store, logins, nil, open, nil, log, lately, store.Collection(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serveAll(ctx, stop, protocols, streams{out: io.Discard, err: io.Discard}, log) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, store.Close()); err != nil {
			t.Error(err)
		}
	})
	return &ownServer{imapAddr: open["IMAP"].Addr().String(), lmtpAddr: open["LMTP"].Addr().String()}
}

// memoryClient speaks to a server, with little memory of its own.
type memoryClient struct {
	net.Conn
	r *bufio.Reader
}

func dialMemory(addr string) (*memoryClient, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &memoryClient{nc, bufio.NewReaderSize(nc, 4<<10)}, nil
}

func (s *ownServer) lmtp() (*memoryClient, error) {
	c, err := dialMemory(s.lmtpAddr)
	if err != nil {
		return nil, err
	}
	return c, c.command("250 ", "LHLO client.example.net")
}

func (s *ownServer) imap() (*memoryClient, error) {
	c, err := dialMemory(s.imapAddr)
	if err != nil {
		return nil, err
	}
	if err := c.login(); err != nil {
		return nil, err
	}
	return c, c.command("e OK", "e SELECT INBOX")
}

func (c *memoryClient) login() error {
	return c.command("l OK", "l LOGIN %q %q", memoryUser, memoryPassword)
}

// command sends a line and waits for an answer that begins with want.
func (c *memoryClient) command(want, format string, args ...any) error {
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		return err
	}
	return c.answer(want)
}

// send copies a message and what follows it.
func (c *memoryClient) send(message io.Reader, end string) error {
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, message, make([]byte, 8<<10)); err != nil {
		return err
	}
	_, err := io.WriteString(c, end)
	return err
}

// refusal is an answer of either protocol.
var refusal = regexp.MustCompile(`^([45]\d\d[ -]|\w (NO|BAD) )`)

// answer passes over lines until one begins with want.
func (c *memoryClient) answer(want string) error {
	for begin := true; ; {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
			return err
		}
		line, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return fmt.Errorf("waiting for %q: %w", want, err)
		}
		if begin {
			if bytes.HasPrefix(line, []byte(want)) {
				return nil
			}
			if refusal.Match(line) {
				return fmt.Errorf("waiting for %q: %s", want, line)
			}
		}
		begin = err == nil
	}
}

const largeHead = "From: a@example.net\r\nTo: " + memoryUser + "\r\nSubject: large\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"

// largeMail is a message with a file of random bytes.
type largeMail struct {
	random *rand.ChaCha8
	lines  int
	buf    []byte // what was made and not yet read
	block  [50 * 78]byte
}

func newLargeMail(seed uint64, lines int) *largeMail {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &largeMail{random: rand.NewChaCha8(key), lines: lines, buf: []byte(largeHead)}
}

func (m *largeMail) Read(p []byte) (int, error) {
	if len(m.buf) == 0 {
		if m.lines == 0 {
			return 0, io.EOF
		}
		var line [57]byte
		m.buf = m.block[:0]
		for n := min(m.lines, 50); n > 0; n-- {
			m.random.Read(line[:])
			m.buf = append(base64.StdEncoding.AppendEncode(m.buf, line[:]), "\r\n"...)
			m.lines--
		}
	}
	n := copy(p, m.buf)
	m.buf = m.buf[n:]
	return n, nil
}
