package mailstore

import (
	"context"
	"fmt"

	"gadwall/internal/contents"
	"gadwall/internal/events"
	"gadwall/quota"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Expunge removes the messages with \Deleted among uids (nil means all) for good. It returns their UIDs, ascending,
// and the mailbox's mod-sequence after the last removal (0 if nothing was removed). On error, some may be
// gone, and are named. The error is ErrNoSuchMailbox if that is so.
func (s *Store) Expunge(ctx context.Context, box MailboxKey, uids []UIDRange) (expunged []uint32, modseq uint64, err error) {
	if uids == nil {
		uids = AllUIDs
	}
	expunged, modseq, err = s.removeMessages(ctx, box, uids, FlagFilter(Deleted, true))
	if err == nil && len(expunged) == 0 {
		_, err = s.MailboxByKey(ctx, box)
	}
	if err != nil {
		err = fmt.Errorf("expunge: %w", err)
	}
	return expunged, modseq, err
}

// removeMessages removes the messages that meet the condition, in batches.
func (s *Store) removeMessages(ctx context.Context, box MailboxKey, uids []UIDRange, filter bson.D) (removed []uint32, modseq uint64, err error) {
	batches, err := s.batches(ctx, box, uids, filter)
	if err != nil {
		return nil, 0, err
	}
	for _, ranges := range batches {
		gone, m, err := s.removeBatch(ctx, box, ranges, filter)
		removed = append(removed, gone...)
		modseq = max(modseq, m)
		if err != nil {
			return removed, modseq, err
		}
	}
	return removed, modseq, nil
}

// removal is what is taken out of a mailbox by one transaction.
type removal struct {
	uids  []uint32
	refs  []contents.Ref
	usage quota.Usage
	boxChange
}

// removable reads what is to be removed, at most maxBatch messages.
func (s *Store) removable(ctx context.Context, box MailboxKey, ranges []UIDRange, filter bson.D) (*removal, error) {
	r := &removal{boxChange: boxChange{expunges: true}}
	q := Query{UIDs: ranges, Filter: filter, Limit: maxBatch}
	for m, err := range s.Messages(ctx, box, q, FieldFlags|FieldSize|fieldReference) {
		if err != nil {
			return nil, err
		}
		r.uids = append(r.uids, m.UID)
		r.refs = append(r.refs, contents.Ref{ID: m.Content, Magic: m.Magic})
		r.usage = r.usage.Add(quota.Usage{Bytes: m.Size, Messages: 1})
		r.add(-1, m.Flags, m.Size)
	}
	return r, nil
}

// removeBatch removes one batch in a transaction, and releases the references after it.
func (s *Store) removeBatch(ctx context.Context, box MailboxKey, ranges []UIDRange, filter bson.D) ([]uint32, uint64, error) {
	var r *removal
	var state *boxState
	err := s.transactFor(ctx, box.User(), func(ctx context.Context) error {
		var err error
		if r, err = s.removable(ctx, box, ranges, filter); err != nil || len(r.uids) == 0 {
			return err
		}
		if err := s.quota.Release(ctx, box.User(), r.usage); err != nil {
			return userError(err)
		}
		if state, err = s.changeMailbox(ctx, box, r.boxChange); err != nil {
			return err
		}
		if err := s.remove(ctx, box, r.uids); err != nil {
			return err
		}
		return s.writeJournal(ctx, box, state, r.uids)
	})
	if err != nil || len(r.uids) == 0 {
		return nil, 0, err
	}
	s.release(ctx, r.refs)
	s.publish(ctx, box, events.Changed, uint64(state.ModSeq), nil)
	return r.uids, uint64(state.ModSeq), nil
}

// remove deletes the documents of these messages, by as few statements as their UIDs allow.
func (s *Store) remove(ctx context.Context, box MailboxKey, uids []uint32) error {
	var models []mongo.WriteModel
	for _, filter := range keyFilters(box, Ranges(uids), s.clustered) {
		models = append(models, mongo.NewDeleteManyModel().SetFilter(filter))
	}
	res, err := s.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	if err != nil {
		return fmt.Errorf("remove messages: %w", err)
	}
	if res.DeletedCount != int64(len(uids)) {
		return fmt.Errorf("remove messages: %d instead of %d", res.DeletedCount, len(uids))
	}
	return nil
}

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
		if err := s.quota.Release(ctx, box.User(), r.usage); err != nil {
			return userError(err)
		}
		// Written although it is about to go, so that two who purge conflict.
		_, err = s.mailboxes.UpdateOne(ctx, byID(box.Binary()), bson.D{{Key: "$inc", Value: bson.D{
			{Key: boxMessages, Value: r.messages}, {Key: boxUnseen, Value: r.unseen},
			{Key: boxDeleted, Value: r.deleted}, {Key: boxSize, Value: r.size}}}})
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

func (s *Store) finishDeletions(ctx context.Context) error {
	boxes, err := s.marked(ctx, s.mailboxes, boxDeleting)
	if err != nil {
		return err
	}
	for _, id := range boxes {
		if len(id.Data) != len(MailboxKey{}) {
			return fmt.Errorf("mailbox key of %d octets in the database", len(id.Data))
		}
		if err := s.purgeMailbox(ctx, MailboxKey(id.Data)); err != nil {
			return err
		}
	}
	users, err := s.marked(ctx, s.users, userDeleting)
	if err != nil {
		return err
	}
	for _, id := range users {
		user, err := userIDFrom(id)
		if err != nil {
			return err
		}
		if err := s.purgeUser(ctx, user); err != nil {
			return err
		}
	}
	return nil
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

// mailboxIDs returns the keys of all mailboxes of a user, those that are being deleted as well.
func (s *Store) mailboxIDs(ctx context.Context, user UserID) ([]MailboxKey, error) {
	cursor, err := s.mailboxes.Find(ctx, bson.D{{Key: boxUser, Value: user.Binary()}}, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
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
