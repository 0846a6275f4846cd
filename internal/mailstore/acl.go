package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
)

// Access control lists (RFC 4314) are part of the documents of mailboxes: they come with the
// mailbox that is read anyway, go with it, and stay with it when it is renamed. The store keeps them
// and finds mailboxes by them. Package account knows what the rights mean and enforces them.

// Identifier names whom an entry of an access control list is about, in the form in which it is
// stored: a user by the id, which a rename does not change and nobody gets again.
type Identifier string

// Anyone is the identifier of all users.
const Anyone Identifier = "anyone"

const userIdentifier, groupIdentifier = "u:", "g:"

// IdentifierOf returns the identifier of a user.
func IdentifierOf(user mailkey.UserID) Identifier { return Identifier(userIdentifier + user.String()) }

// GroupIdentifier returns the identifier of a group, whose name is a normalised one.
func GroupIdentifier(group string) Identifier { return Identifier(groupIdentifier + group) }

// User returns the user that the identifier is of.
func (i Identifier) User() (user mailkey.UserID, ok bool) {
	text, ok := strings.CutPrefix(string(i), userIdentifier)
	if !ok {
		return user, false
	}
	user, err := mailkey.ParseUserID(text)
	return user, err == nil
}

// Group returns the name of the group that the identifier is of.
func (i Identifier) Group() (name string, ok bool) {
	return strings.CutPrefix(string(i), groupIdentifier)
}

// ACLEntry is an entry of the access control list of a mailbox.
type ACLEntry struct {
	Identifier Identifier `bson:"i"`
	// Negative rights are taken from those that other entries give (RFC 4314 section 2).
	Negative bool `bson:"n,omitempty"`
	// Rights is a set whose members package account names.
	Rights int32 `bson:"r"`
}

// ACLChange returns what becomes of a list of entries, which it may change.
type ACLChange func(entries []ACLEntry) ([]ACLEntry, error)

// ChangeACL replaces the access control list of a mailbox by the result of change, and returns the
// new list. change runs again if the mailbox changes meanwhile. Errors: those of change,
// ErrNoSuchMailbox, ErrTooMany.
func (s *Store) ChangeACL(ctx context.Context, key mailkey.Mailbox, change ACLChange) ([]ACLEntry, error) {
	ctx = database.Causal(ctx)
	outside := ctx
	var before, after []ACLEntry
	err := s.transactFor(ctx, key.User(), func(ctx context.Context) error {
		doc, err := s.findMailboxDoc(ctx, byBox(key))
		if err != nil {
			return err
		}
		before = doc.ACL
		if after, err = change(slices.Clone(before)); err != nil {
			return err
		}
		if len(after) > MaxACLEntries {
			return invalid(ErrTooMany, "an access control list can have %d entries", MaxACLEntries)
		}
		if slices.Equal(before, after) {
			return errUnchanged
		}
		if err := s.noteShares(outside, before, after); err != nil {
			return err
		}
		update := bson.D{{Key: "$unset", Value: bson.D{{Key: boxACL, Value: ""}, {Key: boxSharedWith, Value: ""}}}}
		if len(after) > 0 {
			update = bson.D{{Key: "$set", Value: aclFields(after)}}
		}
		if _, err := s.mailboxes.UpdateOne(ctx, byBox(key), update); err != nil {
			return fmt.Errorf("update mailbox: %w", err)
		}
		return nil
	})
	if (err == nil || mayHaveCommitted(err)) && !slices.Equal(before, after) {
		s.publishACL(ctx, key.User(), before, after)
	}
	if err != nil {
		return nil, fmt.Errorf("change access control list: %w", err)
	}
	return after, nil
}

// aclFields are the fields of a mailbox's document with these entries.
func aclFields(entries []ACLEntry) bson.D {
	if len(entries) == 0 {
		return nil
	}
	var with []Identifier
	for _, e := range entries {
		if !slices.Contains(with, e.Identifier) {
			with = append(with, e.Identifier)
		}
	}
	return bson.D{{Key: boxACL, Value: entries}, {Key: boxSharedWith, Value: with}}
}

// publishACL wakes up the sessions that look at the owner's mailboxes, and the users whom entries
// name that changed.
func (s *Store) publishACL(ctx context.Context, owner mailkey.UserID, before, after []ACLEntry) {
	s.publishList(ctx, owner, 0)
	told := map[mailkey.UserID]bool{owner: true}
	for _, e := range slices.Concat(before, after) {
		user, ok := e.Identifier.User()
		if !ok || told[user] || slices.Contains(before, e) && slices.Contains(after, e) {
			continue
		}
		told[user] = true
		s.publishList(ctx, user, 0)
	}
}

// noteShares notes identifiers before the first entry for them exists. The notes tell who has to be
// looked for among the mailboxes of all shards: only those with whom something is shared.
func (s *Store) noteShares(ctx context.Context, before, after []ACLEntry) error {
	known := make(map[Identifier]bool)
	for _, e := range before {
		known[e.Identifier] = true
	}
	for _, e := range after {
		if known[e.Identifier] {
			continue
		}
		known[e.Identifier] = true
		if err := s.noteShare(ctx, e.Identifier); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) noteShare(ctx context.Context, id Identifier) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, end := s.link(ctx)
	defer end()
	_, err := s.shares.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "_id", Value: id}}}}, options.UpdateOne().SetUpsert(true))
	// A duplicate: another instance has noted it just now.
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("note a share: %w", err)
	}
	return nil
}

// noted returns those of the identifiers of which there is a note.
func (s *Store) noted(ctx context.Context, identifiers []Identifier) (noted []Identifier, err error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.shares.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: identifiers}}}})
	if err != nil {
		return nil, fmt.Errorf("find shares: %w", err)
	}
	var docs []struct {
		ID Identifier `bson:"_id"`
	}
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find shares: %w", err)
	}
	for _, d := range docs {
		noted = append(noted, d.ID)
	}
	return noted, nil
}

// SharedWith returns the mailboxes whose access control lists have an entry for one of the
// identifiers, MaxShared at most, by owner and path. With whom nothing is shared costs one query by
// key, and all others one more, whose cost is in proportion to what it finds.
func (s *Store) SharedWith(ctx context.Context, identifiers []Identifier) ([]*Mailbox, error) {
	ctx = database.Causal(ctx)
	identifiers, err := s.noted(ctx, identifiers)
	if err != nil || len(identifiers) == 0 {
		return nil, err
	}
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.mailboxes.Find(ctx,
		bson.D{{Key: boxSharedWith, Value: bson.D{{Key: "$in", Value: identifiers}}}, notSet(boxDeleting)},
		options.Find().SetHint(indexShared).SetLimit(MaxShared).SetBatchSize(MaxShared+1))
	if err != nil {
		return nil, fmt.Errorf("find shared mailboxes: %w", err)
	}
	var docs []*mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find shared mailboxes: %w", err)
	}
	list := make([]*Mailbox, 0, len(docs))
	for _, d := range docs {
		m, err := d.mailbox()
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *Mailbox) int {
		au, bu := a.Key.User(), b.Key.User()
		if c := strings.Compare(string(au[:]), string(bu[:])); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return list, nil
}

// UsersByID returns those of the users that exist.
func (s *Store) UsersByID(ctx context.Context, ids []mailkey.UserID) (map[mailkey.UserID]*User, error) {
	users := make(map[mailkey.UserID]*User, len(ids))
	if len(ids) == 0 {
		return users, nil
	}
	keys := make(bson.A, len(ids))
	for i, id := range ids {
		keys[i] = id.Binary()
	}
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.users.Find(ctx,
		bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}, notSet(userDeleting)},
		options.Find().SetHint(byKey))
	if err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	var docs []*userDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	for _, d := range docs {
		user, err := s.userFrom(d)
		if err != nil {
			return nil, err
		}
		users[user.ID] = user
	}
	return users, nil
}

// Usernames returns the names of those of the users that exist.
func (s *Store) Usernames(ctx context.Context, ids []mailkey.UserID) (map[mailkey.UserID]string, error) {
	names := make(map[mailkey.UserID]string, len(ids))
	if len(ids) == 0 {
		return names, nil
	}
	keys := make(bson.A, len(ids))
	for i, id := range ids {
		keys[i] = id.Binary()
	}
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.users.Find(ctx,
		bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}, notSet(userDeleting)},
		options.Find().SetHint(byKey).SetProjection(bson.D{{Key: userName, Value: 1}}).SetBatchSize(int32(len(ids)+1)))
	if err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	var docs []userDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	for i := range docs { // an _id has the length of those that were asked for
		names[mailkey.UserID(docs[i].ID.Data)] = docs[i].Name
	}
	return names, nil
}

// NearestParent returns the mailbox of the user that is superior to the path and the deepest of
// those. The error is ErrNoSuchMailbox if there is none.
func (s *Store) NearestParent(ctx context.Context, user mailkey.UserID, path string) (*Mailbox, error) {
	doc, err := s.nearestParent(ctx, user, path)
	if err != nil {
		return nil, err
	}
	return doc.mailbox()
}

func (s *Store) nearestParent(ctx context.Context, user mailkey.UserID, path string) (*mailboxDoc, error) {
	var above bson.A
	for i := strings.LastIndex(path, Separator); i > 0; i = strings.LastIndex(path[:i], Separator) {
		above = append(above, path[:i])
	}
	if len(above) == 0 {
		return nil, ErrNoSuchMailbox
	}
	docs, err := s.findMailboxes(ctx, bson.D{{Key: boxUser, Value: user.Binary()},
		{Key: boxPath, Value: bson.D{{Key: "$in", Value: above}}}})
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, ErrNoSuchMailbox
	}
	return docs[len(docs)-1], nil // a superior path sorts before those below it
}

// inherited returns the access control list that a new mailbox gets: that of the nearest mailbox
// above it (RFC 4314 section 4).
func (s *Store) inherited(ctx context.Context, user mailkey.UserID, path string) ([]ACLEntry, error) {
	doc, err := s.nearestParent(ctx, user, path)
	if errors.Is(err, ErrNoSuchMailbox) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return doc.ACL, nil
}

// forgetIdentifier takes a user who is being deleted out of the access control lists of others.
func (s *Store) forgetIdentifier(ctx context.Context, user mailkey.UserID) error {
	gone := IdentifierOf(user)
	for {
		boxes, err := s.SharedWith(ctx, []Identifier{gone})
		if err != nil {
			return err
		}
		for _, box := range boxes {
			_, err := s.ChangeACL(ctx, box.Key, func(entries []ACLEntry) ([]ACLEntry, error) {
				return slices.DeleteFunc(entries, func(e ACLEntry) bool { return e.Identifier == gone }), nil
			})
			if err != nil && !errors.Is(err, ErrNoSuchMailbox) {
				return err
			}
		}
		if len(boxes) < MaxShared {
			break
		}
	}
	if _, err := s.shares.DeleteOne(ctx, bson.D{{Key: "_id", Value: gone}}); err != nil {
		return fmt.Errorf("forget a share: %w", err)
	}
	return nil
}

// NormalizeGroup returns the one form of a group's name: lower case, without the $ that IMAP has
// before it. The error is ErrInvalidName.
func NormalizeGroup(name string) (string, error) {
	name = strings.ToLower(strings.TrimPrefix(name, "$"))
	switch {
	case name == "":
		return "", invalid(ErrInvalidName, "the name of a group is empty")
	case len(name) > MaxGroupName:
		return "", invalid(ErrInvalidName, "the name of a group has more than %d octets", MaxGroupName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r)
	}):
		return "", invalid(ErrInvalidName, "the name of a group has a space or a control character")
	}
	return name, nil
}

// SetGroups makes a user a member of these groups and no others. Errors: ErrInvalidName,
// ErrTooMany, ErrNoSuchUser.
func (s *Store) SetGroups(ctx context.Context, user mailkey.UserID, groups []string) error {
	var names []string
	for _, g := range groups {
		name, err := NormalizeGroup(g)
		if err != nil {
			return err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > MaxGroups {
		return invalid(ErrTooMany, "a user can be in %d groups", MaxGroups)
	}
	slices.Sort(names)
	update := bson.D{{Key: "$unset", Value: bson.D{{Key: userGroups, Value: ""}}}}
	if len(names) > 0 {
		update = bson.D{{Key: "$set", Value: bson.D{{Key: userGroups, Value: names}}}}
	}
	if err := s.updateUser(ctx, user, update); err != nil {
		return err
	}
	_ = s.bus.Publish(context.WithoutCancel(ctx), events.Event{User: user, Kind: events.MailboxList})
	return nil
}
