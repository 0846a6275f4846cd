package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Mails is what Repair asks of the store of mails.
type Mails interface {
	// UserIDs iterates over all users.
	UserIDs(ctx context.Context) iter.Seq2[mailkey.UserID, error]
	// LastNumber returns the last number that was given out to a mail of a user; ok is false for a
	// user that does not exist.
	LastNumber(ctx context.Context, user mailkey.UserID) (number uint64, ok bool, err error)
	// Mails iterates over the mails of a user that have a number, in any order. Copies come more than
	// once.
	Mails(ctx context.Context, user mailkey.UserID) iter.Seq2[Mail, error]
}

// Repairer finds the mails that the index lacks, and those that it has for nothing.
type Repairer struct {
	index  *Index
	mails  Mails
	writer *Writer
	turner *Turner
}

// NewRepairer returns a Repairer. The Writer need not run.
func NewRepairer(x *Index, m Mails, w *Writer, t *Turner) *Repairer { return &Repairer{x, m, w, t} }

// Repair repairs what there is of every user. check is called before each user and batch.
func (r *Repairer) Repair(ctx context.Context, check func(context.Context) error) error {
	for user, err := range r.mails.UserIDs(ctx) {
		if err == nil {
			err = check(ctx)
		}
		if err == nil {
			_, err = r.User(ctx, user, false, nil, check)
		}
		if err != nil {
			return err
		}
	}
	return r.forgetGone(ctx, check)
}

// User makes the index of a user complete, and returns how many mails it lacked. A user to whom
// nothing came since the last time, or whose new mails all have rows, costs three queries; with
// whole set, all mails are compared in any case. progress, if not nil, is told how many mails were
// indexed.
func (r *Repairer) User(
	ctx context.Context, user mailkey.UserID, whole bool, progress func(int), check func(context.Context) error,
) (missing int, err error) {
	last, ok, err := r.mails.LastNumber(ctx, user)
	if err != nil || !ok {
		return 0, err
	}
	before, err := r.index.state(ctx, user)
	if err != nil || !whole && before >= last {
		return 0, err
	}
	blocks, _, err := r.index.readBlocks(ctx, user)
	if err != nil {
		return 0, fmt.Errorf("text index: read blocks: %w", err)
	}
	rows, err := r.index.rowNumbers(ctx, user)
	if err != nil {
		return 0, fmt.Errorf("text index: read rows: %w", err)
	}
	have := new(Excluded) // here: that are indexed
	for _, b := range blocks {
		have.addBlock(b.runs, newVector(b.count))
	}
	for _, n := range rows {
		have.add(n)
	}
	forgotten := r.index.forgotten.Load()
	if whole || !complete(have, before+1, last) {
		if missing, err = r.compare(ctx, user, blocks, rows, have, progress, check); err != nil {
			return missing, err
		}
	}
	if r.index.forgotten.Load() != forgotten {
		return missing, nil // damage was found, here or elsewhere
	}
	return missing, r.index.setState(ctx, user, last)
}

// complete reports whether the set has all numbers of a range.
func complete(set *Excluded, first, last uint64) bool {
	for n := first; n <= last; n++ {
		if !set.Has(n) {
			return false
		}
	}
	return true
}

// compare indexes the mails that are not in have, and removes what has become of no use.
func (r *Repairer) compare(
	ctx context.Context, user mailkey.UserID, blocks []*block, rows []uint64, have *Excluded,
	progress func(int), check func(context.Context) error,
) (missing int, err error) {
	live := new(Excluded)
	var batch []Mail
	flush := func() error {
		if err := check(ctx); err != nil {
			return err
		}
		if err := r.writer.Index(ctx, batch); err != nil {
			return err
		}
		missing += len(batch)
		if progress != nil {
			progress(len(batch))
		}
		batch = batch[:0]
		if missing%blockRows < batchMails {
			return r.turner.Turn(ctx, user, check)
		}
		return nil
	}
	for m, err := range r.mails.Mails(ctx, user) {
		if err != nil {
			return missing, err
		}
		if live.Has(m.Number) {
			continue // a copy
		}
		live.add(m.Number)
		if have.Has(m.Number) {
			continue
		}
		if batch = append(batch, m); len(batch) == batchMails {
			if err := flush(); err != nil {
				return missing, err
			}
		}
	}
	if len(batch) > 0 {
		if err := flush(); err != nil {
			return missing, err
		}
	}
	var dead []uint64
	for _, n := range rows {
		if !live.Has(n) {
			dead = append(dead, n)
		}
	}
	if err := r.index.dropRows(ctx, user, dead); err != nil {
		return missing, err
	}
	for _, b := range blocks {
		if b.deadShare(live) > maxDeadShare {
			if err := r.index.compact(ctx, user, b, live.Has, check); err != nil {
				return missing, err
			}
		}
	}
	return missing, r.turner.Turn(ctx, user, check)
}

// maxDeadShare is the share of deleted mails from which on a block is made anew.
const maxDeadShare = 0.5

func (b *block) deadShare(live *Excluded) float64 {
	dead := 0
	for _, r := range b.runs {
		for n := r.first; n < r.first+uint64(r.count); n++ {
			if !live.Has(n) {
				dead++
			}
		}
	}
	return float64(dead) / float64(b.count)
}

// Rebuild makes the index of a user anew.
func (r *Repairer) Rebuild(
	ctx context.Context, user mailkey.UserID, progress func(int), check func(context.Context) error,
) (int, error) {
	if err := r.index.Forget(ctx, user); err != nil {
		return 0, err
	}
	return r.User(ctx, user, true, progress, check)
}

// forgetGone removes what the index has of users that do not exist.
func (r *Repairer) forgetGone(ctx context.Context, check func(context.Context) error) error {
	for _, c := range []struct {
		coll *mongo.Collection
		size int
	}{{r.index.blocks, blockIDSize}, {r.index.columns, 2 + blockIDSize}, {r.index.rows, 8}, {r.index.states, 0}} {
		after := []byte{}
		for {
			if err := check(ctx); err != nil {
				return err
			}
			doc, err := c.coll.FindOne(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt",
				Value: bson.Binary{Data: after}}}}},
				options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).
					SetProjection(bson.D{{Key: "_id", Value: 1}})).Raw()
			if errors.Is(err, mongo.ErrNoDocuments) {
				break
			}
			if err != nil {
				return fmt.Errorf("text index: %w", err)
			}
			_, key, ok := doc.Lookup("_id").BinaryOK()
			if !ok || len(key) < len(mailkey.UserID{}) {
				break
			}
			user := mailkey.UserID(key[:len(mailkey.UserID{})])
			_, exists, err := r.mails.LastNumber(ctx, user)
			if err != nil {
				return err
			}
			if !exists {
				if err := r.index.Forget(ctx, user); err != nil {
					return err
				}
			}
			// BSON orders binary values by their lengths first.
			after = append(user[:], bytes.Repeat([]byte{0xff}, c.size)...)
		}
	}
	return nil
}

// rowNumbers returns the numbers that have rows, ascending.
func (x *Index) rowNumbers(ctx context.Context, user mailkey.UserID) ([]uint64, error) {
	const batch = 10000
	cursor, err := x.rows.Find(ctx, byUser(user, 8), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(batch))
	if err != nil {
		return nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	var numbers []uint64
	for cursor.Next(ctx) {
		if _, key, ok := cursor.Current.Lookup("_id").BinaryOK(); ok && len(key) == len(user)+8 {
			numbers = append(numbers, binary.BigEndian.Uint64(key[len(user):]))
		}
	}
	return slices.Clip(numbers), cursor.Err()
}

// state returns the number up to which all mails of a user were compared with the index.
func (x *Index) state(ctx context.Context, user mailkey.UserID) (uint64, error) {
	var doc struct {
		UpTo  int64 `bson:"u"`
		Rules int32 `bson:"v"`
	}
	err := x.states.FindOne(ctx, bson.D{{Key: "_id", Value: user.Binary()}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) || err == nil && doc.Rules != rules {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("text index: read state: %w", err)
	}
	return uint64(doc.UpTo), nil
}

// forgetState has the next Repair compare all mails of a user with the index.
func (x *Index) forgetState(ctx context.Context, user mailkey.UserID) error {
	x.forgotten.Add(1)
	if _, err := x.states.DeleteOne(ctx, bson.D{{Key: "_id", Value: user.Binary()}}); err != nil {
		return fmt.Errorf("text index: forget state: %w", err)
	}
	return nil
}

func (x *Index) setState(ctx context.Context, user mailkey.UserID, upTo uint64) error {
	_, err := x.states.UpdateOne(ctx, bson.D{{Key: "_id", Value: user.Binary()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: fieldUpTo, Value: int64(upTo)}, {Key: fieldRules, Value: rules}}}},
		options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("text index: write state: %w", err)
	}
	return nil
}
