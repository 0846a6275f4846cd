package feed

import (
	"context"
	"errors"
	"math"

	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// What a Watch reads. Unlike the pages after a position, it is what two mod-sequences and two UIDs of an
// event enclose.

// watchMailbox adds what happened in a mailbox, new messages first, until the reader is full.
func (r *reader) watchMailbox(ctx context.Context, c *events.Change, extent mailstore.Extent) error {
	r.pos.mailbox = c.Mailbox // of arrived
	if c.Kind == events.New {
		if err := r.watchNew(ctx, c); err != nil || r.full() {
			return err
		}
	}
	if c.Altered {
		below := uint64(math.MaxUint32) + 1
		if c.First > 0 {
			below = uint64(c.First)
		}
		list, err := r.feed.store.ChangedFrom(ctx, r.user.Mailbox(c.Mailbox), mailstore.Step{ModSeq: c.From}, c.To,
			below, r.room(), flagFields)
		if err != nil {
			return err
		}
		for _, m := range list {
			r.events = append(r.events, Event{Kind: FlagsChanged, Mailbox: r.mailbox(c.Mailbox), Message: shown(m)})
		}
	}
	if extent.Expunged < c.From || r.full() {
		return nil
	}
	return r.watchJournal(ctx, c, extent.Expunged)
}

// watchNew adds new messages.
func (r *reader) watchNew(ctx context.Context, c *events.Change) error {
	box := r.user.Mailbox(c.Mailbox)
	if c.First == 0 {
		// One transaction that added many: those that it alone changed are new.
		list, err := r.feed.store.ChangedFrom(ctx, box, mailstore.Step{ModSeq: c.From}, c.To,
			math.MaxUint32+1, r.room(), wholeFields)
		if err != nil {
			return err
		}
		for _, m := range list {
			r.events = append(r.events, r.arrived(m)...)
		}
		return nil
	}
	q := mailstore.Query{UIDs: uidset.Of(uidset.Range{First: c.First, Last: c.Last}), Limit: r.room()}
	for m, err := range r.feed.store.Messages(ctx, box, q, wholeFields) {
		if err != nil {
			return err
		}
		r.events = append(r.events, r.arrived(m)...)
	}
	return nil
}

// watchJournal adds what the journal of a mailbox has. last is its newest entry.
func (r *reader) watchJournal(ctx context.Context, c *events.Change, last uint64) error {
	list, err := r.feed.store.Removals(ctx, r.user.Mailbox(c.Mailbox), c.From-1, last, r.room())
	if err != nil {
		return err
	}
	for i := range list {
		e := &list[i]
		if e.ModSeq > c.To || r.full() {
			return nil
		}
		if t := e.Target; t != nil {
			if err := r.name(ctx, t.Mailbox); err != nil {
				return err
			}
		}
		told, err := r.removal(ctx, c.Mailbox, e)
		if err != nil {
			return err
		}
		r.events = append(r.events, told...)
	}
	return nil
}

// name finds out what a mailbox is called.
func (r *reader) name(ctx context.Context, mailbox uint32) error {
	if _, known := r.boxes[mailbox]; known {
		return nil
	}
	e, err := r.feed.store.ExtentOf(ctx, r.user.Mailbox(mailbox))
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return nil
	}
	if err == nil {
		r.boxes[mailbox] = Mailbox{mailboxID(mailbox), e.Path, e.SpecialUse}
	}
	return err
}

// watchNotes adds what entries of the user's journal have, but for quotas, which the bus tells.
func (r *reader) watchNotes(ctx context.Context, from, to uint64) error {
	if to == 0 {
		return nil // the list has changed for others, or the instance does not say
	}
	to = min(to, from+uint64(r.limit))
	list, err := r.feed.store.Notes(ctx, r.user, from-1, to, r.limit)
	if err != nil {
		return err
	}
	for i := range list {
		for j := range list[i].Notes {
			if told, ok := r.note(&list[i].Notes[j]); ok && told.Kind != QuotaReached && !r.full() {
				r.events = append(r.events, told)
			}
		}
	}
	return nil
}
