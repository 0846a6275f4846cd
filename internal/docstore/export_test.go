package docstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/rawdoc"
)

// Verify compares each index with what its documents ask for, entry by entry.
func (s *Server) Verify() error {
	snap := s.eng.Pebble().NewSnapshot()
	defer snap.Close()
	for _, db := range s.eng.Catalog().Databases() {
		for _, c := range s.eng.Catalog().InDatabase(db) {
			for _, ix := range c.Indexes {
				if err := verifyIndex(snap, c, ix); err != nil {
					return fmt.Errorf("index %s of %s: %w", ix.Name, c.Namespace(), err)
				}
			}
		}
	}
	return nil
}

// eachKey calls f for each key with a prefix, and its value.
func eachKeyWith(snap *pebble.Snapshot, prefix []byte, f func(key, value []byte) error) error {
	upper := bytes.Clone(prefix)
	upper[len(upper)-1]++ // the numbers of tests are small
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

func verifyIndex(snap *pebble.Snapshot, c *engine.Collection, ix *engine.Index) error {
	want := map[string]bool{}
	docPrefix := c.DocKey(nil)
	err := eachKeyWith(snap, docPrefix, func(key, doc []byte) error {
		keys, multikey, err := ix.Keys(doc)
		if err != nil {
			return err
		}
		if multikey && !ix.Multikey.Load() {
			return fmt.Errorf("document %x has several entries, and the index is not multikey", key)
		}
		for _, k := range keys {
			want[string(ix.Prefix)+string(k)+string(key[len(docPrefix):])] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	err = eachKeyWith(snap, ix.Prefix, func(key, _ []byte) error {
		if !want[string(key)] {
			return fmt.Errorf("entry %x has no document", key)
		}
		k, _, err := engine.SplitEntry(key, len(ix.Fields))
		if err != nil {
			return err
		}
		if ix.Unique && seen[string(k)] {
			return fmt.Errorf("key %x is there twice", k)
		}
		seen[string(k)] = true
		delete(want, string(key))
		return nil
	})
	if err != nil {
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
func (s *Server) Reclaim() error { return s.eng.Reclaim(s.ctx) }

// EmptyLogs empties the logs as the server does when nothing is written.
func (s *Server) EmptyLogs() error {
	_, err := s.eng.EmptyLogs()
	return err
}

// Garbage is how many bytes deletions have made useless.
func (s *Server) Garbage() int64 { return s.eng.Garbage() }

// AwaitFileCheck waits until the files were looked at after opening.
func (s *Server) AwaitFileCheck() { <-s.eng.FilesChecked() }

// A panicStream panics when it is read.
type panicStream struct{ emptyStream }

func (panicStream) Next(context.Context) (bson.Raw, error) { panic("a stream") }

// Commands that panic: at once, after a write, while a cursor is open, and in a later batch.
func init() {
	panics := func(f func(s *Server, ctx context.Context, r *request)) command {
		return command{inTxn: true, retryable: true, run: func(s *Server, ctx context.Context,
			r *request) (bson.Raw, error) {
			f(s, ctx, r)
			panic("a command")
		}}
	}
	commands["panicNow"] = panics(func(*Server, context.Context, *request) {})
	commands["panicFatally"] = command{direct: true, run: func(*Server, context.Context, *request) (bson.Raw, error) {
		panic(engine.FatalError("the process must end"))
	}}
	commands["panicAfterWrite"] = panics(func(s *Server, ctx context.Context, r *request) {
		w := r.newWriter("c")
		defer w.Close()
		doc, _ := bson.Marshal(bson.D{{Key: "_id", Value: "locked"}})
		if err := w.Insert(ctx, doc, 0); err != nil {
			panic(err)
		}
		panic("a write")
	})
	commands["panicInCursor"] = command{inTxn: true, run: func(s *Server, ctx context.Context,
		r *request) (_ bson.Raw, err error) {
		c := r.beginRead()
		defer c.unlessKept(&err)
		c.stream = panicStream{}
		batch := int64(1)
		if rawdoc.Get(r.body, "later").Type != 0 {
			batch = 0
		}
		return s.openCursor(ctx, r, c, r.db+".c", batch, false)
	}}
}

// Snapshots is how many snapshots are open.
func (s *Server) Snapshots() int { return s.eng.Pebble().Metrics().Snapshots.Count }

// Stalled reports that something waits for space on the disk.
func (s *Server) Stalled() bool { return s.eng.Stalled() }

// FailPointHits is how often the fail point was hit.
func (s *Server) FailPointHits() int32 {
	f := &s.tests.points
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}
