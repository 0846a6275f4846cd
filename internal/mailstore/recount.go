package mailstore

import (
	"context"
	"fmt"

	"gadwall/quota"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Counters are the numbers that a mailbox's document keeps about its messages.
type Counters struct {
	Messages, Unseen, Deleted, Size int64
}

// Counters returns those of the mailbox as recorded.
func (m *Mailbox) Counters() Counters {
	return Counters{m.Messages, m.Unseen, m.Deleted, m.Size}
}

// Recount counts the messages of a mailbox, beside live traffic, and returns what is there and what
// is recorded at the same moment. With repair set, it also records what is there. The error is ErrNoSuchMailbox.
func (s *Store) Recount(ctx context.Context, box MailboxKey, repair bool) (actual, recorded Counters, err error) {
	for range casAttempts {
		before, err := s.MailboxByKey(ctx, box)
		if err != nil {
			return actual, recorded, err
		}
		if actual, err = s.count(ctx, box); err != nil {
			return actual, recorded, fmt.Errorf("recount: %w", err)
		}
		recorded = before.Counters()
		// Every change of the messages raises the mod-sequence.
		same := append(byID(box.Binary()), notSet(boxDeleting), bson.E{Key: boxModSeq, Value: int64(before.HighestModSeq)})
		if !repair || actual == recorded {
			n, err := s.countUpTo(ctx, s.mailboxes, same, 1)
			if err != nil || n == 1 {
				return actual, recorded, err
			}
			continue
		}
		res, err := s.mailboxes.UpdateOne(ctx, same, bson.D{{Key: "$set", Value: bson.D{
			{Key: boxMessages, Value: actual.Messages}, {Key: boxUnseen, Value: actual.Unseen},
			{Key: boxDeleted, Value: actual.Deleted}, {Key: boxSize, Value: actual.Size}}}})
		if err != nil {
			return actual, recorded, fmt.Errorf("recount: %w", err)
		}
		if res.MatchedCount == 1 {
			return actual, recorded, nil
		}
	}
	return actual, recorded, fmt.Errorf("recount: the mailbox changed %d times meanwhile", casAttempts)
}

func (s *Store) count(ctx context.Context, box MailboxKey) (Counters, error) {
	var c Counters
	for m, err := range s.Messages(ctx, box, Query{}, FieldFlags|FieldSize) {
		if err != nil {
			return c, err
		}
		c.Messages++
		c.Size += m.Size
		if m.Flags&Seen == 0 {
			c.Unseen++
		}
		if m.Flags&Deleted != 0 {
			c.Deleted++
		}
	}
	return c, nil
}

// RecalculateQuota makes a user's usage the sum of the mailboxes' counters, and returns by how much
// it was off. Where those may be wrong, Recount comes first. The error is ErrNoSuchUser.
func (s *Store) RecalculateQuota(ctx context.Context, user UserID) (diff quota.Usage, err error) {
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		diff, err = s.quota.Recalculate(ctx, user, func(ctx context.Context) (quota.Usage, error) {
			// Mailboxes that are being deleted still have messages that count.
			cursor, err := s.mailboxes.Find(ctx, bson.D{{Key: boxUser, Value: user.Binary()}},
				options.Find().SetProjection(bson.D{{Key: boxMessages, Value: 1}, {Key: boxSize, Value: 1}}))
			if err != nil {
				return quota.Usage{}, err
			}
			var docs []mailboxDoc
			if err := cursor.All(ctx, &docs); err != nil {
				return quota.Usage{}, err
			}
			var sum quota.Usage
			for _, d := range docs {
				sum = sum.Add(quota.Usage{Bytes: d.Size, Messages: d.Messages})
			}
			return sum, nil
		})
		return err
	})
	return diff, userError(err)
}
