package ingest

import (
	"bufio"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// client talks raw protocol lines.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func newClient(t testing.TB, conn net.Conn) *client {
	conn.SetDeadline(time.Now().Add(within))
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// send writes octets as they are.
func (c *client) send(s string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(s)); err != nil {
		c.t.Fatalf("send %.40q: %v", s, err)
	}
}

// line reads one line of a reply, without its end.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a reply: %v (have %q)", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

// reply reads one whole reply and returns its last line.
func (c *client) reply() string {
	c.t.Helper()
	for {
		s := c.line()
		if len(s) < 4 || s[3] != '-' {
			return s
		}
	}
}

// want reads a reply and compares its beginning.
func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("reply %q, want %q", got, prefix)
	}
	return got
}

// cmd sends a command and wants a reply.
func (c *client) cmd(line, prefix string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.want(prefix)
}

// wantClosed expects the end of the connection, without another octet.
func (c *client) wantClosed() {
	c.t.Helper()
	if s, err := c.r.ReadString('\n'); err == nil || s != "" {
		c.t.Fatalf("got %q, %v; want the connection closed", s, err)
	}
}

// open greets and opens a transaction for the recipients.
func (c *client) open(hello string, rcpts ...string) {
	c.t.Helper()
	c.want("220 ")
	c.cmd(hello+" client.example", "250 ")
	c.cmd("MAIL FROM:<grace@example.net>", "250 ")
	for _, r := range rcpts {
		c.cmd("RCPT TO:<"+r+">", "250 ")
	}
}

var (
	idPattern   = regexp.MustCompile(`\b[A-Z2-7]{12}\b`)
	datePattern = regexp.MustCompile(`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000`)
)

// masked replaces what differs from run to run.
func masked(s string) string {
	return datePattern.ReplaceAllString(idPattern.ReplaceAllString(s, "<ID>"), "<DATE>")
}
