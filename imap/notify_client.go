package imap

import (
	"slices"
	"strings"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// clientNames is what a client knows of the names of mailboxes, as far as it was told: a tree of the
// levels of names.
type clientNames struct {
	box   mailkey.Mailbox // zero if the client knows no mailbox of the name
	below map[string]*clientNames
}

// at returns the place of a name, which it makes.
func (t *clientNames) at(name string) *clientNames {
	for level := range strings.SplitSeq(name, "/") {
		next := t.below[level]
		if next == nil {
			next = &clientNames{}
			if t.below == nil {
				t.below = make(map[string]*clientNames)
			}
			t.below[level] = next
		}
		t = next
	}
	return t
}

// rename takes a name, and those below unless it is INBOX, to another name.
func (t *clientNames) rename(from, to string) {
	old := t.at(from)
	moved := *old
	if from == mailstore.Inbox { // there is another one
		moved.below = nil
	} else {
		*old = clientNames{}
	}
	t.at(to).merge(&moved)
}

func (t *clientNames) merge(moved *clientNames) {
	if moved.box != (mailkey.Mailbox{}) {
		t.box = moved.box
	}
	if t.below == nil {
		t.below = moved.below
		return
	}
	for level, below := range moved.below {
		if t.below[level] == nil {
			t.below[level] = below
		} else {
			t.below[level].merge(below)
		}
	}
}

// each calls f for the names of mailboxes below a name.
func (t *clientNames) each(name string, f func(name string, box mailkey.Mailbox)) {
	if t.box != (mailkey.Mailbox{}) {
		f(name, t.box)
	}
	for level, below := range t.below {
		if name != "" {
			level = name + "/" + level
		}
		below.each(level, f)
	}
}

// correct follows the names to tell as a client does. It takes OLDNAME from those that would mislead the
// client. What the client knows wrong at the end, it is told: names that there are not any more, and
// then mailboxes, as new ones with their UIDVALIDITY. So the client ends with the names that there are,
// however they were changed.
func (d *treeDiff) correct() {
	if !slices.ContainsFunc(d.list, func(changed *changedName) bool { return changed.old != "" }) {
		return // each name is told for itself
	}
	client := &clientNames{}
	for key, w := range d.old {
		client.at(w.path).box = key
	}
	now := make(map[string]mailkey.Mailbox, len(d.tree.nodes))
	for _, node := range d.tree.nodes {
		if node.box != nil {
			now[node.name] = node.box.Key
		}
	}
	for _, changed := range d.list {
		key, there := now[changed.name]
		switch {
		case changed.old != "" && client.at(changed.old).box == key:
			client.rename(changed.old, changed.name)
		case !there:
			client.at(changed.name).box = mailkey.Mailbox{}
		case client.at(changed.name).box == mailkey.Mailbox{}:
			client.at(changed.name).box, changed.old = key, ""
		default:
			changed.old = ""
		}
	}
	var wrong []*changedName
	client.each("", func(name string, _ mailkey.Mailbox) {
		if _, there := now[name]; !there && d.n.eventsOf(name, d.c.account.Foreign(name)).has(eventMailboxName) {
			wrong = append(wrong, &changedName{name: name, deleted: true})
		}
	})
	for _, node := range d.tree.nodes {
		if node.box == nil {
			continue
		}
		w := d.n.boxes[node.box.Key]
		known := client.at(node.name).box
		if !w.events.has(eventMailboxName) || known == node.box.Key {
			continue
		}
		if retold := w.readable && w.uidValidity == 0; known != (mailkey.Mailbox{}) && retold {
			continue
		}
		wrong = append(wrong, &changedName{name: node.name})
		*w = watched{path: w.path, foreign: w.foreign, events: w.events, readable: true}
	}
	d.list = append(d.list, wrong...)
}
