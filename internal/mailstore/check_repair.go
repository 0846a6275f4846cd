package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/mailkey"
)

// updateBox repairs a mailbox, if its messages are those that were seen.
func (u *userCheck) updateBox(ctx context.Context, b *boxCheck, update bson.D) (bool, error) {
	res, err := u.s.mailboxes.UpdateOne(ctx, append(byBox(b.key), notSet(boxDeleting),
		bson.E{Key: boxModSeq, Value: b.doc.ModSeq}), update)
	if err != nil {
		return false, fmt.Errorf("repair mailbox %v: %w", b.key, err)
	}
	return res.MatchedCount == 1, nil
}

// repairMarkers sets the fields that repeat others, if the message is the one that was seen.
func (u *userCheck) repairMarkers(ctx context.Context, key mailkey.Message, modseq int64, flags Flags) (bool, error) {
	set := bson.D{{Key: DocMailbox, Value: key.Mailbox().Binary()}}
	var unset bson.D
	for _, m := range []struct {
		field string
		on    bool
	}{{DocUnseen, flags&Seen == 0}, {DocDeleted, flags&Deleted != 0}} {
		if m.on {
			set = append(set, bson.E{Key: m.field, Value: true})
		} else {
			unset = append(unset, bson.E{Key: m.field, Value: ""})
		}
	}
	update := bson.D{{Key: "$set", Value: set}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	res, err := u.s.messages.UpdateOne(ctx, append(byID(key.Binary()), bson.E{Key: DocModSeq, Value: modseq}), update)
	if err != nil {
		return false, fmt.Errorf("repair message %v: %w", key, err)
	}
	return res.MatchedCount == 1, nil
}

// repairAddress gives the user the address of the name, which nobody has.
func (u *userCheck) repairAddress(ctx context.Context) (bool, error) {
	err := u.s.transact(ctx, func(ctx context.Context) error {
		if _, err := u.s.touchUser(ctx, u.id, bson.D{{Key: userTree, Value: int64(1)}}); err != nil {
			return err
		}
		_, err := u.s.addresses.InsertOne(ctx, bson.D{{Key: "_id", Value: u.doc.Name},
			{Key: addressUser, Value: u.id.Binary()}})
		return err
	})
	if errors.Is(err, ErrNoSuchUser) || mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	return err == nil, err
}

// recoverMailbox makes a mailbox for messages that have none, with the key that they have. Nothing
// else writes there: whatever changes messages changes their mailbox.
func (u *userCheck) recoverMailbox(ctx context.Context, b *boxCheck) (bool, error) {
	path := fmt.Sprintf("Recovered %d", b.key.Number())
	for n := 2; slices.ContainsFunc(u.boxes, func(o *boxCheck) bool { return o.doc.Path == path }); n++ {
		path = fmt.Sprintf("Recovered %d (%d)", b.key.Number(), n)
	}
	var box *Mailbox
	var note int64
	err := u.s.transact(ctx, func(ctx context.Context) error {
		user, err := u.s.touchUser(ctx, u.id, bson.D{{Key: userTree, Value: int64(1)},
			{Key: userNotes, Value: int64(1)}, {Key: userUIDValidity, Value: int64(1)}})
		if err != nil {
			return err
		}
		box = &Mailbox{Key: b.key, Path: path, UIDValidity: uint32(user.UIDValidity), Subscribed: true, Created: now()}
		doc := newMailboxDoc(box)
		for _, f := range []struct {
			field string
			value int64
		}{
			{boxUIDNext, b.maxUID + 1}, {boxModSeq, max(b.maxModSeq, 1)}, {boxMessages, b.actual.Messages},
			{boxUnseen, b.actual.Unseen}, {boxDeleted, b.actual.Deleted}, {boxSize, b.actual.Size},
			{boxDeletedSize, b.actual.DeletedSize},
		} {
			for i := range doc {
				if doc[i].Key == f.field {
					doc[i].Value = f.value
				}
			}
		}
		if len(b.keywords) > 0 {
			var words []string
			for k := range b.keywords {
				words = append(words, k)
			}
			slices.Sort(words)
			doc = append(doc, bson.E{Key: boxKeywords, Value: words})
		}
		if _, err = u.s.mailboxes.InsertOne(ctx, doc); err != nil {
			return err
		}
		note = user.Notes
		return u.s.writeNotes(ctx, u.id, note, noteCreated(box))
	})
	if errors.Is(err, ErrNoSuchUser) || mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recover mailbox %v: %w", b.key, err)
	}
	u.s.publishList(ctx, u.id, note)
	return true, nil
}
