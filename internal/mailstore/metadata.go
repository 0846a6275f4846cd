package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// A MetadataEntry is an annotation of a mailbox or, with mailbox number 0, of what a user has on
// the server (RFC 5464).
type MetadataEntry struct {
	Mailbox uint32
	Name    string // in lower case; the first component is "private" or "shared"
	Value   []byte // nil: the entry has no value, and so does not exist
	// Change counts the changes of the entries of a user: it is the number of the latest one of this
	// entry.
	Change int64
}

const (
	// PrivateMetadata begins the names of entries that each actor has for himself.
	PrivateMetadata = "/private/"
	// SharedMetadata begins the names of entries that all who may use the mailbox share.
	SharedMetadata = "/shared/"
	// SpecialUseMetadata is the special use of a mailbox (RFC 6154 section 5.4). The mailbox's
	// document has its value.
	SpecialUseMetadata = "/private/specialuse"
)

// An entry that was removed stays as a document without a value for removedMetadataKept, so that
// sessions learn of the removal by its number.

// metadataKey is the id of a document: mailbox key | scope | hash of the name. The scope is the id
// of the actor for private entries, and zero for shared ones.
type metadataKey [12 + 8 + metadataHash]byte

// metadataHash is how many octets of the hash of a name the key has.
const metadataHash = 16

func newMetadataKey(box mailkey.Mailbox, actor mailkey.UserID, name string) (k metadataKey) {
	copy(k[:], box[:])
	if strings.HasPrefix(name, PrivateMetadata) {
		copy(k[12:], actor[:])
	}
	hash := blake3.Sum256([]byte(name))
	copy(k[20:], hash[:metadataHash])
	return k
}

func (k metadataKey) binary() bson.Binary      { return bson.Binary{Data: k[:]} }
func (k metadataKey) mailbox() mailkey.Mailbox { return mailkey.Mailbox(k[:12]) }
func (k metadataKey) scope() mailkey.UserID    { return mailkey.UserID(k[12:20]) }

// shows reports whether the actor has a use for the entry.
func (k metadataKey) shows(actor mailkey.UserID) bool {
	return k.scope() == actor || k.scope() == mailkey.UserID{}
}

// metadataDoc is a document of the collection.
type metadataDoc struct {
	ID      bson.Binary `bson:"_id"`
	Name    string      `bson:"n"`
	Value   []byte      `bson:"v"`
	Size    int64       `bson:"z"`
	Change  int64       `bson:"q"`
	Expires time.Time   `bson:"e"` // zero unless it was removed
}

func (d *metadataDoc) key() (metadataKey, error) {
	if len(d.ID.Data) != len(metadataKey{}) {
		return metadataKey{}, fmt.Errorf("metadata key of %d octets in the database", len(d.ID.Data))
	}
	return metadataKey(d.ID.Data), nil
}

// metadataRange is the filter for the documents of the mailboxes from the first to the last.
func metadataRange(first, last mailkey.Mailbox) bson.D {
	var from, to metadataKey
	copy(from[:], first[:])
	copy(to[:], last[:])
	for i := len(last); i < len(to); i++ {
		to[i] = 0xff
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from.binary()}, {Key: "$lte", Value: to.binary()}}},
		{Key: metadataUser, Value: first.User().Binary()}}
}

// MailboxMetadata returns the entries of a mailbox that the actor has a use for, in the order of
// their names: all of them, or those with one of the names. Number 0 is no mailbox, but the
// server.
func (s *Store) MailboxMetadata(
	ctx context.Context, box mailkey.Mailbox, actor mailkey.UserID, names []string,
) ([]MetadataEntry, error) {
	filter := metadataRange(box, box)
	if names != nil {
		ids := make(bson.A, 0, len(names))
		for _, name := range names {
			ids = append(ids, newMetadataKey(box, actor, name).binary())
		}
		filter[0].Value = bson.D{{Key: "$in", Value: ids}}
	}
	return s.findMetadata(ctx, filter, actor, options.Find().SetHint(byKey))
}

// UserMetadata returns the entries with these names of all mailboxes of a user, by mailbox and
// name, as far as the actor has a use for them. It is one query, however many mailboxes there are.
func (s *Store) UserMetadata(
	ctx context.Context, user, actor mailkey.UserID, names []string,
) ([]MetadataEntry, error) {
	filter := append(metadataRange(user.Mailbox(1), user.Mailbox(1<<32-1)),
		bson.E{Key: metadataName, Value: bson.D{{Key: "$in", Value: names}}})
	return s.findMetadata(ctx, filter, actor, options.Find().SetHint(byKey))
}

// findMetadata returns the entries with values.
func (s *Store) findMetadata(ctx context.Context, filter bson.D, actor mailkey.UserID,
	opts *options.FindOptionsBuilder) ([]MetadataEntry, error) {
	// Not the private entries of others, of whom a public mailbox has any number. nil: no such field.
	filter = append(filter, notSet(metadataExpires),
		bson.E{Key: metadataActor, Value: bson.D{{Key: "$in", Value: bson.A{nil, actor.Binary()}}}})
	docs, err := s.findMetadataDocs(ctx, filter, opts)
	if err != nil {
		return nil, err
	}
	var entries []MetadataEntry
	for _, d := range docs {
		key, err := d.key()
		if err != nil {
			return nil, err
		}
		if !key.shows(actor) {
			continue
		}
		if d.Value == nil {
			d.Value = []byte{}
		}
		entries = append(entries, MetadataEntry{key.mailbox().Number(), d.Name, d.Value, d.Change})
	}
	slices.SortFunc(entries, func(a, b MetadataEntry) int {
		if a.Mailbox != b.Mailbox {
			return int(int64(a.Mailbox) - int64(b.Mailbox))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return entries, nil
}

func (s *Store) findMetadataDocs(
	ctx context.Context, filter bson.D, opts *options.FindOptionsBuilder,
) ([]metadataDoc, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.metadata.Find(ctx, filter, opts)
	if err != nil {
		return nil, fmt.Errorf("find metadata: %w", err)
	}
	var docs []metadataDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find metadata: %w", err)
	}
	return docs, nil
}

// MetadataChanges returns the entries of a user that changed after the change with this number, in
// the order of their changes and without their values, as far as the actor has a use for them. It
// reads maxMetadataChanges changes at most: last is the number of the last one, and since if there
// was none.
func (s *Store) MetadataChanges(
	ctx context.Context, user, actor mailkey.UserID, since int64,
) (entries []MetadataEntry, last int64, err error) {
	filter := bson.D{{Key: metadataUser, Value: user.Binary()},
		{Key: metadataChange, Value: bson.D{{Key: "$gt", Value: since}}}}
	docs, err := s.findMetadataDocs(ctx, filter, options.Find().
		SetHint(indexChanges).SetSort(bson.D{{Key: metadataUser, Value: 1}, {Key: metadataChange, Value: 1}}).
		SetLimit(maxMetadataChanges).
		SetProjection(bson.D{{Key: metadataName, Value: 1}, {Key: metadataChange, Value: 1}}))
	if err != nil {
		return nil, since, err
	}
	if n := len(docs); n == maxMetadataChanges {
		// There may be more entries of the last change: it is for the next call. One change has at
		// most MaxMetadataEntries of a client, or those of a mailbox.
		docs = slices.DeleteFunc(docs, func(d metadataDoc) bool { return d.Change == docs[n-1].Change })
	}
	last = since
	for _, d := range docs {
		key, err := d.key()
		if err != nil {
			return nil, since, err
		}
		last = d.Change
		if key.shows(actor) {
			entries = append(entries, MetadataEntry{Mailbox: key.mailbox().Number(), Name: d.Name, Change: d.Change})
		}
	}
	return entries, last, nil
}

// LastMetadataChange returns the number of the latest change of a user's entries; 0 for none.
func (s *Store) LastMetadataChange(ctx context.Context, user mailkey.UserID) (int64, error) {
	docs, err := s.findMetadataDocs(ctx, bson.D{{Key: metadataUser, Value: user.Binary()}},
		options.Find().SetHint(indexChanges).SetLimit(1).SetProjection(bson.D{{Key: metadataChange, Value: 1}}).
			SetSort(bson.D{{Key: metadataUser, Value: -1}, {Key: metadataChange, Value: -1}}))
	if err != nil || len(docs) == 0 {
		return 0, err
	}
	return docs[0].Change, nil
}

// SetMetadata sets all of these entries of a mailbox or none, and returns the number of the
// change. It removes those without a value. Number 0 is no mailbox, but the server. Errors:
// ErrNoSuchMailbox, ErrTooManyEntries, ErrSpecialUse, ErrNoSuchUser.
func (s *Store) SetMetadata(
	ctx context.Context, box mailkey.Mailbox, actor mailkey.UserID, entries []MetadataEntry,
) (change int64, err error) {
	var note int64 // tells that the mailbox has another special use; 0 if it has not
	err = s.transactFor(ctx, box.User(), func(ctx context.Context) error {
		note = 0
		user, err := s.touchUser(ctx, box.User(), bson.D{{Key: userAnnotations, Value: int64(1)}})
		if err != nil {
			return err
		}
		change = user.Annotations
		if box.Number() != 0 {
			// Raises its mod-sequence (RFC 7162 section 3.2).
			if _, err := s.changeMailbox(ctx, box, boxChange{}); err != nil {
				return err
			}
		}
		if err := s.makeRoom(ctx, box, actor, entries); err != nil {
			return err
		}
		var models []mongo.WriteModel
		for _, e := range entries {
			if e.Name == SpecialUseMetadata && box.Number() != 0 {
				if note, err = s.setSpecialUse(ctx, box, actor, string(e.Value)); err != nil {
					return err
				}
				models = append(models, noteMetadata(box, actor, e.Name, change))
				continue
			}
			models = append(models, setMetadata(box, actor, e, change))
		}
		_, err = s.metadata.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("set metadata: %w", err)
	}
	s.publishMetadata(ctx, box)
	if note != 0 {
		s.publishList(ctx, box.User(), note)
	}
	return change, nil
}

// setMetadata is the update that sets or removes an entry. What is not there is not removed.
func setMetadata(
	box mailkey.Mailbox, actor mailkey.UserID, e MetadataEntry, change int64,
) *mongo.UpdateOneModel {
	key := newMetadataKey(box, actor, e.Name)
	filter := append(byID(key.binary()), bson.E{Key: metadataUser, Value: box.User().Binary()})
	if e.Value == nil {
		return mongo.NewUpdateOneModel().SetFilter(append(filter, notSet(metadataExpires))).SetUpdate(bson.D{
			{Key: "$set", Value: bson.D{{Key: metadataChange, Value: change},
				{Key: metadataExpires, Value: now().Add(removedMetadataKept)}}},
			{Key: "$unset", Value: bson.D{{Key: metadataValue, Value: ""}, {Key: metadataSize, Value: ""}}}})
	}
	set := bson.D{{Key: metadataName, Value: e.Name}, {Key: metadataChange, Value: change},
		{Key: metadataValue, Value: e.Value}, {Key: metadataSize, Value: int64(len(e.Value))}}
	if actor != box.User() && key.scope() == actor {
		set = append(set, bson.E{Key: metadataActor, Value: actor.Binary()})
	}
	return mongo.NewUpdateOneModel().SetFilter(filter).SetUpsert(true).SetUpdate(bson.D{
		{Key: "$set", Value: set}, {Key: "$unset", Value: bson.D{{Key: metadataExpires, Value: ""}}}})
}

// noteMetadata is the update that notes the change of an entry whose value is elsewhere.
func noteMetadata(box mailkey.Mailbox, actor mailkey.UserID, name string, change int64) *mongo.UpdateOneModel {
	return mongo.NewUpdateOneModel().SetUpsert(true).
		SetFilter(append(byID(newMetadataKey(box, actor, name).binary()),
			bson.E{Key: metadataUser, Value: box.User().Binary()})).
		SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: metadataName, Value: name},
			{Key: metadataChange, Value: change}, {Key: metadataExpires, Value: now().Add(removedMetadataKept)}}}})
}

// makeRoom returns ErrTooManyEntries if the limits do not allow the entries, and forgets removed
// ones of long ago if those are many. Within the transaction it reads how large each entry of the
// user and of the actor is; it does not read those of other actors, of whom there may be any number.
func (s *Store) makeRoom(
	ctx context.Context, box mailkey.Mailbox, actor mailkey.UserID, entries []MetadataEntry,
) error {
	user := box.User()
	whose := bson.A{nil} // no such field
	if actor != user {
		whose = append(whose, actor.Binary())
	}
	docs, err := s.findMetadataDocs(ctx, bson.D{{Key: metadataUser, Value: user.Binary()},
		{Key: metadataActor, Value: bson.D{{Key: "$in", Value: whose}}}},
		options.Find().SetProjection(bson.D{{Key: metadataSize, Value: 1},
			{Key: metadataExpires, Value: 1}, {Key: metadataChange, Value: 1}}))
	if err != nil {
		return err
	}
	sizes := make(map[metadataKey]int64) // of the entries as they will be
	var removed []metadataDoc
	for _, d := range docs {
		key, err := d.key()
		if err != nil {
			return err
		}
		if d.Expires.IsZero() {
			sizes[key] = d.Size
		} else {
			removed = append(removed, d)
		}
	}
	grows := false
	for _, e := range entries {
		key := newMetadataKey(box, actor, e.Name)
		if e.Value == nil || e.Name == SpecialUseMetadata && box.Number() != 0 {
			delete(sizes, key)
			continue
		}
		old, there := sizes[key]
		grows = grows || !there || old < int64(len(e.Value))
		sizes[key] = int64(len(e.Value))
	}
	if grows {
		if err := checkMetadata(sizes, box, actor); err != nil {
			return err
		}
	}
	if len(removed) <= maxRemovedMetadata {
		return nil
	}
	slices.SortFunc(removed, func(a, b metadataDoc) int { return int(a.Change - b.Change) })
	ids := make(bson.A, 0, len(removed))
	for _, d := range removed[:len(removed)-maxRemovedMetadata/2] {
		ids = append(ids, d.ID)
	}
	_, err = s.metadata.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}},
		{Key: metadataUser, Value: user.Binary()}})
	return err
}

// checkMetadata compares what there will be with the limits: the entries of each kind of the
// mailbox, and how much room all entries of the user take. The private entries of another actor
// have a room of their own, so that nobody else fills that of the user.
func checkMetadata(sizes map[metadataKey]int64, box mailkey.Mailbox, actor mailkey.UserID) error {
	user := box.User()
	counts := make(map[mailkey.UserID]int)
	var own, others int64
	for key, size := range sizes {
		if key.mailbox() == box {
			counts[key.scope()]++
		}
		switch key.scope() {
		case user, mailkey.UserID{}:
			own += size + metadataOverhead
		case actor:
			others += size + metadataOverhead
		}
	}
	switch {
	case counts[mailkey.UserID{}] > MaxMetadataEntries || counts[actor] > MaxMetadataEntries:
		return invalid(ErrTooManyEntries, "a mailbox can have %d shared entries, and each user %d private ones",
			MaxMetadataEntries, MaxMetadataEntries)
	case own > MaxMetadataBytes || others > maxOthersMetadataBytes:
		return invalid(ErrTooManyEntries, "all entries together take too much room")
	}
	return nil
}

// setSpecialUse gives a mailbox the special use that a client names, or none, within a
// transaction. It returns the number of the entry in the user's journal that tells so; 0 if the mailbox
// had that use before. Only the owner can: uses are of the owner's list of mailboxes.
func (s *Store) setSpecialUse(
	ctx context.Context, box mailkey.Mailbox, actor mailkey.UserID, value string,
) (note int64, err error) {
	doc, err := s.findMailboxDoc(ctx, byBox(box))
	if err != nil {
		return 0, err
	}
	use := ""
	switch i := slices.IndexFunc(SpecialUses, func(u string) bool { return strings.EqualFold(u, value) }); {
	case actor != box.User():
		return 0, invalid(ErrSpecialUse, "only the owner of a mailbox can set its use")
	case doc.Path == Inbox:
		return 0, invalid(ErrSpecialUse, "INBOX has a use of its own")
	case i >= 0:
		use = SpecialUses[i]
	case strings.Contains(value, " "):
		return 0, invalid(ErrSpecialUse, "a mailbox can have one special use")
	case value != "":
		return 0, invalid(ErrSpecialUse, "this use is not supported")
	}
	if use == doc.SpecialUse {
		return 0, nil
	}
	change := bson.D{{Key: "$unset", Value: bson.D{{Key: boxSpecialUse, Value: ""}}}}
	if use != "" {
		switch _, err := s.MailboxBySpecialUse(ctx, box.User(), use); {
		case err == nil:
			return 0, invalid(ErrSpecialUse, "another mailbox is the one for %s", use)
		case !errors.Is(err, ErrNoSuchMailbox):
			return 0, err
		}
		change = bson.D{{Key: "$set", Value: bson.D{{Key: boxSpecialUse, Value: use}}}}
	}
	if _, err := s.mailboxes.UpdateOne(ctx, byBox(box), change); err != nil {
		return 0, fmt.Errorf("set special use: %w", err)
	}
	// Few changes of metadata are of a use, so the others take no number for an entry.
	c, err := s.touchTree(ctx, box.User())
	if err != nil {
		return 0, err
	}
	return c.Notes, s.writeNotes(ctx, box.User(), c.Notes,
		Note{Kind: MailboxChanged, Mailbox: box.Number(), Path: doc.Path, SpecialUse: use})
}

// copyMetadata gives a mailbox the shared entries of another one of the same user, and the user's
// private ones, within a transaction. Sessions are not told: nothing changes for the name that the
// entries had. The error is ErrTooManyEntries.
func (s *Store) copyMetadata(ctx context.Context, from, to mailkey.Mailbox) error {
	owner := from.User()
	entries, err := s.MailboxMetadata(ctx, from, owner, nil)
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := s.makeRoom(ctx, to, owner, entries); err != nil {
		return err
	}
	models := make([]mongo.WriteModel, 0, len(entries))
	for _, e := range entries {
		models = append(models, setMetadata(to, owner, e, 0))
	}
	if _, err := s.metadata.BulkWrite(ctx, models); err != nil {
		return fmt.Errorf("copy metadata: %w", err)
	}
	return nil
}

// purgeMetadata removes all entries of the mailboxes of a user from the first to the last.
func (s *Store) purgeMetadata(ctx context.Context, first, last mailkey.Mailbox) error {
	unbounded, cancel := database.Unbounded(ctx)
	defer cancel()
	if _, err := s.metadata.DeleteMany(unbounded, metadataRange(first, last),
		options.DeleteMany().SetHint(byKey)); err != nil {
		return fmt.Errorf("purge metadata: %w", err)
	}
	return nil
}

// forgetActor removes the private entries that a user has on mailboxes of others.
func (s *Store) forgetActor(ctx context.Context, user mailkey.UserID) error {
	unbounded, cancel := database.Unbounded(ctx)
	defer cancel()
	if _, err := s.metadata.DeleteMany(unbounded,
		bson.D{{Key: metadataActor, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("purge metadata of an actor: %w", err)
	}
	return nil
}
