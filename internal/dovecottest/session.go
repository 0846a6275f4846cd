package dovecottest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"gadwall/internal/imapconn"
)

// A Session is a logged-in connection to an IMAP server, not necessarily Dovecot. Every failure
// fails the test.
type Session struct {
	t    testing.TB
	conn *imapconn.Conn
}

// commandTimeout is how long an answer may take.
const commandTimeout = 60 * time.Second

// Login opens a session of the server's user.
func (s *Server) Login() *Session {
	s.t.Helper()
	return Dial(s.t, s.Addr, s.User, s.Password)
}

// Dial connects to any IMAP server and logs in. The connection is closed when the test ends.
func Dial(t testing.TB, addr, user, password string) *Session {
	t.Helper()
	conn, err := imapconn.Login(addr, user, password, commandTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Session{t, conn}
}

// Command sends a command and returns the untagged responses, each without its last CRLF and with
// its literals in place. The answer must be OK.
func (c *Session) Command(command string) []string {
	c.t.Helper()
	untagged, err := c.conn.Must("%s", command)
	if err != nil {
		c.t.Fatal(err)
	}
	return untagged
}

// Append adds a message to a mailbox.
func (c *Session) Append(mailbox string, message []byte) {
	c.t.Helper()
	if _, err := c.conn.Append(mailbox, "", message); err != nil {
		c.t.Fatal(err)
	}
}

// Fetch returns the data of FETCH responses, parsed, by sequence number: item names in capitals and
// their values.
func (c *Session) Fetch(set, items string) map[int]map[string]Value {
	c.t.Helper()
	result := map[int]map[string]Value{}
	for _, line := range c.Command("FETCH " + set + " (" + items + ")") {
		fields := strings.SplitN(line, " ", 4)
		if len(fields) < 4 || fields[2] != "FETCH" {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			c.t.Fatalf("%.200q: %v", line, err)
		}
		value, err := Parse(fields[3])
		if err != nil {
			c.t.Fatalf("%.200q: %v", line, err)
		}
		if result[n] == nil {
			result[n] = map[string]Value{}
		}
		for i := 0; i+1 < len(value.List); i += 2 {
			result[n][strings.ToUpper(value.List[i].Text)] = value.List[i+1]
		}
	}
	return result
}
