package imap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

// handleStartTLS answers STARTTLS (RFC 3501 section 6.2.1).
func (c *conn) handleStartTLS(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	if c.tls || c.srv.opts.TLSConfig == nil {
		return wire.Errorf("TLS is active or not available")
	}
	cmd.ok("", "Begin TLS negotiation now")
	cmd.after = c.startTLS
	return nil
}

// startTLS negotiates once the OK is sent. Whatever the client sent in plain
// text after STARTTLS is dropped: somebody in between may have put it there,
// and it must not be run as if it had come under TLS.
func (c *conn) startTLS() error {
	c.in.unwatch()
	tc := tls.Server(c.netConn, c.srv.opts.TLSConfig)
	if err := c.handshake(tc); err != nil {
		return err
	}
	c.netConn, c.tls = tc, true
	c.in.replace(tc)
	c.plain = nil
	c.dec.Reset(c.in)
	c.out.conn = tc
	c.enc.Reset(c.out)
	return nil
}

// handleLogin answers LOGIN (RFC 3501 section 6.2.3).
func (c *conn) handleLogin(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	username, err := cmd.args.AString()
	if err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	password, err := cmd.args.AString()
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	return c.login(ctx, cmd, username, password)
}

// handleAuthenticate answers AUTHENTICATE (RFC 3501 section 6.2.2, RFC 4959 for the
// initial response) with the mechanisms of package sasl.
func (c *conn) handleAuthenticate(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	mechanism, err := cmd.args.Keyword()
	if err != nil {
		return err
	}
	var initial string
	hasInitial := cmd.args.Accept(' ')
	if hasInitial {
		if initial, err = cmd.args.AString(); err != nil {
			return err
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	ctx, end := c.untilStop(ctx)
	defer end()
	exchange, err := c.srv.opts.Authenticator.Begin(ctx, mechanism, c.client())
	if err != nil {
		return c.loginError(mechanism, "", err)
	}
	var response []byte
	if hasInitial {
		if response, err = decodeResponse(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := exchange.Next(response)
		if err != nil {
			return c.loginError(mechanism, exchange.Username(), err)
		}
		if done {
			return c.loggedIn(cmd, exchange.Account())
		}
		response, err = c.ask(cmd.args, challenge)
		if errors.Is(err, errCancelled) {
			return c.loginError(mechanism, exchange.Username(), exchange.Cancel())
		}
		if err != nil {
			return err
		}
	}
}

// ask sends a challenge and returns the client's response.
func (c *conn) ask(dec *wire.Decoder, challenge []byte) ([]byte, error) {
	c.enc.Raw("+ ").Raw(base64.StdEncoding.EncodeToString(challenge)).CRLF()
	if err := c.enc.Flush(); err != nil {
		return nil, err
	}
	c.in.wait(readTimeout, false)
	// A token may be longer than other lines before login, for as many clients as for long commands.
	if c.takeLongLine() {
		dec.LineLimit = wire.MaxLine
	}
	response, err := dec.RawLine()
	dec.LineLimit = maxLoginLine
	c.in.busy()
	switch {
	case err != nil:
		return nil, err
	case response == "*":
		return nil, errCancelled
	case response == "=": // empty in an initial response only (RFC 4959 section 3)
		return nil, errNotBase64
	}
	return decodeResponse(response)
}

var (
	errNotBase64 = wire.Errorf("the response is not base64")
	errCancelled = wire.Errorf("cancelled")
)

// decodeResponse decodes a response; "=" is an empty one (RFC 4959 section 3). The result is not nil.
func decodeResponse(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errNotBase64
	}
	return raw, nil
}

// handleUnauthenticate answers UNAUTHENTICATE (RFC 8437 section 3): the session is as before
// the login, but for TLS. Compression ends behind the answer.
func (c *conn) handleUnauthenticate(_ context.Context, cmd *command) error {
	if c.srv.opts.NoUnauthenticate {
		return wire.Errorf("not available")
	}
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.deselect()
	if c.sub != nil {
		c.sub.Close()
		c.sub = nil
	}
	c.log.Info("imap: unauthenticate")
	c.closeSession()
	c.srv.leaveUser(c)
	c.log = c.connLog
	c.state = imap.ConnStateNotAuthenticated
	c.disableAll()
	c.beforeLogin()
	if c.compressed != nil {
		cmd.after = c.decompress
	}
	cmd.ok("CAPABILITY "+c.capabilities(), "Ready for another login")
	return nil
}

// beforeLogin sets the bounds of a client that is not logged in.
func (c *conn) beforeLogin() {
	c.in.limitTo(time.Now().Add(loginTimeout))
	c.dec.LineLimit, c.dec.LiteralLimit, c.dec.LongLine = maxLoginLine, maxLoginLine, c.mayBeLong
}

var errPrivacy = refuse(imap.ResponseCodePrivacyRequired, "Use STARTTLS first")

// login answers LOGIN with this name and password.
func (c *conn) login(ctx context.Context, cmd *command, username, password string) error {
	ctx, end := c.untilStop(ctx)
	defer end()
	who, err := c.srv.opts.Authenticator.Password(ctx, c.client(), "LOGIN command", username, password)
	if err != nil {
		return c.loginError("PLAIN", username, err)
	}
	return c.loggedIn(cmd, who)
}

// client is who logs in, as package sasl wants to know it.
func (c *conn) client() sasl.Client {
	var state *tls.ConnectionState
	if encrypted, ok := c.netConn.(*tls.Conn); ok {
		s := encrypted.ConnectionState()
		state = &s
	}
	return sasl.Client{
		State:   state,
		Client:  logins.Client{Addr: c.network, Local: c.local},
		Address: c.remote, Scope: mailstore.ScopeIMAP, Private: c.mayAuthenticate(), TLS: c.tls,
	}
}

// untilStop returns a context that also ends when the server stops.
func (c *conn) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(c.srv.stop, cancel)
	return ctx, func() {
		unhook()
		cancel()
	}
}

// loggedIn enters the authenticated state.
func (c *conn) loggedIn(cmd *command, account *account.Account) error {
	if !c.srv.admitUser(account.UserID()) {
		c.srv.rare.Info(c.log, "imap: login refused: too many connections of the user", "user", account.Username())
		return refuse(imap.ResponseCodeLimit, fmt.Sprintf(
			"Too many connections of this user, %d are allowed", c.srv.opts.MaxConnectionsPerUser))
	}
	c.account, c.pace = account, c.srv.paceOf(account.UserID())
	c.state = imap.ConnStateAuthenticated
	c.authFailures = 0
	c.in.limitTo(time.Time{})
	c.dec.LineLimit, c.dec.LiteralLimit, c.dec.LongLine = 0, 0, nil
	c.log = c.connLog.With("user", account.Username())
	if actor := actorOf(account); actor != "" {
		c.log = c.log.With("actor", actor)
	}
	c.openSession()
	c.log.Info("imap: login", "tls", c.tls)
	cmd.ok("CAPABILITY "+c.capabilities(), "Logged in")
	return nil
}

// loginError makes the answer to a login that failed. It closes the connection after several
// failures.
func (c *conn) loginError(mechanism, username string, err error) error {
	switch {
	case errors.Is(err, sasl.ErrNotOffered):
		if sasl.Known(mechanism) && !c.mayAuthenticate() {
			return errPrivacy
		}
		return refuse(imap.ResponseCodeCannot, "Unsupported mechanism")
	case errors.Is(err, sasl.ErrCancelled):
		return errCancelled
	case errors.Is(err, sasl.ErrUnavailable):
		c.srv.rare.Warn(c.log, "imap: login cannot be checked", "mechanism", mechanism, "error", err)
		return refuse(imap.ResponseCodeUnavailable, "Logins cannot be checked now, try again later")
	case errors.Is(err, sasl.ErrMalformed):
		return wire.Errorf("%v", err)
	case errors.Is(err, account.ErrNotAuthorized):
		return refuse(imap.ResponseCodeAuthorizationFailed, "You may not act for this user")
	case errors.Is(err, logins.ErrTooMany):
		return refuse(imap.ResponseCodeLimit, "Too many logins from your address are waiting")
	case errors.Is(err, mailstore.ErrAuthFailed):
		c.log.Info("imap: login failed", "username", username[:min(len(username), maxText)])
		if c.authFailures++; c.authFailures >= maxAuthFailures {
			c.bye("", "Too many failed logins")
		}
	case c.isStopping():
		return refuse(imap.ResponseCodeUnavailable, "Server is shutting down")
	}
	return err
}

// actorOf returns the master user who acts for the user; "" if the user does.
func actorOf(a *account.Account) string {
	if a.Actor() == a.Username() {
		return ""
	}
	return a.Actor()
}
