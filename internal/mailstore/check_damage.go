package mailstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// damage is what the database cannot read of one user's mail.
type damage struct {
	messages, journal []database.Gap
}

// keyRange is keys from the first to the last, both included.
type keyRange struct{ first, last []byte }

func (r keyRange) bounds() bson.D {
	return bson.D{{Key: "$gte", Value: bson.Binary{Data: r.first}}, {Key: "$lte", Value: bson.Binary{Data: r.last}}}
}

// readable returns the ranges of message keys from first to last that can be read.
func (d *damage) readable(first, last []byte) []keyRange {
	if d == nil {
		return []keyRange{{first, last}}
	}
	return around(first, last, d.messages)
}

// readableJournal is readable for journal keys.
func (d *damage) readableJournal(first, last []byte) []keyRange {
	if d == nil {
		return []keyRange{{first, last}}
	}
	return around(first, last, d.journal)
}

// around returns what the gaps, which ascend, leave of the keys from first to last.
func around(first, last []byte, gaps []database.Gap) (list []keyRange) {
	for _, g := range gaps {
		if bytes.Compare(g.To, first) < 0 {
			continue
		}
		if bytes.Compare(g.From, last) > 0 {
			break
		}
		if bytes.Compare(first, g.From) < 0 {
			list = append(list, keyRange{first, before(g.From)})
		}
		if first = after(g.To); first == nil {
			return list
		}
	}
	if bytes.Compare(first, last) <= 0 {
		list = append(list, keyRange{first, last})
	}
	return list
}

// after returns the next key of the same length, or nil behind the greatest one.
func after(key []byte) []byte {
	next := bytes.Clone(key)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next
		}
	}
	return nil
}

// before returns the key before one that is not the least.
func before(key []byte) []byte {
	previous := bytes.Clone(key)
	for i := len(previous) - 1; i >= 0; i-- {
		if previous[i]--; previous[i] != 0xff {
			break
		}
	}
	return previous
}

// concerns reports whether messages of the mailbox may be among those that cannot be read.
func (d *damage) concerns(box mailkey.Mailbox) bool {
	first, last := box.Message(0), box.Message(1<<32-1)
	return slices.ContainsFunc(d.messages, func(g database.Gap) bool {
		return bytes.Compare(g.From, last[:]) <= 0 && bytes.Compare(first[:], g.To) <= 0
	})
}

// snapshot is Store.snapshot for reading a user. When the database cannot read everything, it finds
// out what, reports that, and runs fn again, which then leaves it out.
func (c *checker) snapshot(ctx context.Context, user mailkey.UserID, fn func(context.Context) error) error {
	err := c.s.snapshot(ctx, fn)
	if !database.IsDamaged(err) || c.damage != nil {
		return err
	}
	if c.damage, err = c.findDamage(ctx, user); err != nil {
		return err
	}
	return c.s.snapshot(ctx, fn)
}

// findDamage reads all messages and the journal of a user and reports what cannot be read.
func (c *checker) findDamage(ctx context.Context, user mailkey.UserID) (*damage, error) {
	d := new(damage)
	first, last := user.Mailbox(0).Message(0), lastOf(user)
	messages := database.Scan{Collection: c.s.messages, Key: database.Key{Size: len(first)},
		From: first[:], To: last[:], Projection: checkProjection, Page: checkPage}
	ignore := func(bson.Raw) error { return nil }
	if err := messages.Run(ctx, ignore, func(g database.Gap) error {
		d.messages = append(d.messages, g)
		return c.reportMessages(ctx, user, g)
	}); err != nil {
		return nil, fmt.Errorf("look for damaged messages: %w", err)
	}
	low := newJournalKey(user.Mailbox(0), 0)
	high := newJournalKey(user.Mailbox(1<<32-1), 1<<64-1)
	journal := database.Scan{Collection: c.s.journal, Key: database.Key{Size: len(low)},
		From: low[:], To: high[:], Page: checkPage}
	if err := journal.Run(ctx, ignore, func(g database.Gap) error {
		d.journal = append(d.journal, g)
		c.found(Finding{Fault: Unreadable, User: user,
			Detail: fmt.Sprintf("journal entries from %s: %v", g.String(), g.Err)})
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look for damaged journal entries: %w", err)
	}
	return d, nil
}

// reportMessages reports messages that the database cannot read. The index on mod-sequences names
// them, if it can be read.
func (c *checker) reportMessages(ctx context.Context, user mailkey.UserID, g database.Gap) error {
	boxes, err := c.s.mailboxIDs(ctx, user)
	if err != nil && !database.IsDamaged(err) {
		return err
	}
	named := 0
	for _, box := range boxes {
		first, last := box.Message(0), box.Message(1<<32-1)
		from, to := g.From, g.To
		if bytes.Compare(from, first[:]) < 0 {
			from = first[:]
		}
		if bytes.Compare(to, last[:]) > 0 {
			to = last[:]
		}
		if bytes.Compare(from, to) > 0 {
			continue
		}
		uids, err := c.indexedUIDs(ctx, box, keyRange{from, to})
		if err != nil && !database.IsDamaged(err) {
			return err
		}
		for _, uid := range uids {
			if named++; named <= maxFindings {
				c.found(Finding{Fault: Unreadable, User: user, Mailbox: box, UID: uid, Detail: g.Err.Error()})
			}
		}
	}
	if named == 0 || named > maxFindings {
		c.found(Finding{Fault: Unreadable, User: user,
			Detail: fmt.Sprintf("messages with keys from %s: %v", g.String(), g.Err)})
	}
	return nil
}

// indexedUIDs returns the UIDs of the messages in a range of keys that the index on mod-sequences has.
func (c *checker) indexedUIDs(ctx context.Context, box mailkey.Mailbox, r keyRange) ([]uint32, error) {
	var uids []uint32
	cursor, err := c.s.messages.Find(ctx,
		bson.D{{Key: DocMailbox, Value: box.Binary()}, {Key: "_id", Value: r.bounds()}},
		options.Find().SetHint(indexModSeq).SetProjection(projection(0)).SetBatchSize(batchSmall))
	if err != nil {
		return nil, err
	}
	err = eachDocument(ctx, cursor, func(doc bson.Raw) error {
		key, err := messageKey(doc.Lookup(DocID))
		uids = append(uids, key.UID())
		return err
	})
	slices.Sort(uids)
	return uids, err
}
