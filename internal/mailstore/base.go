package mailstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// baseMailbox is the number in the keys of bases, which no mailbox has.
const baseMailbox = 1<<32 - 1

// firstBase is the least id of a base that is made now: the time in milliseconds follows the first 16
// bits. So the latest base has the greatest id. Before, ids were hashes of the data, which are less
// but for one in 65,536.
const firstBase = 0xffff << 48

// A Base is what a reader of the feed has to remember and what is too long to be sent to and fro.
type Base struct {
	ID   uint64
	Data []byte
	// FreshUntil is the time from which on a base that is still used needs RenewBase. It is kept for
	// much longer.
	FreshUntil time.Time
}

type baseDoc struct {
	ID      bson.Binary `bson:"_id"`
	Data    bson.Binary `bson:"d"`
	Expires time.Time   `bson:"e"`
}

func baseKey(user mailkey.UserID, id uint64) bson.Binary {
	return newJournalKey(user.Mailbox(baseMailbox), id).Binary()
}

// basesOf is the filter for the bases of a user.
func basesOf(user mailkey.UserID) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: baseKey(user, 0)}, {Key: "$lte", Value: baseKey(user, 1<<64-1)}}}}
}

// KeepBase keeps data for as long as entries of the journal. Of a user, it keeps as many of the latest
// bases as have room in maxBaseOctets, at the length of this one; those of before are gone.
// The id is greater than after, that of the latest base, whatever the clock of the instance says.
func (s *Store) KeepBase(ctx context.Context, user mailkey.UserID, after uint64, data []byte) (*Base, error) {
	ctx, end := s.link(ctx)
	defer end()
	expires := now().Add(s.journalKept)
	for id := max(firstBase|uint64(now().UnixMilli()), after+1); ; id++ {
		_, err := s.journal.InsertOne(ctx, bson.D{{Key: "_id", Value: baseKey(user, id)},
			{Key: journalBase, Value: bson.Binary{Data: data}}, {Key: journalExpires, Value: expires}})
		switch {
		case mongo.IsDuplicateKeyError(err):
			continue // made within the same millisecond
		case err != nil:
			return nil, fmt.Errorf("keep base: %w", err)
		}
		return &Base{id, data, s.freshUntil(expires)}, s.dropBases(ctx, user, basesKept(len(data)))
	}
}

// basesKept is how many bases of a user are kept if the latest has so many octets.
func basesKept(octets int) int64 {
	return max(minBases, maxBaseOctets/int64(max(1, octets)))
}

// dropBases deletes the oldest bases of a user who has more than kept.
func (s *Store) dropBases(ctx context.Context, user mailkey.UserID, kept int64) error {
	var doc baseDoc
	err := s.journal.FindOne(ctx, basesOf(user), options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).
		SetSkip(kept).SetProjection(bson.D{{Key: "_id", Value: 1}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find old bases: %w", err)
	}
	if _, err := s.journal.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: baseKey(user, 0)}, {Key: "$lte", Value: doc.ID}}}}); err != nil {
		return fmt.Errorf("delete old bases: %w", err)
	}
	return nil
}

// Base returns what KeepBase kept. The error is ErrJournalGap if it is not there.
func (s *Store) Base(ctx context.Context, user mailkey.UserID, id uint64) (*Base, error) {
	list, err := s.findBases(ctx, byID(baseKey(user, id)), 0, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrJournalGap
	}
	return list[0], nil
}

// LatestBases returns the bases of a user that were made last, the latest first: up to limit of them
// after the first skip.
func (s *Store) LatestBases(ctx context.Context, user mailkey.UserID, skip, limit int) ([]*Base, error) {
	return s.findBases(ctx, basesOf(user), skip, limit)
}

func (s *Store) findBases(ctx context.Context, filter bson.D, skip, limit int) ([]*Base, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.journal.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).
		SetSkip(int64(skip)).SetLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read bases: %w", err)
	}
	var docs []baseDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("read bases: %w", err)
	}
	list := make([]*Base, len(docs))
	for i, doc := range docs {
		if len(doc.ID.Data) != len(journalKey{}) {
			return nil, errBadJournal
		}
		list[i] = &Base{journalKey(doc.ID.Data).modseq(), doc.Data.Data, s.freshUntil(doc.Expires)}
	}
	return list, nil
}

func (s *Store) freshUntil(expires time.Time) time.Time {
	return expires.Add(s.journalKept/freshBase - s.journalKept)
}

// RenewBase keeps a base for as long as entries of the journal that are written now. The error is
// ErrJournalGap if it is not there.
func (s *Store) RenewBase(ctx context.Context, user mailkey.UserID, id uint64) (freshUntil time.Time, err error) {
	ctx, end := s.link(ctx)
	defer end()
	expires := now().Add(s.journalKept)
	res, err := s.journal.UpdateOne(ctx, byID(baseKey(user, id)), bson.D{{Key: "$set", Value: bson.D{
		{Key: journalExpires, Value: expires}}}})
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("renew base: %w", err)
	case res.MatchedCount == 0:
		return time.Time{}, ErrJournalGap
	}
	return s.freshUntil(expires), nil
}
