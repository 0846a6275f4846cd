// Package imapconn is a raw IMAP connection of a client: it sends command lines as
// they are and returns responses as they come, literals included. Tests and
// workloads use it where a client library would tidy up what they want to send or
// to see. It trusts the server: nothing but time bounds what it reads.
//
//	Dial, DialTLS -> StartTLS, Compress -> Login -> Do, Must, Append -> Close
//	                                                Begin -> ... -> Finish    several commands at once
package imapconn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// bufferSize is how much of the server's answers is read at once.
const bufferSize = 16 << 10

// maxGrow bounds the memory that a literal gets before it is there.
const maxGrow = 1 << 20

// Conn is one connection. One goroutine may use it at a time.
type Conn struct {
	// Conn is the connection itself, also for those who write to it or close it by themselves.
	net.Conn
	// In is what the server sends.
	In *bufio.Reader
	// Timeout bounds each wait for a response, and each write.
	Timeout time.Duration
	// Received counts octets of responses; those of literals are not among them.
	Received int64

	tags int
}

// New returns a connection of which nothing was read yet.
func New(nc net.Conn, timeout time.Duration) *Conn {
	return &Conn{Conn: nc, In: bufio.NewReaderSize(nc, bufferSize), Timeout: timeout}
}

// Dial connects and reads the greeting, which must be OK.
func Dial(addr string, timeout time.Duration) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	return greeted(nc, timeout)
}

// greeted reads the greeting of a connection.
func greeted(nc net.Conn, timeout time.Duration) (*Conn, error) {
	c := New(nc, timeout)
	greeting, err := c.Response()
	if err == nil && !strings.HasPrefix(greeting, "* OK") {
		err = fmt.Errorf("greeting %q", greeting)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// Login is Dial and LOGIN.
func Login(addr, user, password string, timeout time.Duration) (*Conn, error) {
	c, err := Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	if _, err := c.Must("LOGIN %q %q", user, password); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Upgrade goes on over another connection on top of this one, as after STARTTLS.
func (c *Conn) Upgrade(nc net.Conn) { c.Conn, c.In = nc, bufio.NewReaderSize(nc, bufferSize) }

// Write writes octets as they are.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.Timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Send writes text as it is.
func (c *Conn) Send(text string) error {
	_, err := io.WriteString(c, text)
	return err
}

// Response reads one response: a line without its CRLF, with literals and the CRLF before them in
// their places. On error it returns what there is.
func (c *Conn) Response() (string, error) {
	var b strings.Builder
	for {
		if err := c.expectLine(); err != nil {
			return b.String(), err
		}
		line, err := c.In.ReadString('\n')
		if err != nil {
			return b.String() + line, err
		}
		c.Received += int64(len(line))
		text, ended := strings.CutSuffix(line, "\r\n")
		b.WriteString(text)
		if !ended {
			return b.String(), fmt.Errorf("line without CRLF: %q", line)
		}
		size, ok := literalSize(text)
		if !ok {
			return b.String(), nil
		}
		b.WriteString("\r\n")
		if size > int64(c.In.Buffered()) {
			if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
				return b.String(), err
			}
		}
		b.Grow(int(min(size, maxGrow)))
		if _, err := io.CopyN(&b, c.In, size); err != nil {
			return b.String(), fmt.Errorf("literal: %w", err)
		}
	}
}

// expectLine sets the deadline for the next line, unless the line is there already: setting one
// costs more than reading a line.
func (c *Conn) expectLine() error {
	if there, err := c.In.Peek(c.In.Buffered()); err == nil && bytes.IndexByte(there, '\n') >= 0 {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(c.Timeout))
}

// literalSize reads {n} at the end of a line.
func literalSize(line string) (int64, bool) {
	line, ok := strings.CutSuffix(line, "}")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(line[strings.LastIndexByte(line, '{')+1:], 10, 64)
	return n, err == nil && n >= 0
}

// Begin sends a command under a new tag, and does not wait for its answer.
func (c *Conn) Begin(format string, args ...any) (tag string, err error) {
	c.tags++
	tag = c.Tag()
	return tag, c.Send(tag + " " + fmt.Sprintf(format, args...) + "\r\n")
}

// Tag is the tag of the last command of Begin, Do, Must, Append or Discard.
func (c *Conn) Tag() string { return "t" + strconv.Itoa(c.tags) }

// Finish reads up to a command's tagged response. It returns the responses before, and the tagged
// one without its tag.
func (c *Conn) Finish(tag string) (untagged []string, status string, err error) {
	for {
		line, err := c.Response()
		if err != nil {
			return untagged, "", err
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			return untagged, status, nil
		}
		untagged = append(untagged, line)
	}
}

// Do sends a command and reads its answer as Finish does. The error is that of the connection.
func (c *Conn) Do(format string, args ...any) (untagged []string, status string, err error) {
	tag, err := c.Begin(format, args...)
	if err != nil {
		return nil, "", err
	}
	return c.Finish(tag)
}

// A StatusError is an answer that is not OK.
type StatusError struct {
	Command string // without its tag; its beginning, if it is long
	Status  string // the tagged response without its tag
}

// Error implements error.
func (e *StatusError) Error() string { return e.Command + ": " + e.Status }

// Must is Do for a command that has to succeed; otherwise the error is a *StatusError.
func (c *Conn) Must(format string, args ...any) (untagged []string, err error) {
	untagged, status, err := c.Do(format, args...)
	return untagged, must(err, status, format, args...)
}

func must(err error, status, format string, args ...any) error {
	if err != nil || strings.HasPrefix(status, "OK") {
		return err
	}
	return &StatusError{Command: fmt.Sprintf("%.200s", fmt.Sprintf(format, args...)), Status: status}
}

// Append stores a message with a synchronizing literal, and returns the tagged response.
func (c *Conn) Append(mailbox, options string, message []byte) (status string, err error) {
	tag, err := c.Begin("APPEND %s %s{%d}", mailbox, options, len(message))
	if err != nil {
		return "", err
	}
	line, err := c.Response()
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(line, "+") {
		return "", must(nil, strings.TrimPrefix(line, tag+" "), "APPEND %s", mailbox)
	}
	if err := c.Send(string(message) + "\r\n"); err != nil {
		return "", err
	}
	_, status, err = c.Finish(tag)
	return status, must(err, status, "APPEND %s", mailbox)
}

// Discard is Must for answers of any size: it throws them away as they come, and returns how many
// lines there were before the tagged one, those of literals included, and how many octets.
func (c *Conn) Discard(format string, args ...any) (lines int, octets int64, err error) {
	tag, err := c.Begin(format, args...)
	if err != nil {
		return 0, 0, err
	}
	end := []byte(tag + " ")
	for begin := true; ; {
		if err := c.expectLine(); err != nil {
			return lines, octets, err
		}
		line, err := c.In.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return lines, octets, err
		}
		if status, ok := bytes.CutPrefix(line, end); ok && begin {
			return lines, octets, must(nil, strings.TrimSuffix(string(status), "\r\n"), format, args...)
		}
		octets += int64(len(line))
		if begin = err == nil; begin {
			lines++
		}
	}
}
