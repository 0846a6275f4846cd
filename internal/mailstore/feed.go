package mailstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// What package feed reads: how far the mailboxes of a user have come, and what changed between two
// mod-sequences of one.

// ErrJournalGap says that entries of a journal are not there any more.
var ErrJournalGap = errors.New("entries of the journal are missing")

// Extent says how far a mailbox has come.
type Extent struct {
	Mailbox    uint32 // number
	Path       string
	SpecialUse string
	UIDNext    uint64 // 2^32 if the last UID was given out
	ModSeq     uint64
	Expunged   uint64 // mod-sequence of the newest journal entry
}

var extentProjection = bson.D{
	{Key: boxPath, Value: 1}, {Key: boxSpecialUse, Value: 1}, {Key: boxUIDNext, Value: 1},
	{Key: boxModSeq, Value: 1}, {Key: boxExpunged, Value: 1},
}

// Extents returns how far the mailboxes of a user have come, in the order of their numbers.
func (s *Store) Extents(ctx context.Context, user mailkey.UserID) ([]Extent, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.mailboxes.Find(ctx, append(allBoxes(user), notSet(boxDeleting)),
		options.Find().SetSort(byKey).SetHint(byKey).SetProjection(extentProjection).SetBatchSize(MaxMailboxes+1))
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	var docs []mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	list := make([]Extent, len(docs))
	for i := range docs {
		d := &docs[i]
		if len(d.ID.Data) != len(mailkey.Mailbox{}) {
			return nil, fmt.Errorf("mailbox key of %d octets in the database", len(d.ID.Data))
		}
		list[i] = d.extent()
	}
	return list, nil
}

// ExtentOf returns how far a mailbox has come. The error is ErrNoSuchMailbox.
func (s *Store) ExtentOf(ctx context.Context, box mailkey.Mailbox) (Extent, error) {
	ctx, end := s.link(ctx)
	defer end()
	var d mailboxDoc
	err := s.mailboxes.FindOne(ctx, append(byBox(box), notSet(boxDeleting)),
		options.FindOne().SetHint(byKey).SetProjection(extentProjection)).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Extent{}, ErrNoSuchMailbox
	}
	if err != nil {
		return Extent{}, fmt.Errorf("find mailbox: %w", err)
	}
	return d.extent(), nil
}

// extent is how far the mailbox has come.
func (d *mailboxDoc) extent() Extent {
	return Extent{d.number(), d.Path, d.SpecialUse, uint64(d.UIDNext), uint64(d.ModSeq), uint64(d.Expunged)}
}

// Removal is an entry of a mailbox's journal.
type Removal struct {
	ModSeq   uint64
	Previous uint64 // mod-sequence of the entry before
	Expunged []uint32
	Target   *Target // where they were moved to; nil if they were expunged
	Lesson   Lesson
	Taught   []uint32 // whose keywords teach the lesson; nil if Expunged are the messages
}

// Removals returns the entries of a mailbox's journal after one mod-sequence up to another, at most
// limit. The error is ErrJournalGap if entries between them are missing. last is the mod-sequence of
// an entry.
func (s *Store) Removals(ctx context.Context, box mailkey.Mailbox, after, last uint64, limit int) ([]Removal, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.journal.Find(ctx, journalRange(box, after, last),
		options.Find().SetSort(byKey).SetLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	var list []Removal
	reached := after
	for cursor.Next(ctx) {
		r, err := decodeRemoval(cursor.Current)
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		if r.Previous > reached {
			return nil, ErrJournalGap
		}
		reached = r.ModSeq
		list = append(list, *r)
	}
	if err := cursor.Err(); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if len(list) < limit && reached < last {
		return nil, ErrJournalGap
	}
	return list, nil
}

func decodeRemoval(doc bson.Raw) (*Removal, error) {
	id, ok := binaryID(doc, len(journalKey{}))
	previous, known := doc.Lookup(journalPrevious).AsInt64OK()
	if !ok || !known {
		return nil, errBadJournal
	}
	r := &Removal{ModSeq: journalKey(id).modseq(), Previous: uint64(previous)}
	var err error
	if _, b, ok := doc.Lookup(journalExpunged).BinaryOK(); !ok {
		return nil, errBadJournal
	} else if r.Expunged, err = decodeUIDs(nil, b, maxVanished); err != nil {
		return nil, err
	}
	if _, b, ok := doc.Lookup(journalTarget).BinaryOK(); ok {
		t, err := decodeTarget(b)
		if err != nil {
			return nil, err
		}
		r.Target = &t
	}
	if l, ok := doc.Lookup(journalLesson).AsInt64OK(); ok {
		r.Lesson = Lesson(l)
	}
	if _, b, ok := doc.Lookup(journalTaught).BinaryOK(); ok {
		if r.Taught, err = decodeUIDs(nil, b, maxVanished); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Step is a place among the messages of a mailbox in the order of their mod-sequences, those with
// one mod-sequence in the order of their UIDs.
type Step struct {
	ModSeq uint64
	UID    uint32
}

// ChangedFrom returns the messages from a step on, up to the mod-sequence last, whose UIDs are below
// a UID, in the order of steps; at most limit. A message that changes meanwhile is left out: it has
// a later mod-sequence.
func (s *Store) ChangedFrom(ctx context.Context, box mailkey.Mailbox, from Step, last, below uint64, limit int,
	fields Fields) ([]*Message, error) {
	if below <= 1 {
		return nil, nil
	}
	uids := func(first uint32) bson.D {
		return rangeFilter(box, uidset.Range{First: first, Last: uint32(below - 1)})
	}
	var list []*Message
	read := func(modseqs any, keys bson.D) error {
		var failed error
		filter := append(bson.D{{Key: DocMailbox, Value: box.Binary()}, {Key: DocModSeq, Value: modseqs}}, keys...)
		s.walk(ctx, filter, changedOptions().SetProjection(projection(fields)).SetLimit(int64(limit-len(list))).
			SetSort(bson.D{{Key: DocModSeq, Value: 1}, {Key: DocID, Value: 1}}),
			func(raw bson.Raw, err error) bool {
				var m *Message
				if err == nil {
					m, err = decodeMessage(raw)
				}
				list, failed = append(list, m), err
				return err == nil
			})
		if failed != nil {
			return fmt.Errorf("read changes: %w", failed)
		}
		return nil
	}
	after := from.ModSeq
	if from.UID <= 1 {
		after-- // all of the first mod-sequence
	} else if uint64(from.UID) < below {
		if err := read(int64(from.ModSeq), uids(from.UID)); err != nil {
			return nil, err
		}
	}
	if len(list) < limit && after < last {
		err := read(bson.D{{Key: "$gt", Value: int64(after)}, {Key: "$lte", Value: int64(last)}}, uids(1))
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// userNotFound translates the driver's error for a missing document.
func userNotFound(err error) error {
	if errors.Is(err, mongo.ErrNoDocuments) {
		return ErrNoSuchUser
	}
	return fmt.Errorf("find user: %w", err)
}
