package imap

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// handleReplace answers REPLACE and UID REPLACE (RFC 8508 section 3): an APPEND of one message, to any
// mailbox, that removes a message of the selected one with it. The server checks all it can
// before it asks for the bytes.
func (c *conn) handleReplace(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	set, err := cmd.args.NumSet(cmd.uid)
	if err != nil {
		return err
	}
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	ranges, err := c.resolve(set)
	if err != nil {
		return err
	}
	// A set is not in the grammar, and "$" neither.
	if len(ranges) > 1 || len(ranges) == 1 && ranges[0].First != ranges[0].Last || imap.IsSearchRes(set) {
		return wire.Errorf("one message is to be replaced")
	}
	if err := c.sel.box.CheckReplace(); err != nil {
		return err
	}
	uids := c.sel.view.Within(ranges)
	if len(uids) == 0 || c.sel.view.Gone(uids[0]) {
		return errNothingToReplace
	}
	a := c.newAppender(cmd.tag, name)
	a.replaces = uids[0]
	defer a.discard(ctx)
	if err := a.message(ctx, cmd.args); err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	return a.replace(ctx, cmd, uids[0])
}

// errNothingToReplace is the answer if another session has expunged the message, or it never was.
var errNothingToReplace = refuse("EXPUNGEISSUED", "The message is not there any more")

// replace puts the message into its mailbox, and removes the one with this UID.
func (a *appender) replace(ctx context.Context, cmd *command, uid uint32) error {
	sel := a.c.sel
	sel.stale = true // EXPUNGE and EXISTS come before the tagged answer
	var imported *account.Imported
	err := a.progress.meanwhile(func() (err error) {
		imported, err = a.items.Replace(ctx, sel.box, uid)
		return err
	})
	if errors.Is(err, mailstore.ErrNoSuchMessage) {
		return errNothingToReplace
	}
	if err != nil {
		return tryCreate(err)
	}
	cmd.removed, sel.owed = true, true
	a.c.added(a.dest, imported.UIDs, imported.ModSeq)
	// Untagged, since with QRESYNC the tagged answer has HIGHESTMODSEQ (RFC 8508 section 3.1).
	if code := appendUID(a.dest, imported); code != "" {
		a.c.status("*", imap.StatusResponseTypeOK, code, "Replacement is stored")
	}
	return nil
}
