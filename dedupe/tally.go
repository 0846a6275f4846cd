package dedupe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
)

// A Tally sums up the references to the documents of one pass. Not safe for concurrent use.
type Tally struct {
	counter *Counter
	open    bool // the range has no end
	first   Hash // exclusive, unless the range begins at the beginning
	begun   bool // first is set
	entries []entry
	index   []int32 // by the first 16 bits of a hash: the first entry that is not less

	pending    []int32 // entries with pending sums
	unknown    []unknown
	held       int // of unknown: committed
	unreadable int64
	seen       int64
	// lost is told of references to documents that do not exist, hidden of those to documents that
	// the database cannot read, and gap of the hashes of such documents.
	lost, hidden func(ctx context.Context, holder []byte, ref Ref) error
	gap          func(database.Gap) error
	guard        func(ctx context.Context) error // before each batch of the table
}

// entry is a document and what was counted for it.
type entry struct {
	hash        Hash
	counts      counts
	quarantined bool
	damaged     bool // has no counts
	found       sums
	pending     sums // of the batch that is not committed yet
}

// counts are what a document's fields say of its references.
type counts struct {
	sums
	touched int64 // milliseconds of the date; noTouch if there is none
}

var errNoCounts = errors.New("document without counts")

// errFull ends the scan that fills the table.
var errFull = errors.New("the table is full")

const noTouch = -1 << 63

type sums struct{ refs, magic int64 }

func (s sums) plus(t sums) sums { return sums{s.refs + t.refs, s.magic + t.magic} }

// unknown is a reference to a document that the table does not have.
type unknown struct {
	holder []byte
	ref    Ref
}

// Add counts a reference of the referrer that holder names. It ignores references outside of the
// pass. Nothing counts before Commit.
func (t *Tally) Add(holder []byte, ref Ref) {
	t.seen++
	if !t.in(ref.Hash) {
		return
	}
	i, ok := t.find(ref.Hash)
	if !ok {
		t.unknown = append(t.unknown, unknown{bytes.Clone(holder), ref})
		return
	}
	e := &t.entries[i]
	if e.pending.refs == 0 {
		t.pending = append(t.pending, int32(i))
	}
	e.pending = e.pending.plus(sums{1, int64(ref.Magic)})
}

// Unreadable counts a referrer whose references cannot be read. Then the audit can call nothing a
// leak.
func (t *Tally) Unreadable() { t.unreadable++ }

// Commit makes the references count that were added since the last Commit or Rollback. The caller
// has read all of them as of one moment, or reads referrers that never move.
func (t *Tally) Commit(ctx context.Context) error {
	for _, i := range t.pending {
		e := &t.entries[i]
		e.found = e.found.plus(e.pending)
		e.pending = sums{}
	}
	t.pending = t.pending[:0]
	t.held = len(t.unknown)
	if t.held >= maxUnknown {
		return t.resolve(ctx)
	}
	return nil
}

// Rollback forgets the references that were added since the last Commit, because the caller will
// read them again.
func (t *Tally) Rollback() {
	for _, i := range t.pending {
		t.entries[i].pending = sums{}
	}
	t.pending = t.pending[:0]
	t.unknown = t.unknown[:t.held]
}

// Seen is the number of references given to Add, including those of other passes and those rolled
// back.
func (t *Tally) Seen() int64 { return t.seen }

// resolve looks up the documents of unknown references: most were stored after the table was read.
func (t *Tally) resolve(ctx context.Context) error {
	refs := make([]Ref, len(t.unknown))
	for i, u := range t.unknown {
		refs[i] = u.ref
	}
	present, unreadable := make(map[Hash]bool), make(map[Hash]bool)
	for _, batch := range batches(byDocument(refs)) {
		if err := t.lookUp(ctx, batch, present, unreadable); err != nil {
			return err
		}
	}
	for _, u := range t.unknown {
		tell := t.lost
		switch {
		case present[u.ref.Hash]:
			continue
		case unreadable[u.ref.Hash]:
			tell = t.hidden
		}
		if err := tell(ctx, u.holder, u.ref); err != nil {
			return err
		}
	}
	t.unknown, t.held = t.unknown[:0], 0
	return nil
}

// lookUp notes which documents exist. Where the database cannot read one of them it asks for each.
func (t *Tally) lookUp(ctx context.Context, batch []docRefs, present, unreadable map[Hash]bool) error {
	some, err := t.counter.present(ctx, batch)
	switch {
	case database.IsDamaged(err) && len(batch) > 1:
		for i := range batch {
			if err := t.lookUp(ctx, batch[i:i+1], present, unreadable); err != nil {
				return err
			}
		}
		return nil
	case database.IsDamaged(err):
		unreadable[batch[0].hash] = true
		return nil
	case err != nil:
		return err
	}
	for h := range some {
		present[h] = true
	}
	return nil
}

// in reports whether a hash belongs to the pass.
func (t *Tally) in(h Hash) bool {
	if t.begun && bytes.Compare(h[:], t.first[:]) <= 0 {
		return false
	}
	return t.open || bytes.Compare(h[:], t.last()) <= 0
}

func (t *Tally) last() []byte { return t.entries[len(t.entries)-1].hash[:] }

// find returns the entry of a hash.
func (t *Tally) find(h Hash) (int, bool) {
	k := binary.BigEndian.Uint16(h[:])
	from, to := int(t.index[k]), int(t.index[int(k)+1])
	i := from + sort.Search(to-from, func(i int) bool { return bytes.Compare(t.entries[from+i].hash[:], h[:]) >= 0 })
	return i, i < to && t.entries[i].hash == h
}

// load reads the counts of the next documents, at most size, in the order of their hashes. It
// reports whether there may be more behind them. It ignores documents whose key is no hash: nothing
// can refer to them.
func (t *Tally) load(ctx context.Context, after *Hash, size int) (more bool, err error) {
	c := t.counter
	scan := database.Scan{Collection: c.coll, Field: c.key, Key: database.Key{Size: HashSize},
		From: make([]byte, HashSize), To: lastHash[:], Projection: c.countProjection(),
		Page: size, BatchSize: tableBatch}
	if t.begun = after != nil; t.begun {
		t.first = *after
		scan.From = after[:]
	}
	t.entries = t.entries[:0]
	err = scan.Run(ctx, func(doc bson.Raw) error {
		if len(t.entries) == size {
			return errFull
		}
		if len(t.entries)%tableBatch == 0 {
			if err := t.guard(ctx); err != nil {
				return err
			}
		}
		h, err := hashOf(doc, c.key)
		if err != nil {
			return err
		}
		if t.begun && h == t.first {
			return nil // was the last of the pass before
		}
		e := entry{hash: h}
		e.counts, e.quarantined, err = c.countsOf(doc)
		e.damaged = err != nil
		t.entries = append(t.entries, e)
		return nil
	}, t.gap)
	if err != nil && !errors.Is(err, errFull) {
		return false, fmt.Errorf("read counts: %w", err)
	}
	more = errors.Is(err, errFull)
	t.open = !more
	if t.index == nil {
		t.index = make([]int32, 1<<16+1)
	}
	i := 0
	for k := range t.index {
		for i < len(t.entries) && int(binary.BigEndian.Uint16(t.entries[i].hash[:])) < k {
			i++
		}
		t.index[k] = int32(i)
	}
	return more, nil
}

func (c *Counter) countProjection() bson.D {
	return bson.D{{Key: c.key, Value: 1}, {Key: c.refs, Value: 1}, {Key: c.magic, Value: 1},
		{Key: c.touched, Value: 1}, {Key: c.quarantined, Value: 1}}
}

// countsOf reads the counting fields of a document.
func (c *Counter) countsOf(doc bson.Raw) (s counts, quarantined bool, err error) {
	var okRefs, okMagic bool
	s.refs, okRefs = lookup(doc, c.refs).AsInt64OK()
	s.magic, okMagic = lookup(doc, c.magic).AsInt64OK()
	if !okRefs || !okMagic {
		return s, false, errNoCounts
	}
	s.touched = noTouch
	if ms, ok := lookup(doc, c.touched).DateTimeOK(); ok {
		s.touched = ms
	}
	_, quarantined = lookup(doc, c.quarantined).DateTimeOK()
	return s, quarantined, nil
}

// read returns the present state of a document.
func (c *Counter) read(ctx context.Context, h Hash) (s counts, quarantined, exists bool, err error) {
	doc, err := c.coll.FindOne(ctx, c.addFilter(docRefs{hash: h}),
		options.FindOne().SetProjection(c.countProjection())).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return counts{}, false, false, nil
	}
	if err != nil {
		return counts{}, false, false, fmt.Errorf("read counts of %v: %w", h, err)
	}
	s, quarantined, err = c.countsOf(doc)
	return s, quarantined, true, err
}
