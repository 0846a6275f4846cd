package imap

import (
	"bytes"
	"context"
	"slices"
	"time"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// subscribe collects the events of a user to whose mail the session is about to look, and of those
// to whose mail it looks.
func (c *conn) subscribe(user mailkey.UserID) {
	users := []mailkey.UserID{user}
	if c.sel != nil {
		users = append(users, c.sel.box.Key().User())
	}
	for owner := range c.annotations.told {
		users = append(users, owner)
	}
	if c.notify != nil {
		users = append(users, c.notify.owners...)
	}
	slices.SortFunc(users, func(a, b mailkey.UserID) int { return bytes.Compare(a[:], b[:]) })
	users = slices.Compact(users)
	switch {
	case c.sub == nil:
		c.sub = c.account.EventsOf(user, c.in.wake)
	case slices.Equal(users, c.heard):
		return
	}
	c.sub.Hear(users...)
	c.heard = users
}

// sync tells the client what changed: in the selected mailbox, and of what else the client
// watches. It asks the database only when there is reason to: an event, a view that was not
// compared for long, or mode.
func (c *conn) sync(ctx context.Context, mode syncMode) error {
	if mode == syncNone {
		return nil
	}
	c.takeEvents()
	if c.sel != nil {
		if err := c.tellChanges(ctx, mode); err != nil {
			return err
		}
		if err := c.updateContexts(ctx); err != nil {
			return err
		}
		if err := c.fetchNew(ctx); err != nil {
			return err
		}
	}
	if err := c.tellMailboxes(ctx, mode); err != nil {
		return err
	}
	return c.tellAnnotations(ctx, mode)
}

// tellChanges tells what changed in the selected mailbox, but for searches that are to be updated.
func (c *conn) tellChanges(ctx context.Context, mode syncMode) error {
	sel := c.sel
	if c.notify.silent() && !sel.owed {
		return nil
	}
	stale := sel.stale
	if !stale && mode != syncForced && time.Since(sel.synced) < c.pollAfter() {
		c.tellGone(mode)
		return nil
	}
	sel.stale = true // until it worked
	if !stale {
		box, err := sel.box.Status(ctx)
		if err != nil {
			return err
		}
		if box.HighestModSeq == sel.view.ModSeq() {
			c.synced()
			c.tellGone(mode)
			return nil
		}
	}
	changes, err := sel.box.Changes(ctx, sel.view.ModSeq())
	if err != nil {
		return err
	}
	if err := c.apply(ctx, changes, mode); err != nil {
		return err
	}
	sel.owed = false
	c.synced()
	return c.enc.Err()
}

// synced notes that the view was compared with the database. It stays stale as long as the database
// shows less than an event told of: what was read was then a state of before the event.
func (c *conn) synced() {
	sel := c.sel
	sel.synced = time.Now()
	sel.stale = sel.heard > sel.view.ModSeq() && sel.synced.Sub(sel.heardAt) < c.srv.trustEvents
}

// pollAfter is how old the view may get until it is compared with the database without an event.
func (c *conn) pollAfter() time.Duration {
	if c.account.HearsOthers() {
		return trustedPollInterval + c.pollJitter
	}
	return c.srv.opts.PollInterval
}

// takeEvents reads the events that wait, without blocking, and notes what there is to look at.
func (c *conn) takeEvents() {
	for c.sub != nil {
		ev, ok, open := c.sub.Next()
		switch {
		case ok:
			c.note(ev)
		case !open:
			c.sub = nil // the bus was closed; polling remains
		default:
			return
		}
	}
}

// note takes an event: it marks what the session has to look at.
func (c *conn) note(ev events.Event) {
	if c.concerns(ev) {
		c.sel.stale = true
		if ev.ModSeq > c.sel.heard {
			c.sel.heard, c.sel.heardAt = ev.ModSeq, time.Now()
		}
	}
	c.notify.note(ev, c.account.UserID())
	switch ev.Kind {
	case events.Metadata:
		c.annotations.stale = true
	case events.MailboxList, events.Resync:
		c.annotations.stale, c.annotations.shares = true, true
	}
}

// concerns reports whether an event is about changes the view does not have.
func (c *conn) concerns(ev events.Event) bool {
	if c.sel == nil {
		return false
	}
	if ev.Kind == events.Resync || ev.Kind == events.MailboxList && c.sel.box.Foreign() {
		return true // perhaps of other rights
	}
	key := c.sel.box.Key()
	return ev.User == key.User() && ev.Mailbox == key.Number() && (ev.ModSeq == 0 || ev.ModSeq > c.sel.view.ModSeq())
}

// tellGone writes EXPUNGE for the messages that are known to be gone.
func (c *conn) tellGone(mode syncMode) {
	if c.mayExpunge(mode) {
		c.sel.show.gone()
	}
}

// apply brings the view to the mod-sequence of changes, and tells them.
func (c *conn) apply(ctx context.Context, ch *mailstore.Changes, mode syncMode) error {
	var present []uint32
	if !ch.Complete {
		// The journal does not reach back so far: compare with the messages that exist.
		var err error
		if present, err = c.sel.box.UIDsOf(ctx, ch.Mailbox); err != nil {
			return err
		}
	}
	before := c.sel.view.Told()
	diff := c.sel.view.Update(ch, present)
	for _, f := range diff.Changed {
		c.sel.contexts.changed(f.UID)
	}
	if !c.notify.tellsFlags() && len(diff.Changed) > 0 {
		c.sel.withhold(before)
		diff.Changed = nil
	}
	c.vanished(diff.Vanished)
	c.sel.show.changes(diff, c.mayExpunge(mode))
	c.sel.contexts.changed(diff.New...)
	c.newMessages(diff.New)
	return nil
}
