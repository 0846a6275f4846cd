package sasl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/authcall"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// byExternal is in the authentication log for what the other program let in.
const byExternal = "password by auth-url"

// byPassword returns a Verifier for a password, wherever it is known.
func (a *Authenticator) byPassword(password string) account.Verifier {
	if a.external == nil {
		return a.accounts.ByPassword(password)
	}
	return func(ctx context.Context, at *account.Attempt) (*mailstore.User, error) {
		if len(password) > mailstore.MaxPasswordLength {
			return nil, mailstore.ErrAuthFailed
		}
		user, err := a.accounts.ByAppPassword(password)(ctx, at)
		if user != nil || err != nil {
			return user, err
		}
		return a.askExternal(ctx, at, password)
	}
}

// askExternal asks the other program about a password.
func (a *Authenticator) askExternal(
	ctx context.Context, at *account.Attempt, password string,
) (user *mailstore.User, err error) {
	username, err := a.accounts.LoginName(ctx, at.Username)
	if err != nil {
		return nil, err
	}
	var answer authcall.Answer
	var fresh bool
	logins.Aside(ctx, func() {
		answer, fresh, err = a.external.Ask(ctx, authcall.Question{
			Username: username, Password: password, Protocol: strings.Join(at.Scope.Names(), ","),
			Method: at.Method, Address: at.Address, TLS: at.TLS,
		})
	})
	switch {
	case errors.Is(err, authcall.ErrDenied):
		return nil, mailstore.ErrAuthFailed
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	p := account.Profile{Username: answer.Username}
	if fresh {
		p.DisplayName, p.Limits, p.Suspended = answer.DisplayName, answer.Limits, answer.Suspended
	}
	user, err = a.accounts.Follow(ctx, p, a.create)
	if errors.Is(err, account.ErrProfile) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err == nil {
		if at.As == at.Username {
			at.As = "" // its own
		}
		at.Username, at.By = user.Username, byExternal
	}
	return user, err
}
