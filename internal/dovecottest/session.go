package dovecottest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Session is a logged-in connection to an IMAP server, not necessarily Dovecot. Every failure
// fails the test.
type Session struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	tags int
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
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &Session{t: t, conn: conn, r: bufio.NewReaderSize(conn, 1<<16)}
	if greeting := c.response(); !strings.HasPrefix(greeting, "* OK") {
		t.Fatalf("greeting %q", greeting)
	}
	c.Command(fmt.Sprintf("LOGIN %q %q", user, password))
	return c
}

// Command sends a command and returns the untagged responses, each without its last CRLF and with
// its literals in place. The answer must be OK.
func (c *Session) Command(command string) []string {
	c.t.Helper()
	tag := c.send(command + "\r\n")
	return c.finish(tag, command)
}

func (c *Session) send(text string) string {
	c.t.Helper()
	if err := c.conn.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		c.t.Fatal(err)
	}
	c.tags++
	tag := "t" + strconv.Itoa(c.tags)
	if _, err := io.WriteString(c.conn, tag+" "+text); err != nil {
		c.t.Fatal(err)
	}
	return tag
}

func (c *Session) finish(tag, command string) []string {
	c.t.Helper()
	var untagged []string
	for {
		line := c.response()
		rest, tagged := strings.CutPrefix(line, tag+" ")
		if !tagged {
			untagged = append(untagged, line)
			continue
		}
		if !strings.HasPrefix(rest, "OK") {
			c.t.Fatalf("%.200s: %s", command, rest)
		}
		return untagged
	}
}

// Append adds a message to a mailbox.
func (c *Session) Append(mailbox string, message []byte) {
	c.t.Helper()
	command := fmt.Sprintf("APPEND %s {%d}\r\n", mailbox, len(message))
	tag := c.send(command)
	if line := c.response(); !strings.HasPrefix(line, "+") {
		c.t.Fatalf("%s: %s", command, line)
	}
	if _, err := c.conn.Write(append(message[:len(message):len(message)], "\r\n"...)); err != nil {
		c.t.Fatal(err)
	}
	c.finish(tag, command)
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

// response reads one response with its literals.
func (c *Session) response() string {
	c.t.Helper()
	var sb strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a response: %v after %.200q", err, sb.String()+line)
		}
		n, ok := literalSize(line)
		if !ok {
			sb.WriteString(strings.TrimSuffix(line, "\r\n"))
			return sb.String()
		}
		sb.WriteString(line)
		if _, err := io.CopyN(&sb, c.r, n); err != nil {
			c.t.Fatalf("reading a literal: %v", err)
		}
	}
}

// literalSize reads {n} at the end of a line.
func literalSize(line string) (int64, bool) {
	line, ok := strings.CutSuffix(line, "}\r\n")
	if !ok {
		return 0, false
	}
	open := strings.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(line[open+1:], 10, 64)
	return n, err == nil
}
