package docstore

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Verify compares each index with what its documents ask for, entry by entry.
func (s *Server) Verify() error {
	snap, cat := s.eng.snapshot()
	defer snap.Close()
	v := pebbleView{snap}
	for _, c := range cat.byName {
		for _, ix := range c.indexes {
			if err := verifyIndex(v, c, ix); err != nil {
				return fmt.Errorf("index %s of %s: %w", ix.name, c.ns(), err)
			}
		}
	}
	return nil
}

func verifyIndex(v view, c *collection, ix *index) error {
	want := map[string]bool{}
	lower := prefixOf(spaceDoc, c.id)
	docs, err := v.scan(lower, successor(clone(lower)), false)
	if err != nil {
		return err
	}
	for docs.next() {
		doc, err := docs.value()
		if err != nil {
			return err
		}
		keys, multikey, err := ix.keys(doc)
		if err != nil {
			return err
		}
		if multikey && !ix.multikey.Load() {
			return fmt.Errorf("document %x has several entries, and the index is not multikey", docs.key())
		}
		for _, k := range keys {
			want[string(ix.prefix)+string(k)+string(docs.key()[prefixLen:])] = true
		}
	}
	if err := docs.close(); err != nil {
		return err
	}
	entries, err := v.scan(ix.prefix, successor(clone(ix.prefix)), false)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for entries.next() {
		key := string(entries.key())
		if !want[key] {
			return fmt.Errorf("entry %x has no document", key)
		}
		k, _, err := splitEntry(entries.key(), len(ix.fields))
		if err != nil {
			return err
		}
		if ix.unique && seen[string(k)] {
			return fmt.Errorf("key %x is there twice", k)
		}
		seen[string(k)] = true
		delete(want, key)
	}
	if err := entries.close(); err != nil {
		return err
	}
	if len(want) > 0 {
		return fmt.Errorf("%d entries are missing, such as %x", len(want), slices.Collect(maps.Keys(want))[0])
	}
	return nil
}

// MaintainAt does the maintenance that would be due at that time.
func (s *Server) MaintainAt(now time.Time) error {
	s.cursors.expire(now)
	s.expireTransactions(now)
	return s.sessions.sweep(s.ctx, now)
}

// Sessions is how many sessions are held in memory.
func (s *Server) Sessions() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.all)
}

// Reclaim gives back space as the server does from time to time.
func (s *Server) Reclaim() error { return s.eng.reclaim(s.ctx) }

// EmptyLogs empties the logs as the server does when nothing is written.
func (s *Server) EmptyLogs() error { return s.emptyLogs() }

// Garbage is how many bytes deletions have made useless.
func (s *Server) Garbage() (n int64) {
	g := &s.eng.garbage
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.prefixes {
		n += c.bytes
	}
	return n
}
