package mailstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// ErrInvalidExpiry reports a number of days that cannot be.
var ErrInvalidExpiry = errors.New("days of expiry are 0 for never, or at most 36500")

// CheckExpiry returns ErrInvalidExpiry if messages cannot expire after so many days.
func CheckExpiry(days int64) error {
	if days < 0 || days > maxExpireDays {
		return ErrInvalidExpiry
	}
	return nil
}

// SetExpiry says after how many days in the mailbox messages go: 0 for never, whatever holds for
// mailboxes of its use. Nil takes back what was said. Errors: ErrNoSuchMailbox, ErrInvalidExpiry.
func (s *Store) SetExpiry(ctx context.Context, box mailkey.Mailbox, days *int64) error {
	update := bson.D{{Key: "$unset", Value: bson.D{{Key: boxExpire, Value: ""}}}}
	if days != nil {
		if err := CheckExpiry(*days); err != nil {
			return err
		}
		update = bson.D{{Key: "$set", Value: bson.D{{Key: boxExpire, Value: *days}}}}
	}
	ctx, end := s.link(database.Causal(ctx))
	defer end()
	res, err := s.mailboxes.UpdateOne(ctx, append(byBox(box), notSet(boxDeleting)), update)
	if err != nil {
		return fmt.Errorf("set expiry: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchMailbox
	}
	return nil
}

// An Expiring is a mailbox with messages, which may be old.
type Expiring struct {
	Mailbox mailkey.Mailbox
	// Days is the mailbox's own number; nil if it has none.
	Days *int64
}

// ExpiringMailboxes returns mailboxes that have messages: those of a special use, or with "" those
// that have an expiry of their own, in the order of their keys from behind after on, at most limit.
// It reads no others. more is false behind the last.
func (s *Store) ExpiringMailboxes(ctx context.Context, use string, after mailkey.Mailbox,
	limit int64) (list []Expiring, last mailkey.Mailbox, more bool, err error) {
	filter := bson.D{{Key: boxSpecialUse, Value: use}}
	hint := indexUses
	if use == "" {
		filter = bson.D{{Key: boxExpire, Value: bson.D{{Key: "$exists", Value: true}}}}
		hint = indexExpiring
	}
	filter = append(filter, bson.E{Key: DocID, Value: bson.D{{Key: "$gt", Value: after.Binary()}}})
	cursor, err := s.mailboxes.Find(ctx, filter, options.Find().SetHint(hint).SetLimit(limit).
		SetSort(bson.D{{Key: DocID, Value: 1}}).SetProjection(bson.D{{Key: boxExpire, Value: 1},
		{Key: boxMessages, Value: 1}, {Key: boxDeleting, Value: 1}}))
	if err != nil {
		return nil, after, false, fmt.Errorf("find expiring mailboxes: %w", err)
	}
	var docs []mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, after, false, fmt.Errorf("find expiring mailboxes: %w", err)
	}
	last = after
	for i := range docs {
		if len(docs[i].ID.Data) != len(last) {
			return nil, last, false, fmt.Errorf("mailbox key of %d octets in the database", len(docs[i].ID.Data))
		}
		last = mailkey.Mailbox(docs[i].ID.Data)
		if docs[i].Messages > 0 && !docs[i].Deleting {
			list = append(list, Expiring{last, docs[i].Expire})
		}
	}
	return list, last, int64(len(docs)) == limit, nil
}

// Expire removes the messages that are in the mailbox since that time or longer, as an expunge does.
// It reads those messages and one more: UIDs ascend as messages come in. It calls removed after each
// transaction, with the number of its messages; an error of it ends Expire. The error is
// ErrNoSuchMailbox or ErrNoSuchUser if that is so.
func (s *Store) Expire(ctx context.Context, box mailkey.Mailbox, since time.Time, removed func(n int) error) error {
	ctx = database.Causal(ctx)
	// Save dates have whole seconds: a message may have come up to one later than its date.
	latest := since.UTC().Add(-time.Second)
	uids := uidset.All()
	young := Query{Limit: 1, Filter: bson.D{{Key: DocSaveDate, Value: bson.D{{Key: "$gt", Value: latest}}}}}
	for m, err := range s.Messages(ctx, box, young, 0) {
		if err != nil {
			return fmt.Errorf("expire: %w", err)
		}
		if m.UID == 1 {
			return nil
		}
		uids = uidset.Set{{First: 1, Last: m.UID - 1}}
	}
	old := bson.D{{Key: DocSaveDate, Value: bson.D{{Key: "$lte", Value: latest}}}}
	err := s.removeMessages(ctx, box, uids, old, func(uids []uint32, _ uint64) error { return removed(len(uids)) })
	if err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	return nil
}

// IsExpiryIndex reports whether ExpiringMailboxes needs the index.
func IsExpiryIndex(collection, index string) bool {
	return collection == collMailboxes && (index == indexUses || index == indexExpiring)
}
