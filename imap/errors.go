package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/database"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// refuse makes an error that is answered with NO and a response code.
func refuse(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// codeUseAttr is of RFC 6154 section 6.
const codeUseAttr imap.ResponseCode = "USEATTR"

// codeUnknownCTE is of RFC 3516 section 4.3.
const codeUnknownCTE imap.ResponseCode = "UNKNOWN-CTE"

// storeErrors translates the errors of account and mailstore (RFC 5530 section 3).
var storeErrors = []struct {
	err  error
	code imap.ResponseCode
	text string
}{
	{account.ErrUnknownIdentifier, imap.ResponseCodeCannot, "No such identifier"},
	{account.ErrForced, imap.ResponseCodeCannot, "These rights cannot be changed"},
	{account.ErrReadOnly, imap.ResponseCodeNoPerm, "Mailbox is open read-only"},
	{account.ErrNoRight, imap.ResponseCodeNoPerm, "No right to do this"},
	{quota.ErrOverQuota, imap.ResponseCodeOverQuota, "Quota exceeded"},
	{mailstore.ErrNoSuchMailbox, imap.ResponseCodeNonExistent, "No such mailbox"},
	{mailstore.ErrMailboxExists, imap.ResponseCodeAlreadyExists, "A mailbox with this name exists"},
	{mailstore.ErrInvalidName, imap.ResponseCodeCannot, "Not a valid mailbox name"},
	{mailstore.ErrHasChildren, imap.ResponseCodeHasChildren, "The name has children and no mailbox of its own"},
	{mailstore.ErrInboxUndeletable, imap.ResponseCodeCannot, "INBOX cannot be deleted"},
	{mailstore.ErrSpecialUse, codeUseAttr, "Special use cannot be set"},
	{mailstore.ErrInvalidKeyword, imap.ResponseCodeLimit, "Keywords cannot be set"},
	{mailstore.ErrTooManyEntries, codeTooManyEntries, "Too many entries"},
	{mailstore.ErrTooMany, imap.ResponseCodeLimit, "Limit reached"},
	{mailstore.ErrUIDsExhausted, imap.ResponseCodeLimit, "The mailbox has no UIDs left"},
	{mailstore.ErrSuspended, imap.ResponseCodeContactAdmin, "The account is suspended"},
	{mailstore.ErrAuthFailed, imap.ResponseCodeAuthenticationFailed, "Authentication failed"},
}

// explain turns the error of a handler into what the tagged answer says. It
// is the one place where errors become protocol.
func (c *conn) explain(
	ctx context.Context, name string, err error,
) (typ imap.StatusResponseType, code, text string) {
	var syntax *wire.SyntaxError
	if errors.As(err, &syntax) {
		text = strings.TrimSpace(name + ": " + syntax.Text)
		if name == "" {
			text = syntax.Text
		}
		if syntax.Code != "" {
			return imap.StatusResponseTypeNo, syntax.Code, text
		}
		return imap.StatusResponseTypeBad, "", text
	}
	var said *imap.Error
	if errors.As(err, &said) {
		return said.Type, string(said.Code), said.Text
	}
	for _, e := range storeErrors {
		if errors.Is(err, e.err) {
			return imap.StatusResponseTypeNo, string(e.code), c.detail(ctx, err, e.text)
		}
	}
	if database.IsUnavailable(err) {
		c.srv.rare.Warn(c.log, "imap: database unavailable", "command", name, "error", err)
		text := "Try again later"
		if database.IsUnknown(err) {
			text = "It is not known whether this was done: look before you try again"
		}
		return imap.StatusResponseTypeNo, string(imap.ResponseCodeUnavailable), text
	}
	if database.IsStorageFull(err) {
		c.srv.rare.Error(c.log, "imap: no space left", "command", name, "error", err)
		return imap.StatusResponseTypeNo, string(imap.ResponseCodeUnavailable), "No space left here, try again later"
	}
	c.srv.rare.Error(c.log, "imap: command failed", "command", name, "error", err)
	return imap.StatusResponseTypeNo, string(imap.ResponseCodeServerBug), "Internal error"
}

// detail adds to the text of an error what the client's user can do something about: which limit is
// reached, what is wrong with a name.
func (c *conn) detail(ctx context.Context, err error, text string) string {
	var invalid *mailstore.InvalidError
	switch {
	case errors.As(err, &invalid):
		return text + ": " + invalid.Reason
	case errors.Is(err, quota.ErrOverQuota) && c.account != nil:
		limits, usage, err := c.account.Quota(ctx)
		if err != nil {
			return text
		}
		var used []string
		if limits.Bytes > 0 {
			used = append(used, fmt.Sprintf("%d of %d KiB", storageUnits(usage.Bytes), storageUnits(limits.Bytes)))
		}
		if limits.Messages > 0 {
			used = append(used, fmt.Sprintf("%d of %d messages", usage.Messages, limits.Messages))
		}
		return text + ": " + strings.Join(used, " and ") + " are in use"
	}
	return text
}
