package imap

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/account"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// notifications is what a session tells by itself, once the client has sent NOTIFY (RFC 5465):
// between commands, too. Before that, conn.notify is nil, and only a command tells changes, of the
// selected mailbox.
//
// What the client knows of other mailboxes is in boxes. An event marks what there is to look at
// (dirty, list); a look compares with the database and tells the differences. So a lost event
// delays an answer, and any number of changes between two looks cost one query.
type notifications struct {
	selected selectedEvents
	groups   []eventGroup // of other mailboxes

	// The user's own mailboxes, and those of others that have events; nil without groups.
	boxes      map[mailkey.Mailbox]*watched
	subscribed map[string]bool  // names, if a group needs them
	noAccess   map[string]bool  // names of others' that were told with \NoAccess
	owners     []mailkey.UserID // other users of whom mailboxes are watched

	list   bool                      // look at all mailboxes
	dirty  map[mailkey.Mailbox]heard // look at these
	looked time.Time                 // when all mailboxes were looked at
	told   time.Time                 // when a look began last
	hold   bool                      // no look now: the last one was a moment ago
	fresh  bool                      // the command that runs has looked at everything

	responses int // of the present look
}

// heard is what an event told last of a mailbox.
type heard struct {
	modseq uint64
	at     time.Time
}

// watched is a mailbox as the client knows it. Of mailboxes without events that matter only the
// path is compared.
type watched struct {
	path     string
	foreign  bool
	readable bool         // the client has the rights l and r
	events   notifyEvents // to tell of it

	messages, unseen     int64 // unseen is less than 0 if it is unknown
	uidNext, uidValidity uint32
	modseq               uint64
}

// handleNotify answers NOTIFY (RFC 5465 section 3.1).
func (c *conn) handleNotify(ctx context.Context, cmd *command) error {
	req, err := parseNotify(cmd.args)
	if err != nil {
		return err
	}
	before := c.notify
	n := &notifications{selected: req.selected, groups: req.groups}
	c.notify = n
	if err := c.beginNotify(ctx, req, before); err != nil {
		c.notify = before
		c.subscribe(c.account.UserID())
		return err
	}
	if fetch := n.selected.fetch; fetch != nil && fetch.usesModSeq() {
		c.enable(condstore)
	}
	return nil
}

// beginNotify looks what there is to watch, and tells what the client asked to be told first.
func (c *conn) beginNotify(ctx context.Context, req *notifyRequest, before *notifications) error {
	n := c.notify
	c.subscribe(c.account.UserID()) // before reading, so that nothing falls in between
	if len(n.groups) > 0 {
		tree, err := c.watchedTree(ctx)
		if err != nil {
			return err
		}
		if !c.mayWatch(tree) {
			return errNotifyOverflow
		}
		n.looked, n.told, n.fresh = time.Now(), time.Now(), true
		n.boxes, n.dirty = make(map[mailkey.Mailbox]*watched), make(map[mailkey.Mailbox]heard)
		n.noAccess = make(map[string]bool)
		for _, node := range tree.nodes {
			if node.box == nil {
				continue
			}
			w := n.watch(c, node.box, node.rights, node.others)
			if w.matters() {
				n.boxes[node.box.Key] = w
			}
			switch {
			case w.events == 0:
			case !w.readable:
				c.writeListed(node, &changedName{})
			case req.status && w.events.has(messageEvents) && !c.isSelected(node.box):
				c.writeStatusItems(w.path, node.box, n.firstStatus(c, w))
			}
		}
		c.followWatched()
	}
	if n.events().has(metadataEvents) && (c.annotations.told == nil || !c.tellsAnnotations(before)) {
		return c.watchAnnotations(ctx)
	}
	return nil
}

// errNotifyOverflow refuses to watch so much (RFC 5465 section 3.1).
var errNotifyOverflow = refuse("NOTIFICATIONOVERFLOW", "There are too many mailboxes to watch")

// mayWatch reports whether a session can watch so much. Of others' mailboxes those count that the
// client asked for: so nobody ends its notifications by sharing others with the user.
func (c *conn) mayWatch(tree *mailboxTree) bool {
	owners := make(map[mailkey.UserID]bool)
	names := 0
	for _, node := range tree.nodes {
		foreign := node.others || node.box == nil && c.account.Foreign(node.name)
		if foreign && c.notify.eventsOf(node.name, true) == 0 {
			continue
		}
		if names++; node.others && node.box != nil {
			owners[node.box.Key.User()] = true
		}
	}
	return names <= c.srv.notifyMailboxes && len(owners) <= maxNotifyOwners
}

// followWatched subscribes to the events of those whose mailboxes are watched. What changed before
// that is found by another look.
func (c *conn) followWatched() {
	n := c.notify
	owners := make(map[mailkey.UserID]bool)
	for key, w := range n.boxes {
		if w.foreign && w.events != 0 {
			owners[key.User()] = true
		}
	}
	n.owners = n.owners[:0]
	for owner := range owners {
		n.owners = append(n.owners, owner)
		n.list = n.list || !slices.Contains(c.heard, owner)
	}
	slices.SortFunc(n.owners, func(a, b mailkey.UserID) int { return bytes.Compare(a[:], b[:]) })
	c.subscribe(c.account.UserID())
}

// events are those that some group asks for.
func (n *notifications) events() (all notifyEvents) {
	for _, g := range n.groups {
		all |= g.events
	}
	return all
}

// eventsOf returns what to tell of a name.
func (n *notifications) eventsOf(name string, foreign bool) notifyEvents {
	return n.eventsIf(name, foreign, n.subscribed[name])
}

// eventsIf returns what to tell of a name that is subscribed or not. Groups are looked at in their
// order, and add up; one without events keeps its mailboxes from the later ones.
func (n *notifications) eventsIf(name string, foreign, subscribed bool) (all notifyEvents) {
	for i := range n.groups {
		g := &n.groups[i]
		if !g.mailboxes.covers(name, foreign, subscribed) {
			continue
		}
		if g.events == 0 {
			break
		}
		all |= g.events
	}
	return all &^ eventServerMetadata
}

// watch returns what the client knows of a mailbox that was read just now.
func (n *notifications) watch(
	c *conn, box *mailstore.Mailbox, rights account.Rights, foreign bool,
) *watched {
	w := &watched{path: box.Path, foreign: foreign}
	w.update(c, box, rights)
	w.events = n.eventsOf(w.path, foreign)
	return w
}

// matters reports whether the session compares the mailbox. The user's own ones without events may
// come to a name that has some.
func (w *watched) matters() bool { return !w.foreign || w.events != 0 }

// update makes the client know the present state.
func (w *watched) update(c *conn, box *mailstore.Mailbox, rights account.Rights) {
	w.path, w.readable = box.Path, rights.Has(account.Lookup|account.Read)
	w.messages, w.unseen = box.Messages, box.Unseen
	w.uidNext, w.uidValidity, w.modseq = box.UIDNext, box.UIDValidity, box.HighestModSeq
}

// needs says what else than the user's own mailboxes the groups are about.
func (n *notifications) needs(c *conn) treeOf {
	of := treeOf{subscriptions: n.events().has(eventMailboxName | eventSubscription)}
	for i := range n.groups {
		s := &n.groups[i].mailboxes
		of.subscriptions = of.subscriptions || s.kind == "SUBSCRIBED"
		of.others = of.others || s.mayBeOthers(c)
	}
	return of
}

// watchedTree reads all mailboxes that the groups may be about, and which names are subscribed.
func (c *conn) watchedTree(ctx context.Context) (*mailboxTree, error) {
	tree, err := c.mailboxTree(ctx, c.notify.needs(c))
	if err != nil {
		return nil, err
	}
	c.notify.subscribed = make(map[string]bool)
	for _, node := range tree.nodes {
		if node.subscribed {
			c.notify.subscribed[node.name] = true
		}
	}
	return tree, nil
}

// note takes an event of the user, or of another one: it marks what there is to look at.
func (n *notifications) note(ev events.Event, user mailkey.UserID) {
	if n == nil || n.boxes == nil {
		return
	}
	switch ev.Kind {
	case events.MailboxList, events.Resync:
		n.list = true
	case events.Changed, events.New, events.Junk, events.Ham:
		key := ev.User.Mailbox(ev.Mailbox)
		w := n.boxes[key]
		switch {
		case w == nil && ev.User == user:
			n.list = true // a mailbox that the last look did not show
		case w != nil && w.readable && w.events.has(messageEvents) &&
			(ev.ModSeq == 0 || ev.ModSeq > w.modseq):
			n.dirty[key] = heard{max(ev.ModSeq, n.dirty[key].modseq), time.Now()}
		}
	}
}

// settle notes that a mailbox was looked at. It stays to be looked at as long as the database shows
// less than an event told of: what was read was then a state of before the event.
func (n *notifications) settle(c *conn, box *mailstore.Mailbox) {
	h, ok := n.dirty[box.Key]
	if ok && (h.modseq <= box.HighestModSeq || time.Since(h.at) >= c.srv.trustEvents) {
		delete(n.dirty, box.Key)
	}
}

// silent reports whether the client asked to hear nothing of the selected mailbox.
func (n *notifications) silent() bool { return n != nil && n.selected.events == 0 }

// pushes reports whether the client is told of something between commands.
func (n *notifications) pushes() bool {
	return n != nil && (n.selected.events != 0 || len(n.groups) > 0)
}

// pending reports whether there is something to look at. What happens in the selected mailbox waits
// until another one is selected.
func (n *notifications) pending(c *conn) bool {
	if n == nil || n.boxes == nil {
		return false
	}
	if n.list {
		return true
	}
	for key := range n.dirty {
		if c.sel == nil || key != c.sel.box.Key() {
			return true
		}
	}
	return false
}

// stale reports whether all mailboxes were not looked at for so long that an event may be lost.
func (n *notifications) stale(c *conn) bool {
	return n != nil && n.boxes != nil && time.Since(n.looked) >= c.pollAfter()
}

// overflow ends all notifications, as NOTIFY NONE does (RFC 5465 section 5.8).
func (c *conn) overflow(why string) {
	c.notify = &notifications{}
	c.subscribe(c.account.UserID())
	c.status("*", imap.StatusResponseTypeOK, "NOTIFICATIONOVERFLOW", why)
}

// The session does not tell its client of what the client did itself (RFC 5465 section 5). The
// following note what a command did, so that the next look finds no difference.

// created notes a new mailbox.
func (n *notifications) created(c *conn, box *mailstore.Mailbox) {
	if n == nil || n.boxes == nil || n.boxes[box.Key] != nil {
		return
	}
	n.boxes[box.Key] = n.watch(c, box, account.AllRights, c.account.Foreign(box.Path))
}

// deleted notes that the mailbox of this name is gone.
func (n *notifications) deleted(name string) {
	if n == nil {
		return
	}
	for key, w := range n.boxes {
		if w.path == name {
			delete(n.boxes, key)
			delete(n.dirty, key)
		}
	}
}

// renamed notes new names of a mailbox and of those below. INBOX is renamed alone.
func (n *notifications) renamed(from, to string) {
	if n == nil {
		return
	}
	for _, w := range n.boxes {
		below, ok := strings.CutPrefix(w.path, from+separator)
		switch {
		case w.path == from:
			w.path = to
		case ok && from != mailstore.Inbox:
			w.path = to + separator + below
		default:
			continue
		}
		w.events = n.eventsOf(w.path, w.foreign)
	}
}

// subscribe notes that a name is subscribed or not.
func (n *notifications) subscribe(name string, subscribed bool) {
	if n == nil || n.subscribed == nil {
		return
	}
	if subscribed {
		n.subscribed[name] = true
	} else {
		delete(n.subscribed, name)
	}
	known := false
	for _, w := range n.boxes {
		if w.path == name {
			w.events, known = n.eventsOf(name, w.foreign), true
		}
	}
	n.list = n.list || n.boxes != nil && !known && n.eventsOf(name, true) != 0 // perhaps one of others
}

// added notes messages that the session put into a mailbox, by a transaction with that
// mod-sequence, unless others changed something before: then the client is told of all.
func (n *notifications) added(box mailkey.Mailbox, uids []uint32, modseq uint64) {
	if n == nil || len(uids) == 0 {
		return
	}
	if w := n.boxes[box]; w != nil && modseq == w.modseq+1 {
		w.messages, w.uidNext, w.modseq = w.messages+int64(len(uids)), uids[len(uids)-1]+1, modseq
		w.unseen = -1
	}
}

// left notes that the client knows the mailbox that was selected as it was told.
func (n *notifications) left(sel *selected) {
	if n == nil || n.selected.events == 0 {
		return
	}
	key := sel.box.Key()
	if w := n.boxes[key]; w != nil && sel.view.ModSeq() > w.modseq && !sel.view.HasGone() {
		w.messages, w.uidNext, w.modseq = int64(sel.view.Len()), sel.view.Next(), sel.view.ModSeq()
		w.unseen = -1
	}
}
