package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gadwall/internal/docstore/mongoerr"
)

// engine is the storage under the commands: Pebble, the catalogue and the locks.
type Engine struct {
	db      *pebble.DB
	log     *slog.Logger
	space   *diskSpace
	logs    *logFiles
	locks   *lockTable
	catalog atomic.Pointer[Catalog]
	numbers counter
	metrics metrics
	garbage garbage

	// damage is what was found damaged. noRewrites is set when a file of values could not be
	// rewritten for that. filesChecked is closed when each file was looked at after opening.
	damage       *damageLog
	noRewrites   atomic.Bool
	filesChecked chan struct{}

	// lastMetrics are the numbers of Pebble when it told them last; measuring is set while it is asked.
	lastMetrics atomic.Pointer[pebble.Metrics]
	measuring   atomic.Bool

	dir   string
	fs    vfs.FS
	cache *pebble.Cache
	lock  *pebble.Lock
	// backups is held while a backup is made: there is one at a time.
	backups chan struct{}

	// ctx ends when the database closes. background counts the goroutines that look after the
	// database, and the checks and backups; commits counts the calls of Pebble that a full disk can
	// hold up: batches that are being applied, snapshots that are being closed, and measuring.
	ctx        context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup
	commits    sync.WaitGroup
	closing    sync.Mutex
	closed     bool

	// ddl is held while the catalogue changes. It is a channel, so that a context can end the wait:
	// a change may wait for a transaction that itself waits for another change.
	ddl chan struct{}
}

var keyNumbers = append([]byte{spaceMeta}, "numbers"...)

func (e *Engine) load() error {
	value, closer, err := pebbleView{e.db}.get(keyNumbers)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return fmt.Errorf("read the catalogue: %w", err)
	default:
		err := e.numbers.unmarshal(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return fmt.Errorf("read the catalogue: %w", err)
		}
	}
	multikey := map[uint32]bool{}
	if err := e.eachNumber(spaceMulti, func(n uint32, _ []byte) error { multikey[n] = true; return nil }); err != nil {
		return err
	}
	cat := &Catalog{byName: map[string]*Collection{}, byID: map[uint32]*Collection{}}
	err = e.eachNumber(spaceCatalog, func(n uint32, value []byte) error {
		c, err := unmarshalCollection(n, value, multikey)
		if err != nil {
			return err
		}
		cat.byName[c.Namespace()], cat.byID[c.id] = c, c
		return nil
	})
	if err != nil {
		return err
	}
	e.catalog.Store(cat)
	return e.dropOrphans(cat)
}

// eachNumber calls f for each numbered key of a space.
func (e *Engine) eachNumber(space byte, f func(n uint32, value []byte) error) error {
	s, err := pebbleView{e.db}.scan([]byte{space}, []byte{space + 1}, false)
	if err != nil {
		return fmt.Errorf("read the catalogue: %w", err)
	}
	for s.next() {
		n, err := numberOf(s.key())
		if err == nil {
			var value []byte
			if value, err = s.value(); err == nil {
				err = f(n, value)
			}
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read the catalogue: %w", err), s.close())
		}
	}
	return s.close()
}

// Pebble is the storage itself, for tests that damage it.
func (e *Engine) Pebble() *pebble.DB { return e.db }

// Catalog is the published catalogue.
func (e *Engine) Catalog() *Catalog { return e.catalog.Load() }

// snapshot returns a snapshot and the catalogue that belongs to it.
func (e *Engine) snapshot() (*pebble.Snapshot, *Catalog) {
	for {
		cat := e.catalog.Load()
		s := e.db.NewSnapshot()
		if e.catalog.Load() == cat {
			return s, cat
		}
		if err := e.closeSnapshot(s); err != nil {
			e.log.Error("close a snapshot", "error", err)
		}
	}
}

// closeSnapshot closes a snapshot. Pebble looks then whether there is something to compact, and
// waits for that until its manifest is written, which takes until there is space on the disk. The
// caller does not: a read goes on while the disk is full.
func (e *Engine) closeSnapshot(s *pebble.Snapshot) error {
	full := e.space.whenFull()
	done := make(chan error, 1)
	e.commits.Go(func() { done <- s.Close() })
	select {
	case err := <-done:
		return err
	case <-full:
		return nil
	}
}

// Stalled reports that something waits for space on the disk.
func (e *Engine) Stalled() bool { return e.space.isFull() }

// CheckSpace refuses a write for which there is no space.
func (e *Engine) CheckSpace() error { return e.space.check() }

// CheckFloor refuses a write for which there is no space even if it frees some.
func (e *Engine) CheckFloor() error { return e.space.checkFloor() }

// AwaitSpace waits until nothing waits for space any more. It returns false when that takes longer
// than limit, or done or the database is closed first.
func (e *Engine) AwaitSpace(limit time.Duration, done <-chan struct{}) bool {
	return e.space.whenFree(limit, done)
}

// Sync waits until everything that was applied so far is on disk, if durable is set.
func (e *Engine) Sync(durable bool) error {
	if !durable {
		return nil
	}
	if err := e.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}

// change runs f alone among all changes of the catalogue.
func (e *Engine) change(ctx context.Context, f func(cat *Catalog) error) error {
	select {
	case e.ddl <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.ddl }()
	return f(e.catalog.Load())
}

// store writes c's record, and publishes it.
func (e *Engine) store(cat *Catalog, c *Collection) error {
	value, err := c.marshal()
	if err != nil {
		return fmt.Errorf("catalogue record of %s: %w", c.Namespace(), err)
	}
	b := e.db.NewBatch()
	defer b.Close()
	err = errors.Join(
		b.Set(prefixOf(spaceCatalog, c.id), value, nil),
		b.Set(keyNumbers, e.numbers.marshal(), nil),
		b.Commit(pebble.Sync))
	if err != nil {
		return fmt.Errorf("write the catalogue record of %s: %w", c.Namespace(), err)
	}
	e.catalog.Store(cat.with(c))
	return nil
}

// CollectionFor returns the collection, which it creates when there is none.
func (e *Engine) CollectionFor(ctx context.Context, db, name string) (*Collection, error) {
	if c := e.catalog.Load().Lookup(db, name); c != nil {
		return c, nil
	}
	c, _, err := e.Create(ctx, db, name, false)
	return c, err
}

// Create makes a collection; existed reports that there was one.
func (e *Engine) Create(ctx context.Context, db, name string, clustered bool) (c *Collection, existed bool, err error) {
	if err := CheckNamespace(db, name); err != nil {
		return nil, false, err
	}
	if strings.HasPrefix(name, "system.") {
		return nil, false, mongoerr.New(mongoerr.InvalidNamespace, "Invalid system namespace: %s.%s", db, name)
	}
	err = e.change(ctx, func(cat *Catalog) error {
		if c = cat.Lookup(db, name); c != nil {
			existed = true
			return nil
		}
		if err := e.space.checkFloor(); err != nil { // a collection takes next to nothing
			return err
		}
		c = &Collection{id: e.numbers.next(), db: db, Name: name, UUID: newUUID(),
			Clustered: clustered, gate: newGate()}
		return e.store(cat, c)
	})
	return c, existed, err
}

// Drop removes collections. It waits until nobody writes to them any more.
func (e *Engine) Drop(ctx context.Context, choose func(cat *Catalog) []*Collection) (dropped []*Collection, err error) {
	err = e.change(ctx, func(cat *Catalog) error {
		if dropped = choose(cat); len(dropped) == 0 {
			return nil
		}
		if err := e.space.checkFloor(); err != nil {
			return err
		}
		for _, c := range dropped {
			if err := c.gate.shut(ctx); err != nil {
				return err
			}
			defer c.gate.open()
		}
		b := e.db.NewBatch()
		defer b.Close()
		var errs []error
		for _, c := range dropped {
			errs = append(errs, b.Delete(prefixOf(spaceCatalog, c.id), nil))
		}
		errs = append(errs, b.Commit(pebble.Sync))
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("drop collections: %w", err)
		}
		e.catalog.Store(cat.without(dropped))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range dropped {
		if err := e.erase(spaceDoc, c.id); err != nil {
			return nil, err
		}
		for _, ix := range c.Indexes {
			if err := e.eraseIndex(ix.id); err != nil {
				return nil, err
			}
		}
	}
	return dropped, nil
}

// erase removes all keys of a numbered prefix that nothing refers to any more. It does not sync:
// when a crash brings the keys back, the next start erases them.
func (e *Engine) erase(space byte, number uint32) error {
	lower := prefixOf(space, number)
	upper := successor(clone(lower))
	size, err := e.db.EstimateDiskUsage(lower, upper)
	if err == nil {
		err = e.db.DeleteRange(lower, upper, pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("erase dropped data: %w", err)
	}
	e.garbage.dropped(keyPrefix(lower), int64(size))
	return nil
}

func (e *Engine) eraseIndex(number uint32) error {
	return errors.Join(e.erase(spaceIndex, number), e.db.Delete(prefixOf(spaceMulti, number), pebble.NoSync))
}

// dropOrphans erases documents and index entries of collections and indexes that the catalogue does
// not have: of drops and index builds that a crash cut short.
func (e *Engine) dropOrphans(cat *Catalog) error {
	indexes := map[uint32]bool{}
	for _, c := range cat.byID {
		for _, ix := range c.Indexes {
			indexes[ix.id] = true
		}
	}
	if err := e.orphans(spaceDoc, func(n uint32) bool { return cat.byID[n] != nil }); err != nil {
		return err
	}
	return e.orphans(spaceIndex, func(n uint32) bool { return indexes[n] })
}

func (e *Engine) orphans(space byte, known func(uint32) bool) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return fmt.Errorf("look for dropped data: %w", err)
	}
	var lost []uint32
	for ok := it.First(); ok; {
		n, err := numberOf(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !known(n) {
			lost = append(lost, n)
		}
		ok = it.SeekGE(successor(prefixOf(space, n)))
	}
	if err := it.Close(); IsDamage(err) {
		e.log.Error("dropped data may be left, because what is stored is damaged", "error", firstLine(err))
	} else if err != nil {
		return fmt.Errorf("look for dropped data: %w", err)
	}
	for _, n := range lost {
		erase := func() error { return e.erase(space, n) }
		if space == spaceIndex {
			erase = func() error { return e.eraseIndex(n) }
		}
		if err := erase(); err != nil {
			return err
		}
		if n > e.numbers.last.Load() {
			e.numbers.last.Store(n)
		}
	}
	return nil
}
