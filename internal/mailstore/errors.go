package mailstore

import (
	"errors"
	"fmt"

	"gadwall/internal/mailkey"
)

// Errors on which a caller decides. They may come wrapped. quota.ErrOverQuota is one of them, too.
var (
	ErrNoSuchUser       = errors.New("no such user")
	ErrNotDeleted       = errors.New("the user is not deleted")
	ErrUserExists       = errors.New("a user or alias with this address exists")
	ErrInvalidAddress   = errors.New("not a mail address this server can have")
	ErrWeakPassword     = errors.New("password cannot be used")
	ErrAuthFailed       = errors.New("user name or password wrong")
	ErrSuspended        = errors.New("the user is suspended")
	ErrInvalidProfile   = errors.New("display name or metadata cannot be used")
	ErrInvalidToken     = errors.New("such a token or application password cannot be made")
	ErrInvalidPage      = errors.New("there is no such page")
	ErrNoSuchToken      = errors.New("no such token")
	ErrNoSuchDomain     = errors.New("no such domain here")
	ErrInvalidDomain    = errors.New("not a domain that this can be set for")
	ErrNoSuchPassword   = errors.New("no such application password")
	ErrNoSuchAddress    = errors.New("no such address here")
	ErrNoSuchMailbox    = errors.New("no such mailbox")
	ErrNoSuchMessage    = errors.New("no such message")
	ErrMailboxExists    = errors.New("a mailbox with this name exists")
	ErrInvalidName      = errors.New("not a valid mailbox name")
	ErrHasChildren      = errors.New("the name has inferior mailboxes and no mailbox of its own")
	ErrInboxUndeletable = errors.New("INBOX cannot be deleted")
	ErrSpecialUse       = errors.New("special use unknown, or in use by another mailbox")
	ErrTooMany          = errors.New("limit reached")
	ErrTooManyEntries   = errors.New("no room for more metadata")
	ErrTooLate          = errors.New("the content was stored too long ago to make a message of it")
	ErrUIDsExhausted    = errors.New("the mailbox has no UIDs left")
)

// An InvalidError is one of the errors above with a reason in words for people: what is wrong, or
// which limit is reached. The words tell nothing of the server's inside.
type InvalidError struct {
	Err    error
	Reason string
}

func (e *InvalidError) Error() string { return e.Err.Error() + ": " + e.Reason }

func (e *InvalidError) Unwrap() error { return e.Err }

// invalid returns an InvalidError with a formatted reason.
func invalid(err error, format string, args ...any) error {
	return &InvalidError{Err: err, Reason: fmt.Sprintf(format, args...)}
}

// An AuthError says why Authenticate refused, for the authentication log. It matches ErrAuthFailed or
// ErrSuspended. No client is told more.
type AuthError struct {
	Err    error
	User   mailkey.UserID // whose name it is; the zero value if it is nobody's
	By     string         // as Authentication has it; "" if nothing was right
	Result LoginResult
}

func (e *AuthError) Error() string { return e.Err.Error() }

func (e *AuthError) Unwrap() error { return e.Err }
