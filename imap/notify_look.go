package imap

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// tellMailboxes tells what changed in other mailboxes than the selected one, and of their names.
func (c *conn) tellMailboxes(ctx context.Context, mode syncMode) (err error) {
	n := c.notify
	if n == nil || n.boxes == nil {
		return nil
	}
	if mode == syncForced && !n.fresh || n.stale(c) {
		n.list = true
	}
	n.fresh = false
	if n.hold && mode != syncForced || !n.pending(c) {
		return nil
	}
	n.told, n.responses = time.Now(), 0
	defer func() {
		if err != nil { // leave the database alone for a while
			n.told = n.told.Add(c.srv.opts.PollInterval)
		}
	}()
	if !n.list {
		if whole, err := c.lookAtDirty(ctx); err != nil || whole {
			return cmp.Or(err, c.enc.Err())
		}
	}
	return cmp.Or(c.lookAtAll(ctx), c.enc.Err())
}

// lookAtDirty compares the mailboxes that an event was about. It returns false if it takes a look at
// all of them.
func (c *conn) lookAtDirty(ctx context.Context) (whole bool, err error) {
	n := c.notify
	var own []uint32
	others := false
	for key := range n.dirty {
		switch {
		case c.sel != nil && key == c.sel.box.Key():
		case key.User() == c.account.UserID():
			own = append(own, key.Number())
		default:
			others = true
		}
	}
	var boxes []account.Listed
	if len(own) > 0 {
		if boxes, err = c.account.OwnByNumber(ctx, own); err != nil {
			return false, err
		}
	}
	if others {
		list, err := c.account.Others(ctx)
		if err != nil {
			return false, err
		}
		boxes = append(boxes, list...)
	}
	found := make(map[mailkey.Mailbox]bool, len(boxes))
	for _, box := range boxes {
		found[box.Key] = true
	}
	for key := range n.dirty {
		if c.sel != nil && key == c.sel.box.Key() {
			continue
		}
		if w := n.boxes[key]; !found[key] || w == nil {
			return false, nil
		}
	}
	slices.SortFunc(boxes, func(a, b account.Listed) int { return cmp.Compare(a.Path, b.Path) })
	for _, box := range boxes {
		w := n.boxes[box.Key]
		if foreign := box.Key.User() != c.account.UserID(); foreign && w == nil &&
			n.eventsOf(box.Path, true) == 0 {
			continue
		}
		if w == nil || w.path != box.Path || w.readable != box.Rights.Has(account.Lookup|account.Read) {
			return false, nil // another event tells so, or is on its way
		}
	}
	for _, box := range boxes {
		if _, dirty := n.dirty[box.Key]; !dirty || c.isSelected(box.Mailbox) {
			continue
		}
		c.tellStatus(n.boxes[box.Key], box.Mailbox, box.Rights)
		n.settle(c, box.Mailbox)
		if c.tooMany() {
			break
		}
	}
	return true, nil
}

// tooMany ends all notifications if the look has found too many.
func (c *conn) tooMany() bool {
	if c.notify.responses <= c.srv.notifyResponses {
		return false
	}
	c.overflow("Too much has changed")
	return true
}

// lookAtAll compares all mailboxes, and what is subscribed.
func (c *conn) lookAtAll(ctx context.Context) error {
	n := c.notify
	subscribed := n.subscribed
	tree, err := c.watchedTree(ctx)
	if err != nil {
		n.subscribed = subscribed
		return err
	}
	if !c.mayWatch(tree) {
		c.overflow("There are too many mailboxes to watch")
		return nil
	}
	old := n.boxes
	n.boxes = make(map[mailkey.Mailbox]*watched, len(old))
	n.looked, n.list = time.Now(), false
	d := treeDiff{c: c, n: n, tree: tree, old: old}
	d.compare(subscribed)
	for _, node := range tree.nodes {
		switch {
		case node.box == nil:
		case c.isSelected(node.box): // compared when another one is selected
			n.dirty[node.box.Key] = heard{}
		case n.responses <= c.srv.notifyResponses:
			c.tellStatus(n.boxes[node.box.Key], node.box, node.rights)
			n.settle(c, node.box)
		}
	}
	for key, w := range n.boxes {
		if !w.matters() {
			delete(n.boxes, key)
		}
	}
	for key := range n.dirty {
		if n.boxes[key] == nil {
			delete(n.dirty, key)
		}
	}
	if c.tooMany() {
		return nil
	}
	c.followWatched()
	return nil
}

// firstStatus returns the items of the STATUS that answers NOTIFY SET STATUS (RFC 5465 section
// 3.1).
func (n *notifications) firstStatus(c *conn, w *watched) []string {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY"}
	if w.countsUnseen(c) {
		items = append(items, "UNSEEN")
	}
	if w.events.has(eventFlagChange) || c.enabled.has(condstore) {
		items = append(items, "HIGHESTMODSEQ")
	}
	return items
}

// countsUnseen reports whether the session knows how many messages are unseen: not where each user
// has seen other ones, since that takes queries of its own.
func (w *watched) countsUnseen(c *conn) bool { return !w.foreign || !c.account.SeenApart() }

// tellStatus tells what changed in a mailbox that is not selected (RFC 5465 sections 5.1 to 5.3).
func (c *conn) tellStatus(w *watched, box *mailstore.Mailbox, rights account.Rights) {
	before := *w
	w.update(c, box, rights)
	if !w.events.has(messageEvents) || !w.readable {
		return
	}
	if !before.readable { // the client knows nothing of it
		if box.UIDNext == 1 {
			return
		}
		before = watched{}
	}
	var items []string
	validity := before.uidValidity != w.uidValidity
	unseen := before.unseen != w.unseen
	if before.unseen < 0 {
		unseen = before.modseq != w.modseq
	}
	switch {
	case validity || before.uidNext != w.uidNext || before.messages != w.messages:
		if items = append(items, "MESSAGES", "UIDNEXT"); validity {
			items = append(items, "UIDVALIDITY")
		}
	case !w.events.has(eventFlagChange):
		return
	case c.enabled.has(condstore) && before.modseq != w.modseq, unseen && w.countsUnseen(c):
		items = append(items, "UIDVALIDITY")
	default:
		return
	}
	if w.countsUnseen(c) {
		items = append(items, "UNSEEN")
	}
	if c.enabled.has(condstore) {
		items = append(items, "HIGHESTMODSEQ")
	}
	c.notify.responses++
	c.writeStatusItems(w.path, box, items)
}
