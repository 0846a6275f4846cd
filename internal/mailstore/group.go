package mailstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// groupWrite is one transaction that stores several bundles of a user. Each attempt of write computes
// everything anew.
type groupWrite struct {
	store   *Store
	user    mailkey.UserID
	bundles []*bundle
	time    *database.Clock

	over    []bool // by bundle: not stored, does not fit into the quota
	crossed []quota.Crossing
	outcome [][]Delivered   // by bundle and message
	boxes   []*boxWrite     // in the order of their keys
	numbers quota.Counter   // of the messages that are stored
	places  [][]threadPlace // by bundle and message
	same    sameAs          // messages that are not stored
}

// boxWrite is the part of the transaction for one mailbox.
type boxWrite struct {
	key      mailkey.Mailbox
	inbox    bool // see Delivery.Inbox
	change   boxChange
	messages []place
	marked   []place // messages that are not stored, but change the one that they are the same as
	state    *boxState
}

// place is where a message of a bundle goes in the results.
type place struct {
	bundle, index int
}

// message returns the message at a place.
func (g *groupWrite) message(at place) *pending { return g.bundles[at.bundle].messages[at.index] }

// refusedBundles is the error of a transaction that could store all bundles but these.
type refusedBundles struct{ bundles map[*bundle]error }

func (e *refusedBundles) Error() string { return fmt.Sprintf("%d bundles refused", len(e.bundles)) }

// write is the body of the transaction. The user's document comes first, so that a bundle over quota
// fails by one update, and a conflict shows before the work is done. Then the mailboxes, in the
// order of their keys, and the messages.
func (g *groupWrite) write(ctx context.Context) error {
	if err := g.recognise(ctx); err != nil {
		return err
	}
	if err := g.charge(ctx); err != nil {
		return err
	}
	g.assign()
	if len(g.boxes) == 0 {
		if err := g.noteSame(ctx); err != nil {
			return err
		}
		return g.removeReplaced(ctx)
	}
	if err := g.thread(ctx); err != nil {
		return err
	}
	docs := make([]any, 0, len(g.bundles))
	for _, b := range g.boxes {
		var err error
		if b.inbox {
			b.key, b.state, err = g.store.changeInbox(ctx, b.key, b.change)
		} else {
			b.state, err = g.store.changeMailbox(ctx, b.key, b.change)
		}
		if errors.Is(err, ErrNoSuchMailbox) || errors.Is(err, ErrUIDsExhausted) {
			return g.refuse(b, err)
		}
		if err != nil {
			return err
		}
		boxDocs, err := g.documents(ctx, b)
		if err != nil {
			return err
		}
		docs = append(docs, boxDocs...)
		if err := g.mark(ctx, b); err != nil {
			return err
		}
	}
	if len(docs) > 0 {
		if _, err := g.store.messages.InsertMany(ctx, docs); err != nil {
			return fmt.Errorf("insert messages: %w", err)
		}
	}
	if err := g.noteSame(ctx); err != nil {
		return err
	}
	return g.removeReplaced(ctx)
}

// charge takes the quota for all bundles or, if that does not fit, for those that fit in their order.
// What a bundle replaces counts as gone (RFC 8508 section 3.4).
func (g *groupWrite) charge(ctx context.Context) error {
	g.over = make([]bool, len(g.bundles))
	g.crossed = nil
	if err := g.findReplaced(ctx); err != nil {
		return err
	}
	var total quota.Usage
	stored := int64(0)
	for _, bundle := range g.bundles {
		total = total.Add(g.growth(bundle))
		stored += g.usage(bundle).Messages
	}
	if total == (quota.Usage{}) && stored == 0 {
		return nil
	}
	g.numbers = quota.Counter{Field: userNumbers, By: stored}
	account, err := g.store.quota.Charge(ctx, g.user, total, &g.numbers)
	if errors.Is(err, quota.ErrOverQuota) {
		total, stored = quota.Usage{}, 0
		for i, bundle := range g.bundles {
			growth := g.growth(bundle)
			g.over[i] = !account.Limits.Fit(account.Usage.Add(total), growth)
			if !g.over[i] {
				total = total.Add(growth)
				stored += g.usage(bundle).Messages
			}
		}
		if total == (quota.Usage{}) && stored == 0 {
			return nil
		}
		g.numbers.By = stored
		account, err = g.store.quota.Charge(ctx, g.user, total, &g.numbers)
	}
	if errors.Is(err, quota.ErrNoSuchUser) {
		// Without the user, the mailbox is gone, too.
		return g.refuseAll(ErrNoSuchMailbox)
	}
	if err != nil {
		return err
	}
	g.crossed = g.store.quota.Policy().Levels.Crossed(account, total)
	return g.store.noteQuota(ctx, g.user, g.crossed)
}

// assign sorts the messages into mailboxes.
func (g *groupWrite) assign() {
	type destination struct {
		key   mailkey.Mailbox
		inbox bool
	}
	byKey := make(map[destination]*boxWrite)
	g.boxes = nil
	g.outcome = make([][]Delivered, len(g.bundles))
	for i, bundle := range g.bundles {
		if g.over[i] {
			continue
		}
		g.outcome[i] = make([]Delivered, len(bundle.messages))
		for j, p := range bundle.messages {
			if g.same[p] != nil && !g.marks(p) {
				continue
			}
			to := destination{p.mailbox, p.inbox}
			b := byKey[to]
			if b == nil {
				b = &boxWrite{key: p.mailbox, inbox: p.inbox}
				byKey[to] = b
				g.boxes = append(g.boxes, b)
			}
			if m := g.same[p]; m != nil {
				b.marked = append(b.marked, place{i, j})
				b.change.expunges = true // it has a journal entry
				if m.flags&Seen == 0 {
					b.change.Unseen--
				}
				continue
			}
			b.messages = append(b.messages, place{i, j})
			b.change.uids++
			b.change.add(1, p.flags, p.size)
		}
	}
	slices.SortFunc(g.boxes, func(a, b *boxWrite) int { return bytes.Compare(a.key[:], b.key[:]) })
}

// documents makes the documents of a mailbox's new messages, and their results.
func (g *groupWrite) documents(ctx context.Context, b *boxWrite) ([]any, error) {
	var fresh []string
	docs := make([]any, len(b.messages))
	uid := uint32(b.state.UIDNext - b.change.uids)
	saved := now()
	for i, t := range b.messages {
		p := g.bundles[t.bundle].messages[t.index]
		known := slices.Concat(b.state.Keywords, fresh)
		spelled, unknown := spellings(known, p.keywords)
		if len(known)+len(unknown) > MaxMailboxKeywords {
			err := errManyKeywords
			return nil, &refusedBundles{map[*bundle]error{g.bundles[t.bundle]: err}}
		}
		fresh = append(fresh, unknown...)
		place := g.places[t.bundle][t.index]
		docs[i] = p.document(b.key.Message(uid), place, b.state.ModSeq, spelled, saved)
		g.outcome[t.bundle][t.index] = Delivered{
			UIDValidity: uint32(b.state.UIDValidity), UID: uid, ModSeq: uint64(b.state.ModSeq),
			Number: place.number, Thread: place.thread}
		uid++
	}
	return docs, g.store.addKeywords(ctx, b.key, b.state, fresh)
}

// refuse ends the transaction because of one mailbox.
func (g *groupWrite) refuse(b *boxWrite, err error) error {
	refused := &refusedBundles{make(map[*bundle]error)}
	for _, t := range slices.Concat(b.messages, b.marked) {
		refused.bundles[g.bundles[t.bundle]] = err
	}
	return refused
}

func (g *groupWrite) refuseAll(err error) error {
	refused := &refusedBundles{make(map[*bundle]error)}
	for _, bundle := range g.bundles {
		refused.bundles[bundle] = err
	}
	return refused
}

// clock returns the clock of the transaction, which is as late as those of all callers.
func (g *groupWrite) clock() *database.Clock {
	for _, b := range g.bundles {
		g.time.Advance(database.ClockOf(b.ctx).Time())
	}
	return g.time
}

// told advances the clocks of the callers, so that they see what was written.
func (g *groupWrite) told() {
	for _, b := range g.bundles {
		database.ClockOf(b.ctx).Advance(g.time.Time())
	}
}

// publish publishes the events of the new messages, after the commit, and then releases references
// that are not needed.
func (g *groupWrite) publish(ctx context.Context) {
	for _, b := range g.boxes {
		if len(b.messages) == 0 {
			g.store.publish(ctx, b.key, events.Changed, uint64(b.state.ModSeq), nil)
			continue
		}
		uids := make([]uint32, len(b.messages))
		taught := make(map[events.Kind][]uint32)
		for i, t := range b.messages {
			uids[i] = g.outcome[t.bundle][t.index].UID
			if kind, ok := g.message(t).lesson.event(); ok {
				taught[kind] = append(taught[kind], uids[i])
			}
		}
		g.store.publish(ctx, b.key, events.New, uint64(b.state.ModSeq), uids)
		for kind, uids := range taught {
			g.store.publish(ctx, b.key, kind, uint64(b.state.ModSeq), uids)
		}
	}
	g.publishReplaced(ctx)
	g.releaseSame(ctx)
	g.store.warn(ctx, g.user, g.crossed)
}
