package account

import (
	"context"
	"errors"

	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// Attempt is what a client says when it logs in, and how it does that.
type Attempt struct {
	// Username is whom the client claims to be. It may be empty until a Verifier knows it: some
	// credentials name their user themselves.
	Username string
	// As is whose mail the client wants to use (the authorization identity of RFC 4422 section 2);
	// empty means that of the user who logs in.
	As string
	// Method is the name of the SASL mechanism, or of another way to log in.
	Method string
	// Scope is what the login is for.
	Scope mailstore.Scope
	// Address is where the client is; empty if it is not known.
	Address string
	// TLS says that the connection is encrypted by this server.
	TLS bool
}

// A Verifier finds out which user an attempt is of. It may complete the attempt's Username. Errors:
// mailstore.ErrAuthFailed if the client does not prove who it is, mailstore.ErrSuspended. Any other
// error means that the server could not find out.
type Verifier func(ctx context.Context, a *Attempt) (*mailstore.User, error)

// ErrNotAuthorized reports that the client is who it claims to be, and may not act as the user whom
// it names in Attempt.As.
var ErrNotAuthorized = errors.New("acting for another user is not supported")

// ByPassword returns a Verifier for the user's password, or an application password for the scope of
// the attempt.
func (s *Accounts) ByPassword(password string) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		return s.store.Authenticate(ctx, a.Username, password, a.Scope)
	}
}

// ByProof returns a Verifier for what is not a password of the store. prove returns the name of the
// user who is proved to be there; its errors are those of a Verifier.
func (s *Accounts) ByProof(prove func(ctx context.Context, a *Attempt) (username string, err error)) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		username, err := prove(ctx, a)
		if err != nil {
			return nil, err
		}
		a.Username = username
		return s.store.UserWhoLogsIn(ctx, username)
	}
}

// Login returns the account of the user whom verify finds. All logins of all protocols pass here.
// Errors: those of the Verifier, and ErrNotAuthorized.
func (s *Accounts) Login(ctx context.Context, a Attempt, verify Verifier) (*Account, error) {
	user, err := verify(ctx, &a)
	if err != nil {
		return nil, err
	}
	if a.As != "" && a.As != a.Username {
		if as, err := mailstore.NormalizeAddress(a.As); err != nil || as != user.Username {
			return nil, ErrNotAuthorized
		}
	}
	return s.Of(user), nil
}

// NewGate returns a Gate for the checks that Login makes.
func NewGate(o logins.Options) *logins.Gate {
	o.Failed = func(err error) bool { return errors.Is(err, mailstore.ErrAuthFailed) }
	return logins.New(o)
}
