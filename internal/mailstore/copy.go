package mailstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// CopyResult says where messages went (RFC 4315 section 3, COPYUID).
type CopyResult struct {
	UIDValidity uint32   // of the destination
	Source      []uint32 // ascending
	Dest        []uint32 // the UIDs in the destination, in the order of Source; ascending, too
	ModSeq      uint64   // of the destination after the last message came in; 0 if none did
	// SourceModSeq is that of the source after Move took the last message out; 0 if none.
	SourceModSeq uint64
}

// Copy copies messages with flags and internal dates. UIDs without a message are passed over, and
// nil is no UID. All are copied or none (RFC 9051 section 6.4.7): up to maxBatch in one
// transaction, more in several, which are undone if a later one fails. Errors: ErrNoSuchMailbox,
// quota.ErrOverQuota, ErrUIDsExhausted, ErrInvalidKeyword.
func (s *Store) Copy(ctx context.Context, from mailkey.Mailbox, uids uidset.Set,
	to mailkey.Mailbox) (*CopyResult, error) {
	ctx = database.Causal(ctx)
	source, dest, err := s.findBoth(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	return s.CopyBetween(ctx, source, uids, dest, Dropped{}, nil)
}

// Dropped says what copies do not take with them.
type Dropped struct {
	Flags    Flags
	Keywords bool
}

// CopyBetween is Copy for a caller that has read the mailboxes, be it long ago: of each, the key and
// the special use count. A mailbox that is being deleted gives the messages that it still has. The
// mailboxes may be of different users: copy_others.go. progress, if it is not nil, is called after each
// transaction with the number of messages that are copied so far.
func (s *Store) CopyBetween(ctx context.Context, from *Mailbox, uids uidset.Set, to *Mailbox,
	dropped Dropped, progress func(messages int)) (*CopyResult, error) {
	ctx = database.Causal(ctx)
	t := s.newCopyMove(from, to, dropped, progress)
	if err := t.run(ctx, uids, t.copyBatch); err != nil {
		if len(t.result.Dest) > 0 {
			t.undo(ctx)
		}
		return nil, fmt.Errorf("copy: %w", err)
	}
	return &t.result, nil
}

// Move moves messages with flags and internal dates (RFC 6851). UIDs without a message are passed
// over, and nil is no UID. Every message is in exactly one of the mailboxes at any time; on error
// some may have been moved, and the result, which then is not nil, says which. The quota does not
// change. Errors as for Copy, less quota.ErrOverQuota.
func (s *Store) Move(ctx context.Context, from mailkey.Mailbox, uids uidset.Set,
	to mailkey.Mailbox) (*CopyResult, error) {
	ctx = database.Causal(ctx)
	source, dest, err := s.findBoth(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("move: %w", err)
	}
	return s.MoveBetween(ctx, source, uids, dest, Dropped{}, nil)
}

// MoveBetween is Move as CopyBetween is Copy. From one user to another, the quotas change, and a
// message may be in both mailboxes for a moment, or for good if the move fails.
func (s *Store) MoveBetween(ctx context.Context, from *Mailbox, uids uidset.Set, to *Mailbox,
	dropped Dropped, progress func(messages int)) (*CopyResult, error) {
	ctx = database.Causal(ctx)
	t := s.newCopyMove(from, to, dropped, progress)
	batch := t.moveBatch
	if t.others {
		batch = t.moveBatchToOthers
	}
	if err := t.run(ctx, uids, batch); err != nil {
		return &t.result, fmt.Errorf("move: %w", err)
	}
	return &t.result, nil
}

// copyMove is one Copy or Move.
type copyMove struct {
	store    *Store
	from, to *Mailbox
	others   bool // they belong to different users
	dropped  Dropped
	progress func(messages int) // nil: nobody asks
	result   CopyResult
}

func (s *Store) newCopyMove(from, to *Mailbox, dropped Dropped, progress func(int)) *copyMove {
	return &copyMove{store: s, from: from, to: to, others: from.Key.User() != to.Key.User(), dropped: dropped,
		progress: progress, result: CopyResult{UIDValidity: to.UIDValidity}}
}

// findBoth reads two mailboxes, by one query if they are of one user. The error is ErrNoSuchMailbox
// if one does not exist.
func (s *Store) findBoth(ctx context.Context, a, b mailkey.Mailbox) (boxA, boxB *Mailbox, err error) {
	if a.User() != b.User() {
		if boxA, err = s.MailboxByKey(ctx, a); err == nil {
			boxB, err = s.MailboxByKey(ctx, b)
		}
		return boxA, boxB, err
	}
	docs, err := s.findMailboxes(ctx, bson.D{
		{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{a.Binary(), b.Binary()}}}},
		{Key: boxUser, Value: a.User().Binary()}})
	if err != nil {
		return nil, nil, err
	}
	for _, doc := range docs {
		box, err := doc.mailbox()
		if err != nil {
			return nil, nil, err
		}
		if box.Key == a {
			boxA = box
		}
		if box.Key == b {
			boxB = box
		}
	}
	if boxA == nil || boxB == nil {
		return nil, nil, ErrNoSuchMailbox
	}
	return boxA, boxB, nil
}

// run hands the messages to batch, which returns those UIDs that it had no room for.
func (t *copyMove) run(
	ctx context.Context, uids uidset.Set, batch func(context.Context, uidset.Set) (uidset.Set, error),
) error {
	batches, err := t.store.batches(ctx, t.from.Key, uids, nil)
	if err != nil {
		return err
	}
	pace := &pacer{store: t.store, user: t.from.Key.User()}
	for _, ranges := range batches {
		for len(ranges) > 0 {
			err := pace.batch(ctx, func() (err error) {
				ranges, err = batch(ctx, ranges)
				return err
			})
			if err != nil {
				return err
			}
			if t.progress != nil {
				t.progress(len(t.result.Source))
			}
		}
	}
	return nil
}

// newRefs are references that a copy has added. They are released again if no message takes them
// over.
type newRefs struct {
	byUID map[uint32]contents.Ref // of the source
	since time.Time               // no reference was added before
}

// add adds the references of messages that have none yet.
func (r *newRefs) add(ctx context.Context, store *contents.Store, messages []storedMessage) error {
	var fresh []contents.Ref
	for _, m := range messages {
		if _, ok := r.byUID[m.uid]; !ok {
			ref := contents.Ref{ID: m.content, Magic: dedupe.NewMagic()}
			r.byUID[m.uid] = ref
			fresh = append(fresh, ref)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := store.AddRefs(ctx, fresh); err != nil {
		for uid, ref := range r.byUID { // they may be counted or not
			if slices.Contains(fresh, ref) {
				delete(r.byUID, uid)
			}
		}
		return fmt.Errorf("add references: %w", err)
	}
	return nil
}

// without returns the references but for those of these messages.
func (r *newRefs) without(messages []storedMessage) []contents.Ref {
	taken := make(map[uint32]bool, len(messages))
	for _, m := range messages {
		taken[m.uid] = true
	}
	var list []contents.Ref
	for uid, ref := range r.byUID {
		if !taken[uid] {
			list = append(list, ref)
		}
	}
	return list
}

// copyBatch copies one batch in a transaction. The transaction reads the messages. Then, outside of
// it, the new messages' references are added, before the transaction writes anything. They are
// released again if there are no such messages.
func (t *copyMove) copyBatch(ctx context.Context, ranges uidset.Set) (rest uidset.Set, err error) {
	s := t.store
	refs := &newRefs{byUID: make(map[uint32]contents.Ref), since: time.Now()}
	outside := ctx
	var w *copyMoveWrite
	var read []storedMessage
	if t.others {
		// Not within the transaction, which is to stay on the shard of the other user.
		if read, rest, err = s.documents(ctx, t.from.Key, ranges); err != nil {
			return nil, err
		}
	}
	err = s.transactFor(ctx, t.to.Key.User(), func(ctx context.Context) error {
		w = &copyMoveWrite{copyMove: t, messages: read}
		var err error
		if !t.others {
			if w.messages, rest, err = s.documents(ctx, t.from.Key, ranges); err != nil {
				return err
			}
		}
		if len(w.messages) == 0 {
			return errUnchanged
		}
		w.drop()
		if len(refs.byUID) == 0 {
			refs.since = time.Now() // perhaps it waited for other transactions of the user
		}
		call, cancel := context.WithTimeout(outside, callTimeout)
		defer cancel()
		if err := refs.add(call, s.contents, w.messages); err != nil {
			return err
		}
		if err := w.charge(ctx); err != nil {
			return userError(err)
		}
		if w.dest, err = s.changeMailbox(ctx, t.to.Key, w.incoming()); err != nil {
			return err
		}
		for i := range w.messages {
			w.messages[i].set(DocMagic, int64(refs.byUID[w.messages[i].uid].Magic))
		}
		return w.insert(ctx)
	})
	switch {
	case err == nil:
		w.done(ctx)
		s.releaseUnused(ctx, refs.without(w.messages), refs.since)
	case mayHaveCommitted(err):
		s.log.Warn("copy with unknown outcome: references stay", "mailbox", t.to.Key.String(), "error", err)
	default:
		s.releaseUnused(ctx, refs.without(nil), refs.since)
	}
	return rest, err
}

// moveBatch moves one batch in a transaction. The references move with the messages.
func (t *copyMove) moveBatch(ctx context.Context, ranges uidset.Set) (rest uidset.Set, err error) {
	s := t.store
	var w *copyMoveWrite
	err = s.transactFor(ctx, t.to.Key.User(), func(ctx context.Context) error {
		w = &copyMoveWrite{copyMove: t}
		var err error
		if w.messages, rest, err = s.documents(ctx, t.from.Key, ranges); err != nil {
			return err
		}
		if len(w.messages) == 0 {
			return errUnchanged
		}
		w.drop()
		if err := w.changeBoth(ctx); err != nil {
			return err
		}
		var uids []uint32
		for _, m := range w.messages {
			uids = append(uids, m.uid)
		}
		if err := s.remove(ctx, t.from.Key, uids); err != nil {
			return err
		}
		if err := s.writeJournal(ctx, t.from.Key, w.source, journalled{expunged: uids,
			target: &Target{t.to.Key.Number(), w.firstUID()}, lesson: w.lesson()}); err != nil {
			return err
		}
		return w.insert(ctx)
	})
	if err == nil {
		w.done(ctx)
	}
	return rest, err
}

// undo removes what was copied, when the copy as a whole has failed.
func (t *copyMove) undo(ctx context.Context) {
	// As long as it takes, since each of its transactions is bounded, but not beyond Close.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(t.store.base, cancel)()
	nobody := func([]uint32, uint64) error { return nil }
	if err := t.store.removeMessages(ctx, t.to.Key, uidset.FromAscending(t.result.Dest), nil, nobody); err != nil {
		t.store.log.Error("a copy that failed was not undone", "mailbox", t.to.Key.String(),
			"messages", len(t.result.Dest), "error", err)
	}
}
