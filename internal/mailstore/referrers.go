package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/mailkey"
)

// lastOf is the last key that a message of the user can have.
func lastOf(user mailkey.UserID) mailkey.Message {
	return user.Mailbox(math.MaxUint32).Message(math.MaxUint32)
}

// ContentReferrers gives the references to contents of all messages to a Tally, as an audit needs them: a message moves
// only from one mailbox of its user to another, so each user's messages are read from one snapshot. progress is told how
// many messages were read, if not nil, between snapshots. It may take its time; its error ends the audit.
func (s *Store) ContentReferrers(progress func(ctx context.Context, n int64) error) func(context.Context, *dedupe.Tally) error {
	return func(ctx context.Context, t *dedupe.Tally) error {
		r := referrers{store: s, tally: t, progress: progress}
		from := bson.E{Key: "$gte", Value: mailkey.Message{}.Binary()}
		for {
			last, more, err := r.read(ctx, from)
			if err != nil {
				return fmt.Errorf("read references: %w", err)
			}
			if !more {
				return nil
			}
			from = bson.E{Key: "$gt", Value: lastOf(last).Binary()}
		}
	}
}

// HoldsContent reports whether the message with that key is there and has the reference.
func (s *Store) HoldsContent(ctx context.Context, message []byte, ref dedupe.Ref) (bool, error) {
	doc, err := s.messages.FindOne(ctx, byID(bson.Binary{Data: message}),
		options.FindOne().SetProjection(projection(fieldReference))).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a message: %w", err)
	}
	_, found, err := referenceOf(doc)
	return found == ref, err
}

type referrers struct {
	store    *Store
	tally    *dedupe.Tally
	progress func(context.Context, int64) error
	done     int64
}

// read gives the references of some users to the tally, from one snapshot. It returns the last user it has read.
func (r *referrers) read(ctx context.Context, from bson.E) (last mailkey.UserID, more bool, err error) {
	limit := snapshotMessages
	for {
		n := 0
		err = r.store.snapshot(ctx, func(ctx context.Context) error {
			r.tally.Rollback()
			n, last, more, err = r.users(ctx, from, limit)
			return err
		})
		switch {
		case err == nil:
			if err := r.tally.Commit(ctx); err != nil {
				return last, false, err
			}
			if r.done += int64(n); r.progress != nil {
				err = r.progress(ctx, r.done)
			}
			return last, more, err
		case !errors.Is(err, errSnapshotLost):
			return last, false, err
		case last == (mailkey.UserID{}):
			return last, false, err
		case limit > 0:
			limit = 0 // a single user
			continue
		}
		// That user has more messages than one snapshot can show. Nothing can be said to be a leak without them.
		r.tally.Rollback()
		r.tally.Unreadable()
		r.store.log.Warn("a user's messages cannot be read at one moment: no count will be lowered", "user", last.String(), "error", err)
		return last, true, nil
	}
}

// users reads whole users: as many as have limit messages, at least one.
func (r *referrers) users(ctx context.Context, from bson.E, limit int) (n int, last mailkey.UserID, more bool, err error) {
	cur, err := r.store.messages.Find(ctx, bson.D{{Key: "_id", Value: bson.D{from}}}, options.Find().
		SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(projection(fieldReference)).SetBatchSize(batchSmall))
	if err != nil {
		return 0, last, false, err
	}
	defer cur.Close(context.WithoutCancel(ctx))
	began := time.Now()
	for cur.Next(ctx) {
		key, ref, err := referenceOf(cur.Current)
		if key == (mailkey.Message{}) {
			r.tally.Unreadable()
			continue
		}
		if user := key.User(); user != last {
			if n > 0 && (n >= limit || time.Since(began) > snapshotTime) {
				return n, last, true, nil
			}
			last = user
		}
		if err != nil {
			r.tally.Unreadable()
		} else {
			r.tally.Add(key[:], ref)
		}
		n++
	}
	return n, last, false, cur.Err()
}

// referenceOf returns the key of a message and the reference that it has. The key is zero if there is none.
func referenceOf(doc bson.Raw) (mailkey.Message, dedupe.Ref, error) {
	key, err := messageKey(doc.Lookup(DocID))
	if err != nil {
		return key, dedupe.Ref{}, err
	}
	_, id, ok := doc.Lookup(DocContent).BinaryOK()
	magic, okMagic := doc.Lookup(DocMagic).AsInt64OK()
	if !ok || !okMagic {
		return key, dedupe.Ref{}, fmt.Errorf("message %v has no content", key)
	}
	hash, err := dedupe.HashFromBytes(id)
	if err != nil {
		return key, dedupe.Ref{}, fmt.Errorf("message %v: %w", key, err)
	}
	return key, dedupe.Ref{Hash: hash, Magic: dedupe.Magic(magic)}, nil
}
