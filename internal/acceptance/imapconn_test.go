package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapConn speaks IMAP line by line, for tests that send what no client library does.
type imapConn struct {
	nc net.Conn
	r  *bufio.Reader
	n  int
}

func dialIMAP(addr string) (*imapConn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &imapConn{nc: nc, r: bufio.NewReader(nc)}
	if line, err := c.line(); err != nil || !strings.HasPrefix(line, "* OK ") {
		nc.Close()
		return nil, fmt.Errorf("greeting %q: %w", line, err)
	}
	return c, nil
}

// loginIMAP is dialIMAP and LOGIN.
func loginIMAP(addr, user, password string) (*imapConn, error) {
	c, err := dialIMAP(addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.must("LOGIN %q %q", user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *imapConn) Close() error { return c.nc.Close() }

// line reads a line with its literals.
func (c *imapConn) line() (string, error) {
	var b strings.Builder
	for {
		if err := c.nc.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
			return "", err
		}
		line, err := c.r.ReadString('\n')
		if err != nil {
			return b.String() + line, err
		}
		line = strings.TrimSuffix(line, "\r\n")
		b.WriteString(line)
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}") {
			return b.String(), nil
		}
		size, err := strconv.Atoi(line[open+1 : len(line)-1])
		if err != nil {
			return b.String(), nil
		}
		b.WriteString("\r\n")
		if _, err := io.CopyN(&b, c.r, int64(size)); err != nil {
			return b.String(), err
		}
	}
}

// do sends a command and returns the untagged responses and what the tagged one says after its tag.
// The error is that of the connection.
func (c *imapConn) do(format string, args ...any) (untagged []string, status string, err error) {
	c.n++
	tag := fmt.Sprintf("c%d", c.n)
	if err := c.nc.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return nil, "", err
	}
	if _, err := fmt.Fprintf(c.nc, tag+" "+format+"\r\n", args...); err != nil {
		return nil, "", err
	}
	for {
		line, err := c.line()
		if err != nil {
			return untagged, "", err
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			return untagged, status, nil
		}
		untagged = append(untagged, line)
	}
}

// must is do for a command that has to succeed.
func (c *imapConn) must(format string, args ...any) (untagged []string, err error) {
	untagged, status, err := c.do(format, args...)
	if err == nil && !strings.HasPrefix(status, "OK") {
		err = fmt.Errorf("%.80s: %s", fmt.Sprintf(format, args...), status)
	}
	return untagged, err
}
