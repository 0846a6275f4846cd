package dedupe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
)

// A Tally collects the references of all referrers, in memory and in temporary files. Not safe for
// concurrent use.
type Tally struct {
	limit   int // of records in memory
	shelf   shelf
	records []record
	held    int   // of records: committed
	pending []run // not committed
	err     error // of the files

	// from and to are the first and the last hash whose references count; to becomes less when the
	// files would take more than disk bytes.
	from, to Hash
	disk     int64

	unreadable int64
}

// entry is a document and what was counted for it.
type entry struct {
	hash        Hash
	counts      counts
	quarantined bool
	found       sums
	// unsure says that a referrer was read twice, which only looks so if two have the same magic.
	unsure bool
}

// counts are what a document's fields say of its references.
type counts struct {
	sums
	touched int64 // milliseconds of the date; noTouch if there is none
}

var errNoCounts = errors.New("document without counts")

const noTouch = -1 << 63

type sums struct{ refs, magic int64 }

// unknown is a reference to a document that the scan of the counts did not meet.
type unknown struct {
	holder []byte
	ref    Ref
}

// Add counts a reference of the referrer that holder names, in at most 32 octets. Nothing counts
// before Commit.
func (t *Tally) Add(holder []byte, ref Ref) { t.add(holder, ref, false) }

// AddMoving is Add for a referrer that was not read as of one moment with the others, so that the
// caller may meet it twice, in two places. References of one magic to one document count once then.
func (t *Tally) AddMoving(holder []byte, ref Ref) { t.add(holder, ref, true) }

func (t *Tally) add(holder []byte, ref Ref, repeated bool) {
	if t.err == nil && len(t.records) >= t.limit {
		t.err = t.spill()
	}
	if t.err != nil || bytes.Compare(ref.Hash[:], t.from[:]) < 0 || bytes.Compare(ref.Hash[:], t.to[:]) > 0 {
		return
	}
	r := record{hash: ref.Hash, magic: ref.Magic, repeated: repeated}
	r.size = uint8(copy(r.holder[:], holder))
	t.records = append(t.records, r)
}

// spill writes the records to files.
func (t *Tally) spill() error {
	if t.held > 0 {
		x, err := t.shelf.write(t.records[:t.held])
		if err == nil {
			err = t.shelf.add(x)
		}
		if err != nil {
			return err
		}
	}
	if t.held < len(t.records) {
		x, err := t.shelf.write(t.records[t.held:])
		if err != nil {
			return err
		}
		t.pending = append(t.pending, x)
	}
	t.records, t.held = t.records[:0], 0
	for t.size() > t.disk {
		if err := t.narrow(); err != nil {
			return err
		}
	}
	return nil
}

// size is how many bytes the files have.
func (t *Tally) size() (n int64) {
	for _, x := range t.pending {
		n += x.size
	}
	for _, level := range t.shelf.levels {
		for _, x := range level {
			n += x.size
		}
	}
	return n
}

// narrow leaves the upper half of the hashes to another reading of the referrers. No records are in
// memory.
func (t *Tally) narrow() error {
	low, high := binary.BigEndian.Uint64(t.from[:]), binary.BigEndian.Uint64(t.to[:])
	alone := low == high // what is left are hashes that begin alike: those of one document
	t.to = lastHash
	binary.BigEndian.PutUint64(t.to[:], low+(high-low)/2)
	for i := range t.pending {
		if err := t.pending[i].cut(t.to); err != nil {
			return err
		}
	}
	for _, level := range t.shelf.levels {
		for i := range level {
			if err := level[i].cut(t.to); err != nil {
				return err
			}
		}
	}
	if alone || t.size() == 0 { // almost all are to one document
		return fmt.Errorf("audit: the references to one document need temporary files of more than %d bytes", t.disk)
	}
	return nil
}

// Unreadable counts a referrer whose references cannot be read. Then the audit can call nothing a
// leak.
func (t *Tally) Unreadable() { t.unreadable++ }

// Commit makes the references count that were added since the last Commit or Rollback. The caller
// has read all of them as of one moment, or reads referrers that never move.
func (t *Tally) Commit(context.Context) error {
	for _, x := range t.pending {
		t.err = errors.Join(t.err, t.shelf.add(x))
	}
	t.pending, t.held = nil, len(t.records)
	return t.err
}

// Rollback forgets the references that were added since the last Commit, because the caller will
// read them again.
func (t *Tally) Rollback() {
	for _, x := range t.pending {
		t.err = errors.Join(t.err, x.remove())
	}
	t.pending = nil
	t.records = t.records[:t.held]
}

// sorted returns all references that count, in the order of their hashes.
func (t *Tally) sorted() (*merge, error) {
	t.Rollback()
	if t.err != nil {
		return nil, t.err
	}
	// The hashes may have become fewer since some were read.
	t.records = slices.DeleteFunc(t.records, func(r record) bool { return bytes.Compare(r.hash[:], t.to[:]) > 0 })
	slices.SortFunc(t.records, compareRecords)
	return mergeRuns(t.shelf.runs(), t.records)
}

// resolve looks up the documents of unknown references: some were stored again after the scan of the
// counts.
func (a *Auditor) resolve(ctx context.Context, list []unknown) error {
	refs := make([]Ref, len(list))
	for i, u := range list {
		refs[i] = u.ref
	}
	present, unreadable := make(map[Hash]bool), make(map[Hash]bool)
	for _, batch := range batches(byDocument(refs)) {
		if err := a.lookUp(ctx, batch, present, unreadable); err != nil {
			return err
		}
	}
	for _, u := range list {
		tell := a.missing
		switch {
		case present[u.ref.Hash]:
			continue
		case unreadable[u.ref.Hash]:
			tell = a.unreadable
		}
		if err := tell(ctx, u.holder, u.ref); err != nil {
			return err
		}
	}
	return nil
}

// lookUp notes which documents exist. Where the database cannot read one of them it asks for each.
func (a *Auditor) lookUp(ctx context.Context, batch []docRefs, present, unreadable map[Hash]bool) error {
	some, err := a.Counter.present(ctx, batch)
	switch {
	case database.IsDamaged(err) && len(batch) > 1:
		for i := range batch {
			if err := a.lookUp(ctx, batch[i:i+1], present, unreadable); err != nil {
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
