package mailstore

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// FlagOp is the way in which a FlagChange combines with a message's flags.
type FlagOp uint8

const (
	Add FlagOp = iota + 1
	Remove
	Set
)

// FlagChange is the change that StoreFlags makes to each message (RFC 9051 section 6.4.6).
type FlagChange struct {
	Op       FlagOp
	Flags    Flags
	Keywords []string
	// UnchangedSince, if it is not 0 or Conditional is set, spares messages with a greater
	// mod-sequence (RFC 7162 section 3.1.3).
	UnchangedSince uint64
	Conditional    bool
	// Keep and KeepKeywords protect what the caller may not change: Set leaves these flags, or all
	// keywords, as they are.
	Keep         Flags
	KeepKeywords bool
	// SeenBy, if it is set, is the user whose \Seen is meant, in the mailbox of another user; see
	// SeenBy of Store. The flags in the result are those of that user.
	SeenBy *mailkey.UserID
}

// FlagResult is the result of StoreFlags. All lists ascend by UID.
type FlagResult struct {
	Changed   []FlagState // now have other flags
	Before    []uint64    // the mod-sequences that Changed had, in the same order
	Unchanged []FlagState // had the wanted flags already
	Modified  []uint32    // were spared because of UnchangedSince
	ModSeq    uint64      // of the mailbox after the last change; 0 if nothing changed
}

// StoreFlags changes flags. It passes over UIDs without a message. A nil set has no UID. A message
// that has the wanted flags already keeps its mod-sequence. Up to maxBatch messages change in one
// transaction, and get the same mod-sequence; on error, some batches may have been changed. Errors:
// ErrNoSuchMailbox, ErrInvalidKeyword.
func (s *Store) StoreFlags(ctx context.Context, box mailkey.Mailbox, uids uidset.Set,
	c FlagChange) (*FlagResult, error) {
	if err := checkKeywords(c.Keywords); err != nil {
		return nil, fmt.Errorf("store flags: %w", err)
	}
	ctx = database.Causal(ctx)
	c.Flags &= AllFlags
	batches, err := s.batches(ctx, box, uids, nil)
	if err != nil {
		return nil, fmt.Errorf("store flags: %w", err)
	}
	result := new(FlagResult)
	pace := &pacer{store: s, user: box.User()}
	for _, ranges := range batches {
		w := &flagWrite{store: s, box: box, ranges: ranges, change: c}
		err := pace.batch(ctx, func() error { return s.transactFor(ctx, box.User(), w.write) })
		if err != nil {
			return nil, fmt.Errorf("store flags: %w", err)
		}
		w.done(ctx, result)
	}
	if len(result.Changed)+len(result.Unchanged)+len(result.Modified) == 0 {
		if _, err := s.MailboxByKey(ctx, box); err != nil {
			return nil, fmt.Errorf("store flags: %w", err)
		}
	}
	return result, nil
}

// flagWrite is the transaction of one batch. Each attempt computes everything anew.
//
// It reads the messages, and computes the new flags of each. If any change, it writes the mailbox.
// A transaction that has changed one of the messages meanwhile has written the mailbox, too, so the
// two conflict, and this one starts again. So it changes the messages as it read them.
type flagWrite struct {
	store  *Store
	box    mailkey.Mailbox
	ranges uidset.Set
	change FlagChange

	result FlagResult
}

// flagRun is a run of neighbouring messages that get the same flags, with no other message between
// the first and the last.
type flagRun struct {
	uidset.Range
	flags    Flags
	keywords []string
}

func (w *flagWrite) write(ctx context.Context) error {
	w.result = FlagResult{}
	var changed []*Message
	var wanted, fresh []string
	if len(w.change.Keywords) > 0 {
		box, err := w.store.findMailboxDoc(ctx, byBox(w.box))
		if err != nil {
			return err
		}
		wanted, fresh = spellings(box.Keywords, w.change.Keywords)
	}
	var runs []flagRun
	var change boxChange
	var own, toSee, toForget uidset.Set
	if w.change.SeenBy != nil {
		var err error
		if own, err = w.store.SeenBy(ctx, w.box, *w.change.SeenBy); err != nil {
			return err
		}
	}
	lesson := w.change.lesson()
	var taught []uint32
	adjacent := false // the message before is the end of the last run
	for m, err := range w.store.Messages(ctx, w.box, Query{UIDs: w.ranges}, FieldFlags|FieldSize) {
		if err != nil {
			return err
		}
		if (w.change.Conditional || w.change.UnchangedSince > 0) && m.ModSeq > w.change.UnchangedSince {
			w.result.Modified = append(w.result.Modified, m.UID)
			adjacent = false
			continue
		}
		stored := m.Flags
		if w.change.SeenBy != nil {
			m.Flags = overlay(stored, m.UID, own)
		}
		flags, keywords := w.change.apply(m.Flags, m.Keywords, wanted)
		if err := checkKeywords(keywords); err != nil {
			return err
		}
		if flags == m.Flags && sameKeywords(keywords, m.Keywords) {
			w.result.Unchanged = append(w.result.Unchanged, FlagState{UID: m.UID, ModSeq: m.ModSeq,
				Flags: m.Flags, Keywords: m.Keywords})
			adjacent = false
			continue
		}
		w.result.Before = append(w.result.Before, m.ModSeq)
		changed = append(changed, &Message{UID: m.UID, Flags: flags, Keywords: keywords})
		if w.change.SeenBy != nil {
			one := uidset.Range{First: m.UID, Last: m.UID}
			if flags&Seen != 0 {
				toSee = append(toSee, one)
			} else {
				toForget = append(toForget, one)
			}
			flags = flags&^Seen | stored&Seen // what all others have
		}
		change.add(-1, stored, m.Size)
		change.add(1, flags, m.Size)
		if lesson != NoLesson && FindKeyword(m.Keywords, lesson.keyword()) < 0 {
			taught = append(taught, m.UID)
		}
		if n := len(runs); adjacent && w.joins(runs[n-1], m.UID, flags, keywords) {
			runs[n-1].Last = m.UID
		} else {
			runs = append(runs, flagRun{uidset.Range{First: m.UID, Last: m.UID}, flags, keywords})
		}
		adjacent = true
	}
	if len(changed) == 0 {
		return errUnchanged
	}
	change.expunges = taught != nil
	state, err := w.store.changeMailbox(ctx, w.box, change)
	if err != nil {
		return err
	}
	if w.change.Op != Remove {
		if err := w.store.addKeywords(ctx, w.box, state, fresh); err != nil {
			return err
		}
	}
	if now := own.Union(uidset.Of(toSee...)).Subtract(uidset.Of(toForget...)); !slices.Equal(now, own) {
		if err := w.store.setSeen(ctx, w.box, *w.change.SeenBy, now); err != nil {
			return err
		}
	}
	w.result.ModSeq = uint64(state.ModSeq)
	for _, m := range changed {
		w.result.Changed = append(w.result.Changed, FlagState{UID: m.UID, ModSeq: w.result.ModSeq,
			Flags: m.Flags, Keywords: m.Keywords})
	}
	if err := w.update(ctx, runs, state.ModSeq, len(changed)); err != nil || taught == nil {
		return err
	}
	return w.store.writeJournal(ctx, w.box, state, journalled{lesson: lesson, taught: taught})
}

// joins reports whether the next message that was read can be the new end of the run: it gets the
// same flags, and no UID between them is outside the set.
func (w *flagWrite) joins(run flagRun, uid uint32, flags Flags, keywords []string) bool {
	r, ok := w.ranges.Range(run.Last)
	return ok && uid <= r.Last && run.flags == flags && slices.Equal(run.keywords, keywords)
}

// apply returns the new flags and keywords.
func (c *FlagChange) apply(flags Flags, keywords, wanted []string) (Flags, []string) {
	switch c.Op {
	case Add:
		for _, k := range wanted {
			if FindKeyword(keywords, k) < 0 {
				keywords = append(keywords[:len(keywords):len(keywords)], k)
			}
		}
		return flags | c.Flags, keywords
	case Remove:
		keywords = slices.DeleteFunc(slices.Clone(keywords), func(k string) bool { return FindKeyword(wanted, k) >= 0 })
		return flags &^ c.Flags, keywords
	default:
		if c.KeepKeywords {
			wanted = keywords
		}
		return c.Flags&^c.Keep | flags&c.Keep, wanted
	}
}

// sameKeywords compares them as sets.
func sameKeywords(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, k := range a {
		if FindKeyword(b, k) < 0 {
			return false
		}
	}
	return true
}

// update writes the new flags, with one statement for each range of UIDs if the messages that change
// can be told by their flags, and else for each run. All statements are of one kind, so that the
// driver sends them in one command.
func (w *flagWrite) update(ctx context.Context, runs []flagRun, modseq int64, messages int) error {
	var models []mongo.WriteModel
	add := func(filter, update bson.D) {
		models = append(models, mongo.NewUpdateManyModel().SetFilter(filter).SetUpdate(update))
	}
	lacking, update, uniform := w.change.uniform(modseq)
	for len(runs) > 0 {
		r := runs[0]
		runs = runs[1:]
		if uniform {
			for within, _ := w.ranges.Range(r.First); len(runs) > 0 && runs[0].Last <= within.Last; runs = runs[1:] {
				r.Last = runs[0].Last
			}
		}
		filter := byID(w.box.Message(r.First).Binary())
		if r.First < r.Last {
			filter = rangeFilter(w.box, r.Range)
		}
		if uniform {
			add(append(filter, lacking), update)
		} else {
			add(filter, flagUpdate(r.flags, r.keywords, modseq))
		}
	}
	res, err := w.store.messages.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	if err != nil {
		return fmt.Errorf("update messages: %w", err)
	}
	if res.MatchedCount != int64(messages) {
		return fmt.Errorf("update messages: %d instead of %d", res.MatchedCount, messages)
	}
	return nil
}

// uniform returns the update that every message gets which the change changes, and the condition by
// which the database knows those. There is none for keywords, for flags that replace all others, and
// if mod-sequences are looked at.
func (c *FlagChange) uniform(modseq int64) (lacking bson.E, update bson.D, ok bool) {
	if c.Op != Add && c.Op != Remove || c.SeenBy != nil || len(c.Keywords) > 0 ||
		c.Conditional || c.UnchangedSince > 0 {
		return bson.E{}, nil, false
	}
	flags := int32(c.Flags)
	set := bson.D{{Key: DocModSeq, Value: modseq}}
	var unset bson.D
	mark := func(field string, on bool) {
		if on {
			set = append(set, bson.E{Key: field, Value: true})
		} else {
			unset = append(unset, bson.E{Key: field, Value: ""})
		}
	}
	if c.Flags&Seen != 0 {
		mark(DocUnseen, c.Op == Remove)
	}
	if c.Flags&Deleted != 0 {
		mark(DocDeleted, c.Op == Add)
	}
	bits, condition := bson.D{{Key: "or", Value: flags}}, "$bitsAnyClear"
	if c.Op == Remove {
		bits, condition = bson.D{{Key: "and", Value: ^flags}}, "$bitsAnySet"
	}
	update = bson.D{{Key: "$set", Value: set}, {Key: "$bit", Value: bson.D{{Key: DocFlags, Value: bits}}}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return bson.E{Key: DocFlags, Value: bson.D{{Key: condition, Value: flags}}}, update, true
}

// flagUpdate sets the fields that appendFlags makes, and unsets those it does not.
func flagUpdate(flags Flags, keywords []string, modseq int64) bson.D {
	set := appendFlags(bson.D{{Key: DocModSeq, Value: modseq}}, flags, keywords)
	var unset bson.D
	for _, field := range []string{DocKeywords, DocUnseen, DocDeleted} {
		if !slices.ContainsFunc(set, func(e bson.E) bool { return e.Key == field }) {
			unset = append(unset, bson.E{Key: field, Value: ""})
		}
	}
	update := bson.D{{Key: "$set", Value: set}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}

// done adds the result of a committed batch and publishes its event.
func (w *flagWrite) done(ctx context.Context, total *FlagResult) {
	total.Changed = append(total.Changed, w.result.Changed...)
	total.Before = append(total.Before, w.result.Before...)
	total.Unchanged = append(total.Unchanged, w.result.Unchanged...)
	total.Modified = append(total.Modified, w.result.Modified...)
	if w.result.ModSeq > 0 {
		total.ModSeq = w.result.ModSeq
		w.store.publish(ctx, w.box, events.Changed, w.result.ModSeq, nil)
	}
}
