package imap

import (
	"context"
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/mailview"
	"gadwall/internal/uidset"
)

// selected is the mailbox that SELECT or EXAMINE opened.
type selected struct {
	box    *account.Mailbox
	view   mailview.View
	show   presenter
	stale  bool      // there are changes that the view does not have
	synced time.Time // when the view was last compared with the database
	// heard is the highest mod-sequence of which an event told, and heardAt is when it came.
	heard   uint64
	heardAt time.Time

	// sliced is the message of which a slice was read last: the client reads the next ones without a
	// query for each, also when another session expunges the message meanwhile (RFC 2180 section
	// 4.1.1). nil after some rest.
	sliced *mailstore.Message

	// together is how many messages a series reads together at most; see there.
	together int

	saved    uidset.Set // what "$" means (RFC 5182)
	contexts contexts

	// With NOTIFY.
	owed     bool     // the client has to be told what its own command removed
	withheld uint64   // flags changed after this mod-sequence, and the client was not told; or 0
	fresh    []uint32 // new messages of which attributes are to be told
	own      []uint32 // new messages that the session put here itself, and the client was not told of; ascending
}

// knows reports whether the client was told of the changes of a mod-sequence. If it was not, an
// event is late or lost. The client takes the mod-sequences that FETCH tells for the point from
// which it would come back (RFC 7162 section 3.1), so sync has to tell all changes up to there.
func (s *selected) knows(modseq uint64) bool {
	if s.view.Knows(modseq) {
		return true
	}
	s.stale = true
	return false
}

// reported notes that the client was told of the session's own change with that mod-sequence. If
// changes by others came before it, sync has to tell them, too.
func (s *selected) reported(modseq uint64) {
	s.view.Reported(modseq)
	if s.view.ModSeq() < modseq {
		s.stale = true
	}
}

// resolve turns a message set of the client into UIDs. A sequence number that does not
// exist is a syntax error.
func (c *conn) resolve(set imap.NumSet) (uidset.Set, error) {
	if imap.IsSearchRes(set) {
		return c.sel.saved, nil
	}
	uids, err := c.sel.view.Resolve(set)
	if err != nil {
		return nil, wire.Errorf("%v", err)
	}
	return uids, nil
}

// handleSelect answers SELECT (RFC 3501 section 6.3.1).
func (c *conn) handleSelect(ctx context.Context, cmd *command) error {
	return c.selectMailbox(ctx, cmd, account.ReadWrite)
}

// handleExamine answers EXAMINE (RFC 3501 section 6.3.2).
func (c *conn) handleExamine(ctx context.Context, cmd *command) error {
	return c.selectMailbox(ctx, cmd, account.ReadOnly)
}

// writing are the rights of which one is enough for READ-WRITE (RFC 4314 section 5.2).
func (s *selected) writing() account.Rights {
	r := account.Insert | account.Expunge | account.Write | account.DeleteMessages
	if s.box.SharedSeen() {
		r |= account.KeepSeen
	}
	return r
}

// selectMailbox answers both.
func (c *conn) selectMailbox(ctx context.Context, cmd *command, access account.Access) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	var params selectParameters
	if cmd.args.Accept(' ') {
		if params, err = c.parseSelectParameters(cmd.args); err != nil {
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
	c.enable(params.wants)
	box, err := c.open(ctx, name, access)
	if err != nil {
		return err
	}
	if r := params.resync; r != nil && r.uidValidity == box.UIDValidity {
		if err := c.resync(ctx, r); err != nil {
			c.deselect() // what changed would never be told
			return err
		}
	}
	switch {
	case access == account.ReadOnly:
		cmd.ok("READ-ONLY", "EXAMINE completed")
	case c.sel.box.Rights()&c.sel.writing() == 0:
		cmd.ok("READ-ONLY", "SELECT completed")
	default:
		cmd.ok("READ-WRITE", "SELECT completed")
	}
	return nil
}

// selectParameters are what SELECT and EXAMINE say behind the mailbox (RFC 4466 section 2.1).
type selectParameters struct {
	wants  extensions
	resync *resyncRequest // nil without QRESYNC
}

// parseSelectParameters reads CONDSTORE (RFC 7162 section 3.1.8) and QRESYNC (RFC 7162
// section 3.2.5).
func (c *conn) parseSelectParameters(dec *wire.Decoder) (p selectParameters, err error) {
	err = dec.List(func() error {
		param, err := dec.Keyword()
		if err != nil {
			return err
		}
		switch {
		case param == "CONDSTORE":
			p.wants |= condstore
		case param == "QRESYNC" && p.resync != nil:
			return wire.Errorf("QRESYNC is there twice")
		case param == "QRESYNC" && !c.enabled.has(qresync):
			return wire.Errorf("QRESYNC needs ENABLE QRESYNC before it")
		case param == "QRESYNC":
			p.resync, err = c.parseResync(dec)
		default:
			err = wire.Errorf("unknown parameter %s", clip(param))
		}
		return err
	})
	return p, err
}

// open selects a mailbox. The view is that of the mailbox document's
// mod-sequence: messages which come later are told by the first sync.
func (c *conn) open(ctx context.Context, name string, access account.Access) (*mailstore.Mailbox, error) {
	owner, err := c.account.Owner(ctx, name)
	if err != nil {
		return nil, err
	}
	c.subscribe(owner) // before reading, so that nothing falls in between
	opened, box, err := c.account.Open(ctx, name, access)
	if err != nil {
		return nil, err
	}
	opening, err := opened.Opening(ctx, box)
	if err != nil {
		return nil, err
	}
	box = opening.Mailbox
	sel := &selected{
		box: opened, synced: time.Now(), together: fetchBatch,
		view: mailview.New(mailview.State{UIDs: opening.UIDs, UIDNext: box.UIDNext, ModSeq: box.HighestModSeq}),
	}
	sel.show = presenter{enc: c.enc, enabled: &c.enabled, view: &sel.view, rights: opened.Rights()}
	unseen, known := sel.view.Seq(opening.FirstUnseen)
	c.sel, c.state = sel, imap.ConnStateSelected
	c.session.SetMailbox(name)

	sel.show.flags(withKnown(box.Keywords))
	sel.show.exists()
	if c.enabled.has(imap4rev2) { // no RECENT, no UNSEEN (RFC 9051 section 6.3.2)
		c.tellName(normalized(name), name, useAttributes(box)...)
	} else {
		c.enc.Untagged().Raw("0 RECENT\r\n")
	}
	if known && !c.enabled.has(uidOnly|imap4rev2) {
		c.enc.Untagged().Raw("OK [UNSEEN ").Number(unseen).Raw("] First unseen message\r\n")
	}
	c.enc.Untagged().Raw("OK [UIDVALIDITY ").Number(box.UIDValidity).Raw("] UIDs are valid\r\n")
	c.enc.Untagged().Raw("OK [MAILBOXID (").Raw(c.mailboxID(box)).Raw(")] Id\r\n")
	c.enc.Untagged().Raw("OK [UIDNEXT ").Number(box.UIDNext).Raw("] Next UID\r\n")
	c.enc.Untagged().Raw("OK [HIGHESTMODSEQ ").Number64(box.HighestModSeq).Raw("] Highest\r\n")
	return box, nil
}

// dropCache gives the memory of what was read back. Later reads fill a new cache.
func (c *conn) dropCache() {
	if c.sel != nil {
		c.sel.box.Contents().DropCache()
		c.sel.sliced = nil
	}
}

// deselect leaves the selected state.
func (c *conn) deselect() {
	if c.sel != nil {
		c.notify.left(c.sel)
	}
	c.sel, c.state = nil, imap.ConnStateAuthenticated
	c.session.SetMailbox("")
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
	// The answer has no HIGHESTMODSEQ (RFC 7162 section 3.2.8): the client was not told what went.
	err := box.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
	if errors.Is(err, account.ErrReadOnly) || errors.Is(err, account.ErrNoRight) {
		return nil // CLOSE then only leaves the mailbox (RFC 4314 section 4)
	}
	return err
}
