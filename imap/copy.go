package imap

import (
	"context"
	"fmt"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// handleCopy answers COPY and UID COPY (RFC 3501 section 6.4.7, RFC 4315 section 3
// for COPYUID).
func (c *conn) handleCopy(ctx context.Context, cmd *command) error {
	ranges, dest, err := c.copyArguments(ctx, cmd, false)
	if err != nil || dest == nil {
		return err
	}
	p := c.progressOf(cmd, ranges, "Copying")
	var result *mailstore.CopyResult
	err = p.meanwhile(func() (err error) {
		result, err = c.sel.box.Copy(ctx, ranges, dest, p.messages)
		return err
	})
	if err != nil {
		return tryCreate(err)
	}
	if len(result.Source) == 0 {
		cmd.ok("", noMessages)
		return nil
	}
	c.added(dest, result.Dest, result.ModSeq)
	cmd.ok(copyUID(dest, result), "COPY completed")
	return nil
}

// handleMove answers MOVE and UID MOVE (RFC 6851).
func (c *conn) handleMove(ctx context.Context, cmd *command) error {
	ranges, dest, err := c.copyArguments(ctx, cmd, true)
	if err != nil || dest == nil {
		return err
	}
	p := c.progressOf(cmd, ranges, "Moving")
	var result *mailstore.CopyResult
	err = p.meanwhile(func() (err error) {
		result, err = c.sel.box.Move(ctx, ranges, dest, p.messages)
		return err
	})
	// On error some may have been moved.
	if result != nil && len(result.Source) > 0 {
		// COPYUID comes before the EXPUNGE responses, in an untagged OK
		// (RFC 6851 section 4.3).
		if code := copyUID(dest, result); code != "" {
			c.status("*", imap.StatusResponseTypeOK, code, "Moved")
		}
		cmd.removed = true // RFC 6851 section 4.4
		c.added(dest, result.Dest, result.ModSeq)
		c.removed(result.Source, result.SourceModSeq)
	} else if err == nil {
		cmd.ok("", noMessages)
	}
	return tryCreate(err)
}

// progressOf tells the client how many of the messages are copied or moved.
func (c *conn) progressOf(cmd *command, ranges uidset.Set, text string) *progress {
	return c.newGoal(cmd.tag, text, uint32(c.sel.view.Count(ranges)))
}

// messages is reached for a number of messages.
func (p *progress) messages(done int) { p.reached(int64(done)) }

// noMessages is the text of an OK for a set that holds no message.
const noMessages = "No messages found"

// copyArguments reads the arguments of COPY and MOVE and looks the destination up.
// The destination is nil when the set is empty, and the answer says so.
func (c *conn) copyArguments(
	ctx context.Context, cmd *command, move bool,
) (uidset.Set, *account.Mailbox, error) {
	if err := cmd.args.SP(); err != nil {
		return nil, nil, err
	}
	set, err := cmd.args.NumSet(cmd.uid)
	if err != nil {
		return nil, nil, err
	}
	name, err := onlyMailbox(cmd.args)
	if err != nil {
		return nil, nil, err
	}
	ranges, err := c.resolve(set)
	if err != nil {
		return nil, nil, err
	}
	if move {
		if err := c.sel.box.Check(account.DeleteMessages | account.Expunge); err != nil {
			return nil, nil, err
		}
	}
	dest, err := c.destination(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if len(ranges) == 0 {
		cmd.ok("", noMessages)
		return nil, nil, nil
	}
	if !cmd.uid {
		// A sequence number of a message that others expunged cannot be
		// copied, and then nothing is (RFC 2180 section 4.4.1).
		if err := c.allExist(ctx, ranges); err != nil {
			return nil, nil, err
		}
	}
	if dest.Key() == c.sel.box.Key() {
		c.sel.stale = true // new messages
	}
	return ranges, dest, nil
}

// copyUID is the response code of RFC 4315 section 3. Clients that may not select the destination do
// not get it.
func copyUID(dest *account.Mailbox, r *mailstore.CopyResult) string {
	if !dest.Rights().Has(account.Read) {
		return ""
	}
	return fmt.Sprintf("COPYUID %d %s %s", r.UIDValidity, uidset.Format(r.Source), uidset.Format(r.Dest))
}

// allExist fails when a message of ranges that the client knows is gone.
func (c *conn) allExist(ctx context.Context, ranges uidset.Set) error {
	uids, err := c.sel.box.UIDs(ctx, mailstore.Query{UIDs: ranges})
	if err != nil {
		return err
	}
	if len(uids) < c.sel.view.Count(ranges) {
		c.sel.stale = true
		return refuse(codeExpungeIssued, "Some messages were expunged by another session")
	}
	return nil
}
