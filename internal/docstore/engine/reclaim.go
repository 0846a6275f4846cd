package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble gives the space of deleted keys back when it compacts. On a quiet server that may be
// never: the deletions are small, and wait in a write buffer or in the upper levels for more to
// come. So the engine counts, for each collection and index, the bytes that deletions have made
// useless, and compacts the keys when they are many. A compaction does not rewrite the values of
// large documents: Pebble sees which files of values nothing refers to any more.

// A keyPrefix is the space byte and the number that begin the keys of a collection or an index.
type keyPrefix string

func (p keyPrefix) bounds() (lower, upper []byte) {
	return []byte(p), successor([]byte(p))
}

// A tally is the garbage of one batch. Its writes come in key order.
type tally struct {
	prefixes []keyPrefix
	bytes    []int64
}

// count adds the bytes that a write makes useless: a deleted key with its value, or the difference
// between a value and a shorter one in its place.
func (t *tally) count(key string, w overlayWrite) {
	n := int64(w.replaced - len(w.value))
	if w.deleted {
		n = int64(len(key) + w.replaced)
	}
	if n <= 0 {
		return
	}
	p := keyPrefix(key[:prefixLen])
	if last := len(t.prefixes) - 1; last >= 0 && t.prefixes[last] == p {
		t.bytes[last] += n
		return
	}
	t.prefixes, t.bytes = append(t.prefixes, p), append(t.bytes, n)
}

// garbage counts what has become useless since its space was reclaimed.
type garbage struct {
	mu sync.Mutex
	// seq is the sequence number of the last batch counted.
	seq      uint64
	prefixes map[keyPrefix]*garbageCount
	// unsaved is set when the stored counts are behind.
	unsaved bool
}

type garbageCount struct {
	bytes int64
	// due is the part of bytes that Reclaim gives back as soon as no snapshot older than dueSeq is
	// open. It is 0 when there is too little.
	due    int64
	dueSeq uint64
}

func (g *garbage) add(t *tally, seq uint64) {
	if len(t.prefixes) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq = max(g.seq, seq)
	for i, p := range t.prefixes {
		g.of(p).bytes += t.bytes[i]
	}
	g.unsaved = true
}

// of returns the count of a prefix. The caller holds mu.
func (g *garbage) of(p keyPrefix) *garbageCount {
	c := g.prefixes[p]
	if c == nil {
		if g.prefixes == nil {
			g.prefixes = map[keyPrefix]*garbageCount{}
		}
		c = &garbageCount{}
		g.prefixes[p] = c
	}
	return c
}

// dropped counts all keys of a prefix, which took size bytes on disk. Nothing will be counted for
// it any more.
func (g *garbage) dropped(p keyPrefix, size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsaved = true
	if size < reclaimBytes {
		delete(g.prefixes, p)
		return
	}
	g.of(p).bytes = size
}

// ripe returns the bytes to be reclaimed now, by prefix, and notes those that can be when the open
// snapshots are closed. earliest is the sequence number of the oldest open snapshot.
func (g *garbage) ripe(earliest uint64) map[keyPrefix]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	ripe := map[keyPrefix]int64{}
	for p, c := range g.prefixes {
		switch {
		case c.due > 0 && earliest > c.dueSeq:
			ripe[p] = c.due
		case c.due == 0 && c.bytes >= reclaimBytes:
			c.due, c.dueSeq = c.bytes, g.seq
		}
	}
	return ripe
}

// settle ends the turn of a prefix; done reports that its space was reclaimed.
func (g *garbage) settle(p keyPrefix, done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.of(p)
	if done {
		c.bytes -= c.due
		g.unsaved = true
	}
	c.due = 0
	if c.bytes <= 0 {
		delete(g.prefixes, p)
	}
}

// keyGarbage is where the counts outlive the process: for each prefix its bytes and 8 of the count,
// big endian.
var keyGarbage = append([]byte{spaceMeta}, "garbage"...)

const garbageRecord = prefixLen + 8

// saveGarbage stores the counts if they have changed. A crash loses a few of them, which costs some
// space.
func (e *Engine) saveGarbage() error {
	if e.space.isFull() {
		return nil
	}
	g := &e.garbage
	g.mu.Lock()
	unsaved := g.unsaved
	g.unsaved = false
	var value []byte
	for p, c := range g.prefixes {
		value = binary.BigEndian.AppendUint64(append(value, p...), uint64(c.bytes))
	}
	g.mu.Unlock()
	if !unsaved {
		return nil
	}
	if err := e.db.Set(keyGarbage, value, pebble.NoSync); err != nil {
		return fmt.Errorf("save the count of deleted bytes: %w", err)
	}
	return nil
}

func (e *Engine) loadGarbage() error {
	value, closer, err := pebbleView{e.db}.get(keyGarbage)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if IsDamage(err) {
		e.log.Error("the count of deleted bytes cannot be read", "error", firstLine(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the count of deleted bytes: %w", err)
	}
	g := &e.garbage
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; len(value) >= garbageRecord; value = value[garbageRecord:] {
		c := g.of(keyPrefix(value[:prefixLen]))
		c.bytes = max(c.bytes, int64(binary.BigEndian.Uint64(value[prefixLen:])))
	}
	return closer.Close()
}

// reclaimSpace gives back the space of what was deleted, until the database closes.
func (e *Engine) reclaimSpace(period time.Duration) {
	t := time.NewTicker(period)
	defer t.Stop()
	for open := true; open; {
		select {
		case <-e.ctx.Done():
			open = false
		case <-t.C:
			if err := contain(func() error { return e.Reclaim(e.ctx) }); err != nil && e.ctx.Err() == nil {
				e.log.Error("reclaim space", "error", err)
			}
		}
		if err := e.saveGarbage(); err != nil {
			e.log.Error("reclaim space", "error", err)
		}
	}
}

// Reclaim compacts the collections and indexes that have much garbage in proportion to what that
// rewrites.
func (e *Engine) Reclaim(ctx context.Context) error {
	m := e.db.Metrics()
	if b := m.BlobFiles; float64(b.ValueSize-b.ReferencedValueSize) > float64(b.ValueSize)*blobGarbageRatio {
		// Files of values become old enough to be rewritten, but Pebble looks only when something
		// happens.
		if err := e.db.NewSnapshot().Close(); err != nil {
			return err
		}
	}
	earliest := uint64(math.MaxUint64)
	if m.Snapshots.Count > 0 {
		earliest = uint64(m.Snapshots.EarliestSeqNum)
	}
	var errs []error
	for p, garbage := range e.garbage.ripe(earliest) {
		done, err := e.compact(ctx, p, garbage)
		if err != nil {
			errs = append(errs, fmt.Errorf("compact the keys %x: %w", []byte(p), err))
		}
		e.garbage.settle(p, done)
	}
	return errors.Join(errs...)
}

// compact compacts the keys of a prefix if the garbage is worth it. It does so step by step, and
// rests after each as long as it took: the compactions that make room for new writes must not wait.
func (e *Engine) compact(ctx context.Context, p keyPrefix, garbage int64) (done bool, err error) {
	lower, upper := p.bounds()
	levels, err := e.db.SSTables(pebble.WithKeyRangeFilter(lower, upper))
	if err != nil {
		return false, err
	}
	var size uint64
	for _, tables := range levels {
		for i := range tables {
			size += tables[i].Size
		}
	}
	if uint64(garbage)*reclaimShare < size {
		return false, nil
	}
	started := time.Now()
	for _, cut := range append(compactionCuts(levels, lower, upper), upper) {
		if err := e.db.Compact(ctx, lower, cut, false); err != nil {
			return false, err
		}
		if bytes.Equal(cut, upper) {
			break
		}
		lower = joined(cut, []byte{0})
		took := time.Since(started)
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		started = time.Now()
	}
	return true, nil
}

// compactionCuts returns the keys between lower and upper at which to cut the range, so that the largest
// level has about reclaimStep bytes between two of them.
func compactionCuts(levels [][]pebble.SSTableInfo, lower, upper []byte) (cuts [][]byte) {
	last := len(levels) - 1
	for last > 0 && len(levels[last]) == 0 {
		last--
	}
	if last == 0 { // where tables overlap, and are few
		return nil
	}
	var size uint64
	for _, t := range levels[last] {
		size += t.Size
		if key := t.Largest.UserKey; size >= reclaimStep && bytes.Compare(key, lower) > 0 &&
			bytes.Compare(key, upper) < 0 {
			cuts = append(cuts, key)
			size = 0
		}
	}
	return cuts
}

// Garbage is how many bytes deletions have made useless that are not reclaimed yet.
func (e *Engine) Garbage() (n int64) {
	g := &e.garbage
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.prefixes {
		n += c.bytes
	}
	return n
}
