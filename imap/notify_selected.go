package imap

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"gadwall/internal/account"
	"gadwall/internal/uidset"
)

// tellsFlags reports whether the client wants to hear of changed flags in the selected mailbox.
func (n *notifications) tellsFlags() bool {
	return n == nil || n.selected.events.has(eventFlagChange)
}

// mayExpunge reports whether EXPUNGE may be told: in the mode, and between commands not with
// SELECTED-DELAYED (RFC 5465 section 6.1.2).
func (c *conn) mayExpunge(mode syncMode) bool {
	delayed := c.betweenCommands && c.notify != nil && c.notify.selected.delayed
	return mode != syncNoExpunge && !delayed
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
// mod-sequence: those of the selected mailbox are told without the attributes that NOTIFY asks for,
// and of another one nothing is told (RFC 5465 sections 5 and 5.2).
func (c *conn) added(box *account.Mailbox, uids []uint32, modseq uint64) {
	if c.sel == nil || box.Key() != c.sel.box.Key() {
		c.notify.added(box.Key(), uids, modseq)
		return
	}
	if c.fetchesNew() {
		c.sel.put(uids)
	}
}

// put notes messages that the session put here itself, but forgets the first of too many: of those
// the client is told attributes.
func (s *selected) put(uids []uint32) {
	if s.own = append(s.own, uids...); !slices.IsSorted(s.own) {
		slices.Sort(s.own)
	}
	if n := len(s.own) - maxOwnNew; n > 0 {
		s.own = slices.Clone(s.own[n:])
	}
}

// fetchesNew reports whether the client wants attributes of new messages, of all or of those that
// some search finds.
func (c *conn) fetchesNew() bool {
	return c.notify.fetch() != nil ||
		slices.ContainsFunc(c.sel.contexts.list, func(x *searchContext) bool { return x.req.returns.fetch != nil })
}

// fetch is what the client wants to know of new messages in the selected mailbox, or nil.
func (n *notifications) fetch() *fetchRequest {
	if n == nil {
		return nil
	}
	return n.selected.fetch
}

// newMessages notes messages of which attributes are to be told.
func (c *conn) newMessages(uids []uint32) {
	if !c.fetchesNew() {
		return
	}
	own := c.sel.own
	for _, uid := range uids { // ascending, and no earlier ones come later
		i, found := slices.BinarySearch(own, uid)
		if found {
			i++
		} else {
			c.sel.fresh = append(c.sel.fresh, uid)
		}
		own = own[i:]
	}
	if c.sel.own = own; len(own) == 0 {
		c.sel.own = nil
	}
}

// fetchNew tells the attributes of new messages, after EXISTS and what the messages are in the
// results of searches (RFC 5465 section 5.2).
func (c *conn) fetchNew(ctx context.Context) error {
	if err := c.tellWithheld(ctx); err != nil {
		return err
	}
	want := c.notify.fetch()
	if want == nil {
		c.sel.fresh = nil
	}
	if len(c.sel.fresh) == 0 || c.tooManyNew() {
		return nil
	}
	if err := c.fetchAttributes(ctx, want, c.sel.fresh); err != nil {
		return err
	}
	c.sel.fresh = nil
	return nil
}

// tooManyNew ends all notifications if there are too many new messages to tell attributes of.
func (c *conn) tooManyNew() bool {
	if len(c.sel.fresh) <= c.srv.notifyResponses {
		return false
	}
	c.sel.fresh = nil
	if c.notify.fetch() != nil {
		c.overflow("Too many messages have arrived")
	}
	return true
}

// fetchFound tells the attributes that searches with UPDATE want of their new results, together
// with those that NOTIFY asks for, before the results themselves (RFC 5465 section 7).
func (c *conn) fetchFound(ctx context.Context, found []contextUpdate) error {
	if len(c.sel.fresh) == 0 || c.tooManyNew() {
		return nil
	}
	by := make(map[uint32]uint32) // which of found want a message
	for i, u := range found {
		if u.search.req.returns.fetch == nil {
			continue
		}
		for _, uid := range u.came {
			by[uid] |= 1 << i // there are maxContexts
		}
	}
	groups := make(map[uint32][]uint32)
	for _, uid := range c.sel.fresh {
		if by[uid] != 0 {
			groups[by[uid]] = append(groups[by[uid]], uid)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		want := fetchRequest{}
		for i, u := range found {
			if group&(1<<i) != 0 {
				want.include(u.search.req.returns.fetch)
			}
		}
		want.include(c.notify.fetch())
		if err := c.fetchAttributes(ctx, &want, groups[group]); err != nil {
			return err
		}
		c.sel.fresh = slices.DeleteFunc(c.sel.fresh, func(uid uint32) bool { return by[uid] == group })
	}
	return nil
}

// include adds what another request asks for.
func (r *fetchRequest) include(other *fetchRequest) {
	if other == nil {
		return
	}
	r.items |= other.items
	for _, s := range other.sections {
		if !slices.ContainsFunc(r.sections, func(have fetchSection) bool {
			return bytes.Equal(have.label, s.label) && have.partial == s.partial
		}) {
			r.sections = append(r.sections, s)
		}
	}
}

// fetchAttributes writes FETCH for new messages that are still there.
func (c *conn) fetchAttributes(ctx context.Context, want *fetchRequest, uids []uint32) error {
	view := &c.sel.view
	there := slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool {
		_, known := view.Seq(uid)
		return !known || view.Gone(uid)
	})
	req := *want
	if req.items&itemFlags != 0 && c.enabled.has(condstore) {
		// As with all flags that are told without a FETCH (RFC 7162 section 3.2.4).
		req.items |= itemUID | itemModSeq
	}
	c.endSeries() // nobody waits for memory while it has some
	err := newFetcher(c, &req).run(ctx, uidset.FromAscending(there))
	if errors.Is(err, errUnreadable) || errors.Is(err, account.ErrNoRight) {
		return nil // the messages that can be read are told
	}
	return err
}
