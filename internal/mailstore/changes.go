package mailstore

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// Changes is how a mailbox differs from what it was at some mod-sequence.
type Changes struct {
	Mailbox *Mailbox
	// Changed are the messages that are new or have other flags, ascending.
	Changed []FlagState
	// Vanished are the removed UIDs, ascending. Some may be of messages that came after that
	// mod-sequence.
	Vanished []uint32
	// Complete says that Vanished has all removed UIDs. It has not if the journal does not reach
	// back that far, or if they are very many. Then the caller must compare the UIDs that exist now
	// with those that existed then.
	Complete bool
}

// Changes returns what changed after the mod-sequence since, up to Mailbox.HighestModSeq at least.
// A message that changes again during the read may be reported in its later state, but is never
// left out. The error is ErrNoSuchMailbox.
//
// Changes reads the mailbox first. Every change writes the mailbox, so changes up to the mailbox's
// mod-sequence were committed before. The reads are a chain, so that they are seen on every shard.
func (s *Store) Changes(ctx context.Context, box mailkey.Mailbox, since uint64) (*Changes, error) {
	ctx = database.Causal(ctx)
	s.traffic.note(box.User())
	doc, err := s.findMailboxDoc(ctx, byBox(box))
	if err != nil {
		return nil, err
	}
	m, err := doc.mailbox()
	if err != nil {
		return nil, err
	}
	c := &Changes{Mailbox: m, Complete: true}
	if since >= m.HighestModSeq {
		return c, nil
	}
	if c.Changed, err = s.changed(ctx, box, since); err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	if uint64(doc.Expunged) > since {
		if c.Vanished, c.Complete, err = s.vanished(ctx, box, since, uint64(doc.Expunged)); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
	}
	return c, nil
}

// changed returns the messages with a mod-sequence above since.
func (s *Store) changed(ctx context.Context, box mailkey.Mailbox, since uint64) ([]FlagState, error) {
	var list []FlagState
	var failed error
	fields := projection(FieldFlags | FieldInternalDate | FieldSize | FieldNumber)
	s.walk(ctx, changedFilter(box, since), changedOptions().SetProjection(fields),
		func(raw bson.Raw, err error) bool {
			var m *Message
			if err == nil {
				m, err = decodeMessage(raw)
			}
			if err != nil {
				failed = err
				return false
			}
			list = append(list, FlagState{
				UID: m.UID, ModSeq: m.ModSeq, Flags: m.Flags, Keywords: m.Keywords,
				Size: m.Size, InternalDate: m.InternalDate, Number: m.Number,
			})
			return true
		})
	if failed != nil {
		return nil, failed
	}
	slices.SortStableFunc(list, func(a, b FlagState) int { return int(int64(a.UID) - int64(b.UID)) })
	// A message that changed while the index was walked can turn up twice; the later one counts.
	slices.Reverse(list)
	list = slices.CompactFunc(list, func(a, b FlagState) bool { return a.UID == b.UID })
	slices.Reverse(list)
	return list, nil
}

// vanished returns the UIDs of the journal after since up to the entry at newest, and reports
// whether they are complete: the entries must form an unbroken chain that begins with one whose
// predecessor is not after since.
func (s *Store) vanished(ctx context.Context, box mailkey.Mailbox, since,
	newest uint64) (uids []uint32, complete bool, err error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.journal.Find(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gt", Value: newJournalKey(box, since).Binary()},
		{Key: "$lte", Value: newJournalKey(box, newest).Binary()}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, false, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	reached, complete := since, true
	for cursor.Next(ctx) {
		var entry struct {
			ID       bson.Binary `bson:"_id"`
			Expunged bson.Binary `bson:"x"`
			Previous int64       `bson:"v"`
		}
		if err := cursor.Decode(&entry); err != nil {
			return nil, false, err
		}
		if len(entry.ID.Data) != len(journalKey{}) {
			return nil, false, errBadJournal
		}
		if uids, err = decodeUIDs(uids, entry.Expunged.Data, maxVanished+1); err != nil {
			return nil, false, err
		}
		if len(uids) > maxVanished {
			return nil, false, nil
		}
		if uint64(entry.Previous) > reached {
			complete = false
		}
		reached = journalKey(entry.ID.Data).modseq()
	}
	if err := cursor.Err(); err != nil {
		return nil, false, err
	}
	slices.Sort(uids)
	return uids, complete && reached == newest, nil
}
