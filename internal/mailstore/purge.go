package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gadwall/quota"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// purgeMailbox removes the messages of a mailbox that is being deleted, in batches, and at last the
// mailbox itself. It can be interrupted at any time, and called again or by several instances.
func (s *Store) purgeMailbox(ctx context.Context, box MailboxKey) error {
	for {
		n, err := s.purgeBatch(ctx, box)
		if err != nil {
			return fmt.Errorf("purge mailbox: %w", err)
		}
		if n == 0 {
			break
		}
	}
	first, last := box.journal(0), box.journal(1<<64-1)
	_, err := s.journal.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: first.Binary()}, {Key: "$lte", Value: last.Binary()}}}})
	if err != nil {
		return fmt.Errorf("purge journal: %w", err)
	}
	if _, err := s.mailboxes.DeleteOne(ctx, bson.D{{Key: "_id", Value: box.Binary()}, {Key: boxDeleting, Value: true}}); err != nil {
		return fmt.Errorf("purge mailbox: %w", err)
	}
	return nil
}

func (s *Store) purgeBatch(ctx context.Context, box MailboxKey) (int, error) {
	var r *removal
	err := s.transactFor(ctx, box.User(), func(ctx context.Context) error {
		var err error
		if r, err = s.removable(ctx, box, nil, nil); err != nil || len(r.uids) == 0 {
			return err
		}
		// Another instance that purges the same user may be through with the user's document.
		if err := s.quota.Release(ctx, box.User(), r.usage); err != nil && !errors.Is(err, quota.ErrNoSuchUser) {
			return err
		}
		// Written although it is about to go, so that two who purge conflict.
		_, err = s.mailboxes.UpdateOne(ctx, byID(box.Binary()), bson.D{{Key: "$inc", Value: r.Counters.increments()}})
		if err != nil {
			return err
		}
		return s.remove(ctx, box, r.uids)
	})
	if err != nil {
		return 0, err
	}
	s.release(ctx, r.refs)
	return len(r.uids), nil
}

// resumeDeletions finishes what DeleteMailbox and DeleteUser began before a process ended.
func (s *Store) resumeDeletions(ctx context.Context) {
	if err := s.finishDeletions(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("interrupted deletions were not resumed", "error", err)
	}
}

// finishDeletions goes on with the others when one cannot be finished.
func (s *Store) finishDeletions(ctx context.Context) error {
	boxes, err := s.marked(ctx, s.mailboxes, boxDeleting)
	if err != nil {
		return err
	}
	var failed error
	for _, id := range boxes {
		if len(id.Data) != len(MailboxKey{}) {
			err = fmt.Errorf("mailbox key of %d octets in the database", len(id.Data))
		} else {
			err = s.purgeMailbox(ctx, MailboxKey(id.Data))
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			return failed
		}
	}
	users, err := s.marked(ctx, s.users, userDeleting)
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, id := range users {
		user, err := userIDFrom(id)
		if err == nil {
			err = s.purgeUser(ctx, user)
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			return failed
		}
	}
	return failed
}

// marked returns the ids of documents that have the marker.
func (s *Store) marked(ctx context.Context, coll *mongo.Collection, marker string) ([]bson.Binary, error) {
	cursor, err := coll.Find(ctx, bson.D{{Key: marker, Value: true}}, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("find interrupted deletions: %w", err)
	}
	var docs []struct {
		ID bson.Binary `bson:"_id"`
	}
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find interrupted deletions: %w", err)
	}
	ids := make([]bson.Binary, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	return ids, nil
}

// DeleteUser removes a user with all mail. The user is gone for everybody at once; the addresses are free when the
// mail is removed. Interrupted, it is resumed when a Store is opened, or by another call. The error
// is ErrNoSuchUser.
func (s *Store) DeleteUser(ctx context.Context, user UserID) error {
	res, err := s.users.UpdateOne(ctx, byID(user.Binary()), bson.D{{Key: "$set", Value: bson.D{{Key: userDeleting, Value: true}}}})
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	s.publishList(ctx, user)
	err = ErrClosed
	s.inBackground(ctx, func(ctx context.Context) { err = s.purgeUser(ctx, user) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// purgeUser removes what a user that is being deleted has.
func (s *Store) purgeUser(ctx context.Context, user UserID) error {
	boxes, err := s.mailboxIDs(ctx, user)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	for _, box := range boxes {
		if err := s.markDeleting(ctx, box); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if err := s.purgeMailbox(ctx, box); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
	}
	if _, err := s.subscriptions.DeleteMany(ctx, bson.D{{Key: subscriptionUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete subscriptions: %w", err)
	}
	if _, err := s.addresses.DeleteMany(ctx, bson.D{{Key: addressUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete addresses: %w", err)
	}
	if _, err := s.users.DeleteOne(ctx, byID(user.Binary())); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

// mailboxIDs returns the keys of all mailboxes of a user, those that are being deleted as well. It walks
// the keys: on the way along the index on paths, one that is renamed meanwhile could be passed over.
func (s *Store) mailboxIDs(ctx context.Context, user UserID) ([]MailboxKey, error) {
	cursor, err := s.mailboxes.Find(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: user.Mailbox(0).Binary()}, {Key: "$lte", Value: user.Mailbox(math.MaxUint32).Binary()}}}},
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	var docs []mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	keys := make([]MailboxKey, len(docs))
	for i, d := range docs {
		m, err := d.mailbox()
		if err != nil {
			return nil, err
		}
		keys[i] = m.Key
	}
	return keys, nil
}
