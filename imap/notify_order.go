package imap

import (
	"slices"

	"gadwall/internal/mailstore"
)

// A client that is told of a mailbox by OLDNAME takes what it knows of the old name, and of those
// below, to the new one (RFC 5465 section 5.4). So the order counts when several were renamed
// between two looks.

// order sorts the names to tell: deleted ones, then renames, then the others. A rename comes before
// another one to its old name or below, and after renames from below its old name. INBOX is renamed
// alone.
func (d *treeDiff) order() {
	from := make(map[string]*changedName) // old names
	for _, changed := range d.list {
		if changed.old != "" {
			from[changed.old] = changed
		}
	}
	if len(from) == 0 {
		return
	}
	below := make(map[*changedName][]*changedName)
	for _, changed := range d.list {
		for name := parentOf(changed.old); name != ""; name = parentOf(name) {
			if above := from[name]; above != nil && name != mailstore.Inbox {
				below[above] = append(below[above], changed)
			}
		}
	}
	var deleted, renamed, others []*changedName
	seen := make(map[*changedName]bool)
	var visit func(changed *changedName)
	visit = func(changed *changedName) {
		if seen[changed] {
			return
		}
		seen[changed] = true
		for name := changed.name; name != ""; name = parentOf(name) {
			if first := from[name]; first != nil && (name == changed.name || name != mailstore.Inbox) {
				visit(first)
			}
		}
		for _, first := range below[changed] {
			visit(first)
		}
		renamed = append(renamed, changed)
	}
	for _, changed := range d.list {
		switch {
		case changed.old != "":
			visit(changed)
		case changed.deleted:
			deleted = append(deleted, changed)
		default:
			others = append(others, changed)
		}
	}
	d.list = slices.Concat(deleted, renamed, others)
}

// findExchanged finds the mailboxes that took the names of each other. No order of renames tells
// that: so the client is told of each as of a new mailbox, with its UIDVALIDITY.
func (d *treeDiff) findExchanged() {
	to := make(map[string]string) // of old names: the new one
	for key, w := range d.n.boxes {
		if old := d.old[key]; old != nil && renamedFrom(w, old) {
			to[old.path] = w.path
		}
	}
	d.exchanged = make(map[string]bool)
	seen := make(map[string]bool)
	for start := range to {
		if seen[start] {
			continue
		}
		var names []string
		name := start
		for name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
			name = to[name]
		}
		if name != start {
			continue
		}
		for _, name := range names {
			d.exchanged[name] = true
		}
	}
}

// renamedFrom reports whether the client is to be told that a mailbox has another name.
func renamedFrom(w, old *watched) bool {
	return old.path != w.path && (w.events | old.events).has(eventMailboxName)
}
