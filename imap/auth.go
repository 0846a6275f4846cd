package imap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// handleStartTLS answers STARTTLS (RFC 3501 section 6.2.1).
func (c *conn) handleStartTLS(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	if c.tls || c.compressed != nil || c.srv.opts.TLSConfig == nil {
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
// initial response) with PLAIN (RFC 4616) or LOGIN, which only old clients use.
func (c *conn) handleAuthenticate(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	mechanism, err := cmd.args.Keyword()
	if err != nil {
		return err
	}
	sasl := &exchange{c: c, dec: cmd.args}
	if cmd.args.Accept(' ') {
		if sasl.initial, err = cmd.args.AString(); err != nil {
			return err
		}
		sasl.hasInitial = true
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if mechanism != "PLAIN" && mechanism != "LOGIN" {
		return refuse(imap.ResponseCodeCannot, "Unsupported mechanism")
	}
	if !c.mayAuthenticate() {
		return errPrivacy
	}
	var username, password string
	if mechanism == "LOGIN" {
		username, password, err = sasl.login()
	} else {
		username, password, err = sasl.plain()
	}
	if err != nil {
		return err
	}
	return c.login(ctx, cmd, username, password)
}

// exchange is the conversation of one AUTHENTICATE.
type exchange struct {
	c          *conn
	dec        *wire.Decoder
	initial    string // what came with the command, in base64
	hasInitial bool
}

// plain asks for the one message of PLAIN.
func (e *exchange) plain() (username, password string, err error) {
	raw, err := e.ask("")
	if err != nil {
		return "", "", err
	}
	fields := strings.Split(raw, "\x00")
	if len(fields) != 3 || fields[1] == "" {
		return "", "", wire.Errorf("the response is not of PLAIN")
	}
	if fields[0] != "" && fields[0] != fields[1] {
		return "", "", refuse(imap.ResponseCodeAuthorizationFailed, "Acting for another user is not supported")
	}
	return fields[1], fields[2], nil
}

// login asks for the two messages of LOGIN. There is no RFC of it: clients expect these prompts.
func (e *exchange) login() (username, password string, err error) {
	if username, err = e.ask("Username:"); err != nil {
		return "", "", err
	}
	if username == "" {
		return "", "", wire.Errorf("the username is empty")
	}
	password, err = e.ask("Password:")
	return username, password, err
}

// ask sends a challenge and returns the client's response: the initial one, if there is one.
func (e *exchange) ask(challenge string) (string, error) {
	response := e.initial
	if e.hasInitial {
		e.hasInitial = false
		if response == "=" { // an empty one (RFC 4959 section 3)
			return "", nil
		}
	} else {
		e.c.enc.Raw("+ ").Raw(base64.StdEncoding.EncodeToString([]byte(challenge))).CRLF()
		if err := e.c.enc.Flush(); err != nil {
			return "", err
		}
		e.c.in.wait(readTimeout)
		var err error
		response, err = e.dec.RawLine()
		e.c.in.busy()
		if err != nil {
			return "", err
		}
		if response == "*" {
			return "", wire.Errorf("cancelled")
		}
	}
	raw, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return "", wire.Errorf("the response is not base64")
	}
	return string(raw), nil
}

// handleUnauthenticate answers UNAUTHENTICATE (RFC 8437 section 3): the session is as before
// the login, but for TLS and compression.
func (c *conn) handleUnauthenticate(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.deselect()
	if c.sub != nil {
		c.sub.Close()
		c.sub = nil
	}
	c.log.Info("imap: unauthenticate")
	c.srv.leaveUser(c)
	c.state = imap.ConnStateNotAuthenticated
	c.disableAll()
	c.beforeLogin()
	cmd.ok("CAPABILITY "+c.capabilities(), "Ready for another login")
	return nil
}

// beforeLogin sets the bounds of a client that is not logged in.
func (c *conn) beforeLogin() {
	c.in.limitTo(time.Now().Add(loginTimeout))
	c.dec.LineLimit, c.dec.LiteralLimit, c.dec.LongLine = maxLoginLine, maxLoginLine, c.mayBeLong
}

var errPrivacy = refuse(imap.ResponseCodePrivacyRequired, "Use STARTTLS first")

// login checks the password and enters the authenticated state.
func (c *conn) login(ctx context.Context, cmd *command, username, password string) error {
	if !c.mayAuthenticate() {
		return errPrivacy
	}
	account, err := c.authenticate(ctx, username, password)
	if err != nil {
		return err
	}
	if !c.srv.admitUser(account.UserID()) {
		c.srv.rare.Info(c.log, "imap: login refused: too many connections of the user", "user", account.Username())
		return refuse(imap.ResponseCodeLimit, fmt.Sprintf(
			"Too many connections of this user, %d are allowed", c.srv.opts.MaxConnectionsPerUser))
	}
	c.account = account
	c.state = imap.ConnStateAuthenticated
	c.authFailures = 0
	c.in.limitTo(time.Time{})
	c.dec.LineLimit, c.dec.LiteralLimit, c.dec.LongLine = 0, 0, nil
	c.log = c.connLog.With("user", account.Username())
	c.log.Info("imap: login", "tls", c.tls)
	cmd.ok("CAPABILITY "+c.capabilities(), "Logged in")
	return nil
}

// authenticate checks the password when it is the client's turn. It closes the connection
// after several failures.
func (c *conn) authenticate(
	ctx context.Context, username, password string,
) (who *account.Account, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.srv.stop, cancel)()
	client := logins.Client{Addr: c.network, Local: c.local}
	err = c.srv.opts.Logins.Check(ctx, client, username, func(ctx context.Context) (err error) {
		who, err = c.srv.opts.Accounts.Login(ctx, username, password, mailstore.ScopeIMAP)
		return err
	})
	switch {
	case err == nil:
		return who, nil
	case errors.Is(err, logins.ErrTooMany):
		return nil, refuse(imap.ResponseCodeLimit, "Too many logins from your address are waiting")
	case errors.Is(err, mailstore.ErrAuthFailed):
		c.log.Info("imap: login failed", "username", username[:min(len(username), maxText)])
		if c.authFailures++; c.authFailures >= maxAuthFailures {
			c.bye("", "Too many failed logins")
		}
	case c.isStopping():
		return nil, refuse(imap.ResponseCodeUnavailable, "Server is shutting down")
	}
	return nil, err
}
