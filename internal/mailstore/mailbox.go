package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Mailbox is a mailbox as it was at some moment.
type Mailbox struct {
	Key           mailkey.Mailbox
	Path          string // UTF-8, NFC; names separated by Separator
	UIDValidity   uint32
	UIDNext       uint32
	HighestModSeq uint64 // RFC 7162; at least 1
	SpecialUse    string // e.g. \Sent (RFC 6154), or empty
	Subscribed    bool
	Messages      int64
	Unseen        int64    // messages without \Seen
	Deleted       int64    // messages with \Deleted
	Size          int64    // sum of RFC822.SIZE, octets
	DeletedSize   int64    // the same of messages with \Deleted (RFC 9208, DELETED-STORAGE)
	Keywords      []string // all that were seen so far, as this mailbox spells them
	Created       time.Time
	ACL           []ACLEntry // beside the owner, who has all rights
	// ExpireDays is after how many days messages go, 0 for never; nil: as the settings say.
	ExpireDays *int64

	expunged uint64 // see boxExpunged
}

// CreateOptions of a mailbox.
type CreateOptions struct {
	SpecialUse string // one of SpecialUses, or empty
}

// SpecialUses are the uses a mailbox can have (RFC 6154, RFC 8457), each once per user.
var SpecialUses = []string{`\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Important`, `\Junk`, `\Sent`, `\Trash`}

type mailboxDoc struct {
	ID          bson.Binary `bson:"_id"`
	Path        string      `bson:"p"`
	UIDValidity int64       `bson:"v"`
	UIDNext     int64       `bson:"n"`
	ModSeq      int64       `bson:"q"`
	SpecialUse  string      `bson:"s"`
	Subscribed  bool        `bson:"b"`
	Messages    int64       `bson:"cm"`
	Unseen      int64       `bson:"cu"`
	Deleted     int64       `bson:"cd"`
	Size        int64       `bson:"cz"`
	DeletedSize int64       `bson:"cdz"`
	Repairs     int64       `bson:"r"`
	Keywords    []string    `bson:"k"`
	Expunged    int64       `bson:"x"`
	Created     time.Time   `bson:"t"`
	Deleting    bool        `bson:"del"`
	Advanced    bson.Binary `bson:"adv"`
	Floor       int64       `bson:"fl"`
	ACL         []ACLEntry  `bson:"acl"`
	Expire      *int64      `bson:"ex"`
}

// newMailboxDoc is the document of a new, empty mailbox.
func newMailboxDoc(m *Mailbox) bson.D {
	doc := bson.D{
		{Key: "_id", Value: m.Key.Binary()},
		{Key: boxUser, Value: m.Key.User().Binary()},
		{Key: boxPath, Value: m.Path},
		{Key: boxUIDValidity, Value: int64(m.UIDValidity)},
		{Key: boxUIDNext, Value: int64(1)},
		{Key: boxModSeq, Value: int64(1)},
		{Key: boxMessages, Value: int64(0)},
		{Key: boxUnseen, Value: int64(0)},
		{Key: boxDeleted, Value: int64(0)},
		{Key: boxSize, Value: int64(0)},
		{Key: boxDeletedSize, Value: int64(0)},
		{Key: boxExpunged, Value: int64(0)},
		{Key: boxCreated, Value: m.Created},
	}
	if m.SpecialUse != "" {
		doc = append(doc, bson.E{Key: boxSpecialUse, Value: m.SpecialUse})
	}
	if m.Subscribed {
		doc = append(doc, bson.E{Key: boxSubscribed, Value: true})
	}
	m.UIDNext, m.HighestModSeq = 1, 1
	return append(doc, aclFields(m.ACL)...)
}

func (d *mailboxDoc) mailbox() (*Mailbox, error) {
	if len(d.ID.Data) != len(mailkey.Mailbox{}) {
		return nil, fmt.Errorf("mailbox key of %d octets in the database", len(d.ID.Data))
	}
	return &Mailbox{
		Key: mailkey.Mailbox(d.ID.Data), Path: d.Path,
		UIDValidity: uint32(d.UIDValidity),
		// A mailbox that gave out the last UID has no next one; IMAP has no word for that.
		UIDNext:       uint32(min(d.UIDNext, math.MaxUint32)),
		HighestModSeq: uint64(d.ModSeq), SpecialUse: d.SpecialUse, Subscribed: d.Subscribed,
		Messages: d.Messages, Unseen: d.Unseen, Deleted: d.Deleted, Size: d.Size, DeletedSize: d.DeletedSize,
		Keywords: d.Keywords, Created: d.Created.UTC(), ACL: d.ACL,
		ExpireDays: d.Expire, expunged: uint64(d.Expunged),
	}, nil
}

// Mailboxes returns a user's mailboxes in byte order of their paths.
func (s *Store) Mailboxes(ctx context.Context, user mailkey.UserID) ([]*Mailbox, error) {
	docs, err := s.findMailboxes(ctx, bson.D{{Key: boxUser, Value: user.Binary()}})
	if err != nil {
		return nil, err
	}
	return mailboxesOf(docs)
}

func mailboxesOf(docs []*mailboxDoc) ([]*Mailbox, error) {
	list := make([]*Mailbox, 0, len(docs))
	for _, d := range docs {
		m, err := d.mailbox()
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// findMailboxes returns the mailboxes that are not being deleted, in order of their paths.
// MailboxesByNumber returns those of a user's mailboxes with these numbers that exist, in byte order
// of their paths.
func (s *Store) MailboxesByNumber(ctx context.Context, user mailkey.UserID, numbers []uint32) ([]*Mailbox, error) {
	keys := make(bson.A, len(numbers))
	for i, n := range numbers {
		keys[i] = user.Mailbox(n).Binary()
	}
	docs, err := s.findMailboxes(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}},
		{Key: boxUser, Value: user.Binary()}})
	if err != nil {
		return nil, err
	}
	return mailboxesOf(docs)
}

func (s *Store) findMailboxes(ctx context.Context, filter bson.D) ([]*mailboxDoc, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.mailboxes.Find(ctx, append(filter, notSet(boxDeleting)),
		options.Find().SetSort(bson.D{{Key: boxUser, Value: 1}, {Key: boxPath, Value: 1}}).SetBatchSize(MaxMailboxes+1))
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	var docs []*mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	return docs, nil
}

// MailboxByPath returns the user's mailbox with this path. The error is ErrNoSuchMailbox, also for
// paths that cannot exist.
func (s *Store) MailboxByPath(ctx context.Context, user mailkey.UserID, path string) (*Mailbox, error) {
	path, err := NormalizePath(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchMailbox, err)
	}
	doc, err := s.rememberedMailbox(ctx, user, path)
	if err != nil {
		return nil, err
	}
	if doc != nil {
		return doc.mailbox()
	}
	box, err := s.findMailbox(ctx, atPath(user, path))
	if err == nil {
		s.paths.set(pathName(user, path), box.Key)
	}
	return box, err
}

// rememberedMailbox returns the mailbox that had the path a moment ago, and has it still; nil if none
// is known. It is found by its key: an index of paths is one more thing to read.
func (s *Store) rememberedMailbox(ctx context.Context, user mailkey.UserID, path string) (*mailboxDoc, error) {
	name := pathName(user, path)
	key, ok := s.paths.get(name)
	if !ok {
		return nil, nil
	}
	doc, err := s.findMailboxDoc(ctx, append(byBox(key), bson.E{Key: boxPath, Value: path}))
	if errors.Is(err, ErrNoSuchMailbox) {
		s.paths.forget(name)
		return nil, nil
	}
	return doc, err
}

func pathName(user mailkey.UserID, path string) string { return string(user[:]) + path }

// MailboxByKey returns the mailbox with this key. The error is ErrNoSuchMailbox.
func (s *Store) MailboxByKey(ctx context.Context, key mailkey.Mailbox) (*Mailbox, error) {
	return s.findMailbox(ctx, byBox(key))
}

// HighestModSeqs returns the highest mod-sequences of those of the mailboxes that exist, by a query for
// each modSeqBatch of them.
func (s *Store) HighestModSeqs(ctx context.Context, keys []mailkey.Mailbox) (map[mailkey.Mailbox]uint64, error) {
	found := make(map[mailkey.Mailbox]uint64, len(keys))
	ctx, end := s.link(ctx)
	defer end()
	for part := range slices.Chunk(keys, modSeqBatch) {
		ids, users := make(bson.A, len(part)), bson.A{}
		known := make(map[mailkey.UserID]bool)
		for i, key := range part {
			ids[i] = key.Binary()
			if user := key.User(); !known[user] {
				users, known[user] = append(users, user.Binary()), true
			}
		}
		cursor, err := s.mailboxes.Find(ctx, bson.D{
			{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}},
			{Key: boxUser, Value: bson.D{{Key: "$in", Value: users}}}, // names the shards
			notSet(boxDeleting)},
			options.Find().SetHint(byKey).SetProjection(bson.D{{Key: boxModSeq, Value: 1}}).
				SetBatchSize(modSeqBatch+1)) // all in the first answer
		if err != nil {
			return nil, fmt.Errorf("find mod-sequences: %w", err)
		}
		var docs []struct {
			ID     bson.Binary `bson:"_id"`
			ModSeq int64       `bson:"q"`
		}
		if err := cursor.All(ctx, &docs); err != nil {
			return nil, fmt.Errorf("find mod-sequences: %w", err)
		}
		for _, d := range docs { // the key has the length of those that were asked for
			found[mailkey.Mailbox(d.ID.Data)] = uint64(d.ModSeq)
		}
	}
	return found, nil
}

// MailboxBySpecialUse returns the user's mailbox with this use. The error is ErrNoSuchMailbox.
func (s *Store) MailboxBySpecialUse(ctx context.Context, user mailkey.UserID, use string) (*Mailbox, error) {
	return s.findMailbox(ctx, bson.D{{Key: boxUser, Value: user.Binary()}, {Key: boxSpecialUse, Value: use}})
}

func atPath(user mailkey.UserID, path string) bson.D {
	return bson.D{{Key: boxUser, Value: user.Binary()}, {Key: boxPath, Value: path}}
}

func (s *Store) findMailbox(ctx context.Context, filter bson.D) (*Mailbox, error) {
	doc, err := s.findMailboxDoc(ctx, filter)
	if err != nil {
		return nil, err
	}
	return doc.mailbox()
}

func (s *Store) findMailboxDoc(ctx context.Context, filter bson.D) (*mailboxDoc, error) {
	return s.findMailboxOf(ctx, filter, false)
}

// findMailboxOf finds mailboxes that are being deleted only if deleting is set.
func (s *Store) findMailboxOf(ctx context.Context, filter bson.D, deleting bool) (*mailboxDoc, error) {
	if !deleting {
		filter = append(filter, notSet(boxDeleting))
	}
	ctx, end := s.link(ctx)
	defer end()
	opts := options.FindOne()
	if filter[0].Key == "_id" {
		opts.SetHint(byKey)
	}
	var doc mailboxDoc
	err := s.mailboxes.FindOne(ctx, filter, opts).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchMailbox
	}
	if err != nil {
		return nil, fmt.Errorf("find mailbox: %w", err)
	}
	return &doc, nil
}

// boxChange is the change of a mailbox's document by a transaction. ModSeq always rises by one.
type boxChange struct {
	uids     int64  // how many UIDs to allocate
	Counters        // added to those of the mailbox
	expunges bool   // the transaction writes a journal entry (most of them expunge)
	path     string // that the mailbox must have, if not empty
}

// boxState has the fields of a mailbox's document after a change.
type boxState struct {
	UIDValidity int64    `bson:"v"`
	UIDNext     int64    `bson:"n"`
	ModSeq      int64    `bson:"q"`
	SpecialUse  string   `bson:"s"`
	Keywords    []string `bson:"k"`
	Expunged    int64    `bson:"x"` // before the change, if it expunges
	Messages    int64    `bson:"cm"`
	Deleted     int64    `bson:"cd"`
}

var boxStateProjection = bson.D{
	{Key: boxUIDValidity, Value: 1}, {Key: boxUIDNext, Value: 1}, {Key: boxModSeq, Value: 1},
	{Key: boxSpecialUse, Value: 1}, {Key: boxKeywords, Value: 1}, {Key: boxExpunged, Value: 1},
	{Key: boxMessages, Value: 1}, {Key: boxDeleted, Value: 1},
}

// changeMailbox writes the mailbox's document within a transaction, so that the transaction
// conflicts with every other one on the same mailbox. Errors: ErrNoSuchMailbox, ErrUIDsExhausted,
// errOtherPath.
func (s *Store) changeMailbox(ctx context.Context, key mailkey.Mailbox, c boxChange) (*boxState, error) {
	state, err := s.changeByHead(ctx, key, c)
	if state != nil || err != nil {
		return state, err
	}
	state, err = s.updateMailbox(ctx, key, c, nil, nil)
	if errors.Is(err, mongo.ErrNoDocuments) {
		doc, err := s.findMailboxDoc(ctx, byBox(key))
		switch {
		case c.path != "" && (errors.Is(err, ErrNoSuchMailbox) || err == nil && doc.Path != c.path):
			return nil, errOtherPath
		case err != nil:
			return nil, err
		}
		return nil, ErrUIDsExhausted
	}
	if err != nil {
		return nil, err
	}
	expunged := state.Expunged
	if c.expunges {
		if _, err := s.mailboxes.UpdateOne(ctx, byBox(key),
			bson.D{{Key: "$set", Value: bson.D{{Key: boxExpunged, Value: state.ModSeq}}}}); err != nil {
			return nil, fmt.Errorf("update mailbox: %w", err)
		}
		expunged = state.ModSeq
	}
	s.heads.set(key, head{modSeq: state.ModSeq, expunged: expunged, deleted: state.Deleted})
	return state, nil
}

// changeByHead makes the change of a transaction that expunges by one update instead of two, if the
// mailbox is as it is remembered: then its next mod-sequence is known beforehand. Otherwise it
// changes nothing, and the state is nil.
func (s *Store) changeByHead(ctx context.Context, key mailkey.Mailbox, c boxChange) (*boxState, error) {
	last, ok := s.heads.get(key)
	if !ok || !c.expunges {
		return nil, nil
	}
	state, err := s.updateMailbox(ctx, key, c,
		bson.D{{Key: boxModSeq, Value: last.modSeq}, {Key: boxExpunged, Value: last.expunged}},
		bson.D{{Key: boxExpunged, Value: last.modSeq + 1}})
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.heads.set(key, head{modSeq: state.ModSeq, expunged: state.ModSeq, deleted: state.Deleted})
	state.Expunged = last.expunged
	return state, nil
}

// updateMailbox makes the change of a mailbox that also meets the condition, and sets further
// fields. The error is mongo.ErrNoDocuments if there is no such mailbox.
func (s *Store) updateMailbox(ctx context.Context, key mailkey.Mailbox, c boxChange,
	condition, set bson.D) (*boxState, error) {
	filter := append(byBox(key), notSet(boxDeleting))
	inc := append(bson.D{{Key: boxModSeq, Value: int64(1)}}, c.Counters.increments()...)
	if c.uids > 0 {
		inc = append(inc, bson.E{Key: boxUIDNext, Value: c.uids})
		filter = append(filter,
			bson.E{Key: boxUIDNext, Value: bson.D{{Key: "$lte", Value: math.MaxUint32 - c.uids + 1}}})
	}
	if c.path != "" {
		filter = append(filter, bson.E{Key: boxPath, Value: c.path})
	}
	update := bson.D{{Key: "$inc", Value: inc}}
	if set != nil {
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	var state boxState
	err := s.mailboxes.FindOneAndUpdate(ctx, append(filter, condition...), update,
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetHint(byKey).
			SetProjection(boxStateProjection)).Decode(&state)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("update mailbox: %w", err)
	}
	return &state, nil
}

// addKeywords adds keywords that the mailbox sees for the first time. The error is
// ErrInvalidKeyword if they are too many.
func (s *Store) addKeywords(ctx context.Context, key mailkey.Mailbox, state *boxState, fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	if len(state.Keywords)+len(fresh) > MaxMailboxKeywords {
		return errManyKeywords
	}
	if _, err := s.mailboxes.UpdateOne(ctx, byBox(key), bson.D{{Key: "$push", Value: bson.D{
		{Key: boxKeywords, Value: bson.D{{Key: "$each", Value: fresh}}}}}}); err != nil {
		return fmt.Errorf("update mailbox keywords: %w", err)
	}
	state.Keywords = append(state.Keywords, fresh...)
	return nil
}
