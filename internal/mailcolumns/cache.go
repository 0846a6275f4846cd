package mailcolumns

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// Store is what the cache needs of the mail store.
type Store interface {
	MailboxByKey(ctx context.Context, key mailkey.Mailbox) (*mailstore.Mailbox, error)
	Changes(ctx context.Context, box mailkey.Mailbox, since uint64) (*mailstore.Changes, error)
	Messages(ctx context.Context, box mailkey.Mailbox, q mailstore.Query, fields mailstore.Fields,
	) iter.Seq2[*mailstore.Message, error]
}

var _ Store = (*mailstore.Store)(nil)

// Fields are those of messages that columns have.
const Fields = mailstore.FieldFlags | mailstore.FieldInternalDate | mailstore.FieldSize | mailstore.FieldNumber

// DefaultMaxBytes bounds the columns of an instance unless told otherwise: ten million messages.
const DefaultMaxBytes = 256 << 20

const (
	// smallMailbox is how many messages a mailbox has at most whose columns are loaded whatever
	// is asked for.
	smallMailbox = 500
	// loadShare: the columns of a larger one are loaded when a query is for more than one message
	// in so many.
	loadShare = 4
	// maxSearched is how many messages a mailbox has at most whose columns are loaded for searches
	// alone: an index of the database may find a few of a million sooner.
	maxSearched = 50_000
	// maxAsked bounds the mailboxes that are remembered as asked for once.
	maxAsked = 10_000
	// idleTime is how long columns are kept that nobody asks for.
	idleTime = 10 * time.Minute
)

// Cache has the columns of many mailboxes. It is safe for concurrent use.
type Cache struct {
	store Store
	max   int64
	now   func() time.Time

	mu      sync.Mutex
	entries map[mailkey.Mailbox]*entry
	recent  *list.List // of entries; the last used is at the front
	bytes   int64
	// asked are mailboxes without columns that Loaded was asked for once, at most maxAsked.
	asked map[mailkey.Mailbox]struct{}

	hits, updates, loads atomic.Uint64
}

// entry is one mailbox.
type entry struct {
	key     mailkey.Mailbox
	place   *list.Element
	bytes   int64
	used    time.Time
	turn    chan struct{} // one place: who brings the snapshot up to date
	current atomic.Pointer[snapshot]
}

// New returns an empty cache that takes at most maxBytes; 0 means DefaultMaxBytes. With less than
// nothing it keeps nothing.
func New(store Store, maxBytes int64) *Cache {
	if maxBytes == 0 {
		maxBytes = DefaultMaxBytes
	}
	return &Cache{
		store: store, max: maxBytes, now: time.Now,
		entries: make(map[mailkey.Mailbox]*entry), recent: list.New(),
		asked: make(map[mailkey.Mailbox]struct{}),
	}
}

// Stats counts what the cache did.
type Stats struct {
	Hits      uint64 // answers for which nothing but the mailbox's document was read
	Updates   uint64 // changes that were read into columns
	Loads     uint64 // columns that were read whole
	Bytes     int64  // that all columns take
	Mailboxes int
}

// Stats returns the counts since New.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.hits.Load(), c.updates.Load(), c.loads.Load(), c.bytes, len(c.entries)}
}

// Messages is mailstore.Store.Messages for queries that columns can answer; ok is false for others,
// and for those that are better left to the database.
func (c *Cache) Messages(
	ctx context.Context, key mailkey.Mailbox, q mailstore.Query, fields mailstore.Fields,
) (messages iter.Seq2[*mailstore.Message, error], ok bool, err error) {
	if fields&^Fields != 0 || len(q.Filter) > 0 || q.Limit > 0 || q.Reverse {
		return nil, false, nil
	}
	s, err := c.snapshot(ctx, key, worthLoading(q))
	if s == nil || err != nil {
		return nil, false, err
	}
	return s.messages(q), true, nil
}

// Numbers calls f with the UIDs of a set and the numbers of their messages, by ascending UID, but for
// those that cut, if it is not nil, refuses. ok is false for what is better left to the database.
func (c *Cache) Numbers(
	ctx context.Context, key mailkey.Mailbox, set uidset.Set, cut func(*mailstore.FlagState) bool,
	f func(uid uint32, number mailstore.Number),
) (ok bool, err error) {
	s, err := c.snapshot(ctx, key, worthLoading(mailstore.Query{UIDs: set}))
	if s == nil || err != nil {
		return false, err
	}
	if cut == nil {
		s.numbers(set, f)
		return true, nil
	}
	s.walk(set, 0, func(r row) bool {
		if cut(&r.FlagState) {
			f(r.UID, r.Number)
		}
		return true
	})
	return true, nil
}

// worthLoading says of how many messages in a mailbox columns are loaded for a query.
func worthLoading(q mailstore.Query) func(total int64) bool {
	return func(total int64) bool {
		return q.ModSince == 0 &&
			(total <= smallMailbox || q.UIDs == nil || int64(q.UIDs.Count()) >= total/loadShare)
	}
}

// Loaded is Messages for columns that are there already. It loads those of a mailbox that is not
// large when it is asked for much of it a second time: once, the database answers as well. Each
// message that it yields is good until the next one.
func (c *Cache) Loaded(
	ctx context.Context, key mailkey.Mailbox, q mailstore.Query,
) (messages iter.Seq2[*mailstore.Message, error], ok bool, err error) {
	var s *snapshot
	if e := c.lookup(key); e != nil && e.current.Load() != nil {
		s, err = c.update(ctx, e)
	} else if c.askedAgain(key, q) {
		worth := worthLoading(q)
		s, err = c.snapshot(ctx, key, func(total int64) bool {
			return total <= maxSearched && worth(total)
		})
	}
	if s == nil || err != nil {
		return nil, false, err
	}
	return func(yield func(*mailstore.Message, error) bool) {
		var m mailstore.Message
		s.walk(q.UIDs, q.ModSince, func(r row) bool {
			r.describe(&m)
			return yield(&m, nil)
		})
	}, true, nil
}

// askedAgain notes that Loaded was asked for much of a mailbox, and reports whether it had been before.
func (c *Cache) askedAgain(key mailkey.Mailbox, q mailstore.Query) bool {
	if q.UIDs != nil && q.UIDs.Count() <= smallMailbox {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.asked[key]; again {
		delete(c.asked, key)
		return true
	}
	if len(c.asked) >= maxAsked {
		clear(c.asked)
	}
	c.asked[key] = struct{}{}
	return false
}

// describe sets what a row has of a message.
func (r *row) describe(m *mailstore.Message) {
	m.UID, m.ModSeq, m.Flags, m.Keywords = r.UID, r.ModSeq, r.Flags, r.Keywords
	m.Size, m.InternalDate, m.Number = r.Size, r.InternalDate, r.Number
}

// messages iterates over the messages that a query without a filter names.
func (s *snapshot) messages(q mailstore.Query) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		var slab []mailstore.Message
		s.walk(q.UIDs, q.ModSince, func(r row) bool {
			if len(slab) == 0 {
				slab = make([]mailstore.Message, min(slabRows, s.rows))
			}
			m := &slab[0]
			slab = slab[1:]
			r.describe(m)
			return yield(m, nil)
		})
	}
}

// slabRows is how many messages are allocated at a time.
const slabRows = 64

// Opened returns what SELECT tells of a mailbox whose document was read just now: the UIDs of the
// messages that the document counts, and the least one of those without \Seen. The document it
// returns is the given one, or a later one, for which the UIDs are. ok is false if the columns are
// not there.
func (c *Cache) Opened(ctx context.Context, box *mailstore.Mailbox) (
	at *mailstore.Mailbox, uids []uint32, firstUnseen uint32, ok bool, err error,
) {
	e := c.lookup(box.Key)
	if e == nil {
		return nil, nil, 0, false, nil
	}
	s := e.current.Load()
	if s != nil && s.modseq < box.HighestModSeq {
		if s, err = c.update(ctx, e); err != nil {
			return nil, nil, 0, false, err
		}
	} else {
		c.hits.Add(1)
	}
	if s == nil || s.modseq < box.HighestModSeq { // or what was read last is older than the document
		return nil, nil, 0, false, nil
	}
	if s.modseq > box.HighestModSeq {
		box = s.box
	}
	return box, s.uidsBelow(box.UIDNext), s.firstUnseen(), true, nil
}

// Changes is mailstore.Store.Changes, from columns if they are there. Reads may show states of
// different age. The answer never has the document of one and the messages of an older one: the caller
// would miss what lies in between.
func (c *Cache) Changes(ctx context.Context, key mailkey.Mailbox, since uint64) (*mailstore.Changes, error) {
	e := c.lookup(key)
	if e == nil || e.current.Load() == nil {
		return c.store.Changes(ctx, key, since)
	}
	box, err := c.store.MailboxByKey(ctx, key)
	if err != nil {
		return nil, err
	}
	s := e.current.Load()
	if s != nil && s.modseq > box.HighestModSeq {
		box = s.box
	}
	if since >= box.HighestModSeq {
		c.hits.Add(1)
		return &mailstore.Changes{Mailbox: box, Complete: true}, nil
	}
	if s != nil && s.modseq < box.HighestModSeq {
		if s, err = c.update(ctx, e); err != nil {
			return nil, err
		}
	}
	if s == nil || s.modseq < box.HighestModSeq {
		return c.store.Changes(ctx, key, since)
	}
	if s.modseq > box.HighestModSeq {
		box = s.box
	}
	gone, complete := s.vanishedSince(since)
	if !complete {
		return c.store.Changes(ctx, key, since)
	}
	changes := &mailstore.Changes{Mailbox: box, Vanished: gone, Complete: true}
	s.walk(nil, since, func(r row) bool {
		changes.Changed = append(changes.Changed, r.FlagState)
		return true
	})
	return changes, nil
}

// snapshot returns columns that are as new as the database; nil if they are not there and load does
// not say, of so many messages, that they are to be.
func (c *Cache) snapshot(
	ctx context.Context, key mailkey.Mailbox, load func(total int64) bool,
) (*snapshot, error) {
	if e := c.lookup(key); e != nil && e.current.Load() != nil {
		return c.update(ctx, e)
	}
	if c.max < 0 {
		return nil, nil
	}
	box, err := c.store.MailboxByKey(ctx, key)
	if err != nil {
		if errors.Is(err, mailstore.ErrNoSuchMailbox) {
			return nil, nil // the caller's own query finds nothing
		}
		return nil, err
	}
	if !load(box.Messages) || box.Messages*rowBytes > c.max/2 {
		return nil, nil
	}
	return c.load(ctx, c.enter(key), box)
}

// rowBytes is what a row takes.
const rowBytes = 27

// update brings columns up to date.
func (c *Cache) update(ctx context.Context, e *entry) (*snapshot, error) {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.turn }()
	old := e.current.Load()
	if old == nil {
		return nil, nil // they went meanwhile
	}
	changes, err := c.store.Changes(ctx, e.key, old.modseq)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		c.drop(e)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if changes.Mailbox.HighestModSeq <= old.modseq {
		c.hits.Add(1)
		return old, nil
	}
	if !changes.Complete {
		c.drop(e)
		return nil, nil
	}
	c.updates.Add(1)
	b := newBuilder(old)
	rows := make([]row, len(changes.Changed))
	for i, f := range changes.Changed {
		rows[i] = row{f}
	}
	b.change(rows, changes.Vanished)
	b.remember(changes.Vanished, changes.Mailbox.HighestModSeq)
	b.s.box = changes.Mailbox
	return c.publish(e, b), nil
}

// load reads columns whole. The document was read before, so the rows are at least as new as it.
func (c *Cache) load(ctx context.Context, e *entry, box *mailstore.Mailbox) (*snapshot, error) {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.turn }()
	if s := e.current.Load(); s != nil && s.modseq >= box.HighestModSeq {
		return s, nil // another goroutine has loaded them
	}
	c.loads.Add(1)
	b := newBuilder(nil)
	b.s.modseq, b.s.box = box.HighestModSeq, box
	for m, err := range c.store.Messages(ctx, e.key, mailstore.Query{}, Fields) {
		if err != nil {
			return nil, fmt.Errorf("load columns: %w", err)
		}
		b.add(row{mailstore.FlagState{
			UID: m.UID, ModSeq: m.ModSeq, Flags: m.Flags, Keywords: m.Keywords,
			Size: m.Size, InternalDate: m.InternalDate, Number: m.Number,
		}})
	}
	for i, ch := range b.s.chunks {
		b.s.chunks[i] = ch.fitted()
	}
	return c.publish(e, b), nil
}

// fitted returns the chunk without unused memory.
func (c *chunk) fitted() *chunk {
	f := *c
	f.uids, f.modseqs = slices.Clip(slices.Clone(c.uids)), slices.Clone(c.modseqs)
	f.flags, f.keywords = slices.Clone(c.flags), slices.Clone(c.keywords)
	f.sizes, f.dates, f.numbers = slices.Clone(c.sizes), slices.Clone(c.dates), slices.Clone(c.numbers)
	return &f
}

// publish makes what was built the columns of the mailbox, if it is fit for that.
func (c *Cache) publish(e *entry, b *builder) *snapshot {
	if b.full {
		c.drop(e)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.current.Store(b.s)
	if c.entries[e.key] != e {
		return b.s // it was dropped meanwhile: this answer alone is from it
	}
	size := b.s.bytes()
	c.bytes += size - e.bytes
	e.bytes = size
	c.shrink(e)
	return b.s
}

// lookup returns the entry of a mailbox, and notes that it was used.
func (c *Cache) lookup(key mailkey.Mailbox) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil
	}
	e.used = c.now()
	c.recent.MoveToFront(e.place)
	return e
}

// enter returns the entry of a mailbox, a new one if there is none.
func (c *Cache) enter(key mailkey.Mailbox) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		e = &entry{key: key, turn: make(chan struct{}, 1)}
		e.place = c.recent.PushFront(e)
		c.entries[key] = e
	}
	e.used = c.now()
	return e
}

// shrink drops entries that nobody uses, and the longest unused ones while there is too much, but
// for keep. c.mu is held.
func (c *Cache) shrink(keep *entry) {
	now := c.now()
	for place := c.recent.Back(); place != nil; place = c.recent.Back() {
		e := place.Value.(*entry)
		if e == keep || c.bytes <= c.max && now.Sub(e.used) < idleTime {
			return
		}
		c.remove(e)
	}
}

// drop forgets the columns of a mailbox.
func (c *Cache) drop(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(e)
}

// remove is drop with c.mu held.
func (c *Cache) remove(e *entry) {
	if c.entries[e.key] != e {
		return
	}
	delete(c.entries, e.key)
	c.recent.Remove(e.place)
	c.bytes -= e.bytes
	e.bytes = 0
	e.current.Store(nil)
}
