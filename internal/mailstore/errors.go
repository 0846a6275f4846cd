package mailstore

import (
	"errors"
)

// Errors that a caller decides on; they may come wrapped. quota.ErrOverQuota belongs to them.
var (
	ErrNoSuchUser       = errors.New("no such user")
	ErrUserExists       = errors.New("a user or alias with this address exists")
	ErrInvalidAddress   = errors.New("not a mail address this server can have")
	ErrWeakPassword     = errors.New("password too short or too long")
	ErrAuthFailed       = errors.New("user name or password wrong")
	ErrNoSuchAddress    = errors.New("no such address here")
	ErrNoSuchMailbox    = errors.New("no such mailbox")
	ErrMailboxExists    = errors.New("a mailbox with this name exists")
	ErrInvalidName      = errors.New("not a valid mailbox name")
	ErrHasChildren      = errors.New("the name has inferior mailboxes and no mailbox of its own")
	ErrInboxUndeletable = errors.New("INBOX cannot be deleted")
	ErrSpecialUse       = errors.New("special use unknown, or in use by another mailbox")
	ErrTooMany          = errors.New("limit reached")
	ErrTooLate          = errors.New("the content was stored too long ago to make a message of it")
	ErrUIDsExhausted    = errors.New("the mailbox has no UIDs left")
)
