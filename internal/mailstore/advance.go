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

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// A database that was restored from a backup does not know which UIDs, mod-sequences, mailbox
// numbers and UIDVALIDITY values were given out after the backup. Clients know them. Were one given
// out again, a client would take a new message for the one it knew by that UID, and delete it
// unseen. So after a restore every mailbox is advanced:
//
//   - UIDNEXT rises past every UID that can have been given out. UIDVALIDITY stays, so clients keep
//     what they have fetched. Only a mailbox that has not enough UIDs left gets a new UIDVALIDITY.
//   - HIGHESTMODSEQ rises by 2^40, which no mailbox reaches between two restores, and every message
//     gets a mod-sequence above that. So a client with CONDSTORE or QRESYNC (RFC 7162) is told the
//     flags of every message again, which are those of the backup.
//   - The journal gets a gap. So Changes is not complete for a client that knows a mod-sequence
//     from before, and the client's UIDs are compared with what there is: messages that came after
//     the backup vanish, messages that were expunged after it are back.
//   - The journal of the user gets a gap, too: readers of the feed (Notes) are told to read again.
//   - The user's next mailbox number and UIDVALIDITY rise, so a mailbox that is created now is not
//     taken for one that was created after the backup. The next number of a message rises as UIDNEXT
//     does.
//
// The order makes an interrupted advance safe. The state document says that one is under way, and
// Open refuses to serve until it is through. A mailbox rises by one transaction, which notes the
// advance and the floor: the mod-sequence that every message must reach. Each batch of messages
// then gets the next mod-sequence by a transaction of its own. A resumed advance finds the messages
// below the floor by the index.

// AdvanceOptions of Advance.
type AdvanceOptions struct {
	// UIDs is the number by which UIDNEXT rises; DefaultAdvance if 0.
	UIDs uint32
	// NewUIDValidity gives every mailbox a new UIDVALIDITY instead. Clients fetch all mail again.
	NewUIDValidity bool
	// Resume goes on with an advance that was interrupted, with the options it began with. Anew
	// begins another one, for a database that was restored again since.
	Resume, Anew bool
	// Progress, if not nil, gets the counts now and then.
	Progress func(AdvanceCount)
}

// AdvanceCount is what an advance has done.
type AdvanceCount struct {
	Users, Mailboxes, Messages int64
	// NewUIDValidity is the number of mailboxes that got a new UIDVALIDITY.
	NewUIDValidity int64
}

// UIDNEXT rises by DefaultAdvance: more messages than a mailbox takes in between a backup and its
// restore.
const DefaultAdvance = 1 << 24

const (
	advanceModSeq = 1 << 40
	// advanceLimit is the greatest UIDNEXT that an advance makes. The UIDs above are left for
	// messages.
	advanceLimit = math.MaxUint32 - 1<<30
	// advanceNumbers is the number by which a user's next mailbox number rises.
	advanceNumbers = 1 << 20
	// advanceValidity is the time by which a user's next UIDVALIDITY is ahead of the present.
	// UIDVALIDITY values are seconds, or ahead of them where mailboxes are created faster.
	advanceValidity = 24 * time.Hour
)

var (
	// ErrAdvancing reports a database whose advance after a restore is not through.
	ErrAdvancing = errors.New("the database was restored, and its mailboxes are not all advanced yet")
	// ErrNotAdvancing reports that there is no interrupted advance to resume.
	ErrNotAdvancing = errors.New("no advance of mailboxes was interrupted")
)

// advance is the state document of the latest advance.
type advance struct {
	ID       bson.Binary `bson:"id"` // random
	Running  bool        `bson:"running"`
	Begun    time.Time   `bson:"begun"`
	Step     int64       `bson:"step"` // by how much UIDNEXT rises
	Validity bool        `bson:"validity"`
}

const stateAdvance = "advance"

// readAdvance returns the latest advance, or nil if there was none.
func (s *Store) readAdvance(ctx context.Context) (*advance, error) {
	var a advance
	err := s.state.FindOne(ctx, bson.D{{Key: "_id", Value: stateAdvance}}).Decode(&a)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the restore: %w", err)
	}
	return &a, nil
}

// checkAdvanced fails with ErrAdvancing while an advance is under way.
func (s *Store) checkAdvanced(ctx context.Context) error {
	a, err := s.readAdvance(ctx)
	if err == nil && a != nil && a.Running {
		return fmt.Errorf("%w: it began at %s", ErrAdvancing, a.Begun.UTC().Format(time.RFC3339))
	}
	return err
}

// Advance makes a database that was restored fit for clients that know its later state. Nothing
// else writes meanwhile. It may be interrupted at any time and resumed, and it may run more than
// once. Errors: ErrAdvancing, if one was interrupted and the options do not say what to do;
// ErrNotAdvancing.
func (s *Store) Advance(ctx context.Context, o AdvanceOptions) (AdvanceCount, error) {
	run := advanceRun{Store: s, progress: o.Progress}
	if err := run.begin(ctx, o); err != nil {
		return AdvanceCount{}, err
	}
	err := run.everyUser(ctx)
	if err == nil {
		err = run.end(ctx)
	}
	if err != nil {
		return run.count, fmt.Errorf("advance mailboxes: %w", err)
	}
	return run.count, nil
}

// BeginAdvance does what Advance does first: from its return on, until an Advance that resumes it
// is through, Open refuses to serve. Errors as for Advance.
func (s *Store) BeginAdvance(ctx context.Context, o AdvanceOptions) error {
	return (&advanceRun{Store: s}).begin(ctx, o)
}

// advanceRun is one call of Advance.
type advanceRun struct {
	*Store
	advance
	count    AdvanceCount
	progress func(AdvanceCount)
}

func (r *advanceRun) begin(ctx context.Context, o AdvanceOptions) error {
	before, err := r.readAdvance(ctx)
	if err != nil {
		return err
	}
	interrupted := before != nil && before.Running
	switch {
	case o.Resume && !interrupted:
		return ErrNotAdvancing
	case o.Resume:
		r.advance = *before
		return nil
	case interrupted && !o.Anew:
		return fmt.Errorf("%w: one that began at %s was interrupted",
			ErrAdvancing, before.Begun.UTC().Format(time.RFC3339))
	}
	id := mailkey.NewUserID()
	r.advance = advance{ID: id.Binary(), Running: true, Begun: now(),
		Step: int64(o.UIDs), Validity: o.NewUIDValidity}
	if o.UIDs == 0 {
		r.Step = DefaultAdvance
	}
	return r.write(ctx)
}

func (r *advanceRun) end(ctx context.Context) error {
	r.Running = false
	return r.write(ctx)
}

func (r *advanceRun) write(ctx context.Context) error {
	_, err := r.state.UpdateOne(ctx, bson.D{{Key: "_id", Value: stateAdvance}},
		bson.D{{Key: "$set", Value: r.advance}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("write the state of the restore: %w", err)
	}
	return nil
}

// everyUser advances all users, those that are being deleted too, in the order of their ids.
func (r *advanceRun) everyUser(ctx context.Context) error {
	var last mailkey.UserID
	for first := true; ; first = false {
		op := "$gt"
		if first {
			op = "$gte"
		}
		cursor, err := r.users.Find(ctx,
			bson.D{{Key: "_id", Value: bson.D{{Key: op, Value: last.Binary()}}}},
			options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(pageUsers).
				SetProjection(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			return fmt.Errorf("find users: %w", err)
		}
		var docs []userDoc
		if err := cursor.All(ctx, &docs); err != nil {
			return fmt.Errorf("find users: %w", err)
		}
		for _, doc := range docs {
			if last, err = userIDFrom(doc.ID); err != nil {
				return err
			}
			if err := r.raiseUser(ctx, last); err != nil {
				return err
			}
		}
		if len(docs) < pageUsers {
			return nil
		}
	}
}

// raiseUser advances a user with all mailboxes.
func (r *advanceRun) raiseUser(ctx context.Context, user mailkey.UserID) error {
	if err := r.transactFor(ctx, user, func(ctx context.Context) error {
		return r.raiseNumbers(ctx, user)
	}); err != nil {
		return fmt.Errorf("user %s: %w", user, err)
	}
	boxes, err := r.mailboxIDs(ctx, user)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		floor, err := r.raiseMailbox(ctx, box)
		if err == nil {
			err = r.raiseMessages(ctx, box, floor)
		}
		if err != nil {
			return fmt.Errorf("mailbox %s: %w", box, err)
		}
		r.count.Mailboxes++
		r.tell()
	}
	r.count.Users++
	r.tell()
	return nil
}

func (r *advanceRun) tell() {
	if r.progress != nil {
		r.progress(r.count)
	}
}

// raiseNumbers raises the numbers for new mailboxes and messages, once per advance.
func (r *advanceRun) raiseNumbers(ctx context.Context, user mailkey.UserID) error {
	var doc struct {
		UIDValidity int64       `bson:"uidv"`
		Advanced    bson.Binary `bson:"adv"`
	}
	err := r.users.FindOne(ctx, byID(user.Binary())).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) || err == nil && doc.Advanced.Equal(r.ID) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find user: %w", err)
	}
	validity := max(doc.UIDValidity, now().Add(advanceValidity).Unix())
	_, err = r.users.UpdateOne(ctx, byID(user.Binary()), bson.D{
		{Key: "$inc", Value: bson.D{
			{Key: userMailboxes, Value: int64(advanceNumbers)}, {Key: userNumbers, Value: r.Step},
			{Key: userNotes, Value: int64(advanceModSeq)}}},
		{Key: "$set", Value: bson.D{{Key: userUIDValidity, Value: validity}, {Key: userAdvanced, Value: r.ID}}}})
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return nil
}

// raiseMailbox raises the numbers of a mailbox, once per advance, and returns the floor: the
// mod-sequence that all its messages must reach. It is 0 for a mailbox that is being deleted.
func (r *advanceRun) raiseMailbox(ctx context.Context, box mailkey.Mailbox) (floor int64, err error) {
	fresh := false
	err = r.transactFor(ctx, box.User(), func(ctx context.Context) error {
		floor, fresh = 0, false
		doc, err := r.findMailboxDoc(ctx, byBox(box))
		if errors.Is(err, ErrNoSuchMailbox) {
			return nil
		}
		if err != nil {
			return err
		}
		if doc.Advanced.Equal(r.ID) {
			floor = doc.Floor
			return nil
		}
		floor = doc.ModSeq + advanceModSeq
		set := bson.D{{Key: boxModSeq, Value: floor}, {Key: boxExpunged, Value: floor},
			{Key: boxFloor, Value: floor}, {Key: boxAdvanced, Value: r.ID}}
		if fresh = r.Validity || doc.UIDNext+r.Step > advanceLimit; fresh {
			c, err := r.touchUser(ctx, box.User(), bson.D{{Key: userUIDValidity, Value: int64(1)}})
			if errors.Is(err, ErrNoSuchUser) { // is being deleted, with the mailbox
				floor, fresh = 0, false
				return nil
			}
			if err != nil {
				return err
			}
			set = append(set, bson.E{Key: boxUIDValidity, Value: c.UIDValidity})
		} else {
			set = append(set, bson.E{Key: boxUIDNext, Value: doc.UIDNext + r.Step})
		}
		_, err = r.mailboxes.UpdateOne(ctx, byBox(box), bson.D{{Key: "$set", Value: set}})
		return err
	})
	if err == nil && fresh {
		r.count.NewUIDValidity++
	}
	return floor, err
}

// raiseMessages gives every message below the floor a mod-sequence above it.
func (r *advanceRun) raiseMessages(ctx context.Context, box mailkey.Mailbox, floor int64) error {
	below := belowFloor(box, floor)
	for {
		var uids []uint32
		err := r.transactFor(ctx, box.User(), func(ctx context.Context) error {
			uids = uids[:0]
			var failed error
			r.walk(ctx, below, changedOptions().SetLimit(int64(r.batchSize)).SetProjection(projection(0)),
				func(doc bson.Raw, err error) bool {
					var key mailkey.Message
					if err == nil {
						key, err = messageKey(doc.Lookup(DocID))
					}
					uids, failed = append(uids, key.UID()), err
					return err == nil
				})
			if failed != nil || len(uids) == 0 {
				return failed
			}
			state, err := r.changeMailbox(ctx, box, boxChange{})
			if err != nil {
				return err
			}
			return r.setModSeq(ctx, box, uids, state.ModSeq)
		})
		if errors.Is(err, ErrNoSuchMailbox) || err == nil && len(uids) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		r.count.Messages += int64(len(uids))
		r.tell()
		if len(uids) < r.batchSize {
			return nil
		}
	}
}

// belowFloor is the condition that a message's mod-sequence is below the floor; see changedFilter.
func belowFloor(box mailkey.Mailbox, floor int64) bson.D {
	return append(bson.D{{Key: DocMailbox, Value: box.Binary()},
		{Key: DocModSeq, Value: bson.D{{Key: "$lt", Value: floor}}}},
		rangeFilter(box, uidset.All()[0])...)
}

// setModSeq gives messages a mod-sequence and changes nothing else.
func (s *Store) setModSeq(ctx context.Context, box mailkey.Mailbox, uids []uint32, modseq int64) error {
	update := bson.D{{Key: "$set", Value: bson.D{{Key: DocModSeq, Value: modseq}}}}
	var models []mongo.WriteModel
	for _, filter := range keyFilters(box, uidset.Of(points(uids)...), s.clustered) {
		models = append(models, mongo.NewUpdateManyModel().SetFilter(filter).SetUpdate(update))
	}
	res, err := s.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	if err != nil {
		return fmt.Errorf("update messages: %w", err)
	}
	if res.MatchedCount != int64(len(uids)) {
		return fmt.Errorf("update messages: %d instead of %d", res.MatchedCount, len(uids))
	}
	return nil
}

// points returns a range for each of the UIDs, which may come in any order.
func points(uids []uint32) []uidset.Range {
	list := make([]uidset.Range, len(uids))
	for i, uid := range uids {
		list[i] = uidset.Range{First: uid, Last: uid}
	}
	return list
}
