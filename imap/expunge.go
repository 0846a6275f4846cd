package imap

import (
	"context"

	"gadwall/internal/uidset"
)

// handleExpunge answers EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3,
// RFC 4315 section 2.1).
func (c *conn) handleExpunge(ctx context.Context, cmd *command) error {
	var ranges uidset.Set // nil: all
	if cmd.uid {
		if err := cmd.args.SP(); err != nil {
			return err
		}
		set, err := cmd.args.NumSet(true)
		if err != nil {
			return err
		}
		if ranges, err = c.resolve(set); err != nil {
			return err
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	// Many messages take several transactions. The client is told of each at once:
	// it sees that something happens, and the session does not collect all UIDs.
	tell := func(uids []uint32, modseq uint64) error {
		cmd.removed = true // RFC 7162 section 3.2.7
		c.removed(uids, modseq)
		if c.sel.stale { // others changed something in between
			if err := c.sync(ctx, syncAll); err != nil {
				return err
			}
		}
		return c.enc.Flush()
	}
	p := c.newCount(cmd.tag, "Removing")
	return p.meanwhile(func() error {
		return c.sel.box.Expunge(ctx, ranges, func(uids []uint32, modseq uint64) error {
			return p.inTurn(func() error { return tell(uids, modseq) })
		})
	})
}

// removed tells the client of messages that this session itself removed, in a
// transaction with that mod-sequence. When other changes lie between, sync tells all
// in order.
func (c *conn) removed(uids []uint32, modseq uint64) {
	if len(uids) == 0 {
		return
	}
	if c.sel.stale || !c.sel.view.Removed(uids, modseq) {
		c.sel.stale, c.sel.owed = true, true
		return
	}
	c.vanished(uids)
	c.sel.show.gone()
}
