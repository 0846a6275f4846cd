package mailstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/activity"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// Delivery is one message to make of a content.
type Delivery struct {
	Mailbox mailkey.Mailbox
	// Inbox says that the message goes to the user's INBOX, which Mailbox was a moment ago. If INBOX
	// is another mailbox by now, the message goes there.
	Inbox        bool
	Flags        Flags
	Keywords     []string
	InternalDate time.Time // the present if zero
	// complete lines that come before the content; at most MaxPrefixLength
	Prefix []byte
	Magic  dedupe.Magic // one of those of the content, for this message alone
	Once   Once
	// Lesson is what a spam filter can learn from the message, since a user says so. Mail that is
	// delivered teaches nothing, whatever its keywords are: those are of the filter itself.
	Lesson Lesson
}

// Delivered is the result of a Delivery.
type Delivered struct {
	UIDValidity uint32
	UID         uint32
	ModSeq      uint64
	Number      Number
	Thread      Number
	// Existed says that the mailbox had the message already (Delivery.Once): this is where.
	Existed bool
	// Err is nil for a message that is stored, durably. ErrNoSuchMailbox, quota.ErrOverQuota,
	// ErrInvalidKeyword, ErrUIDsExhausted and ErrTooLate are final; any other error may pass. If it
	// is the error of the caller's context, the message may be stored all the same.
	Err error
}

// AppendItem is one of several messages that are stored together.
type AppendItem struct {
	delivery Delivery
	template *template
}

// NewAppendItem makes a content ready to be stored. The item does not hold on to the parsed
// message, which may be far larger.
func NewAppendItem(stored *contents.Stored, d Delivery) AppendItem {
	return AppendItem{delivery: d, template: newTemplate(stored)}
}

// Bytes is about the size of the message document without its content, which the item has in
// memory.
func (it AppendItem) Bytes() int { return it.template.bytes + len(it.delivery.Prefix) }

// Ref is the reference that the message takes over.
func (it AppendItem) Ref() contents.Ref {
	return contents.Ref{ID: it.template.id, Magic: it.delivery.Magic}
}

// Since is the time of contents.Stored.
func (it AppendItem) Since() time.Time { return it.template.since }

// Deliver makes a message of the content for each Delivery, and returns the results in the same
// order. The messages are independent: some may be stored while others fail. The references of
// those that fail are released. Deliveries that wait for the same user at the same time share a
// transaction.
//
// The error is about the call as a whole (too many recipients, the Store closed); then nothing was
// stored, and all references were released.
func (s *Store) Deliver(ctx context.Context, stored *contents.Stored, to []Delivery) ([]Delivered, error) {
	results := make([]Delivered, len(to))
	if len(to) > MaxRecipients {
		s.releaseUnused(ctx, deliveryRefs(stored, to), stored.Since)
		return nil, fmt.Errorf("deliver: %w: %d recipients", ErrTooMany, len(to))
	}
	ctx, cancel := context.WithTimeout(ctx, s.deliveryWait)
	defer cancel()
	template := newTemplate(stored)
	bundles := make([]*bundle, 0, len(to))
	for i := range to {
		p, err := template.message(&to[i])
		if err != nil {
			results[i].Err = err
			s.releaseUnused(ctx, []contents.Ref{{ID: stored.ID, Magic: to[i].Magic}}, stored.Since)
			continue
		}
		bundles = append(bundles, newBundle(ctx, to[i].Mailbox.User(), []*pending{p}, []*Delivered{&results[i]}))
	}
	if err := s.store(ctx, bundles); err != nil {
		return nil, fmt.Errorf("deliver: %w", err)
	}
	return results, nil
}

// Append stores messages in one mailbox, all of them or none (RFC 3502), with ascending UIDs. On
// error, which is any of those in Delivered.Err or ErrTooMany, the references are released. All
// items name the same mailbox.
func (s *Store) Append(ctx context.Context, items []AppendItem) ([]Delivered, error) {
	return s.appendItems(ctx, items, nil)
}

// appendItems is Append, and with replaces Replace.
func (s *Store) appendItems(
	ctx context.Context, items []AppendItem, replaces *replacement,
) ([]Delivered, error) {
	if len(items) == 0 {
		return nil, nil
	}
	var messages []*pending
	var err error
	bytes := 0
	for i := range items {
		var p *pending
		switch d := &items[i].delivery; {
		case len(items) > maxBatch:
			err = invalid(ErrTooMany, "one APPEND can have %d messages", maxBatch)
		case d.Mailbox != items[0].delivery.Mailbox:
			err = errors.New("different mailboxes")
		default:
			if bytes += items[i].Bytes(); bytes > MaxAppendBytes {
				err = invalid(ErrTooMany, "headers and parts of the messages exceed %d octets", MaxAppendBytes)
				break
			}
			p, err = items[i].template.message(d)
		}
		if err != nil {
			for _, it := range items {
				s.releaseUnused(ctx, []contents.Ref{it.Ref()}, it.Since())
			}
			return nil, fmt.Errorf("append: %w", err)
		}
		messages = append(messages, p)
	}
	ctx, cancel := context.WithTimeout(ctx, s.deliveryWait)
	defer cancel()
	results := make([]Delivered, len(items))
	pointers := make([]*Delivered, len(items))
	for i := range results {
		pointers[i] = &results[i]
	}
	b := newBundle(ctx, items[0].delivery.Mailbox.User(), messages, pointers)
	b.replaces = replaces
	if err := s.store(ctx, []*bundle{b}); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	if results[0].Err != nil {
		return nil, fmt.Errorf("append: %w", results[0].Err)
	}
	return results, nil
}

func deliveryRefs(stored *contents.Stored, to []Delivery) []contents.Ref {
	refs := make([]contents.Ref, len(to))
	for i := range to {
		refs[i] = contents.Ref{ID: stored.ID, Magic: to[i].Magic}
	}
	return refs
}

// release gives up references of messages that do not exist. If that fails, the count is too high,
// and an audit puts it right.
func (s *Store) release(ctx context.Context, refs []contents.Ref) {
	if len(refs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := s.contents.ReleaseRefs(ctx, refs); err != nil {
		s.log.Warn("references of contents were not released", "count", len(refs), "error", err)
	}
}

// A bundle is messages of one user that are stored all or none: one for Deliver, any number for
// Append.
type bundle struct {
	ctx      context.Context // the caller's: a bundle not begun when it ends is not begun
	user     mailkey.UserID
	messages []*pending
	replaces *replacement // of Replace; nil otherwise
	usage    quota.Usage
	bytes    int       // of documents
	since    time.Time // when the first of the references was added

	// The runner of the queue sets these before it closes done. The caller copies them, unless it
	// has gone.
	outcome []Delivered
	done    chan struct{}
	results []*Delivered
}

func newBundle(ctx context.Context, user mailkey.UserID, messages []*pending, results []*Delivered) *bundle {
	b := &bundle{ctx: ctx, user: user, messages: messages, results: results, done: make(chan struct{})}
	for _, p := range messages {
		if since := p.template.since; b.since.IsZero() || since.Before(b.since) {
			b.since = since
		}
		b.usage = b.usage.Add(quota.Usage{Bytes: p.size, Messages: 1})
		b.bytes += p.bytes
	}
	return b
}

// late reports that the references will be too old for a message before the transaction is over.
func (b *bundle) late() bool { return time.Since(b.since) > dedupe.MaxHold-transactionTimeout }

// finish sets the outcome; err makes it that of every message.
func (b *bundle) finish(outcome []Delivered, err error) {
	if err != nil {
		outcome = make([]Delivered, len(b.messages))
		for i := range outcome {
			outcome[i].Err = err
		}
	}
	b.outcome = outcome
	close(b.done)
}

func (b *bundle) refs() []contents.Ref {
	refs := make([]contents.Ref, len(b.messages))
	for i, p := range b.messages {
		refs[i] = p.ref
	}
	return refs
}

// store hands the bundles to the queues of their users and waits for the outcome of all.
func (s *Store) store(ctx context.Context, bundles []*bundle) error {
	queued := s.enqueue(bundles)
	for _, b := range bundles[queued:] {
		s.fail(ctx, b, ErrClosed)
	}
	if queued == 0 && len(bundles) > 0 {
		return ErrClosed
	}
	for _, b := range bundles {
		select {
		case <-b.done:
		case <-ctx.Done():
			// The runner of the queue stores it or releases its references; see run.
			for _, r := range b.results {
				*r = Delivered{Err: ctx.Err()}
			}
			continue
		}
		for i, r := range b.results {
			*r = b.outcome[i]
		}
	}
	return nil
}

// deliveryQueues hold, for each user, the bundles that wait while a transaction of the user is
// running. A caller that finds no runner for the user starts one. The runner ends when the queue is
// empty.
type deliveryQueues struct {
	mu      sync.Mutex
	waiting map[mailkey.UserID][]*bundle // an entry, perhaps empty, exists while a runner does
}

// enqueue appends the bundles to their queues and returns how many: fewer than all if the Store is
// closed.
func (s *Store) enqueue(bundles []*bundle) int {
	q := &s.queues
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.base.Err() != nil {
		return 0
	}
	if q.waiting == nil {
		q.waiting = make(map[mailkey.UserID][]*bundle)
	}
	for i, b := range bundles {
		s.traffic.note(b.user)
		list, running := q.waiting[b.user]
		if !running && !s.spawn(func() { s.run(b.user) }) {
			return i
		}
		q.waiting[b.user] = append(list, b)
	}
	return len(bundles)
}

// take removes the next bundles for one transaction from the user's queue, or ends the queue.
func (q *deliveryQueues) take(user mailkey.UserID) []*bundle {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.waiting[user]
	if len(list) == 0 {
		delete(q.waiting, user)
		return nil
	}
	n, messages, bytes := 0, 0, 0
	for n < len(list) && (n == 0 || messages+len(list[n].messages) <= maxGroup &&
		bytes+list[n].bytes <= maxGroupBytes) {
		messages += len(list[n].messages)
		bytes += list[n].bytes
		n++
	}
	q.waiting[user] = list[n:]
	return list[:n:n]
}

// run stores the queued bundles of a user until the queue is empty. It does not depend on any
// caller's context, because a transaction serves several callers. transactionTimeout bounds it.
func (s *Store) run(user mailkey.UserID) {
	ctx := context.WithoutCancel(s.base)
	for {
		unlock, err := s.locks.lock(ctx, user)
		if err != nil {
			return // cannot be: ctx does not end
		}
		group := s.queues.take(user)
		if group == nil {
			unlock()
			return
		}
		s.runGroup(activity.Follow(ctx, group[0].ctx), user, group)
		unlock()
	}
}

// runGroup brings every bundle of the group to its end.
func (s *Store) runGroup(ctx context.Context, user mailkey.UserID, group []*bundle) {
	var alive []*bundle
	for _, b := range group {
		if err := b.ctx.Err(); err != nil {
			s.fail(ctx, b, err)
			continue
		}
		if b.late() {
			s.fail(ctx, b, ErrTooLate)
			continue
		}
		alive = append(alive, b)
	}
	if len(alive) > 1 && hasSame(alive) {
		for _, b := range alive {
			s.runGroup(ctx, user, []*bundle{b})
		}
		return
	}
	for len(alive) > 0 {
		g := &groupWrite{store: s, user: user, bundles: alive, time: new(database.Clock)}
		err := s.beforeChange(ctx, user)
		if err == nil {
			err = s.transact(database.WithClock(ctx, g.clock()), g.write)
		}
		g.told()
		if err == nil {
			g.publish(ctx)
			g.tellStored()
			s.settle(ctx, g)
			return
		}
		var refused *refusedBundles
		if errors.As(err, &refused) {
			alive = s.without(ctx, alive, refused)
			continue
		}
		if len(alive) > 1 && !mayHaveCommitted(err) && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			// The database may refuse one of them only, so each gets a transaction of its own.
			for _, b := range alive {
				s.runGroup(ctx, user, []*bundle{b})
			}
			return
		}
		s.failBundles(ctx, alive, err)
		return
	}
}

// settle finishes the bundles of a committed transaction.
func (s *Store) settle(ctx context.Context, g *groupWrite) {
	for i, b := range g.bundles {
		if g.over[i] {
			s.fail(ctx, b, quota.ErrOverQuota)
			continue
		}
		b.finish(g.outcome[i], nil)
	}
}

// without fails the bundles that a transaction refused and returns the others, for another try.
func (s *Store) without(ctx context.Context, bundles []*bundle, refused *refusedBundles) []*bundle {
	var rest []*bundle
	for _, b := range bundles {
		if err := refused.bundles[b]; err != nil {
			s.fail(ctx, b, err)
			continue
		}
		rest = append(rest, b)
	}
	return rest
}

// failBundles ends bundles after a failed transaction. Their references stay if they may be stored all
// the same.
func (s *Store) failBundles(ctx context.Context, bundles []*bundle, err error) {
	if mayHaveCommitted(err) {
		s.tellUnknown(ctx, bundles[0].user)
		for _, b := range bundles {
			s.log.Warn("delivery with unknown outcome: references stay", "user", b.user.String(),
				"messages", len(b.messages), "error", err)
		}
	} else {
		// All at once: if the database cannot be reached, each try takes as long as the driver
		// looks for it.
		var refs []contents.Ref
		since := bundles[0].since
		for _, b := range bundles {
			refs = append(refs, b.refs()...)
			if b.since.Before(since) {
				since = b.since
			}
		}
		s.releaseUnused(ctx, refs, since)
	}
	for _, b := range bundles {
		b.finish(nil, err)
	}
}

// fail ends a bundle that was certainly not stored.
func (s *Store) fail(ctx context.Context, b *bundle, err error) {
	s.releaseUnused(ctx, b.refs(), b.since)
	b.finish(nil, err)
}

// releaseUnused gives up references that no message was made of. Those held for longer than
// dedupe.MaxHold stay: an audit may have taken them back already.
func (s *Store) releaseUnused(ctx context.Context, refs []contents.Ref, since time.Time) {
	if time.Since(since) > dedupe.MaxHold {
		s.log.Warn("references of contents were held for too long and are left for the audit", "count", len(refs))
		return
	}
	s.release(ctx, refs)
}
