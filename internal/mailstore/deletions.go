package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// Deleting a mailbox or a user has two parts. The first is a mark, by which it is gone for
// everybody at once. The second is the purge of what it had, which may be long. The mark holds a
// lease: the time of the latest progress. Whoever purges renews it; a lease that was not renewed
// for purgeLease belongs to a process that has ended, and any Store that resumes deletions
// (Options.Resume) takes it over. Leases only keep two from doing the same work: it would be done
// right all the same, so clocks that differ do no harm.

// markDeleting takes a mailbox from the view of everybody: its name is free, and no transaction can
// change it any more but those of a purge.
func (s *Store) markDeleting(ctx context.Context, key mailkey.Mailbox) error {
	_, err := s.mailboxes.UpdateOne(ctx, byBox(key), bson.D{
		// No path contains a NUL, so this name is nobody else's.
		{Key: "$set", Value: bson.D{{Key: boxDeleting, Value: true}, {Key: boxPurged, Value: now()},
			{Key: boxPath, Value: "\x00" + key.String()}}},
		{Key: "$unset", Value: bson.D{{Key: boxSpecialUse, Value: ""}, {Key: boxSubscribed, Value: ""},
			{Key: boxACL, Value: ""}, {Key: boxSharedWith, Value: ""}}},
	})
	if err != nil {
		return fmt.Errorf("mark mailbox: %w", err)
	}
	return nil
}

// purgeMailbox removes a mailbox that is marked.
func (s *Store) purgeMailbox(ctx context.Context, box mailkey.Mailbox) error {
	err := (&purge{Store: s}).mailbox(ctx, box)
	s.giveUp(ctx, err, s.mailboxes, boxPurged, box.Binary())
	return err
}

// DeleteUser removes a user with all mail. The user is gone for everybody at once; the addresses
// are free when the mail is removed. Interrupted, it is resumed by a Store that does so, or by
// another call. The error is ErrNoSuchUser.
func (s *Store) DeleteUser(ctx context.Context, user mailkey.UserID) error {
	return s.deleteUser(ctx, byID(user.Binary()), user)
}

// deleteUser removes a user whose document matches filter.
func (s *Store) deleteUser(ctx context.Context, filter bson.D, user mailkey.UserID) error {
	ctx = database.Causal(ctx)
	err := s.shutOut(ctx, LoggedOut{User: user}, func(ctx context.Context) error {
		marking, end := s.link(ctx)
		res, err := s.users.UpdateOne(marking, filter, bson.D{{Key: "$set", Value: bson.D{
			{Key: userDeleting, Value: true}, {Key: userPurged, Value: now()}}}}, options.UpdateOne().SetHint(byKey))
		end()
		if err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if res.MatchedCount == 0 {
			return ErrNoSuchUser
		}
		s.publishList(ctx, user, 0)
		return nil
	})
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	if !s.spawn(func() { result <- s.purgeUser(database.Follow(s.base, ctx), user) }) {
		return ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// purgeUser removes a user who is marked.
func (s *Store) purgeUser(ctx context.Context, user mailkey.UserID) error {
	err := (&purge{Store: s, user: &user, renewed: time.Now()}).everything(ctx)
	s.giveUp(ctx, err, s.users, userPurged, user.Binary())
	return err
}

// giveUp ends the lease of a purge that failed, so that another need not wait for it.
func (s *Store) giveUp(ctx context.Context, err error, coll *mongo.Collection, lease string, id bson.Binary) {
	if err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	if _, err := coll.UpdateOne(ctx, byOwner(id),
		bson.D{{Key: "$unset", Value: bson.D{{Key: lease, Value: ""}}}}); err != nil {
		s.log.Debug("lease of a deletion stays until it is over", "error", err)
	}
}

// resumeLoop finishes, now and then until ctx ends, what was begun by processes that have ended.
func (s *Store) resumeLoop(ctx context.Context) {
	for {
		if err := s.finishDeletions(ctx, s.purgeLease); err != nil && ctx.Err() == nil {
			s.log.Error("interrupted deletions were not finished", "error", err)
		}
		if n, err := s.DeleteDue(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("users whose time was over were not deleted", "error", err)
		} else if n > 0 {
			s.log.Info("users deleted whose time was over", "users", n)
		}
		// Not all instances at the same time.
		pause := time.NewTimer(s.purgeLease/2 + rand.N(s.purgeLease/2))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// FinishDeletions finishes all deletions of mailboxes and users that were begun, also those that
// somebody may be at.
func (s *Store) FinishDeletions(ctx context.Context) error {
	if err := s.finishDeletions(ctx, everyLease); err != nil {
		return fmt.Errorf("finish deletions: %w", err)
	}
	return nil
}

// Deletions returns how many mailboxes and users are marked and not gone yet, maxDeletionsCounted of
// each at most.
func (s *Store) Deletions(ctx context.Context) (mailboxes, users int64, err error) {
	for _, c := range []struct {
		coll *mongo.Collection
		mark string
		n    *int64
	}{{s.mailboxes, boxDeleting, &mailboxes}, {s.users, userDeleting, &users}} {
		*c.n, err = c.coll.CountDocuments(ctx, bson.D{{Key: c.mark, Value: true}},
			options.Count().SetHint(indexDeleting).SetLimit(maxDeletionsCounted))
		if err != nil {
			return 0, 0, fmt.Errorf("count deletions: %w", err)
		}
	}
	return mailboxes, users, nil
}

// everyLease takes over leases of any age, those of clocks that are ahead included.
const everyLease = -365 * 24 * time.Hour

// finishDeletions purges what is marked and whose lease was not renewed for so long. It goes on
// with the others when one cannot be finished.
func (s *Store) finishDeletions(ctx context.Context, silent time.Duration) error {
	return errors.Join(
		s.takeOver(ctx, silent, s.mailboxes, boxDeleting, boxPurged, func(id bson.Binary) error {
			if len(id.Data) != len(mailkey.Mailbox{}) {
				return fmt.Errorf("mailbox key of %d octets in the database", len(id.Data))
			}
			return s.purgeMailbox(ctx, mailkey.Mailbox(id.Data))
		}),
		s.takeOver(ctx, silent, s.users, userDeleting, userPurged, func(id bson.Binary) error {
			user, err := userIDFrom(id)
			if err != nil {
				return err
			}
			return s.purgeUser(ctx, user)
		}))
}

// takeOver calls f for each document that is marked and whose lease is over, once it has the lease.
func (s *Store) takeOver(ctx context.Context, silent time.Duration, coll *mongo.Collection, mark,
	lease string, f func(bson.Binary) error) error {
	var failed []error
	var last any = bson.MinKey{}
	for {
		abandoned := bson.D{{Key: mark, Value: true},
			{Key: lease, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gte", Value: now().Add(-silent)}}}}}}
		cursor, err := coll.Find(ctx, append(abandoned, bson.E{Key: "_id", Value: bson.D{{Key: "$gt", Value: last}}}),
			options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).
				// not the keys: there are many
				SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(pageMarked).SetHint(indexDeleting))
		if err != nil {
			return fmt.Errorf("find interrupted deletions: %w", err)
		}
		var page []struct {
			ID bson.Binary `bson:"_id"`
		}
		if err := cursor.All(ctx, &page); err != nil {
			return fmt.Errorf("find interrupted deletions: %w", err)
		}
		for _, doc := range page {
			res, err := coll.UpdateOne(ctx, append(byOwner(doc.ID), abandoned...),
				bson.D{{Key: "$set", Value: bson.D{{Key: lease, Value: now()}}}})
			if err != nil {
				return fmt.Errorf("take over a deletion: %w", err)
			}
			if res.MatchedCount == 0 {
				continue // another was faster
			}
			s.log.Info("finishing an interrupted deletion", "collection", coll.Name(), "id",
				fmt.Sprintf("%x", doc.ID.Data))
			if err := f(doc.ID); err != nil {
				failed = append(failed[max(0, len(failed)-keepErrors+1):], err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(page) < pageMarked {
			return errors.Join(failed...)
		}
		last = page[len(page)-1].ID
	}
}
