package imap

import (
	"context"
	"errors"
	"slices"

	"gadwall/internal/account"
	"gadwall/internal/uidset"
)

// tellsFlags reports whether the client wants to hear of changed flags in the selected mailbox.
func (n *notifications) tellsFlags() bool { return n == nil || n.selected.events.has(eventFlagChange) }

// mayExpunge reports whether EXPUNGE may be told: in the mode, and between commands not with
// SELECTED-DELAYED (RFC 5465 section 6.1.2).
func (c *conn) mayExpunge(mode syncMode) bool {
	return mode != syncNoExpunge && !(c.betweenCommands && c.notify != nil && c.notify.selected.delayed)
}

// withhold notes that the client is not told of flags that changed after the mod-sequence.
func (s *selected) withhold(modseq uint64) {
	if s.withheld == 0 {
		s.withheld = modseq
	}
}

// told is the mod-sequence up to which the client was told everything.
func (s *selected) told() uint64 {
	if told := s.view.Told(); s.withheld == 0 || told < s.withheld {
		return told
	}
	return s.withheld
}

// tellWithheld tells the flags that changed while the client did not want to hear of flags, after a
// NOTIFY that does (RFC 5465 section 3.1).
func (c *conn) tellWithheld(ctx context.Context) error {
	sel := c.sel
	if sel.withheld == 0 || !c.notify.tellsFlags() {
		return nil
	}
	changes, err := sel.box.Changes(ctx, sel.withheld)
	if err != nil {
		return err
	}
	for _, f := range changes.Changed {
		if seq, known := sel.view.Seq(f.UID); known && !sel.view.Gone(f.UID) {
			sel.show.state(seq, f, true)
		}
	}
	sel.withheld = 0
	return c.enc.Err()
}

// added notes messages that a command of the client put into a mailbox, by a transaction with that
// mod-sequence: those of the selected mailbox are told without the attributes that NOTIFY asks for, and
// of another one nothing is told (RFC 5465 sections 5 and 5.2).
func (c *conn) added(box *account.Mailbox, uids []uint32, modseq uint64) {
	if c.notify == nil {
		return
	}
	if c.sel == nil || box.Key() != c.sel.box.Key() {
		c.notify.added(box.Key(), uids, modseq)
		return
	}
	if c.notify.selected.fetch != nil {
		if c.sel.own == nil {
			c.sel.own = make(map[uint32]bool)
		}
		for _, uid := range uids {
			c.sel.own[uid] = true
		}
	}
}

// newMessages notes messages of which attributes are to be told.
func (c *conn) newMessages(uids []uint32) {
	if c.notify == nil || c.notify.selected.fetch == nil {
		return
	}
	for _, uid := range uids {
		if c.sel.own[uid] {
			delete(c.sel.own, uid)
		} else {
			c.sel.fresh = append(c.sel.fresh, uid)
		}
	}
}

// fetchNew tells the attributes of new messages, after EXISTS and what the messages are in the results
// of searches (RFC 5465 section 5.2).
func (c *conn) fetchNew(ctx context.Context) error {
	sel := c.sel
	if err := c.tellWithheld(ctx); err != nil || len(sel.fresh) == 0 {
		return err
	}
	if c.notify == nil || c.notify.selected.fetch == nil {
		sel.fresh = nil
		return nil
	}
	if len(sel.fresh) > maxNotifyResponses {
		sel.fresh = nil
		c.overflow("Too many messages have arrived")
		return nil
	}
	fresh := slices.DeleteFunc(sel.fresh, func(uid uint32) bool {
		_, known := sel.view.Seq(uid)
		return !known || sel.view.Gone(uid)
	})
	sel.fresh = fresh
	err := newFetcher(c, c.notify.selected.fetch).run(ctx, uidset.FromAscending(fresh))
	if errors.Is(err, errUnreadable) || errors.Is(err, account.ErrNoRight) {
		err = nil // the messages that can be read are told
	}
	if err == nil {
		sel.fresh = nil
	}
	return err
}
