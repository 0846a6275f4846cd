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

// keyRange is keys from the first to the last, both included.
type keyRange struct{ first, last []byte }

func (r keyRange) bounds() bson.D {
	return bson.D{{Key: "$gte", Value: bson.Binary{Data: r.first}}, {Key: "$lte", Value: bson.Binary{Data: r.last}}}
}

// damagedUser checks a user of whose mail the database cannot read everything. It names what cannot be
// read, and then checks each mailbox in a snapshot of its own. Of mailboxes with damage nothing more
// can be said.
func (c *checker) damagedUser(ctx context.Context, id mailkey.UserID) error {
	if err := c.reportDamage(ctx, id); err != nil {
		return err
	}
	return c.largeUser(ctx, id)
}

// reportDamage reads all messages and the journal of a user and reports what cannot be read.
func (c *checker) reportDamage(ctx context.Context, user mailkey.UserID) error {
	first, last := user.Mailbox(0).Message(0), lastOf(user)
	messages := database.Scan{Collection: c.s.messages, Key: database.Key{Size: len(first)},
		From: first[:], To: last[:], Projection: checkProjection, Page: checkPage}
	ignore := func(bson.Raw) error { return nil }
	if err := messages.Run(ctx, ignore, func(g database.Gap) error {
		return c.reportMessages(ctx, user, g)
	}); err != nil {
		return fmt.Errorf("look for damaged messages: %w", err)
	}
	low := newJournalKey(user.Mailbox(0), 0)
	high := newJournalKey(user.Mailbox(1<<32-1), 1<<64-1)
	journal := database.Scan{Collection: c.s.journal, Key: database.Key{Size: len(low)},
		From: low[:], To: high[:], Page: checkPage}
	if err := journal.Run(ctx, ignore, func(g database.Gap) error {
		c.found(Finding{Fault: Unreadable, User: user,
			Detail: fmt.Sprintf("journal entries from %s: %v", g.String(), g.Err)})
		return nil
	}); err != nil {
		return fmt.Errorf("look for damaged journal entries: %w", err)
	}
	return nil
}

// reportMessages reports messages that the database cannot read: one by one, if the server answers from
// the index on mod-sequences alone which there are, and else as a range of UIDs of each mailbox.
func (c *checker) reportMessages(ctx context.Context, user mailkey.UserID, g database.Gap) error {
	boxes, err := c.s.Mailboxes(ctx, user)
	if database.IsDamaged(err) {
		c.found(Finding{Fault: Unreadable, User: user,
			Detail: fmt.Sprintf("messages with keys from %s: %v", g.String(), g.Err)})
		return nil
	}
	if err != nil {
		return err
	}
	for _, box := range boxes {
		r := keyRange{laterKey(box.Key.Message(1), g.From), earlierKey(box.Key.Message(box.UIDNext-1), g.To)}
		if bytes.Compare(r.first, r.last) > 0 {
			continue
		}
		uids, err := c.indexedUIDs(ctx, box.Key, r)
		if err != nil && !database.IsDamaged(err) {
			return err
		}
		f := Finding{Fault: Unreadable, User: user, Mailbox: box.Key, Detail: g.Err.Error()}
		if err != nil || len(uids) > maxFindings {
			f.UID, f.LastUID = mailkey.Message(r.first).UID(), mailkey.Message(r.last).UID()
			c.found(f)
			continue
		}
		for _, uid := range uids {
			f.UID = uid
			c.found(f)
		}
	}
	return nil
}

// laterKey and earlierKey are the greater and the lesser of two keys.
func laterKey(key mailkey.Message, other []byte) []byte {
	if bytes.Compare(key[:], other) < 0 {
		return other
	}
	return key[:]
}

func earlierKey(key mailkey.Message, other []byte) []byte {
	if bytes.Compare(key[:], other) > 0 {
		return other
	}
	return key[:]
}

// indexedUIDs returns the UIDs of the messages in a range of keys that the index on mod-sequences has.
func (c *checker) indexedUIDs(ctx context.Context, box mailkey.Mailbox, r keyRange) ([]uint32, error) {
	var uids []uint32
	cursor, err := c.s.messages.Find(ctx,
		bson.D{{Key: DocMailbox, Value: box.Binary()},
			{Key: DocModSeq, Value: bson.D{{Key: "$gt", Value: int64(0)}}}, {Key: DocID, Value: r.bounds()}},
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
