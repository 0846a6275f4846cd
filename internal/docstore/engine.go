package docstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"gadwall/internal/docstore/mongoerr"

	"github.com/cockroachdb/pebble/v2"
)

// engine is the storage under the commands: Pebble, the catalogue and the locks.
type engine struct {
	db      *pebble.DB
	log     *slog.Logger
	space   *diskSpace
	logs    *logFiles
	locks   *lockTable
	catalog atomic.Pointer[catalog]
	numbers counter
	metrics metrics
	garbage garbage
	// commits counts the batches that are being applied, by whomever.
	commits sync.WaitGroup

	// ddl is held while the catalogue changes. It is a channel, so that a context can end the wait:
	// a change may wait for a transaction that itself waits for another change.
	ddl chan struct{}
}

var keyNumbers = append([]byte{spaceMeta}, "numbers"...)

func newEngine(db *pebble.DB, space *diskSpace, logs *logFiles, log *slog.Logger) (*engine, error) {
	e := &engine{db: db, space: space, logs: logs, log: log, locks: newLockTable(), ddl: make(chan struct{}, 1)}
	if err := e.load(); err != nil {
		return nil, err
	}
	return e, e.loadGarbage()
}

func (e *engine) load() error {
	value, closer, err := e.db.Get(keyNumbers)
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
	cat := &catalog{byName: map[string]*collection{}, byID: map[uint32]*collection{}}
	err = e.eachNumber(spaceCatalog, func(n uint32, value []byte) error {
		c, err := unmarshalCollection(n, value, multikey)
		if err != nil {
			return err
		}
		cat.byName[c.ns()], cat.byID[c.id] = c, c
		return nil
	})
	if err != nil {
		return err
	}
	e.catalog.Store(cat)
	return e.dropOrphans(cat)
}

// eachNumber calls f for each numbered key of a space.
func (e *engine) eachNumber(space byte, f func(n uint32, value []byte) error) error {
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

// snapshot returns a snapshot and the catalogue that belongs to it.
func (e *engine) snapshot() (*pebble.Snapshot, *catalog) {
	for {
		cat := e.catalog.Load()
		s := e.db.NewSnapshot()
		if e.catalog.Load() == cat {
			return s, cat
		}
		if err := s.Close(); err != nil {
			e.log.Error("close a snapshot", "err", err)
		}
	}
}

// sync makes durable, if that is asked for, what has been applied so far.
func (e *engine) sync(durable bool) error {
	if !durable {
		return nil
	}
	if err := e.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return nil
}

// change runs f alone among all changes of the catalogue.
func (e *engine) change(ctx context.Context, f func(cat *catalog) error) error {
	select {
	case e.ddl <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.ddl }()
	return f(e.catalog.Load())
}

// store writes c's record, and publishes it.
func (e *engine) store(cat *catalog, c *collection) error {
	value, err := c.marshal()
	if err != nil {
		return fmt.Errorf("catalogue record of %s: %w", c.ns(), err)
	}
	b := e.db.NewBatch()
	defer b.Close()
	err = errors.Join(
		b.Set(prefixOf(spaceCatalog, c.id), value, nil),
		b.Set(keyNumbers, e.numbers.marshal(), nil),
		b.Commit(pebble.Sync))
	if err != nil {
		return fmt.Errorf("write the catalogue record of %s: %w", c.ns(), err)
	}
	e.catalog.Store(cat.with(c))
	return nil
}

// collectionFor returns the collection, which it creates when there is none.
func (e *engine) collectionFor(ctx context.Context, db, name string) (*collection, error) {
	if c := e.catalog.Load().lookup(db, name); c != nil {
		return c, nil
	}
	c, _, err := e.create(ctx, db, name, false)
	return c, err
}

// create makes a collection; existed reports that there was one.
func (e *engine) create(ctx context.Context, db, name string, clustered bool) (c *collection, existed bool, err error) {
	if err := checkNamespace(db, name); err != nil {
		return nil, false, err
	}
	if strings.HasPrefix(name, "system.") {
		return nil, false, mongoerr.New(mongoerr.InvalidNamespace, "Invalid system namespace: %s.%s", db, name)
	}
	err = e.change(ctx, func(cat *catalog) error {
		if c = cat.lookup(db, name); c != nil {
			existed = true
			return nil
		}
		if err := e.space.checkFloor(); err != nil { // a collection takes next to nothing
			return err
		}
		c = &collection{id: e.numbers.next(), db: db, name: name, uuid: newUUID(), clustered: clustered, gate: newGate()}
		return e.store(cat, c)
	})
	return c, existed, err
}

// drop removes collections. It waits until nobody writes to them any more.
func (e *engine) drop(ctx context.Context, choose func(cat *catalog) []*collection) (dropped []*collection, err error) {
	err = e.change(ctx, func(cat *catalog) error {
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
		for _, ix := range c.indexes {
			if err := e.eraseIndex(ix.id); err != nil {
				return nil, err
			}
		}
	}
	return dropped, nil
}

// erase removes all keys of a numbered prefix that nothing refers to any more. It need not be
// durable: what a crash brings back is erased at the next start.
func (e *engine) erase(space byte, number uint32) error {
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

func (e *engine) eraseIndex(number uint32) error {
	return errors.Join(e.erase(spaceIndex, number), e.db.Delete(prefixOf(spaceMulti, number), pebble.NoSync))
}

// dropOrphans erases documents and index entries of collections and indexes that the catalogue does
// not have: of drops and index builds that a crash cut short.
func (e *engine) dropOrphans(cat *catalog) error {
	indexes := map[uint32]bool{}
	for _, c := range cat.byID {
		for _, ix := range c.indexes {
			indexes[ix.id] = true
		}
	}
	if err := e.orphans(spaceDoc, func(n uint32) bool { return cat.byID[n] != nil }); err != nil {
		return err
	}
	return e.orphans(spaceIndex, func(n uint32) bool { return indexes[n] })
}

func (e *engine) orphans(space byte, known func(uint32) bool) error {
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
	if err := it.Close(); err != nil {
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
