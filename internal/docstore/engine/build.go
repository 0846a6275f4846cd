package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// BuildIndexes builds those indexes that the collection lacks. It keeps writers out meanwhile.
func (e *Engine) BuildIndexes(ctx context.Context, db, name string, wanted []*Index) (before, after int, err error) {
	err = e.change(ctx, func(cat *Catalog) error {
		c := cat.Lookup(db, name)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s.%s", db, name)
		}
		before = len(c.Indexes)
		after = before
		missing, err := missingIndexes(c, wanted)
		if err != nil || len(missing) == 0 {
			return err
		}
		if before+len(missing) >= maxIndexes {
			return mongoerr.New(mongoerr.CannotCreateIndex, "add index fails, too many indexes for %s", c.Namespace())
		}
		if err := e.space.check(); err != nil {
			return err
		}
		if err := c.gate.shut(ctx); err != nil {
			return err
		}
		defer c.gate.open()
		for _, ix := range missing {
			ix.setID(e.numbers.next())
			if err = e.fillIndex(ctx, c, ix); err != nil {
				break
			}
		}
		next := *c
		next.Indexes = append(slices.Clone(c.Indexes), missing...)
		if err == nil {
			err = e.store(cat, &next)
		}
		if err != nil {
			for _, ix := range missing {
				if ix.id != 0 {
					err = errors.Join(err, e.eraseIndex(ix.id))
				}
			}
			return err
		}
		after = len(next.Indexes)
		return nil
	})
	return before, after, err
}

// missingIndexes returns those of wanted that c does not have, or the conflict with one that it
// has.
func missingIndexes(c *Collection, wanted []*Index) ([]*Index, error) {
	var missing []*Index
	for _, ix := range wanted {
		if ix.isID() && !ix.Sparse && ix.Partial == nil && !ix.ttl {
			continue // the order of the documents
		}
		known := false
		for _, old := range append(slices.Clone(c.Indexes), missing...) {
			// What tells indexes apart, beside the name, is all but the expiry.
			equivalent := bytes.Equal(old.KeySpec, ix.KeySpec) && bytes.Equal(partialOf(old), partialOf(ix)) &&
				old.Unique == ix.Unique && old.Sparse == ix.Sparse
			switch {
			case old.Name == ix.Name && bytes.Equal(old.Spec, ix.Spec):
				known = true
			case old.Name == ix.Name && !equivalent:
				return nil, mongoerr.New(mongoerr.IndexKeySpecsConflict,
					"An existing index has the same name as the requested index. Requested "+
						"index: %s, existing index: %s", ix.Spec, old.Spec)
			case old.Name == ix.Name:
				return nil, mongoerr.New(mongoerr.IndexOptionsConflict,
					"An equivalent index already exists with the same name but different "+
						"options. Requested index: %s, existing index: %s", ix.Spec, old.Spec)
			case equivalent:
				return nil, mongoerr.New(mongoerr.IndexOptionsConflict,
					"Index already exists with a different name: %s", old.Name)
			}
		}
		if !known {
			missing = append(missing, ix)
		}
	}
	return missing, nil
}

func partialOf(ix *Index) []byte { return rawdoc.Get(ix.Spec, "partialFilterExpression").Value }

// fillIndex writes the entries of all documents. Nobody writes to the collection meanwhile, and
// nobody reads the index before the catalogue has it.
func (e *Engine) fillIndex(ctx context.Context, c *Collection, ix *Index) (err error) {
	lower := prefixOf(spaceDoc, c.id)
	s, err := pebbleView{e.db}.scan(lower, successor(clone(lower)), false)
	if err != nil {
		return fmt.Errorf("build index %s: %w", ix.Name, err)
	}
	b := e.db.NewBatch()
	defer func() { err = errors.Join(err, s.close(), b.Close()) }()
	for n := 0; s.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		doc, err := s.value()
		if err != nil {
			return fmt.Errorf("build index %s: %w", ix.Name, err)
		}
		keys, multi, err := ix.Keys(doc)
		if err != nil {
			return err
		}
		if multi {
			ix.Multikey.Store(true)
		}
		idKey := s.key()[prefixLen:]
		for _, k := range keys {
			if err := b.Set(append(joined(ix.Prefix, k), idKey...), nil, nil); err != nil {
				return fmt.Errorf("build index %s: %w", ix.Name, err)
			}
		}
		if b.Len() > writeChunk {
			if err := e.space.check(); err != nil {
				return err
			}
			if err := b.Commit(pebble.NoSync); err != nil {
				return fmt.Errorf("build index %s: %w", ix.Name, err)
			}
			b.Reset()
		}
	}
	if ix.Multikey.Load() {
		ix.multikeyStored.Store(true)
		if err := b.Set(ix.MultikeyKey(), nil, nil); err != nil {
			return fmt.Errorf("build index %s: %w", ix.Name, err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil { // the catalogue record is synced after it
		return fmt.Errorf("build index %s: %w", ix.Name, err)
	}
	b.Reset()
	if ix.Unique {
		return e.checkUnique(ctx, c, ix)
	}
	return nil
}

// checkUnique looks for two documents with the same key in a new index.
func (e *Engine) checkUnique(ctx context.Context, c *Collection, ix *Index) (err error) {
	s, err := pebbleView{e.db}.scan(ix.Prefix, successor(clone(ix.Prefix)), false)
	if err != nil {
		return fmt.Errorf("check index %s: %w", ix.Name, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var last []byte
	for n := 0; s.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k, idKey, err := SplitEntry(s.key(), len(ix.Fields))
		if err != nil {
			return fmt.Errorf("check index %s: %w", ix.Name, err)
		}
		if bytes.Equal(k, last) {
			doc, release, err := pebbleView{e.db}.get(c.DocKey(idKey))
			if err != nil {
				return fmt.Errorf("check index %s: %w", ix.Name, err)
			}
			defer release.Close()
			return ix.duplicate(c, clone(k), doc)
		}
		last = append(last[:0], k...)
	}
	return nil
}

// DropIndexes drops the indexes that choose picks, and returns how many there were, _id included.
func (e *Engine) DropIndexes(ctx context.Context, db, name string,
	choose func(*Collection) ([]*Index, error)) (was int, err error) {
	err = e.change(ctx, func(cat *Catalog) error {
		c := cat.Lookup(db, name)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found %s.%s", db, name)
		}
		was = len(c.Indexes) + 1
		gone, err := choose(c)
		if err != nil || len(gone) == 0 {
			return err
		}
		if err := e.space.checkFloor(); err != nil {
			return err
		}
		if err := c.gate.shut(ctx); err != nil {
			return err
		}
		defer c.gate.open()
		next := *c
		next.Indexes = nil
		for _, ix := range c.Indexes {
			if !slices.Contains(gone, ix) {
				next.Indexes = append(next.Indexes, ix)
			}
		}
		if err := e.store(cat, &next); err != nil {
			return err
		}
		for _, ix := range gone {
			if err := e.eraseIndex(ix.id); err != nil {
				return err
			}
		}
		return nil
	})
	return was, err
}
