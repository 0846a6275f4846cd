package imap

import (
	"slices"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// treeDiff is what changed of the names of mailboxes since the last look (RFC 5465 sections 5.4,
// 5.5 and 5.9).
type treeDiff struct {
	c    *conn
	n    *notifications
	tree *mailboxTree
	old  map[mailkey.Mailbox]*watched

	list      []*changedName // to tell, in this order
	index     map[string]*changedName
	exchanged map[string]bool // names that mailboxes took of each other
}

// changedName is a name to tell.
type changedName struct {
	name    string
	old     string // what a renamed mailbox was called, or ""
	closed  bool   // another user's mailbox that the client cannot see any more
	deleted bool   // there is no mailbox any more that the client can see
}

// compare tells what changed, and has the session know the names that are there now.
func (d *treeDiff) compare(subscribed map[string]bool) {
	d.index = make(map[string]*changedName)
	before := make(map[string]bool, len(d.old)) // names
	for _, w := range d.old {
		before[w.path] = true
	}
	for _, node := range d.tree.nodes {
		if node.box == nil {
			continue
		}
		w := &watched{}
		if old := d.old[node.box.Key]; old != nil {
			*w = *old
		} else if before[node.name] {
			w.readable = true // another mailbox has taken the name: its UIDVALIDITY is to be told
		}
		w.path, w.foreign, w.events = node.name, node.others, d.n.eventsOf(node.name, node.others)
		d.n.boxes[node.box.Key] = w
	}
	d.gone()
	d.findExchanged()
	for _, node := range d.tree.nodes {
		if node.box != nil {
			d.mailbox(node, d.n.boxes[node.box.Key], d.old[node.box.Key])
		}
	}
	d.subscriptions(subscribed)
	d.order()
	d.correct()
	for _, changed := range d.list {
		if d.n.responses++; d.n.responses > d.c.srv.notifyResponses {
			return
		}
		node := d.tree.index[changed.name]
		if node == nil {
			node = newNode(changed.name)
		}
		d.c.writeListed(node, changed)
	}
}

// add notes a name to tell.
func (d *treeDiff) add(name string) *changedName {
	changed := d.index[name]
	if changed == nil {
		changed = &changedName{name: name}
		d.index[name] = changed
		d.list = append(d.list, changed)
	}
	return changed
}

// addWithParent notes the name of a mailbox that was created or deleted. That affects the parent,
// too, which need not exist (RFC 5465 section 5.4).
func (d *treeDiff) addWithParent(name string, foreign bool) {
	d.add(name)
	if parent := parentOf(name); parent != "" && d.n.eventsOf(parent, foreign).has(eventMailboxName) {
		d.add(parent)
	}
}

// gone finds mailboxes that do not exist any more, or that the client may not look up any more.
func (d *treeDiff) gone() {
	var gone []*watched
	for key, w := range d.old {
		node := d.tree.index[w.path]
		if d.n.boxes[key] == nil && (node == nil || node.box == nil) {
			gone = append(gone, w)
		}
	}
	slices.SortFunc(gone, func(a, b *watched) int { return strings.Compare(a.path, b.path) })
	for _, w := range gone {
		switch {
		case w.events.has(eventMailboxName):
			d.addWithParent(w.path, w.foreign)
			d.add(w.path).deleted = true
		case w.foreign && w.events != 0:
			changed := d.add(w.path)
			changed.closed, changed.deleted = true, true
			d.lostAccess(w.path)
		}
	}
}

// lostAccess remembers that the client was told of a name with \NoAccess. Other users decide how
// many names that happens to: so the session forgets one for each that is too many.
func (d *treeDiff) lostAccess(name string) {
	for forgotten := range d.n.noAccess {
		if len(d.n.noAccess) < d.c.srv.notifyMailboxes {
			break
		}
		delete(d.n.noAccess, forgotten)
	}
	d.n.noAccess[name] = true
}

// mailbox finds out whether a mailbox is new, has another name, or can be read.
func (d *treeDiff) mailbox(node *node, w, old *watched) {
	readable := node.rights.Has(account.Lookup | account.Read)
	switch {
	case old == nil && node.name == mailstore.Inbox: // the old one was renamed (RFC 5465 section 5.4)
	case old == nil && w.events.has(eventMailboxName):
		d.addWithParent(node.name, node.others)
	case old == nil && d.n.noAccess[node.name]:
		d.add(node.name)
	case old == nil && w.events != 0 && !readable:
		d.add(node.name)
	case old == nil:
	case renamedFrom(w, old) && d.exchanged[node.name]:
		d.add(node.name)
		*w = watched{path: w.path, foreign: w.foreign, events: w.events, readable: true}
	case renamedFrom(w, old):
		if !d.movedAlong(old.path, node.name) {
			d.add(node.name).old = old.path
		}
	case old.readable != readable && w.events != 0:
		d.add(node.name)
	}
	delete(d.n.noAccess, node.name)
}

// movedAlong reports whether the client is told the new name of a mailbox above, which moved this
// one, too.
func (d *treeDiff) movedAlong(from, to string) bool {
	for {
		above, below := parentOf(from), parentOf(to)
		if above == "" || below == "" || from[len(above):] != to[len(below):] {
			return false
		}
		if changed := d.index[below]; changed != nil && changed.old == above {
			return true
		}
		from, to = above, below
	}
}

// subscriptions finds names that became subscribed or are no longer.
func (d *treeDiff) subscriptions(before map[string]bool) {
	var changed []string
	for name := range before {
		if !d.n.subscribed[name] {
			changed = append(changed, name)
		}
	}
	for name := range d.n.subscribed {
		if !before[name] {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	for _, name := range changed {
		foreign := d.c.account.Foreign(name)
		// A group of subscribed mailboxes has those, too, that were subscribed before.
		events := d.n.eventsIf(name, foreign, true) | d.n.eventsIf(name, foreign, false)
		if events.has(eventSubscription) {
			d.add(name)
		}
	}
}

// newNode is a name without a mailbox.
func newNode(name string) *node { return &node{name: name} }

// writeListed writes LIST for a name that changed (RFC 5465 section 5.4).
func (c *conn) writeListed(n *node, changed *changedName) {
	var attrs []string
	switch {
	case changed.closed:
		attrs = append(attrs, `\NoAccess`)
	case n.box == nil:
		attrs = append(attrs, `\NonExistent`)
	case !n.rights.Has(account.Lookup | account.Read):
		attrs = append(attrs, `\NoAccess`)
	}
	if n.subscribed {
		attrs = append(attrs, `\Subscribed`)
	}
	switch {
	case n.children:
		attrs = append(attrs, `\HasChildren`)
	case n.box != nil:
		attrs = append(attrs, `\HasNoChildren`)
	}
	if n.box != nil && n.box.SpecialUse != "" {
		attrs = append(attrs, n.box.SpecialUse)
	}
	c.enc.Untagged().Raw("LIST ").Flags(attrs).Raw(` "/" `).Mailbox(n.name)
	if changed.old != "" {
		c.enc.Raw(` ("OLDNAME" (`).Mailbox(changed.old).Raw("))")
	}
	c.enc.CRLF()
}
