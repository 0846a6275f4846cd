package mailstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// The journal of a user has what happens to the list of mailboxes and to the quota. Its entries have
// the keys of a mailbox with number 0, which no mailbox has, and a number in place of the
// mod-sequence. The user's document counts them (userNotes), and the transaction that makes the
// change writes the entry. So a reader that has read entry n has a gap if entry n+1 is not there.

// NoteKind says what a Note tells. It is stored as it is.
type NoteKind string

const (
	MailboxCreated      NoteKind = "created"
	MailboxRenamed      NoteKind = "renamed"
	MailboxDeleted      NoteKind = "deleted"
	MailboxChanged      NoteKind = "changed" // it has another special use, or none
	MailboxSubscribed   NoteKind = "subscribed"
	MailboxUnsubscribed NoteKind = "unsubscribed"
	QuotaReached        NoteKind = "quota"
)

// Note is one thing that an entry of a user's journal tells.
type Note struct {
	Kind       NoteKind `bson:"k"`
	Mailbox    uint32   `bson:"n,omitempty"` // number; 0 for subscriptions and quota
	Path       string   `bson:"p,omitempty"`
	Before     string   `bson:"b,omitempty"` // the path before MailboxRenamed
	SpecialUse string   `bson:"s,omitempty"`
	// Of MailboxDeleted: the mailbox's last mod-sequence, and that of its newest journal entry.
	ModSeq   int64 `bson:"q,omitempty"`
	Expunged int64 `bson:"x,omitempty"`
	// Of QuotaReached.
	Resource quota.Resource `bson:"r,omitempty"`
	Level    int            `bson:"l,omitempty"` // percent
	Usage    int64          `bson:"u,omitempty"`
	Limit    int64          `bson:"m,omitempty"`
}

func noteCreated(m *Mailbox) Note {
	return Note{Kind: MailboxCreated, Mailbox: m.Key.Number(), Path: m.Path, SpecialUse: m.SpecialUse}
}

func (d *mailboxDoc) noteRenamed(path string) Note {
	return Note{Kind: MailboxRenamed, Mailbox: d.number(), Path: path, Before: d.Path, SpecialUse: d.SpecialUse}
}

func (d *mailboxDoc) noteDeleted() Note {
	return Note{Kind: MailboxDeleted, Mailbox: d.number(), Path: d.Path, SpecialUse: d.SpecialUse,
		ModSeq: d.ModSeq, Expunged: d.Expunged}
}

func noteSubscribed(path string, subscribed bool) Note {
	if subscribed {
		return Note{Kind: MailboxSubscribed, Path: path}
	}
	return Note{Kind: MailboxUnsubscribed, Path: path}
}

// number is that of the mailbox within its user.
func (d *mailboxDoc) number() uint32 { return mailkey.Mailbox(d.ID.Data).Number() }

// writeNotes adds the entry with this number, which the transaction took from the user's document.
func (s *Store) writeNotes(ctx context.Context, user mailkey.UserID, number int64, notes ...Note) error {
	_, err := s.journal.InsertOne(ctx, bson.D{
		{Key: "_id", Value: newJournalKey(user.Mailbox(0), uint64(number)).Binary()},
		{Key: journalNotes, Value: notes},
		{Key: journalExpires, Value: now().Add(s.journalKept)},
	})
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// noteQuota notes, in the transaction of a charge, that it took the usage to a level. Few do, so the
// charge itself takes no number for an entry.
func (s *Store) noteQuota(ctx context.Context, user mailkey.UserID, crossed []quota.Crossing) error {
	if len(crossed) == 0 {
		return nil
	}
	c, err := s.touchUser(ctx, user, bson.D{{Key: userNotes, Value: int64(1)}})
	if err != nil {
		return err
	}
	notes := make([]Note, len(crossed))
	for i, q := range crossed {
		notes[i] = Note{Kind: QuotaReached, Resource: q.Resource, Level: q.Level, Usage: q.Usage, Limit: q.Limit}
	}
	return s.writeNotes(ctx, user, c.Notes, notes...)
}

// LastNote returns the number of the latest entry of a user's journal. The error is ErrNoSuchUser.
func (s *Store) LastNote(ctx context.Context, user mailkey.UserID) (uint64, error) {
	ctx, end := s.link(ctx)
	defer end()
	var c userCounters
	err := s.users.FindOne(ctx, append(byID(user.Binary()), notSet(userDeleting)), options.FindOne().
		SetHint(byKey).SetProjection(bson.D{{Key: userNotes, Value: 1}})).Decode(&c)
	if err != nil {
		return 0, userNotFound(err)
	}
	return uint64(c.Notes), nil
}

// NotesEntry is one entry of a user's journal.
type NotesEntry struct {
	Number uint64
	Notes  []Note
}

// Notes returns the entries of a user's journal after one number up to another, at most limit. The
// error is ErrJournalGap if one of them is not there: it has expired, or the database was restored.
func (s *Store) Notes(ctx context.Context, user mailkey.UserID, after, last uint64, limit int) ([]NotesEntry, error) {
	ctx, end := s.link(ctx)
	defer end()
	box := user.Mailbox(0)
	cursor, err := s.journal.Find(ctx, journalRange(box, after, last),
		options.Find().SetSort(byKey).SetLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var docs []struct {
		ID    bson.Binary `bson:"_id"`
		Notes []Note      `bson:"c"`
	}
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	list := make([]NotesEntry, len(docs))
	for i, d := range docs {
		if len(d.ID.Data) != len(journalKey{}) {
			return nil, errBadJournal
		}
		number := journalKey(d.ID.Data).modseq()
		if number != after+uint64(i)+1 {
			return nil, ErrJournalGap
		}
		list[i] = NotesEntry{number, d.Notes}
	}
	if len(list) < limit && after+uint64(len(list)) < last {
		return nil, ErrJournalGap
	}
	return list, nil
}

// journalRange is the condition for the entries of a mailbox after one mod-sequence up to another.
func journalRange(box mailkey.Mailbox, after, last uint64) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gt", Value: newJournalKey(box, after).Binary()},
		{Key: "$lte", Value: newJournalKey(box, last).Binary()}}}}
}
