package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// A purge removes what a mailbox or a user has that is being deleted, in transactions of at most
// purgeBatch messages. It can be interrupted at any time and begun again, also by several at once:
// what is done is done, and the mark goes last. See deletions.go for who resumes it.
type purge struct {
	*Store
	// user is set if it is a user that is being deleted.
	user    *mailkey.UserID
	renewed time.Time // when the user's lease was
}

// mailbox removes the messages of a mailbox that is marked and, at last, the mailbox itself.
func (p *purge) mailbox(ctx context.Context, box mailkey.Mailbox) error {
	// No message comes into a marked mailbox, so each batch begins after the one before. Not at the
	// first key: there the database would step over all that was removed, more each time.
	pace := &pacer{store: p.Store, user: box.User()}
	for first := uint32(1); first > 0; {
		err := pace.batch(ctx, func() (err error) {
			first, err = p.batch(ctx, box, first)
			return err
		})
		if err != nil {
			return fmt.Errorf("purge mailbox: %w", err)
		}
	}
	// The journal stays until it expires: it tells where messages were moved to before (feed.go).
	if err := p.purgeMetadata(ctx, box, box); err != nil {
		return err
	}
	if err := errors.Join(p.forgetSeen(ctx, box), p.forgetRolls(ctx, box, box)); err != nil {
		return err
	}
	if _, err := p.mailboxes.DeleteOne(ctx, append(byBox(box),
		bson.E{Key: boxDeleting, Value: true})); err != nil {
		return fmt.Errorf("purge mailbox: %w", err)
	}
	return nil
}

// batch removes the first messages of the mailbox whose UIDs are not below first, and returns where
// the next batch begins, or 0 after the last one.
func (p *purge) batch(ctx context.Context, box mailkey.Mailbox, first uint32) (next uint32, err error) {
	size := min(p.batchSize, purgeBatch)
	var r *removal
	err = p.transactFor(ctx, box.User(), func(ctx context.Context) error {
		var err error
		if r, err = p.removable(ctx, box, uidset.All().From(first), nil, size); err != nil || len(r.uids) == 0 {
			return err
		}
		// Another instance that purges the same user may be through with the user's document.
		if err := p.quota.Release(ctx, box.User(), r.usage); err != nil && !errors.Is(err, quota.ErrNoSuchUser) {
			return err
		}
		// Written although it is about to go, so that two who purge conflict. It renews the lease,
		// too.
		_, err = p.mailboxes.UpdateOne(ctx, byBox(box), bson.D{
			{Key: "$inc", Value: r.Counters.increments()},
			{Key: "$set", Value: bson.D{{Key: boxPurged, Value: now()}}}})
		if err != nil {
			return err
		}
		return p.remove(ctx, box, r.uids)
	})
	if err != nil {
		return 0, err
	}
	p.release(ctx, r.refs)
	if len(r.uids) < size {
		return 0, nil
	}
	if err := p.renewUser(ctx); err != nil {
		return 0, err
	}
	// The last UID there can be has no next one: then next is 0, and it is the end.
	return r.uids[len(r.uids)-1] + 1, nil
}

// renewUser renews the lease of the user that is being purged, if that is due.
func (p *purge) renewUser(ctx context.Context) error {
	if p.user == nil || time.Since(p.renewed) < p.purgeLease/4 {
		return nil
	}
	p.renewed = time.Now()
	_, err := p.users.UpdateOne(ctx, byID(p.user.Binary()),
		bson.D{{Key: "$set", Value: bson.D{{Key: userPurged, Value: now()}}}})
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// everything removes what the user has, who is marked, and at last the user.
func (p *purge) everything(ctx context.Context) error {
	user := *p.user
	boxes, err := p.mailboxIDs(ctx, user)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	for _, box := range boxes {
		if err := p.markDeleting(ctx, box); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if err := p.mailbox(ctx, box); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if err := p.renewUser(ctx); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
	}
	if p.watcher != nil {
		if err := p.watcher.Forget(ctx, user); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
	}
	if err := p.forgetIdentifier(ctx, user); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	if _, err := p.seen.DeleteMany(ctx, bson.D{{Key: seenUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete seen messages: %w", err)
	}
	if err := p.purgeJournal(ctx, user); err != nil {
		return err
	}
	// A session that had a mailbox open may have written one since the mailbox went.
	if err := p.forgetRolls(ctx, user.Mailbox(0), user.Mailbox(math.MaxUint32)); err != nil {
		return err
	}
	if err := errors.Join(p.purgeMetadata(ctx, user.Mailbox(0), user.Mailbox(1<<32-1)),
		p.forgetActor(ctx, user)); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	if _, err := p.subscriptions.DeleteMany(ctx, bson.D{{Key: subscriptionUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete subscriptions: %w", err)
	}
	unbounded, cancel := database.Unbounded(ctx)
	defer cancel()
	if _, err := p.tokens.DeleteMany(ctx, bson.D{{Key: tokenUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete tokens: %w", err)
	}
	if _, err := p.authlog.DeleteMany(unbounded, bson.D{loginsOf(user)}); err != nil {
		return fmt.Errorf("delete authentication log: %w", err)
	}
	if _, err := p.addresses.DeleteMany(ctx, bson.D{{Key: addressUser, Value: user.Binary()}}); err != nil {
		return fmt.Errorf("delete addresses: %w", err)
	}
	if _, err := p.users.DeleteOne(ctx, byID(user.Binary())); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

// purgeJournal removes all journal entries of a user.
func (p *purge) purgeJournal(ctx context.Context, user mailkey.UserID) error {
	first, last := newJournalKey(user.Mailbox(0), 0), newJournalKey(user.Mailbox(math.MaxUint32), math.MaxUint64)
	unbounded, cancel := database.Unbounded(ctx)
	defer cancel()
	_, err := p.journal.DeleteMany(unbounded, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: first.Binary()}, {Key: "$lte", Value: last.Binary()}}}})
	if err != nil {
		return fmt.Errorf("purge journal: %w", err)
	}
	return nil
}

// mailboxIDs returns the keys of all mailboxes of a user, those that are being deleted as well. It
// walks the keys: on the way along the index on paths, one that is renamed meanwhile could be
// passed over.
func (s *Store) mailboxIDs(ctx context.Context, user mailkey.UserID) ([]mailkey.Mailbox, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.mailboxes.Find(ctx, allBoxes(user),
		options.Find().SetHint(byKey).SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	var docs []mailboxDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	keys := make([]mailkey.Mailbox, len(docs))
	for i, d := range docs {
		m, err := d.mailbox()
		if err != nil {
			return nil, err
		}
		keys[i] = m.Key
	}
	return keys, nil
}
