package mailstore

import (
	"context"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Expunge removes the messages with \Deleted among uids (nil means all). It returns their UIDs,
// ascending, and the mailbox's mod-sequence after the last removal (0 if nothing was removed). On
// error, some may be gone; the result names them. The error is ErrNoSuchMailbox if that is so.
func (s *Store) Expunge(ctx context.Context, box mailkey.Mailbox,
	uids uidset.Set) (expunged []uint32, modseq uint64, err error) {
	err = s.ExpungeEach(ctx, box, uids, func(gone []uint32, m uint64) error {
		expunged, modseq = append(expunged, gone...), m
		return nil
	})
	return expunged, modseq, err
}

// ExpungeEach is Expunge for a caller who wants to know of each commit. It calls removed after
// each, with the UIDs, ascending, and the mailbox's mod-sequence. If removed returns an error,
// ExpungeEach stops and returns it.
func (s *Store) ExpungeEach(ctx context.Context, box mailkey.Mailbox, uids uidset.Set,
	removed func(uids []uint32, modseq uint64) error) error {
	ctx = database.Causal(ctx)
	if uids == nil {
		uids = uidset.All()
	}
	if none, err := s.noneDeleted(ctx, box); none || err != nil {
		return err
	}
	n := 0
	err := s.removeMessages(ctx, box, uids, FlagFilter(Deleted, true), func(uids []uint32, modseq uint64) error {
		n += len(uids)
		return removed(uids, modseq)
	})
	if err == nil && n == 0 {
		_, err = s.MailboxByKey(ctx, box)
	}
	if err != nil {
		return fmt.Errorf("expunge: %w", err)
	}
	return nil
}

// noneDeleted reports that no message of the mailbox has \Deleted, by the mailbox's document. It
// does not read that if this process has just left such messages there. The error is
// ErrNoSuchMailbox.
func (s *Store) noneDeleted(ctx context.Context, box mailkey.Mailbox) (bool, error) {
	if last, ok := s.heads.get(box); ok && last.deleted > 0 {
		return false, nil
	}
	doc, err := s.MailboxByKey(ctx, box)
	if err != nil {
		return false, fmt.Errorf("expunge: %w", err)
	}
	return doc.Deleted == 0, nil
}

// removeMessages removes the messages that meet the condition, batch after batch in ascending order
// of their UIDs. So messages that come to meet it meanwhile keep no call from ending.
func (s *Store) removeMessages(ctx context.Context, box mailkey.Mailbox, uids uidset.Set,
	filter bson.D, removed func(uids []uint32, modseq uint64) error) error {
	pace := &pacer{store: s, user: box.User()}
	for len(uids) > 0 {
		var gone []uint32
		var modseq uint64
		err := pace.batch(ctx, func() (err error) {
			gone, modseq, err = s.removeBatch(ctx, box, uids, filter)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		if err := removed(gone, modseq); err != nil {
			return err
		}
		last := gone[len(gone)-1]
		if len(gone) < s.batchSize || last == math.MaxUint32 {
			return nil
		}
		uids = uids.From(last + 1)
	}
	return nil
}

// removal is the part of an expunge that one transaction makes.
type removal struct {
	uids  []uint32
	refs  []contents.Ref
	usage quota.Usage
	boxChange
}

// removable reads the messages to remove, at most limit.
func (s *Store) removable(ctx context.Context, box mailkey.Mailbox, ranges uidset.Set,
	filter bson.D, limit int) (*removal, error) {
	r := &removal{boxChange: boxChange{expunges: true}}
	q := Query{UIDs: ranges, Filter: filter, Limit: limit}
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

// removeBatch removes one batch in a transaction. After it, it publishes that, and then releases the
// references.
func (s *Store) removeBatch(ctx context.Context, box mailkey.Mailbox, ranges uidset.Set,
	filter bson.D) ([]uint32, uint64, error) {
	var r *removal
	var state *boxState
	err := s.transactFor(ctx, box.User(), func(ctx context.Context) error {
		var err error
		if r, err = s.removable(ctx, box, ranges, filter, s.batchSize); err != nil {
			return err
		}
		if len(r.uids) == 0 {
			return errUnchanged
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
		return s.writeJournal(ctx, box, state, journalled{expunged: r.uids})
	})
	if err != nil || len(r.uids) == 0 {
		return nil, 0, err
	}
	s.publish(ctx, box, events.Changed, uint64(state.ModSeq), nil)
	s.release(ctx, r.refs)
	return r.uids, uint64(state.ModSeq), nil
}

// remove deletes the documents of these messages, by as few statements as their UIDs allow.
func (s *Store) remove(ctx context.Context, box mailkey.Mailbox, uids []uint32) error {
	var models []mongo.WriteModel
	for _, filter := range keyFilters(box, uidset.FromAscending(uids), s.clustered) {
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
