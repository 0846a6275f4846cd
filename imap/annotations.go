package imap

import (
	"context"
	"slices"
	"time"

	"gadwall/internal/mailstore"
)

// annotations is what a session knows of the changes of metadata that others make, once it has
// asked to be told (ENABLE METADATA, RFC 5464 section 4.1). All changes of a user's metadata have
// numbers, so it is the number of the last one.
type annotations struct {
	told   int64     // the number of the last change that was told, or was there at the beginning
	own    []int64   // later ones that the session made itself
	stale  bool      // there are changes to tell
	looked time.Time // when the database was asked last
}

// made notes a change by the session itself, which is not told.
func (a *annotations) made(change int64) {
	a.own = append(a.own, change)
	if len(a.own) > maxOwnChanges { // rather tells one too many
		a.own = slices.Delete(a.own, 0, 1)
	}
}

// watchAnnotations begins to tell changes of metadata.
func (c *conn) watchAnnotations(ctx context.Context) error {
	c.subscribe(c.account.UserID()) // before reading, so that nothing falls in between
	last, err := c.account.LastMetadataChange(ctx)
	if err != nil {
		return err
	}
	c.annotations = annotations{told: last, looked: time.Now()}
	return nil
}

// tellAnnotations writes METADATA responses without values (RFC 5464 section 4.4.2) for what
// others changed.
func (c *conn) tellAnnotations(ctx context.Context, mode syncMode) error {
	a := &c.annotations
	if !c.enabled.has(metadata) || mode == syncNone {
		return nil
	}
	if !a.stale && mode != syncForced && time.Since(a.looked) < c.pollAfter() {
		return nil
	}
	a.stale = true // until it worked
	for {
		changed, last, err := c.account.MetadataChanges(ctx, a.told)
		if err != nil {
			return err
		}
		if last == a.told {
			break
		}
		if err := c.writeChangedMetadata(ctx, changed); err != nil {
			return err
		}
		a.told = last
		a.own = slices.DeleteFunc(a.own, func(n int64) bool { return n <= last })
	}
	a.stale, a.looked = false, time.Now()
	return c.enc.Err()
}

// writeChangedMetadata writes a response for each mailbox that has changed entries, but for those
// that the session changed itself.
func (c *conn) writeChangedMetadata(ctx context.Context, changed []mailstore.MetadataEntry) error {
	names := make(map[uint32][]string)
	var order []uint32
	for _, e := range changed {
		if slices.Contains(c.annotations.own, e.Change) {
			continue
		}
		if names[e.Mailbox] == nil {
			order = append(order, e.Mailbox)
		}
		names[e.Mailbox] = append(names[e.Mailbox], e.Name)
	}
	paths := map[uint32]string{0: ""}
	if len(order) > 1 || len(order) == 1 && order[0] != 0 {
		boxes, err := c.account.Mailboxes(ctx)
		if err != nil {
			return err
		}
		for _, box := range boxes {
			paths[box.Key.Number()] = box.Path
		}
	}
	for _, number := range order {
		if path, there := paths[number]; there {
			slices.Sort(names[number])
			c.writeEntryNames(path, names[number])
		}
	}
	return nil
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
