package imap

import (
	"context"
	"slices"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// annotations is what a session knows of the changes of metadata that others make, once it has
// asked to be told (ENABLE METADATA, RFC 5464 section 4.1). All changes of the metadata of one user's
// mailboxes have numbers, so it is the number of the last one, for the user and for those who share
// mailboxes with the user.
type annotations struct {
	told   map[mailkey.UserID]int64 // the last change that was told, or was there at the beginning
	own    []ownChange              // later ones that the session made itself
	stale  bool                     // there are changes to tell
	shares bool                     // perhaps others share other mailboxes than before
	looked time.Time                // when the database was asked last
}

// ownChange is a change that is not told.
type ownChange struct {
	owner  mailkey.UserID
	number int64
}

// made notes a change by the session itself.
func (a *annotations) made(owner mailkey.UserID, number int64) {
	a.own = append(a.own, ownChange{owner, number})
	if len(a.own) > maxOwnChanges { // rather tells one too many
		a.own = slices.Delete(a.own, 0, 1)
	}
}

// watchAnnotations begins to tell changes of metadata.
func (c *conn) watchAnnotations(ctx context.Context) error {
	c.annotations = annotations{told: make(map[mailkey.UserID]int64)}
	if err := c.followOwners(ctx); err != nil {
		return err
	}
	c.annotations.looked = time.Now()
	return nil
}

// tellsAnnotations reports whether the client has asked to be told of metadata: by ENABLE, or with
// NOTIFY, which then says everything that the client is to be told, by an event (RFC 5465 sections 5.6
// and 5.7).
func (c *conn) tellsAnnotations(n *notifications) bool {
	if n != nil {
		return n.events().has(metadataEvents)
	}
	return c.enabled.has(metadata)
}

// tellsMetadata reports whether to tell the metadata of a mailbox, or of the server.
func (n *notifications) tellsMetadata(path string, foreign bool, rights account.Rights) bool {
	switch {
	case n == nil:
		return true
	case path == "":
		return n.events().has(eventServerMetadata)
	}
	return rights.Has(account.Lookup|account.Read) && n.eventsOf(path, foreign).has(eventMailboxMetadata)
}

// followOwners looks whose mailboxes have annotations that the client may read. Of owners that it
// did not know, only later changes are told.
func (c *conn) followOwners(ctx context.Context) error {
	a := &c.annotations
	owners, err := c.account.AnnotationOwners(ctx, maxAnnotationOwners)
	if err != nil {
		return err
	}
	for owner := range a.told {
		if !slices.Contains(owners, owner) {
			delete(a.told, owner)
		}
	}
	for _, owner := range owners {
		if _, known := a.told[owner]; known {
			continue
		}
		a.told[owner] = 0
		c.subscribe(owner) // before reading, so that nothing falls in between
		last, err := c.account.LastMetadataChange(ctx, owner)
		if err != nil {
			delete(a.told, owner)
			return err
		}
		a.told[owner] = last
	}
	return nil
}

// tellAnnotations writes METADATA responses without values (RFC 5464 section 4.4.2) for what
// others changed.
func (c *conn) tellAnnotations(ctx context.Context, mode syncMode) error {
	a := &c.annotations
	if !c.tellsAnnotations(c.notify) || mode == syncNone {
		return nil
	}
	if mode == syncForced || time.Since(a.looked) >= c.pollAfter() {
		a.stale, a.shares = true, true
	}
	if !a.stale {
		return nil
	}
	if a.shares {
		if err := c.followOwners(ctx); err != nil {
			return err
		}
		a.shares = false
	}
	for owner := range a.told {
		if err := c.tellChangesOf(ctx, owner); err != nil {
			return err
		}
	}
	a.stale, a.looked = false, time.Now()
	return c.enc.Err()
}

// tellChangesOf tells the changes of the metadata of one user's mailboxes.
func (c *conn) tellChangesOf(ctx context.Context, owner mailkey.UserID) error {
	a := &c.annotations
	for {
		changed, last, err := c.account.MetadataChanges(ctx, owner, a.told[owner])
		if err != nil || last == a.told[owner] {
			return err
		}
		if err := c.writeChangedMetadata(ctx, owner, changed); err != nil {
			return err
		}
		a.told[owner] = last
		a.own = slices.DeleteFunc(a.own, func(o ownChange) bool { return o.owner == owner && o.number <= last })
	}
}

// writeChangedMetadata writes a response for each mailbox that has changed entries, but for those
// that the session changed itself.
func (c *conn) writeChangedMetadata(
	ctx context.Context, owner mailkey.UserID, changed []mailstore.MetadataEntry,
) error {
	names := make(map[uint32][]string)
	var order []uint32
	for _, e := range changed {
		if slices.Contains(c.annotations.own, ownChange{owner, e.Change}) {
			continue
		}
		if names[e.Mailbox] == nil {
			order = append(order, e.Mailbox)
		}
		names[e.Mailbox] = append(names[e.Mailbox], e.Name)
	}
	if len(order) == 0 {
		return nil
	}
	paths, err := c.annotatedPaths(ctx, owner, order)
	if err != nil {
		return err
	}
	for _, number := range order {
		if path, there := paths[number]; there {
			slices.Sort(names[number])
			c.writeEntryNames(path, names[number])
		}
	}
	return nil
}

// annotatedPaths returns the names of an owner's mailboxes whose annotations the client may read,
// by their numbers. Number 0 is the server, of the user alone.
func (c *conn) annotatedPaths(
	ctx context.Context, owner mailkey.UserID, numbers []uint32,
) (map[uint32]string, error) {
	paths := make(map[uint32]string)
	list := c.account.Others
	if owner == c.account.UserID() {
		if c.notify.tellsMetadata("", false, 0) {
			paths[0] = ""
		}
		if len(numbers) == 1 && numbers[0] == 0 {
			return paths, nil
		}
		list = c.account.Own
	}
	boxes, err := list(ctx)
	if err != nil {
		return nil, err
	}
	for _, box := range boxes {
		if box.Key.User() == owner && box.Rights.Annotate() &&
			c.notify.tellsMetadata(box.Path, owner != c.account.UserID(), box.Rights) {
			paths[box.Key.Number()] = box.Path
		}
	}
	return paths, nil
}

// writeEntryNames writes METADATA without values: names of what changed.
func (c *conn) writeEntryNames(mailbox string, names []string) {
	c.enc.Untagged().Raw("METADATA ").Mailbox(mailbox)
	for _, name := range names {
		c.enc.SP()
		c.entryName(name)
	}
	c.enc.CRLF()
}
