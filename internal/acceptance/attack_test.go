package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/imapconn"
)

// attackMemory is how much the resident memory of a server may grow under an attack: the budget of
// all FETCHes (128 MiB), what password checks leave, and what the collector lets lie about.
const attackMemory = 320 << 20

// attack is something that clients of this machine do to a server.
type attack struct {
	name string
	run  func(t *testing.T, s *server)
}

// attacker is where attacks come from that limits for each address meet.
var attacker = &net.TCPAddr{IP: net.IPv4(127, 66, 6, 6)}

// hold opens n connections, sends text on each, and keeps them until the test ends.
func hold(t *testing.T, network, addr string, n int, text string) {
	t.Helper()
	dialer := net.Dialer{Timeout: ioTimeout}
	if network == "tcp" {
		dialer.LocalAddr = attacker
	}
	for range n {
		nc, err := dialer.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if err := nc.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, text) // the server may have turned the connection away
	}
}

var attacks = []attack{
	{"silent LMTP connections", func(t *testing.T, s *server) { hold(t, "tcp", s.lmtp, 300, "") }},
	{"HTTP bodies that never come", func(t *testing.T, s *server) {
		hold(t, "tcp", s.http, 300, "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n")
	}},
	{"HTTP headers that never end", func(t *testing.T, s *server) {
		hold(t, "tcp", s.http, 300, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
	}},
	{"octets that are no command of the embedded Redis", func(t *testing.T, s *server) {
		for _, text := range []string{
			"*-5\r\n", "*1\r\n$-3\r\n", "*1\r\n$8\r\nSHUTDOWN\r\n", strings.Repeat("*", 1<<16),
		} {
			hold(t, "unix", filepath.Join(s.dir, "redis.sock"), 10, text)
		}
	}},
	{"octets that are no command of the embedded database", func(t *testing.T, s *server) {
		for _, text := range []string{
			"\xff\xff\xff\x7f", "\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00",
			"GET / HTTP/1.0\r\n\r\n", strings.Repeat("\x00", 1000),
		} {
			hold(t, "unix", filepath.Join(s.dir, "docstore.sock"), 10, text)
		}
	}},
	{"literals that never come", func(t *testing.T, s *server) {
		for range 40 {
			c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			// Refused before the octets are asked for, so that they can be sent and are not kept.
			if err := c.Send("a CREATE {1000000}\r\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := c.Response(); err != nil || strings.HasPrefix(line, "+") {
				t.Errorf("a mailbox name of a megabyte: %q, %v", line, err)
			}
			_ = c.Send("b CREATE {1000000+}\r\n" + strings.Repeat("x", 900_000))
		}
	}},
	{"FETCHes that nobody reads", func(t *testing.T, s *server) {
		for range 100 {
			c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Must("SELECT INBOX"); err != nil {
				t.Fatal(err)
			}
			if err := c.Send("f FETCH 1:* BODY.PEEK[]\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.In.ReadByte(); err != nil { // it has begun
				t.Fatal(err)
			}
		}
	}},
	{"recipients that do not exist", func(t *testing.T, s *server) {
		var names bytes.Buffer
		for n := range 5000 {
			fmt.Fprintf(&names, "RCPT TO:<nobody%d@example.com>\r\n", n)
		}
		hold(t, "tcp", s.lmtp, 20, "LHLO x\r\nMAIL FROM:<>\r\n"+names.String())
	}},
	{"logins with wrong passwords", func(t *testing.T, s *server) {
		var guessing sync.WaitGroup
		for n := range 30 {
			guessing.Go(func() {
				c, err := imapconn.Dial(s.imap, ioTimeout)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for range 3 {
					_, status, err := c.Do("LOGIN nobody%d@example.com wrong", n)
					if err != nil {
						return // the server has had enough
					}
					if strings.HasPrefix(status, "OK") {
						t.Error("a user that does not exist logged in")
					}
				}
			})
		}
		guessing.Wait()
	}},
	{"patterns and searches that cost much", func(t *testing.T, s *server) {
		c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		pattern := strings.Repeat("*n", 60)
		for _, command := range []string{
			`LIST "" (` + strings.Repeat(pattern+" ", 20) + "x)", "SELECT INBOX",
			"SEARCH " + strings.Repeat("OR TEXT \xEF\xB7\xBAaaa ", 30) + "ALL",
			"SEARCH " + strings.Repeat("(", 2000), "SEARCH " + strings.Repeat("NOT ", 20000) + "ALL",
		} {
			if _, _, err := c.Do("%s", command); err != nil {
				return // a line too long may end the connection
			}
		}
	}},
}

// Whatever one of these clients does, and while all of them still hold what they hold: the server
// lives, mail comes in, its user logs in and reads it, /health answers, and memory has a bound.
func TestAttacks(t *testing.T) {
	s := startServer(t)
	attackMails(t, s, 60, 60<<10)
	begun := s.memory(t, "VmRSS")
	for n, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			a.run(t, s)
			servedAsEver(t, s, 61+n)
		})
		if t.Failed() {
			return
		}
	}
	grown := s.memory(t, "VmRSS") - begun
	t.Logf("resident: %d MiB before, grew by %d MiB", begun>>20, grown>>20)
	if grown > attackMemory {
		t.Errorf("resident memory grew by %d MiB", grown>>20)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d on SIGTERM", code)
	}
}

// attackMails delivers mails of random text.
func attackMails(t *testing.T, s *server, mails, size int) {
	t.Helper()
	c, err := dialLMTP(s.lmtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(5, 9))
	for n := range mails {
		var m bytes.Buffer
		fmt.Fprintf(&m, "From: grace@example.net\r\nSubject: mail %d\r\n\r\n", n)
		for m.Len() < size {
			fmt.Fprintf(&m, "%016x%016x%016x\r\n", rng.Uint64(), rng.Uint64(), rng.Uint64())
		}
		if err := c.send("grace@example.net", []string{testUser}, bytes.NewReader(m.Bytes())); err != nil {
			t.Fatal(err)
		}
	}
}

// servedAsEver delivers a message, which becomes number n of the mailbox, and reads it.
func servedAsEver(t *testing.T, s *server, n int) {
	t.Helper()
	lmtp, err := dialLMTP(s.lmtp)
	if err != nil {
		t.Fatalf("LMTP: %v", err)
	}
	defer lmtp.Close()
	text := fmt.Sprintf("From: grace@example.net\r\nSubject: as ever\r\n\r\nNumber %d.\r\n", n)
	if err := lmtp.send("grace@example.net", []string{testUser}, strings.NewReader(text)); err != nil {
		t.Fatalf("LMTP: %v", err)
	}
	c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		t.Fatalf("IMAP: %v", err)
	}
	defer c.Close()
	if _, err := c.Must("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	lines, err := c.Must("FETCH %d BODY.PEEK[TEXT]", n)
	if err != nil || len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf("Number %d.", n)) {
		t.Fatalf("message %d: %q, %v", n, lines, err)
	}
	client := &http.Client{Timeout: ioTimeout}
	resp, err := client.Get("http://" + s.http + "/health")
	if err != nil {
		t.Fatalf("health: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("health: %s", resp.Status)
	}
}
