package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	lmtpDialTimeout = 30 * time.Second
	// lmtpTimeout bounds each step (RFC 5321 section 4.5.3.2 gives up to ten minutes).
	lmtpTimeout = 10 * time.Minute
	// maxReplyLine and maxReplyLines bound what a server may answer.
	maxReplyLine  = 4 << 10
	maxReplyLines = 100
	lmtpBuffer    = 64 << 10
)

// lmtpReply is a server's answer.
type lmtpReply struct {
	code int
	text string // of the last line, without the code
}

func (r lmtpReply) String() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// result is what became of a message for one recipient.
type result struct {
	recipient string
	reply     lmtpReply
}

// lmtpClient is a connection to an LMTP server (RFC 2033).
type lmtpClient struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	utf8 bool // the server offers SMTPUTF8
}

func dialLMTP(addr string) (*lmtpClient, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok || strings.HasPrefix(addr, "/") ||
		strings.HasPrefix(addr, "./") {
		network, addr = "unix", path
	}
	conn, err := net.DialTimeout(network, addr, lmtpDialTimeout)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the LMTP server: %w", err)
	}
	c := &lmtpClient{conn: conn, r: bufio.NewReaderSize(conn, maxReplyLine), w: bufio.NewWriterSize(conn, lmtpBuffer)}
	if err := c.greet(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("LMTP server %s: %w", addr, err)
	}
	return c, nil
}

func (c *lmtpClient) greet() error {
	if reply, _, err := c.read(); err != nil || reply.code != 220 {
		return unexpected(reply, err)
	}
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsAny(name, " \r\n") {
		name = "localhost"
	}
	reply, lines, err := c.command("LHLO %s", name)
	if err != nil || reply.code != 250 {
		return unexpected(reply, err)
	}
	for _, line := range lines {
		c.utf8 = c.utf8 || strings.EqualFold(strings.TrimSpace(line), "SMTPUTF8")
	}
	return nil
}

// deliver sends one message. The results are those of all recipients, unless
// there is an error: then the connection is of no use, and recipients without a
// result do not have the message as far as this side knows.
func (c *lmtpClient) deliver(from string, to []string, message io.Reader) ([]result, error) {
	params := ""
	if c.utf8 && strings.ContainsFunc(from+strings.Join(to, ""), func(r rune) bool { return r >= 0x80 }) {
		params = " SMTPUTF8"
	}
	reply, _, err := c.command("MAIL FROM:<%s>%s", from, params)
	if err != nil {
		return nil, err
	}
	if reply.code != 250 {
		return refusedAll(to, reply), nil
	}
	var results []result
	var accepted []string
	for _, rcpt := range to {
		reply, _, err := c.command("RCPT TO:<%s>", rcpt)
		if err != nil {
			return results, err
		}
		if reply.code/100 == 2 {
			accepted = append(accepted, rcpt)
		} else {
			results = append(results, result{rcpt, reply})
		}
	}
	if len(accepted) == 0 {
		_, _, err := c.command("RSET")
		return results, err
	}
	reply, _, err = c.command("DATA")
	if err != nil {
		return results, err
	}
	if reply.code != 354 {
		return append(results, refusedAll(accepted, reply)...), nil
	}
	sender := newLineSender(deadlineWriter{c})
	if _, err := io.CopyBuffer(struct{ io.Writer }{sender}, struct{ io.Reader }{message},
		make([]byte, lmtpBuffer)); err != nil {
		// Without its end the message is not delivered.
		c.conn.Close()
		return results, fmt.Errorf("send message: %w", err)
	}
	if err := sender.end(); err != nil {
		return results, fmt.Errorf("send message: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return results, fmt.Errorf("send message: %w", err)
	}
	for _, rcpt := range accepted { // one reply each (RFC 2033 section 4.2)
		reply, _, err := c.read()
		if err != nil {
			return results, err
		}
		results = append(results, result{rcpt, reply})
	}
	return results, nil
}

func refusedAll(to []string, reply lmtpReply) []result {
	var results []result
	for _, rcpt := range to {
		results = append(results, result{rcpt, reply})
	}
	return results
}

// deadlineWriter gives every write its own deadline.
type deadlineWriter struct{ c *lmtpClient }

func (d deadlineWriter) Write(p []byte) (int, error) {
	if err := d.c.conn.SetWriteDeadline(time.Now().Add(lmtpTimeout)); err != nil {
		return 0, err
	}
	return d.c.w.Write(p)
}

func (c *lmtpClient) command(format string, args ...any) (lmtpReply, []string, error) {
	if err := c.conn.SetWriteDeadline(time.Now().Add(lmtpTimeout)); err != nil {
		return lmtpReply{}, nil, err
	}
	fmt.Fprintf(c.w, format+"\r\n", args...)
	if err := c.w.Flush(); err != nil {
		return lmtpReply{}, nil, err
	}
	return c.read()
}

// read reads one reply and returns the text of all its lines.
func (c *lmtpClient) read() (lmtpReply, []string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(lmtpTimeout)); err != nil {
		return lmtpReply{}, nil, err
	}
	var lines []string
	for range maxReplyLines {
		raw, err := c.r.ReadSlice('\n')
		if err != nil {
			if err == io.EOF {
				err = errors.New("connection closed by the server")
			}
			return lmtpReply{}, nil, err
		}
		line := strings.TrimRight(string(raw), "\r\n")
		if len(line) < 3 {
			return lmtpReply{}, nil, fmt.Errorf("not a reply: %q", line)
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return lmtpReply{}, nil, fmt.Errorf("not a reply: %q", line)
		}
		text := strings.TrimPrefix(line[3:], " ")
		if len(line) > 3 && line[3] == '-' {
			lines = append(lines, line[4:])
			continue
		}
		return lmtpReply{code, text}, append(lines, text), nil
	}
	return lmtpReply{}, nil, errors.New("reply without end")
}

// close says goodbye; whatever was delivered is delivered.
func (c *lmtpClient) close() {
	_, _, _ = c.command("QUIT")
	c.conn.Close()
}

func unexpected(reply lmtpReply, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("unexpected reply: %v", reply)
}
