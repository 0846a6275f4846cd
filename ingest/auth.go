package ingest

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
)

// Authenticator checks who a client is (RFC 4954). Servers without one do not offer AUTH.
type Authenticator interface {
	// Mechanisms returns the names of the SASL mechanisms that a client may use now.
	Mechanisms(tls bool) []string
	// Begin starts an exchange with one of these mechanisms.
	Begin(mechanism string, client net.Addr) Exchange
}

// Exchange is one attempt to authenticate.
type Exchange interface {
	// Next takes the client's response and returns the next challenge, or done. The response is
	// nil if the client has sent none yet. An error ends the exchange: the client is not whom it
	// claims to be.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Identity returns who the client is, after done.
	Identity() string
}

// mechanisms returns what AUTH is offered with; none if it is not offered.
func (c *conn) mechanisms() []string {
	if c.srv.opts.Authenticator == nil {
		return nil
	}
	return c.srv.opts.Authenticator.Mechanisms(c.tls)
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
	offered := c.mechanisms()
	switch {
	case len(offered) == 0:
		return c.reply(reply{502, "5.5.1", "AUTH is not offered"})
	case c.identity != "":
		return c.reply(reply{503, "5.5.1", "Authenticated already"})
	case c.tx != nil:
		return c.reply(reply{503, "5.5.1", "Not within a transaction"})
	case !slices.Contains(offered, mechanism):
		return c.reply(reply{504, "5.5.4", "Mechanism not offered"})
	}
	var response []byte
	var err error
	if hasInitial {
		response, err = decodeResponse(strings.TrimSpace(initial))
	}
	exchange := c.srv.opts.Authenticator.Begin(mechanism, c.remote)
	for err == nil {
		var challenge []byte
		var done bool
		ctx, cancel := context.WithTimeout(c.srv.base, lookupTimeout)
		challenge, done, err = exchange.Next(ctx, response)
		cancel()
		if err == nil && done {
			c.identity = exchange.Identity()
			c.log = c.log.With("identity", c.identity)
			return c.reply(reply{235, "2.7.0", "Authenticated"})
		}
		if err == nil {
			var line []byte
			if line, err = c.ask(challenge); err != nil {
				return err
			}
			response, err = decodeResponse(strings.TrimRight(string(line), "\r\n"))
		}
	}
	switch {
	case errors.Is(err, errAuthCancelled):
		return c.reply(reply{501, "5.7.0", "Cancelled"})
	case errors.Is(err, errAuthBase64):
		return c.reply(reply{501, "5.5.2", "Not base64"})
	}
	c.log.Info("authentication failed", "mechanism", mechanism, "error", err)
	return c.reply(reply{535, "5.7.8", "Authentication failed"})
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
