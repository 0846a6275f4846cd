package mailstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// Counters move in the transactions that change what they count. So by how much a counter is wrong
// does not change with time: whoever has compared it with the messages at one moment, in a
// snapshot, can repair it at any later one by that difference, whatever happened in between, and no
// traffic has to stop or wait. Only two who repair must not both do it; so each repair of a mailbox
// is counted (boxRepairs), and takes place if none was since the comparison.

// Recount counts the messages of a mailbox, beside live traffic, and returns what is there and what
// is recorded at the same moment. With repair set, it also corrects what is recorded. The messages
// are counted in one snapshot, which a server keeps for a minute (20,000,000 messages or so). The
// error is ErrNoSuchMailbox.
func (s *Store) Recount(ctx context.Context, box mailkey.Mailbox, repair bool) (actual, recorded Counters, err error) {
	m, actual, err := s.recount(ctx, box, false, repair)
	if err != nil {
		return actual, recorded, err
	}
	return actual, m.Counters(), nil
}

// recount returns the mailbox and the counters as they should be, both at the same moment.
func (s *Store) recount(ctx context.Context, box mailkey.Mailbox, deleting,
	repair bool) (m *Mailbox, actual Counters, err error) {
	filter := byBox(box)
	for range casAttempts {
		var repairs int64
		err := s.transact(ctx, func(ctx context.Context) error {
			doc, err := s.findMailboxOf(ctx, filter, deleting)
			if err != nil {
				return err
			}
			if m, err = doc.mailbox(); err != nil {
				return err
			}
			repairs = doc.Repairs
			actual, err = s.count(ctx, box)
			return err
		})
		if err != nil {
			return nil, actual, fmt.Errorf("recount: %w", err)
		}
		off := actual.sub(m.Counters())
		if !repair || off == (Counters{}) {
			return m, actual, nil
		}
		done, err := s.correctCounters(ctx, filter, repairs, off)
		if err != nil {
			return nil, actual, fmt.Errorf("recount: %w", err)
		}
		if done {
			return m, actual, nil
		}
	}
	return nil, actual, fmt.Errorf("recount: others repaired the mailbox %d times meanwhile", casAttempts)
}

// correctCounters adds what the counters of a mailbox were off by, unless they were repaired since
// that was found.
func (s *Store) correctCounters(ctx context.Context, filter bson.D, repairs int64, off Counters) (bool, error) {
	asSeen := bson.E{Key: boxRepairs, Value: repairs}
	if repairs == 0 {
		asSeen = notSet(boxRepairs)
	}
	res, err := s.mailboxes.UpdateOne(ctx, append(filter, asSeen),
		bson.D{{Key: "$inc", Value: append(off.increments(), bson.E{Key: boxRepairs, Value: int64(1)})}})
	if err != nil {
		return false, fmt.Errorf("correct counters: %w", err)
	}
	return res.MatchedCount == 1, nil
}

func (s *Store) count(ctx context.Context, box mailkey.Mailbox) (Counters, error) {
	var c Counters
	for m, err := range s.Messages(ctx, box, Query{}, FieldFlags|FieldSize) {
		if err != nil {
			return c, err
		}
		c.add(1, m.Flags, m.Size)
	}
	return c, nil
}

// RecalculateQuota makes a user's usage the sum of the mailboxes' counters, and returns by how much
// it was off. Where those may be wrong, Recount comes first. The error is ErrNoSuchUser.
func (s *Store) RecalculateQuota(ctx context.Context, user mailkey.UserID) (diff quota.Usage, err error) {
	return s.recalculateQuota(ctx, user, true)
}

func (s *Store) recalculateQuota(ctx context.Context, user mailkey.UserID, repair bool) (diff quota.Usage, err error) {
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		diff, err = s.quota.Recalculate(ctx, user, repair, func(ctx context.Context) (quota.Usage, error) {
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

// Recalculation is what Recalculate found wrong.
type Recalculation struct {
	Mailboxes []MailboxDrift
	// Usage is by how much the usage was off: what is there minus what was recorded.
	Usage quota.Usage
}

// MailboxDrift is a mailbox whose counters were wrong.
type MailboxDrift struct {
	Path             string
	Actual, Recorded Counters
}

// Clean reports that nothing was wrong.
func (r *Recalculation) Clean() bool { return len(r.Mailboxes) == 0 && r.Usage == quota.Usage{} }

// Recalculate compares the counters of all mailboxes of a user, and the usage, with the messages,
// beside live traffic. With repair set, both are corrected. The error is ErrNoSuchUser.
func (s *Store) Recalculate(ctx context.Context, user mailkey.UserID, repair bool) (*Recalculation, error) {
	boxes, err := s.mailboxIDs(ctx, user)
	if err != nil {
		return nil, err
	}
	r := &Recalculation{}
	var notYet quota.Usage // by how much the usage will be off when the counters are right
	for _, key := range boxes {
		m, actual, err := s.recount(ctx, key, true, repair)
		if errors.Is(err, ErrNoSuchMailbox) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if recorded := m.Counters(); actual != recorded {
			r.Mailboxes = append(r.Mailboxes, MailboxDrift{m.Path, actual, recorded})
			if !repair {
				notYet = notYet.Add(actual.Usage()).Sub(recorded.Usage())
			}
		}
	}
	if r.Usage, err = s.recalculateQuota(ctx, user, repair); err != nil {
		return nil, err
	}
	r.Usage = r.Usage.Add(notYet)
	return r, nil
}
