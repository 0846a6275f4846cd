package mailstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Fields of sending documents, which count what a user sent within sendingSlot. _id is the user id
// and the number of the slot.
const (
	sendingMessages   = "m" // int64
	sendingRecipients = "r" // int64
	sendingExpires    = "e" // date at which the TTL index removes the document
)

// Sending is how much a user sent within sendingWindow.
type Sending struct{ Messages, Recipients int64 }

func (s Sending) add(t Sending) Sending {
	return Sending{s.Messages + t.Messages, s.Recipients + t.Recipients}
}

// sendingKey is the key of the document for a slot of time.
func sendingKey(user mailkey.UserID, slot int64) bson.Binary {
	return bson.Binary{Data: binary.BigEndian.AppendUint64(user[:len(user):len(user)], uint64(slot))}
}

// sendingNow is the number of the present slot.
func sendingNow() int64 { return time.Now().UnixNano() / int64(sendingSlot) }

// sentIn sums up slots.
func (s *Store) sentIn(ctx context.Context, user mailkey.UserID, first, last int64) (Sending, error) {
	cursor, err := s.sending.Find(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: sendingKey(user, first)}, {Key: "$lte", Value: sendingKey(user, last)}}}})
	var docs []sendingDoc
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	if err != nil {
		return Sending{}, fmt.Errorf("read what the user sent: %w", err)
	}
	var sum Sending
	for _, d := range docs {
		sum = sum.add(d.sending())
	}
	return sum, nil
}

type sendingDoc struct {
	Messages   int64 `bson:"m"`
	Recipients int64 `bson:"r"`
}

func (d sendingDoc) sending() Sending { return Sending(d) }

// ErrRate reports that a user sent as much as allowed.
var ErrRate = errors.New("the user sent too much")

// CountSending counts what a user is about to send, if it and what all instances counted within the
// last sendingWindow stay within limit; 0 is no limit. Otherwise the error is ErrRate, and nothing is
// counted. The result is to be given to UncountSending.
func (s *Store) CountSending(
	ctx context.Context, user mailkey.UserID, by, limit Sending,
) (at SendingSlot, err error) {
	slot := sendingNow()
	at = SendingSlot{user, slot, by}
	now, err := s.addSending(ctx, at, by)
	if err != nil {
		return at, err
	}
	// Slots before this one hardly change any more, so of several instances at the limit one is the
	// last to get through.
	earlier, err := s.sentIn(ctx, user, slot-sendingSlots, slot-1)
	if err != nil {
		return at, err
	}
	sum := now.add(earlier)
	if limit.Messages > 0 && sum.Messages > limit.Messages ||
		limit.Recipients > 0 && sum.Recipients > limit.Recipients {
		if err := s.UncountSending(ctx, at); err != nil {
			return at, err
		}
		return at, ErrRate
	}
	return at, nil
}

// SendingSlot is what CountSending counted, and when.
type SendingSlot struct {
	user mailkey.UserID
	slot int64
	by   Sending
}

// UncountSending takes back what was counted and then not sent.
func (s *Store) UncountSending(ctx context.Context, at SendingSlot) error {
	_, err := s.addSending(ctx, at, Sending{-at.by.Messages, -at.by.Recipients})
	return err
}

// addSending counts in a slot, and returns what the slot has then.
func (s *Store) addSending(ctx context.Context, at SendingSlot, by Sending) (Sending, error) {
	expires := time.Unix(0, (at.slot+1)*int64(sendingSlot)).Add(sendingWindow + sendingSlot).UTC()
	update := bson.D{
		{Key: "$inc", Value: bson.D{{Key: sendingMessages, Value: by.Messages},
			{Key: sendingRecipients, Value: by.Recipients}}},
		{Key: "$setOnInsert", Value: bson.D{{Key: sendingExpires, Value: expires}}}}
	var doc sendingDoc
	err := s.sending.FindOneAndUpdate(ctx, byID(sendingKey(at.user, at.slot)), update,
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&doc)
	if err != nil {
		return Sending{}, fmt.Errorf("count what the user sends: %w", err)
	}
	return doc.sending(), nil
}
