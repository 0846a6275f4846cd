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

// KeepBase keeps data for as long as entries of the journal. It keeps the latest maxBases of a user;
// those of before are gone.
func (s *Store) KeepBase(ctx context.Context, user mailkey.UserID, data []byte) (*Base, error) {
	ctx, end := s.link(ctx)
	defer end()
	expires := now().Add(s.journalKept)
	for id := firstBase | uint64(now().UnixMilli()); ; id++ {
		_, err := s.journal.InsertOne(ctx, bson.D{{Key: "_id", Value: baseKey(user, id)},
			{Key: journalBase, Value: bson.Binary{Data: data}}, {Key: journalExpires, Value: expires}})
		switch {
		case mongo.IsDuplicateKeyError(err):
			continue // made within the same millisecond
		case err != nil:
			return nil, fmt.Errorf("keep base: %w", err)
		}
		return &Base{id, data, s.freshUntil(expires)}, s.dropBases(ctx, user)
	}
}

// dropBases deletes the oldest bases of a user who has more than maxBases.
func (s *Store) dropBases(ctx context.Context, user mailkey.UserID) error {
	var doc baseDoc
	err := s.journal.FindOne(ctx, basesOf(user), options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).
		SetSkip(maxBases).SetProjection(bson.D{{Key: "_id", Value: 1}})).Decode(&doc)
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
	base, err := s.findBase(ctx, byID(baseKey(user, id)))
	if err == nil && base == nil {
		err = ErrJournalGap
	}
	return base, err
}

// LatestBase returns the base of a user that was made last; nil if there is none.
func (s *Store) LatestBase(ctx context.Context, user mailkey.UserID) (*Base, error) {
	return s.findBase(ctx, basesOf(user))
}

func (s *Store) findBase(ctx context.Context, filter bson.D) (*Base, error) {
	ctx, end := s.link(ctx)
	defer end()
	var doc baseDoc
	err := s.journal.FindOne(ctx, filter, options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read base: %w", err)
	}
	if len(doc.ID.Data) != len(journalKey{}) {
		return nil, errBadJournal
	}
	return &Base{journalKey(doc.ID.Data).modseq(), doc.Data.Data, s.freshUntil(doc.Expires)}, nil
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
