package imap

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// systemFlags in the order in which FLAGS lists them.
var systemFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

// handleSelect answers SELECT (RFC 3501 section 6.3.1).
func (c *conn) handleSelect(ctx context.Context, cmd *command) error {
	return c.selectMailbox(ctx, cmd, account.ReadWrite)
}

// handleExamine answers EXAMINE (RFC 3501 section 6.3.2).
func (c *conn) handleExamine(ctx context.Context, cmd *command) error {
	return c.selectMailbox(ctx, cmd, account.ReadOnly)
}

// selectMailbox answers both. The parameter CONDSTORE is of RFC 7162 section
// 3.1.8.
func (c *conn) selectMailbox(ctx context.Context, cmd *command, access account.Access) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	wants := extensions(0)
	if cmd.args.Accept(' ') {
		err := cmd.args.List(func() error {
			param, err := cmd.args.Keyword()
			if err == nil && param != "CONDSTORE" {
				err = wire.Errorf("unknown parameter %s", param)
			}
			wants |= condstore
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if c.sel != nil {
		// Also when the new mailbox cannot be opened (RFC 3501 section 6.3.1).
		c.deselect()
		c.enc.Untagged().Raw("OK [CLOSED] Previous mailbox is now closed").CRLF()
	}
	c.enable(wants)
	if err := c.open(ctx, name, access); err != nil {
		return err
	}
	if access == account.ReadOnly {
		cmd.ok("READ-ONLY", "EXAMINE completed")
	} else {
		cmd.ok("READ-WRITE", "SELECT completed")
	}
	return nil
}

// open selects a mailbox. The view is that of the mailbox document's
// mod-sequence: messages which come later are told by the first sync.
func (c *conn) open(ctx context.Context, name string, access account.Access) error {
	c.subscribe() // before reading, so that nothing falls in between
	opened, box, err := c.account.Open(ctx, name, access)
	if err != nil {
		return err
	}
	sel := &selected{box: opened, synced: time.Now()}
	if sel.view.uids, err = knownUIDs(ctx, opened, box); err != nil {
		return err
	}
	sel.view.uids = fitted(sel.view.uids)
	sel.view.next, sel.view.modseq = box.UIDNext, box.HighestModSeq
	uid, err := opened.FirstUnseen(ctx)
	if err != nil {
		return err
	}
	unseen, known := sel.view.Seq(uid)
	c.sel, c.state = sel, imap.ConnStateSelected

	c.announceFlags(box.Keywords)
	c.enc.Untagged().Number(sel.view.Len()).Raw(" EXISTS\r\n* 0 RECENT\r\n")
	if known {
		c.enc.Untagged().Raw("OK [UNSEEN ").Number(unseen).Raw("] First unseen message\r\n")
	}
	c.enc.Untagged().Raw("OK [UIDVALIDITY ").Number(box.UIDValidity).Raw("] UIDs are valid\r\n")
	c.enc.Untagged().Raw("OK [UIDNEXT ").Number(box.UIDNext).Raw("] Next UID\r\n")
	c.enc.Untagged().Raw("OK [HIGHESTMODSEQ ").Number64(box.HighestModSeq).Raw("] Highest\r\n")
	return nil
}

// knownUIDs reads the UIDs of the messages that the mailbox document counts.
func knownUIDs(
	ctx context.Context, opened *account.Mailbox, box *mailstore.Mailbox,
) ([]uint32, error) {
	if box.UIDNext <= 1 {
		return nil, nil
	}
	return opened.UIDs(ctx, mailstore.Query{
		UIDs: uidset.Set{{First: 1, Last: box.UIDNext - 1}},
	})
}

// announceFlags writes FLAGS and PERMANENTFLAGS and remembers the keywords.
func (c *conn) announceFlags(keywords []string) {
	sel := c.sel
	sel.keywords = keywords[:min(len(keywords), maxAnnounced)]
	flags := append(slices.Clone(systemFlags), sel.keywords...)
	c.enc.Untagged().Raw("FLAGS ").Flags(flags).CRLF()
	c.enc.Untagged().Raw("OK [PERMANENTFLAGS ").Flags(c.permanentFlags()).Raw("] Flags permitted").CRLF()
}

// permanentFlags are the flags that the session may change (RFC 3501 section 7.1).
func (c *conn) permanentFlags() (flags []string) {
	rights := c.sel.box.Rights()
	for _, name := range systemFlags {
		if f, _ := mailstore.ParseFlag(name); rights.Flags()&f != 0 {
			flags = append(flags, name)
		}
	}
	if rights.Has(account.Write) {
		flags = append(append(flags, c.sel.keywords...), `\*`)
	}
	return flags
}

// announceKeywords tells of keywords that the client has not seen yet, before
// a response names them (RFC 3501 section 7.2.6).
func (c *conn) announceKeywords(keywords []string) {
	known := c.sel.keywords
	for _, k := range keywords {
		if len(known) < maxAnnounced && mailstore.FindKeyword(known, k) < 0 {
			known = append(slices.Clip(known), k)
		}
	}
	if len(known) > len(c.sel.keywords) {
		c.announceFlags(known)
	}
}

// fitted returns uids without much unused memory behind it.
func fitted(uids []uint32) []uint32 {
	if cap(uids) > len(uids)+len(uids)/8+64 {
		return slices.Clone(uids)
	}
	return uids
}

// dropCache gives the memory of decoded frames back; what is read later is
// kept in a new cache.
func (c *conn) dropCache() {
	if c.sel != nil {
		c.sel.box.Contents().DropCache()
	}
}

// deselect leaves the selected state.
func (c *conn) deselect() {
	c.sel, c.state = nil, imap.ConnStateAuthenticated
}

// handleUnselect answers UNSELECT (RFC 3691).
func (c *conn) handleUnselect(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.deselect()
	return nil
}

// handleClose answers CLOSE (RFC 3501 section 6.4.2): an expunge without
// EXPUNGE responses, unless the mailbox is open read-only.
func (c *conn) handleClose(ctx context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	box := c.sel.box
	c.deselect()
	err := box.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
	if errors.Is(err, account.ErrReadOnly) || errors.Is(err, account.ErrNoRight) {
		return nil // CLOSE then only leaves the mailbox (RFC 4314 section 4)
	}
	return err
}
