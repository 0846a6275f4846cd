package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
)

// A unit is a set of writes that become visible and durable together: a transaction, or the
// statements of a plain write command.
//
// A transaction reads one snapshot and its own writes. A plain unit reads the newest state of what
// it has locked, so that it never overwrites what it has not seen.
//
// A unit is used by one goroutine at a time.
type Unit struct {
	eng *Engine
	// snap is a transaction's snapshot; nil in a plain unit.
	snap       *pebble.Snapshot
	snapNumber uint64
	// snapCatalog is the catalogue at the time of the snapshot.
	snapCatalog *Catalog
	writes      *overlay
	held        []string
	// touched are the keys among held under which something was written.
	touched  []string
	gates    map[uint32]*gate
	multikey []*Index
}

// newUnit starts a plain unit.
func (e *Engine) newUnit() *Unit {
	return &Unit{eng: e, writes: &overlay{}}
}

// newTransaction starts a unit that reads a snapshot of now.
func (e *Engine) NewTransaction() *Unit {
	u := e.newUnit()
	u.snapNumber = e.locks.openSnapshot()
	u.snap, u.snapCatalog = e.snapshot()
	return u
}

func (u *Unit) isTransaction() bool { return u.snap != nil }

// view is what the unit reads.
func (u *Unit) view() view {
	base := pebbleView{u.eng.db}
	if u.snap != nil {
		base.r = u.snap
	}
	if u.writes.len() == 0 {
		return base
	}
	return overlayView{base: base, writes: u.writes}
}

// lock takes the write lock of a key of the key space.
func (u *Unit) lock(ctx context.Context, key []byte) error {
	return u.eng.locks.acquire(ctx, u, string(key))
}

// enter makes sure that c stays as it is until the unit ends: no index comes or goes.
func (u *Unit) enter(ctx context.Context, c *Collection) error {
	if u.gates[c.id] != nil {
		return nil
	}
	if u.isTransaction() {
		if err := u.snapCatalog.readable(c); err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, gateWait)
		defer cancel()
	}
	if err := c.gate.enter(ctx); err != nil {
		if u.isTransaction() {
			return mongoerr.Transient(mongoerr.New(mongoerr.LockTimeout,
				"Unable to acquire lock on '%s' within %v", c.Namespace(), gateWait))
		}
		return err
	}
	if u.eng.catalog.Load().byID[c.id] != c {
		c.gate.leave()
		if u.isTransaction() {
			return errCatalogChanged(c.Namespace())
		}
		return errStaleCollection
	}
	if u.gates == nil {
		u.gates = map[uint32]*gate{}
	}
	u.gates[c.id] = c.gate
	return nil
}

// errStaleCollection makes a plain statement look up its collection again.
var errStaleCollection = errors.New("the collection changed meanwhile")

// readDoc returns a copy of the document with the id key, or nil when there is none. To
// overwrite it, lock it first.
func (u *Unit) readDoc(c *Collection, idKey []byte) (bson.Raw, error) {
	value, release, err := u.view().get(c.DocKey(idKey))
	if errors.Is(err, errNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a document of %s: %w", c.Namespace(), err)
	}
	doc := clone(value)
	return doc, release.Close()
}

// writeDoc replaces old (nil: there is none) by doc (nil: delete it) under the id key, and keeps
// the indexes. The caller holds the document's lock and has read old under it. The unit keeps doc
// until it ends. Nothing is written when an error is returned.
func (u *Unit) writeDoc(ctx context.Context, c *Collection, idKey []byte, old, doc bson.Raw) error {
	return u.writeUpdated(ctx, c, idKey, old, doc, nil)
}

// writeUpdated is writeDoc for a document that the update has made of old; nil for any.
func (u *Unit) writeUpdated(
	ctx context.Context, c *Collection, idKey []byte, old, doc bson.Raw, up *query.Update,
) error {
	var gone, added, touched []string
	for _, ix := range c.Indexes {
		if up != nil && up.Leaves(ix.roots) {
			continue
		}
		before, _, err := ix.Keys(old)
		if err != nil {
			return err
		}
		after, multi, err := ix.Keys(doc)
		if err != nil {
			return err
		}
		if multi && !ix.multikeyStored.Load() {
			// Readers look at the flag after they have their snapshot: it must be up before the
			// entries show.
			ix.Multikey.Store(true)
			u.multikey = append(u.multikey, ix)
		}
		for _, k := range before {
			if containsKey(after, k) {
				continue
			}
			if ix.Unique {
				if err := u.lock(ctx, joined(ix.Prefix, k)); err != nil {
					return err
				}
				touched = append(touched, string(ix.Prefix)+string(k))
			}
			gone = append(gone, string(ix.Prefix)+string(k)+string(idKey))
		}
		for _, k := range after {
			if containsKey(before, k) {
				continue
			}
			if ix.Unique {
				if err := u.claim(ctx, c, ix, k, idKey, doc); err != nil {
					return err
				}
				touched = append(touched, string(ix.Prefix)+string(k))
			}
			added = append(added, string(ix.Prefix)+string(k)+string(idKey))
		}
	}
	for _, k := range gone {
		u.writes.put(k, overlayWrite{deleted: true})
	}
	for _, k := range added {
		u.writes.put(k, overlayWrite{})
	}
	key := string(c.DocKey(idKey))
	u.writes.put(key, overlayWrite{value: doc, deleted: doc == nil, replaced: len(old)})
	u.touched = append(append(u.touched, touched...), key)
	if u.isTransaction() && u.writes.bytes > maxTransactionBytes {
		return mongoerr.New(mongoerr.TransactionTooLarge,
			"Total size of all transaction operations must be less than %d bytes", maxTransactionBytes)
	}
	return nil
}

func containsKey(keys [][]byte, k []byte) bool {
	for _, other := range keys {
		if compareBytes(other, k) == 0 {
			return true
		}
	}
	return false
}

// claim locks the key k of a unique index and makes sure that no other document has it.
func (u *Unit) claim(ctx context.Context, c *Collection, ix *Index, k, idKey []byte, doc bson.Raw) error {
	prefix := joined(ix.Prefix, k)
	if err := u.lock(ctx, prefix); err != nil {
		return err
	}
	s, err := u.view().scan(prefix, successor(clone(prefix)), false)
	if err != nil {
		return fmt.Errorf("look for duplicates in %s: %w", ix.Name, err)
	}
	for s.next() {
		if compareBytes(s.key()[len(prefix):], idKey) != 0 {
			if err := s.close(); err != nil {
				return err
			}
			return ix.duplicate(c, k, doc)
		}
	}
	if err := s.close(); err != nil {
		return fmt.Errorf("look for duplicates in %s: %w", ix.Name, err)
	}
	return nil
}

// checkSpace refuses the writes if there is no space for them. In the reserve there is for those
// that free some.
func (u *Unit) checkSpace() error {
	if u.writes.len() == 0 {
		return nil
	}
	err := u.eng.space.check()
	if err != nil && u.frees() {
		return u.eng.space.checkFloor()
	}
	return err
}

// frees reports that the writes leave less stored than there is, or hardly more: the inserted
// documents are no larger than the deleted ones, or tiny (a lease), and updated documents stay
// about as large. The space itself is free only after a compaction, but there is no other way to
// get it.
func (u *Unit) frees() bool {
	var inserted, deleted, grown, updated int
	_ = u.writes.each(func(key string, w overlayWrite) error { // f returns no error
		size := len(key) + len(w.value)
		switch {
		case key[0] != spaceDoc && w.deleted:
			grown -= size
		case key[0] != spaceDoc:
			grown += size
		case w.deleted:
			if w.replaced > 0 { // else the unit itself has inserted it
				deleted += len(key) + w.replaced
			}
		case w.replaced == 0:
			inserted += size
		default:
			updated++
			grown += len(w.value) - w.replaced
		}
		return nil
	})
	if inserted > deleted+insertSlack {
		return false
	}
	return grown <= max(0, deleted-inserted)+growthSlack*updated
}

// commit applies the writes and, with durable set, waits until they are on disk. It ends the unit
// in any case. The error may be an *UnsettledError. extra adds further writes to the same batch;
// nil adds none.
func (u *Unit) commit(durable bool, extra func(*pebble.Batch) error) error {
	if err := u.checkSpace(); err != nil {
		u.Abort()
		return err
	}
	b := u.eng.db.NewBatch()
	var dead tally
	err := u.writes.each(func(key string, w overlayWrite) error {
		dead.count(key, w)
		if w.deleted {
			return b.DeleteSized([]byte(key), uint32(w.replaced), nil)
		}
		return b.Set([]byte(key), w.value, nil)
	})
	for _, ix := range u.multikey {
		err = errors.Join(err, b.Set(ix.MultikeyKey(), nil, nil))
	}
	if extra != nil {
		err = errors.Join(err, extra(b))
	}
	if err != nil {
		u.Abort()
		return errors.Join(fmt.Errorf("build a batch: %w", err), b.Close())
	}
	if b.Empty() {
		u.Abort()
		return b.Close()
	}
	return u.eng.apply(b, durable, func(applied bool) {
		if applied {
			for _, ix := range u.multikey {
				ix.multikeyStored.Store(true)
			}
			u.eng.garbage.add(&dead, uint64(b.SeqNum()))
		}
		// The next writer may go on: its batch comes later in the log, so it cannot be durable
		// before this one.
		u.end(applied)
	})
}

// Abort drops the writes.
func (u *Unit) Abort() { u.end(false) }

func (u *Unit) end(written bool) {
	u.eng.locks.release(u, written)
	for _, g := range u.gates {
		g.leave()
	}
	u.gates = nil
	if u.snap != nil {
		u.eng.locks.closeSnapshot(u.snapNumber)
		if err := u.eng.closeSnapshot(u.snap); err != nil && !errors.Is(err, io.EOF) {
			u.eng.log.Error("close a snapshot", "error", err)
		}
		u.snap = nil
	}
	u.writes = &overlay{} // a scan may still read the old one
	u.multikey = nil
}
