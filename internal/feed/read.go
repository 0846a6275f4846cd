package feed

import (
	"context"
	"math"
	"slices"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// reader makes one page. It moves its position on before it adds an event, so that the event's
// position is the one after it.
type reader struct {
	feed    *Feed
	user    mailkey.UserID
	limit   int
	pos     *position
	extents []mailstore.Extent
	boxes   map[uint32]Mailbox // those that exist, as far as the reader was told
	events  []Event
	brief   bool // without the messages that were moved, or taught something
}

// read makes the page after a position.
func (f *Feed) read(ctx context.Context, user mailkey.UserID, p *position, limit int) (*reader, error) {
	if limit <= 0 || limit > MaxEvents {
		limit = MaxEvents
	}
	r := &reader{feed: f, user: user, limit: limit, pos: p.clone(), boxes: make(map[uint32]Mailbox)}
	var err error
	if r.extents, err = f.store.Extents(ctx, user); err != nil {
		return nil, err
	}
	// Read after the mailboxes: the notes tell of each mailbox that is among them, and of each that is
	// not any more.
	last, err := f.store.LastNote(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, e := range r.extents {
		r.boxes[e.Mailbox] = Mailbox{mailboxID(e.Mailbox), e.Path, e.SpecialUse}
	}
	if err := f.rebase(ctx, user, r.pos); err != nil {
		return nil, err
	}
	if err := r.run(ctx, last); err != nil {
		return nil, resync(err)
	}
	return r, nil
}

// run adds events until there are no more, or the page is full.
func (r *reader) run(ctx context.Context, lastNote uint64) error {
	if r.pos.phase > alongNotes {
		if err := r.walk(ctx); err != nil || r.full() {
			return err
		}
	}
	if err := r.tellNotes(ctx, lastNote); err != nil || r.full() {
		return err
	}
	for _, e := range r.extents {
		if _, exists := r.boxes[e.Mailbox]; !exists {
			continue // deleted meanwhile, as a note said
		}
		known := r.pos.of(e.Mailbox)
		if e.ModSeq <= known.modseq {
			continue
		}
		r.pos.cursor = cursor{phase: alongNew, mailbox: e.Mailbox, modseq: e.ModSeq, next: max(e.UIDNext, known.next),
			expunged: e.Expunged, at: known.next}
		if err := r.walk(ctx); err != nil || r.full() {
			return err
		}
	}
	return nil
}

// full reports that the page has no room for another event.
func (r *reader) full() bool { return len(r.events) >= r.limit }

// room is for how many events there is room.
func (r *reader) room() int { return r.limit - len(r.events) }

func (r *reader) add(e Event) {
	e.Position = r.pos.text(r.user)
	r.events = append(r.events, e)
}

// addAll adds the events of one thing, without those that were told before. It reports whether all
// fit into the page. The caller has set the cursor to the place of the thing.
func (r *reader) addAll(list []Event) bool {
	for _, e := range list[min(uint64(len(list)), r.pos.told):] {
		if r.full() {
			return false
		}
		r.pos.told++
		r.add(e)
	}
	return true
}

// mailbox names a mailbox; one that is gone by its id alone.
func (r *reader) mailbox(number uint32) *Mailbox {
	if m, ok := r.boxes[number]; ok {
		return &m
	}
	return &Mailbox{ID: mailboxID(number)}
}

// walk goes on through the mailbox of the cursor. Unless the page is full, it comes to the end.
func (r *reader) walk(ctx context.Context) error {
	c := &r.pos.cursor
	known := r.pos.of(c.mailbox)
	if _, exists := r.boxes[c.mailbox]; !exists && c.phase < alongJournal {
		// Deleted meanwhile. What its messages were nobody needs to know; where they went somebody does.
		c.phase, c.at, c.uid, c.told = alongJournal, known.modseq, 0, 0
	}
	if c.phase == alongNew {
		if err := r.walkNew(ctx); err != nil || r.full() {
			return err
		}
		// A single transaction that added messages changed no others, unless the journal says that a
		// client had saved what submission sent.
		single := c.modseq == known.modseq+1 && c.next > known.next && c.expunged < c.modseq
		c.phase, c.at, c.uid, c.told = alongFlags, known.modseq+1, 0, 0
		if single {
			c.at = c.modseq + 1
		}
	}
	if c.phase == alongFlags {
		if err := r.walkFlags(ctx, known.next); err != nil || r.full() {
			return err
		}
		c.phase, c.at, c.uid, c.told = alongJournal, known.modseq, 0, 0
	}
	done, err := r.walkJournal(ctx, c.mailbox, &c.at, c.expunged)
	if err != nil || !done {
		return err
	}
	r.pos.marks[c.mailbox] = mark{c.modseq, c.next}
	r.pos.cursor = cursor{}
	return r.feed.rebase(ctx, r.user, r.pos)
}

// walkNew tells of new messages, by ascending UIDs.
func (r *reader) walkNew(ctx context.Context) error {
	c := &r.pos.cursor
	for c.at < c.next && !r.full() {
		limit := r.room()
		q := mailstore.Query{UIDs: uidset.Of(uidset.Range{First: uint32(c.at), Last: uint32(c.next - 1)}), Limit: limit}
		n := 0
		for m, err := range r.feed.store.Messages(ctx, r.user.Mailbox(c.mailbox), q, wholeFields) {
			if err != nil {
				return err
			}
			if n++; uint64(m.UID) != c.at {
				c.at, c.told = uint64(m.UID), 0
			}
			if !r.addAll(r.arrived(m)) {
				return nil
			}
			c.at, c.told = uint64(m.UID)+1, 0
		}
		if n < limit {
			c.at, c.told = c.next, 0
		}
	}
	return nil
}

// arrived returns what there is to tell of a new message.
func (r *reader) arrived(m *mailstore.Message) []Event {
	box := r.mailbox(r.pos.mailbox)
	if m.Origin.Arrival() == mailstore.Moved {
		// The journal of the mailbox from which it came tells. If that was told already, the message
		// may have got other flags since.
		if m.ModSeq > m.Origin.ModSeq() {
			return []Event{{Kind: FlagsChanged, Mailbox: box, Message: shown(m)}}
		}
		return nil
	}
	message := shownWhole(m)
	list := []Event{{Kind: NewMessage, Mailbox: box, Message: message, Copied: m.Origin.Arrival() == mailstore.Copied}}
	if m.Origin.Arrival() == mailstore.Sent {
		list = append(list, Event{Kind: Sent, Mailbox: box, UIDs: []uint32{m.UID}, Messages: []Message{*message}})
	}
	if kind, ok := taught(m.Origin.Lesson()); ok {
		by := ByAppend
		if m.Origin.Arrival() == mailstore.Copied {
			by = ByCopy
		}
		list = append(list, Event{Kind: kind, Mailbox: box, By: by, UIDs: []uint32{m.UID},
			Messages: []Message{*message}})
	}
	return list
}

// taught returns the kind of event that tells a lesson.
func taught(l mailstore.Lesson) (Kind, bool) {
	switch l {
	case mailstore.Junk:
		return Junk, true
	case mailstore.NotJunk:
		return NotJunk, true
	}
	return "", false
}

// walkFlags tells of messages that are not new and have other flags, in the order of mod-sequences.
func (r *reader) walkFlags(ctx context.Context, below uint64) error {
	c := &r.pos.cursor
	for c.at <= c.modseq && !r.full() {
		limit := r.room()
		list, err := r.feed.store.ChangedFrom(ctx, r.user.Mailbox(c.mailbox),
			mailstore.Step{ModSeq: c.at, UID: uint32(c.uid)}, c.modseq, below, limit, flagFields)
		if err != nil {
			return err
		}
		for _, m := range list {
			if c.at, c.uid = m.ModSeq, uint64(m.UID)+1; c.uid > math.MaxUint32 {
				c.at, c.uid = c.at+1, 0
			}
			r.add(Event{Kind: FlagsChanged, Mailbox: r.mailbox(c.mailbox), Message: shown(m)})
		}
		if len(list) < limit {
			c.at, c.uid = c.modseq+1, 0
		}
	}
	return nil
}

// walkJournal tells what a mailbox's journal has after the mod-sequence at, which it moves on, up to
// the entry at last. It reports whether it came to the end.
func (r *reader) walkJournal(ctx context.Context, mailbox uint32, at *uint64, last uint64) (done bool, err error) {
	for *at < last {
		if r.full() {
			return false, nil
		}
		list, err := r.feed.store.Removals(ctx, r.user.Mailbox(mailbox), *at, last, maxEntries)
		if err != nil {
			return false, err
		}
		for i := range list {
			told, err := r.removal(ctx, mailbox, &list[i])
			if err != nil {
				return false, err
			}
			if !r.addAll(told) {
				return false, nil
			}
			*at, r.pos.told = list[i].ModSeq, 0
		}
	}
	return true, nil
}

// removal returns what an entry of a mailbox's journal tells. How many events those are follows from
// the entry alone.
func (r *reader) removal(ctx context.Context, mailbox uint32, e *mailstore.Removal) ([]Event, error) {
	var list []Event
	lesson, teaches := taught(e.Lesson)
	if e.Target == nil {
		for uids := range slices.Chunk(e.Expunged, maxExpunged) {
			list = append(list, Event{Kind: Expunged, Mailbox: r.mailbox(mailbox), UIDs: uids})
		}
	} else {
		next := e.Target.First
		for uids := range slices.Chunk(e.Expunged, maxMoved) {
			moved := Event{Kind: Moved, From: &Place{*r.mailbox(mailbox), uids}, Mailbox: r.mailbox(e.Target.Mailbox)}
			for range uids {
				moved.UIDs = append(moved.UIDs, next)
				next++
			}
			list = append(list, moved)
			if teaches && e.Taught == nil {
				list = append(list, Event{Kind: lesson, By: ByMove, Mailbox: moved.Mailbox, UIDs: moved.UIDs})
			}
		}
		if err := r.addMessages(ctx, e.Target.Mailbox, list); err != nil {
			return nil, err
		}
	}
	if e.Taught == nil {
		return list, nil
	}
	said := Event{Kind: lesson, By: ByKeyword, Mailbox: r.mailbox(mailbox)}
	switch {
	case e.Lesson == mailstore.WasSent:
		said.Kind, said.By = Sent, ""
	case !teaches:
		return list, nil
	}
	for uids := range slices.Chunk(e.Taught, maxMoved) {
		said.UIDs = uids
		list = append(list, said)
	}
	return list, r.addMessages(ctx, mailbox, list)
}

// addMessages loads those messages of the events that are there now, as far as the page needs them.
func (r *reader) addMessages(ctx context.Context, mailbox uint32, list []Event) error {
	if _, exists := r.boxes[mailbox]; !exists || r.brief {
		return nil
	}
	for i := r.pos.told; i < uint64(len(list)) && i < r.pos.told+uint64(r.room()); i++ {
		e := &list[i]
		if i > 0 && slices.Equal(list[i-1].UIDs, e.UIDs) && list[i-1].Messages != nil {
			e.Messages = list[i-1].Messages
			continue
		}
		q := mailstore.Query{UIDs: uidset.FromAscending(e.UIDs)}
		for m, err := range r.feed.store.Messages(ctx, r.user.Mailbox(mailbox), q, wholeFields) {
			if err != nil {
				return err
			}
			e.Messages = append(e.Messages, *shownWhole(m))
		}
	}
	return nil
}
