package sasl

import (
	"context"
	"errors"
	"time"

	gosasl "github.com/emersion/go-sasl"

	"gadwall/internal/account"
)

// Exchange is one attempt with one mechanism. It is for one goroutine.
type Exchange struct {
	ctx           context.Context
	authenticator *Authenticator
	client        Client
	mechanism     string
	server        gosasl.Server

	begun    time.Time
	username string // whom the client claims to be
	account  *account.Account
	ended    bool
	refused  error // why it fails when the client has answered the last challenge
}

var _ gosasl.Server = (*Exchange)(nil)

var errEnded = errors.New("the exchange has ended")

// Next takes a response of the client and returns the next challenge, or done. The response is nil
// if the client has not sent an initial one. See the package comment for the errors.
func (x *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if x.ended {
		return nil, false, errEnded
	}
	if err = x.ctx.Err(); err == nil && len(response) > maxResponse {
		err = malformed("the response is too long")
	}
	if err == nil {
		challenge, done, err = x.server.Next(response)
	}
	x.ended = done || err != nil
	if err != nil {
		x.account = nil
		return nil, false, err
	}
	return challenge, done, nil
}

// ErrCancelled is the error of an exchange that the client gives up.
var ErrCancelled = errors.New("cancelled by the client")

// Cancel ends the exchange because the client gives it up. It returns ErrCancelled; or why the client
// was refused, if the client had only not been told yet.
func (x *Exchange) Cancel() error {
	x.ended, x.account = true, nil
	if x.refused != nil {
		return x.refused
	}
	return ErrCancelled
}

// Account returns whose login it was, after done.
func (x *Exchange) Account() *account.Account {
	if !x.ended {
		return nil
	}
	return x.account
}

// Username returns whom the client claimed to be, as far as it is known yet.
func (x *Exchange) Username() string { return x.username }

// login ends the exchange with one check.
func (x *Exchange) login(attempt account.Attempt, verify account.Verifier) (err error) {
	attempt.Method, attempt.Begun = x.mechanism, x.begun
	if x.username == "" {
		x.username = attempt.Username
	}
	x.account, err = x.authenticator.login(x.ctx, &x.client, attempt, verify)
	return err
}

// password ends the exchange with the check of a password.
func (x *Exchange) password(as, username, password string) error {
	return x.login(account.Attempt{As: as, Username: username}, x.authenticator.byPassword(password))
}
