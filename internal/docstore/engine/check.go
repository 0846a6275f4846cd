package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/cockroachdb/pebble/v2"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// Check compares every index with the documents of its collection, both ways, and looks at
// everything else that is stored. It reads one snapshot, beside all other traffic, in constant
// memory. It calls progress, unless that is nil, with the name of each collection before its turn.
// The report has the problems. A key or value that cannot be read is one of them, and the check
// goes on behind it. An error means that the check was not finished.
func (e *Engine) Check(ctx context.Context, progress func(ns string)) (*CheckReport, error) {
	return e.CheckEach(ctx, progress, nil)
}

// CheckEach is Check, and calls each with every problem: the report lists only the first of a
// collection. ns is "" for problems beside the collections. Keys and ids are valid during the call.
func (e *Engine) CheckEach(
	ctx context.Context, progress func(ns string), each func(ns string, p Problem),
) (_ *CheckReport, err error) {
	if each == nil {
		each = func(string, Problem) {}
	}
	done, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	var snap *pebble.Snapshot
	var cat *Catalog
	// Between changes of the catalogue, its records are as published.
	err = e.change(ctx, func(*Catalog) error {
		snap, cat = e.snapshot()
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.closeSnapshot(snap)) }()
	v := pebbleView{snap}
	r := &CheckReport{}
	r.each = func(p Problem) { each("", p) }
	if err := checkRecords(ctx, v, cat, r); err != nil {
		return nil, err
	}
	for _, db := range cat.Databases() {
		for _, c := range cat.InDatabase(db) {
			if progress != nil {
				progress(c.Namespace())
			}
			report, err := checkCollection(ctx, v, c, func(p Problem) { each(c.Namespace(), p) })
			if err != nil {
				return nil, err
			}
			r.Collections = append(r.Collections, report)
		}
	}
	return r, nil
}

// CheckCollection checks one collection; both results are nil when there is none.
func (e *Engine) CheckCollection(ctx context.Context, db, name string) (c *Collection, r *CollectionReport, err error) {
	snap, cat := e.snapshot()
	defer func() { err = errors.Join(err, e.closeSnapshot(snap)) }()
	if c = cat.Lookup(db, name); c == nil {
		return nil, nil, nil
	}
	r, err = checkCollection(ctx, pebbleView{snap}, c, nil)
	return c, r, err
}

// A digest tells whether two sets of keys are the same, whatever their order: the sums of two
// hashes of 64 bits with random seeds.
type digest struct {
	n          int64
	sum1, sum2 uint64
}

type hasher struct{ h1, h2 maphash.Hash }

func newHasher() *hasher {
	h := &hasher{}
	h.h1.SetSeed(maphash.MakeSeed())
	h.h2.SetSeed(maphash.MakeSeed())
	return h
}

// add adds the key a followed by b.
func (h *hasher) add(d *digest, a, b []byte) {
	h.h1.Reset()
	h.h2.Reset()
	h.h1.Write(a)
	h.h1.Write(b)
	h.h2.Write(a)
	h.h2.Write(b)
	d.n++
	d.sum1 += h.h1.Sum64()
	d.sum2 += h.h2.Sum64()
}

// A collectionCheck is a check of a collection under way.
//
// Documents and index entries are each read once, in their order: the entries that the documents
// ask for and those that are there must have the same digest. Only where they differ, each one is
// looked up.
type collectionCheck struct {
	view    view
	coll    *Collection
	report  *CollectionReport
	hash    *hasher
	indexes []*indexCheck
	// again is set when everything is read a second time: what cannot be read has been told.
	again bool
	// skips are the ranges of keys that cannot be read: where each ends, by where it begins.
	skips map[string][]byte
}

type indexCheck struct {
	*Index
	multikey   bool // as stored
	told       bool // that it should be multikey and is not
	want, have digest
	bad        bool
}

func checkCollection(ctx context.Context, v view, c *Collection, each func(Problem)) (*CollectionReport, error) {
	k := &collectionCheck{
		view: v, coll: c, hash: newHasher(), skips: map[string][]byte{},
		report: &CollectionReport{DB: c.db, Name: c.Name},
	}
	k.report.each = each
	for _, ix := range c.Indexes {
		ic := &indexCheck{Index: ix}
		switch _, release, err := v.get(ix.MultikeyKey()); {
		case err == nil:
			ic.multikey = true
			if err := release.Close(); err != nil {
				return nil, err
			}
		case !errors.Is(err, errNotFound):
			k.problem(Problem{Kind: Unreadable, Index: ix.Name, Detail: err.Error()}, ic)
		}
		k.indexes = append(k.indexes, ic)
	}
	if err := k.run(ctx); err != nil {
		return nil, fmt.Errorf("check %s: %w", c.Namespace(), err)
	}
	for _, ic := range k.indexes {
		k.report.Indexes = append(k.report.Indexes, IndexReport{Name: ic.Name, Keys: ic.have.n, Valid: !ic.bad})
	}
	return k.report, nil
}

func (k *collectionCheck) run(ctx context.Context) error {
	if err := k.documents(ctx); err != nil {
		return err
	}
	differ := false
	for _, ic := range k.indexes {
		if err := k.entries(ctx, ic); err != nil {
			return err
		}
		differ = differ || ic.differs()
	}
	if !differ {
		return nil
	}
	k.again = true
	if err := k.findMissing(ctx); err != nil {
		return err
	}
	for _, ic := range k.indexes {
		if ic.differs() {
			if err := k.findExtra(ctx, ic); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ic *indexCheck) differs() bool { return ic.want != ic.have }

func (k *collectionCheck) problem(p Problem, ic *indexCheck) {
	if ic != nil {
		ic.bad = true
		p.Index = ic.Name
	}
	k.report.add(p)
}

// walk calls f for each key with a prefix. An error of the storage is a problem: of one value,
// which f returns, or of a range of keys, and the walk goes on behind it. An error of the context
// ends the check.
func (k *collectionCheck) walk(ctx context.Context, ic *indexCheck, prefix []byte, f func(s scanner) error) error {
	upper := successor(clone(prefix))
	lower := prefix
	var last []byte // the last key that could be read
	for {
		s, err := k.view.scan(lower, upper, false)
		var failed error
		if err == nil {
			for n := 0; failed == nil && s.next(); n++ {
				if n%checkEvery == 0 && ctx.Err() != nil {
					return errors.Join(ctx.Err(), s.close())
				}
				last = append(last[:0], s.key()...)
				failed = f(s)
			}
			err = s.close()
		}
		switch {
		case failed != nil: // close may well give the same error
			k.unreadable(ic, Problem{Key: last[prefixLen:], Detail: firstLine(failed)})
			lower = append(clone(last), 0)
		case err != nil:
			if last != nil {
				lower = append(clone(last), 0)
			}
			next, known := k.skips[string(lower)]
			if !known {
				var ctxErr error
				if next, ctxErr = firstReadable(ctx, k.view, lower, upper); ctxErr != nil {
					return ctxErr
				}
				k.skips[string(lower)] = next
			}
			p := Problem{Range: true, Detail: firstLine(err)}
			if last != nil {
				p.Key = last[prefixLen:]
			}
			if next != nil {
				p.Next = next[prefixLen:]
			}
			k.unreadable(ic, p)
			if next == nil {
				return nil
			}
			lower = next
		default:
			return nil
		}
	}
}

// unreadable reports what cannot be read, the first time it is met.
func (k *collectionCheck) unreadable(ic *indexCheck, p Problem) {
	if k.again {
		return
	}
	p.Kind = Unreadable
	if ic == nil { // the keys are those of documents
		p.ID, _ = bsonkey.Value(p.Key)
		p.NextID, _ = bsonkey.Value(p.Next)
	}
	k.problem(p, ic)
}

// documents checks each document by itself, and adds up the entries they ask for.
func (k *collectionCheck) documents(ctx context.Context) error {
	return k.walk(ctx, nil, prefixOf(spaceDoc, k.coll.id), func(s scanner) error {
		k.report.Documents++
		doc, err := s.value()
		if err != nil {
			return err
		}
		idKey := s.key()[prefixLen:]
		if err := rawdoc.Validate(doc); err != nil {
			k.report.Invalid++
			k.report.add(Problem{Kind: BadDocument, Key: idKey, Detail: err.Error()})
			return nil
		}
		id := rawdoc.Get(doc, "_id")
		if rawdoc.IsMissing(id) {
			k.report.Invalid++
			k.report.add(Problem{Kind: WrongID, Key: idKey, Detail: "the document has no _id"})
		} else if want := bsonkey.Append(nil, id); !bytes.Equal(want, idKey) {
			k.report.Invalid++
			k.report.add(Problem{Kind: WrongID, ID: id, Key: idKey,
				Detail: fmt.Sprintf("stored under the key %x, belongs under %x", idKey, want)})
		}
		for _, ic := range k.indexes {
			keys, multi, err := ic.Keys(doc)
			if err != nil {
				k.report.Invalid++
				k.problem(Problem{Kind: BadDocument, ID: id, Key: idKey, Detail: err.Error()}, ic)
				continue
			}
			if multi && !ic.multikey && !ic.told {
				ic.told = true
				k.problem(Problem{Kind: NotMultikey, ID: id, Key: idKey,
					Detail: "the document has several entries"}, ic)
			}
			for _, key := range keys {
				k.hash.add(&ic.want, key, idKey)
			}
		}
		return nil
	})
}

// entries reads the entries of an index.
func (k *collectionCheck) entries(ctx context.Context, ic *indexCheck) error {
	var last []byte
	return k.walk(ctx, ic, ic.Prefix, func(s scanner) error {
		k.hash.add(&ic.have, s.key()[prefixLen:], nil)
		key, idKey, err := SplitEntry(s.key(), len(ic.Fields))
		if err != nil {
			k.problem(Problem{Kind: BadEntry, Key: s.key()[prefixLen:], Detail: err.Error()}, ic)
			return nil
		}
		if ic.Unique && ic.have.n > 1 && bytes.Equal(key, last) {
			k.problem(Problem{Kind: DuplicateKey, Key: idKey,
				Detail: fmt.Sprintf("another document has the key %x too", key)}, ic)
		}
		last = append(last[:0], key...)
		return nil
	})
}

// findMissing looks up each entry that the documents ask for.
func (k *collectionCheck) findMissing(ctx context.Context) error {
	return k.walk(ctx, nil, prefixOf(spaceDoc, k.coll.id), func(s scanner) error {
		doc, err := s.value()
		if err != nil {
			return err
		}
		if rawdoc.Validate(doc) != nil {
			return nil // told before
		}
		idKey := s.key()[prefixLen:]
		for _, ic := range k.indexes {
			if !ic.differs() {
				continue
			}
			keys, _, err := ic.Keys(doc)
			if err != nil {
				continue // told before
			}
			for _, key := range keys {
				switch _, release, err := k.view.get(append(joined(ic.Prefix, key), idKey...)); {
				case err == nil:
					if err := release.Close(); err != nil {
						return err
					}
				case errors.Is(err, errNotFound):
					k.problem(Problem{Kind: MissingEntry, ID: rawdoc.Get(doc, "_id"), Key: idKey,
						Detail: fmt.Sprintf("no entry with the key %x", key)}, ic)
				default:
					return err
				}
			}
		}
		return nil
	})
}

// findExtra looks up the document of each entry.
func (k *collectionCheck) findExtra(ctx context.Context, ic *indexCheck) error {
	return k.walk(ctx, ic, ic.Prefix, func(s scanner) error {
		key, idKey, err := SplitEntry(s.key(), len(ic.Fields))
		if err != nil {
			return nil // told before
		}
		doc, release, err := k.view.get(k.coll.DocKey(idKey))
		if errors.Is(err, errNotFound) {
			k.problem(Problem{Kind: ExtraEntry, Key: idKey,
				Detail: fmt.Sprintf("the entry with the key %x has no document", key)}, ic)
			return nil
		}
		if err != nil {
			return err
		}
		if rawdoc.Validate(doc) == nil { // else told before
			keys, _, err := ic.Keys(doc)
			if err == nil && !containsKey(keys, key) {
				k.problem(Problem{Kind: ExtraEntry, ID: rawdoc.Get(doc, "_id"), Key: idKey,
					Detail: fmt.Sprintf("its document does not ask for the entry with the key %x", key)}, ic)
			}
		}
		return release.Close()
	})
}
