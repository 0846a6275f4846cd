package ingest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

// saslClient is who logs in, as package sasl wants to know it.
func (c *conn) saslClient() sasl.Client {
	who := sasl.Client{Scope: mailstore.ScopeSMTP, TLS: c.tls, Private: c.tls}
	if encrypted, ok := c.raw.(*tls.Conn); ok {
		state := encrypted.ConnectionState()
		who.State = &state
	}
	switch a := c.remote.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap().WithZone("")
		who.Client = logins.Client{Addr: c.origin.network, Local: ip.IsLoopback()}
		who.Address = ip.String()
		who.Private = c.tls || slices.ContainsFunc(c.srv.opts.PlaintextFrom, func(n netip.Prefix) bool {
			return n.Contains(ip)
		})
	case *net.UnixAddr:
		who.Local, who.Address, who.Private = true, "unix", true
	}
	return who
}

// mechanisms returns what AUTH is offered with; none if it is not offered.
func (c *conn) mechanisms() []string {
	if c.srv.opts.Authenticator == nil {
		return nil
	}
	return c.srv.opts.Authenticator.Mechanisms(c.saslClient())
}

var (
	errAuthCancelled = errors.New("cancelled by the client")
	errAuthBase64    = errors.New("not base64")
)

// auth answers AUTH (RFC 4954 section 4). The lines of the exchange are not commands, whatever
// they look like.
func (c *conn) auth(arg string) error {
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case c.srv.opts.Authenticator == nil:
		return c.reply(reply{502, "5.5.1", "AUTH is not offered"})
	case c.account != nil:
		return c.reply(reply{503, "5.5.1", "Authenticated already"})
	case c.tx != nil:
		return c.reply(reply{503, "5.5.1", "Not within a transaction"})
	}
	ctx, cancel := context.WithTimeout(c.srv.base, authTimeout)
	defer cancel()
	exchange, err := c.srv.opts.Authenticator.Begin(ctx, mechanism, c.saslClient())
	if err != nil {
		if sasl.Known(mechanism) && !c.tls {
			return c.reply(reply{538, "5.7.11", "Encryption is required, use STARTTLS first"})
		}
		return c.reply(reply{504, "5.5.4", "Mechanism not offered"})
	}
	var response []byte
	if hasInitial {
		response, err = decodeResponse(strings.TrimSpace(initial))
	}
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = exchange.Next(response)
		if err == nil && done {
			return c.authenticated(exchange.Account())
		}
		if err == nil {
			var line []byte
			if line, err = c.ask(challenge); err != nil {
				return err
			}
			response, err = decodeResponse(strings.TrimRight(string(line), "\r\n"))
		}
	}
	return c.reply(c.authFailed(mechanism, exchange.Username(), err))
}

// authenticated notes who the client is.
func (c *conn) authenticated(who *account.Account) error {
	c.account = who
	c.openSession()
	c.log = c.log.With("actor", who.Actor())
	c.log.Info("authenticated", "tls", c.tls)
	return c.reply(reply{235, "2.7.0", "Authenticated"})
}

// authFailed logs an exchange that failed, and returns the reply (RFC 4954 sections 4 and 6, RFC 5248
// section 2.4).
func (c *conn) authFailed(mechanism, username string, err error) reply {
	switch {
	case errors.Is(err, errAuthCancelled):
		return reply{501, "5.7.0", "Cancelled"}
	case errors.Is(err, errAuthBase64):
		return reply{501, "5.5.2", "Not base64"}
	case errors.Is(err, sasl.ErrMalformed):
		return reply{501, "5.5.2", "Not a response of the mechanism"}
	case errors.Is(err, logins.ErrTooMany):
		return reply{454, "4.7.0", "Too many logins are waiting, try again later"}
	}
	c.log.Info("authentication failed", "mechanism", mechanism, "username", logID(username), "error", err)
	switch {
	case errors.Is(err, mailstore.ErrSuspended):
		return reply{525, "5.7.13", "The account is suspended"}
	case errors.Is(err, mailstore.ErrAuthFailed), errors.Is(err, account.ErrNotAuthorized):
		return reply{535, "5.7.8", "Authentication failed"}
	}
	return reply{454, "4.7.0", "Temporary trouble here, try again later"}
}

// ask sends a challenge and reads the line that answers it.
func (c *conn) ask(challenge []byte) ([]byte, error) {
	c.out = reply{code: 334, text: base64.StdEncoding.EncodeToString(challenge)}.appendTo(c.out)
	line, err := c.in.readLongLine(maxAuthLine)
	if errors.Is(err, errLineTooLong) || errors.Is(err, errLineEndless) {
		return nil, c.hangUp(replyTooLong)
	}
	return line, err
}

// decodeResponse decodes a response: "*" gives up, "=" is an empty initial response.
func decodeResponse(s string) ([]byte, error) {
	switch s {
	case "*":
		return nil, errAuthCancelled
	case "=":
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errAuthBase64
	}
	return b, nil
}
