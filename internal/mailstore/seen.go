package mailstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// A user to whom somebody else's mailbox is shared may have seen other messages in it than the owner
// has. The collection seen has the UIDs for each mailbox and such a user. A change of them is one of
// the messages: it raises their mod-sequences, though nothing else of them changes. So whatever
// follows the mod-sequences (CONDSTORE, QRESYNC, events, the views of sessions) knows of it.

// seenID is the key of the UIDs that a user has seen in a mailbox: that of the mailbox and that of the
// user.
func seenID(box mailkey.Mailbox, user mailkey.UserID) bson.Binary {
	return bson.Binary{Data: append(slices.Clone(box[:]), user[:]...)}
}

// SeenBy returns the UIDs of the messages that the user, who is not the owner, has seen in a mailbox.
// Some may be of messages that are gone.
func (s *Store) SeenBy(ctx context.Context, box mailkey.Mailbox, user mailkey.UserID) (uidset.Set, error) {
	ctx, end := s.link(ctx)
	defer end()
	var doc struct {
		UIDs []byte `bson:"x"`
	}
	err := s.seen.FindOne(ctx, byID(seenID(box, user))).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find seen messages: %w", err)
	}
	return decodeSet(doc.UIDs)
}

// setSeen writes the UIDs within a transaction that has written the mailbox's document.
func (s *Store) setSeen(ctx context.Context, box mailkey.Mailbox, user mailkey.UserID, uids uidset.Set) error {
	if len(uids) > maxSeenRanges {
		return invalid(ErrTooMany, "seen messages have %d ranges, %d are possible", len(uids), maxSeenRanges)
	}
	_, err := s.seen.UpdateOne(ctx, byID(seenID(box, user)), bson.D{{Key: "$set", Value: bson.D{
		{Key: seenUser, Value: user.Binary()}, {Key: seenUIDs, Value: encodeSet(uids)}}}},
		options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("write seen messages: %w", err)
	}
	return nil
}

// forgetSeen removes what all users have seen in a mailbox that is gone.
func (s *Store) forgetSeen(ctx context.Context, box mailkey.Mailbox) error {
	var last mailkey.UserID
	for i := range last {
		last[i] = 0xff
	}
	_, err := s.seen.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: seenID(box, mailkey.UserID{})}, {Key: "$lte", Value: seenID(box, last)}}}})
	if err != nil {
		return fmt.Errorf("forget seen messages: %w", err)
	}
	return nil
}

// encodeSet writes each range as unsigned varints: how far it begins after the end of the range
// before, and how many UIDs follow its first.
func encodeSet(set uidset.Set) []byte {
	b := []byte{}
	last := uint32(0)
	for _, r := range set {
		b = binary.AppendUvarint(b, uint64(r.First-last))
		b = binary.AppendUvarint(b, uint64(r.Last-r.First))
		last = r.Last
	}
	return b
}

func decodeSet(b []byte) (set uidset.Set, err error) {
	last := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap == 0 {
			return nil, errSeenUIDs
		}
		more, m := binary.Uvarint(b[n:])
		first := last + gap
		if m <= 0 || gap > 1<<32 || more > 1<<32 || first+more >= 1<<32 {
			return nil, errSeenUIDs
		}
		last = first + more
		set = append(set, uidset.Range{First: uint32(first), Last: uint32(last)})
		b = b[n+m:]
	}
	return set, nil
}

var errSeenUIDs = errors.New("document of seen messages: not a set of UIDs")

// overlay returns the flags of a message as a user has them who has seen these messages.
func overlay(flags Flags, uid uint32, seen uidset.Set) Flags {
	if flags &^= Seen; seen.Contains(uid) {
		flags |= Seen
	}
	return flags
}
