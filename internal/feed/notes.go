package feed

import (
	"context"

	"gadwall/internal/mailstore"
)

// tellNotes tells what the user's own journal has up to an entry.
func (r *reader) tellNotes(ctx context.Context, last uint64) error {
	for r.pos.notes < last && !r.full() {
		list, err := r.feed.store.Notes(ctx, r.user, r.pos.notes, last, maxNotes)
		if err != nil {
			return err
		}
		for i := range list {
			if err := r.tellEntry(ctx, &list[i]); err != nil || r.full() {
				return err
			}
			if err := r.feed.rebase(ctx, r.user, r.pos); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellEntry tells what is left of an entry.
func (r *reader) tellEntry(ctx context.Context, e *mailstore.NotesEntry) error {
	if r.pos.phase != alongNotes {
		r.pos.cursor = cursor{phase: alongNotes}
	}
	for r.pos.at < uint64(len(e.Notes)) {
		if r.full() {
			return nil
		}
		n := &e.Notes[r.pos.at]
		if n.Kind == mailstore.MailboxDeleted {
			if done, err := r.leave(ctx, n); err != nil || !done {
				return err
			}
		}
		told, ok := r.note(n)
		if r.pos.at++; r.pos.at == uint64(len(e.Notes)) {
			r.pos.notes, r.pos.cursor = e.Number, cursor{}
			if ok {
				r.add(told)
			}
			return nil
		}
		if ok {
			r.add(told)
		}
	}
	r.pos.notes, r.pos.cursor = e.Number, cursor{}
	return nil
}

// leave tells where the messages of a mailbox went before it was deleted. It reports whether that
// was all.
func (r *reader) leave(ctx context.Context, n *mailstore.Note) (done bool, err error) {
	known, ok := r.pos.marks[n.Mailbox]
	if !ok {
		return true, nil // the reader began after the deletion
	}
	if r.pos.modseq == 0 {
		r.pos.modseq = known.modseq
	}
	done, err = r.walkJournal(ctx, n.Mailbox, &r.pos.modseq, uint64(n.Expunged))
	if done {
		r.pos.modseq, r.pos.told = 0, 0
	}
	return done, err
}

// note returns the event of a note, and makes the reader's list of mailboxes what it says. ok is
// false for a note of a later version.
func (r *reader) note(n *mailstore.Note) (e Event, ok bool) {
	box := Mailbox{Path: n.Path, SpecialUse: n.SpecialUse}
	if n.Mailbox != 0 {
		box.ID = mailboxID(n.Mailbox)
	}
	e.Mailbox = &box
	switch n.Kind {
	case mailstore.MailboxCreated:
		e.Kind = MailboxCreated
		r.pos.marks[n.Mailbox] = first
		if _, known := r.boxes[n.Mailbox]; !known {
			r.boxes[n.Mailbox] = box
		}
	case mailstore.MailboxRenamed:
		e.Kind, e.Before = MailboxRenamed, n.Before
		r.boxes[n.Mailbox] = box
	case mailstore.MailboxChanged:
		e.Kind = MailboxChanged
		r.boxes[n.Mailbox] = box
	case mailstore.MailboxDeleted:
		e.Kind = MailboxDeleted
		delete(r.pos.marks, n.Mailbox)
		delete(r.boxes, n.Mailbox)
	case mailstore.MailboxSubscribed:
		e.Kind = MailboxSubscribed
	case mailstore.MailboxUnsubscribed:
		e.Kind = MailboxUnsubscribed
	case mailstore.QuotaReached:
		e = Event{Kind: QuotaReached, Quota: &QuotaLevel{string(n.Resource), n.Level, n.Usage, n.Limit}}
	default:
		return e, false
	}
	return e, true
}
