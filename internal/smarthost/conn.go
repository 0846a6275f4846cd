package smarthost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// conn is one connection. A transaction has it, or it is idle.
type conn struct {
	client *smtp.Client
	raw    net.Conn
	until  time.Time // while idle: when it is closed
}

// dial opens a connection and makes it ready for MAIL. The error is a *Trouble.
func (h *Host) dial(ctx context.Context) (c *conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(dialTimeout, h.opts.Timeout))
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.opts.Address)
	if err != nil {
		return nil, trouble("4.4.1", err) // RFC 3463 section 3.5: no answer from host
	}
	timed := &timedConn{Conn: raw, timeout: h.opts.Timeout}
	// The client knows no context.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	client, err := h.greet(ctx, timed)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, trouble("4.4.1", err)
	}
	h.noteExtensions(client)
	return &conn{client: client, raw: raw}, nil
}

// greet says EHLO, with TLS and authentication as the options want them.
func (h *Host) greet(ctx context.Context, raw net.Conn) (*smtp.Client, error) {
	var client *smtp.Client
	switch h.opts.Mode {
	case TLS:
		encrypted := tls.Client(raw, h.opts.TLS)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		client = smtp.NewClient(encrypted)
	case StartTLS:
		var err error
		if client, err = smtp.NewClientStartTLS(raw, h.opts.TLS); err != nil {
			return nil, err
		}
	default:
		client = smtp.NewClient(raw)
	}
	client.CommandTimeout = h.opts.Timeout
	client.SubmissionTimeout = 2 * h.opts.Timeout // RFC 5321 section 4.5.3.2.6
	if err := client.Hello(h.opts.Hostname); err != nil {
		return nil, err
	}
	if h.opts.User == "" {
		return client, nil
	}
	mechanism, err := h.credentials(client)
	if err != nil {
		return nil, err
	}
	if err := client.Auth(mechanism); err != nil {
		return nil, fmt.Errorf("the smarthost refuses the login as %s: %w", h.opts.User, err)
	}
	return client, nil
}

// credentials reads the password, which may be another one by now.
func (h *Host) credentials(client *smtp.Client) (sasl.Client, error) {
	password, err := ReadPassword(h.opts.PasswordFile)
	if err != nil {
		return nil, err
	}
	switch {
	case client.SupportsAuth(sasl.Plain):
		return sasl.NewPlainClient("", h.opts.User, password), nil
	case client.SupportsAuth(sasl.Login):
		return sasl.NewLoginClient(h.opts.User, password), nil
	}
	return nil, errors.New("the smarthost offers neither AUTH PLAIN nor AUTH LOGIN")
}

// ReadPassword reads a password file: its first line.
func ReadPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("%s: the first line is empty", file)
	}
	return line, nil
}

// quit ends an idle connection. The smarthost need not hear it.
func (c *conn) quit() {
	c.client.CommandTimeout = quitTimeout
	_ = c.client.Quit()
	_ = c.raw.Close()
}

// timedConn gives each write a time: the client sets none while it sends a message. And it bounds what
// the smarthost says without being asked: the client keeps all lines of an answer.
type timedConn struct {
	net.Conn
	timeout time.Duration
	said    atomic.Int64 // octets that were read since the latest write
}

func (c *timedConn) Write(p []byte) (int, error) {
	c.said.Store(0)
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *timedConn) Read(p []byte) (int, error) {
	if c.said.Load() > maxAnswer {
		return 0, errEndless
	}
	n, err := c.Conn.Read(p)
	c.said.Add(int64(n))
	return n, err
}

var errEndless = errors.New("the answer has no end")
