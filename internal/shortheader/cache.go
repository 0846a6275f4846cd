package shortheader

import (
	"sync"
	"sync/atomic"
	"time"

	"gadwall/dedupe"
)

const (
	// idleTime is how long a generation takes what is used, if it does not become full before.
	idleTime = 10 * time.Minute

	// chunkSize is how much memory a generation takes at a time.
	chunkSize = 64 << 10

	// entryBytes is what an entry takes besides its octets, about: a place in a map.
	entryBytes = 96
)

// Cache has the short headers that were used last. It is safe for concurrent use. A nil Cache is
// empty and stays so.
type Cache struct {
	max int64 // of a generation

	mu         sync.Mutex
	young, old generation
	timer      *time.Timer // ends the generation; nil while both are empty

	hits, misses atomic.Uint64
}

// New returns an empty cache of at most maxBytes. One of less than two chunks keeps nothing.
func New(maxBytes int64) *Cache { return &Cache{max: maxBytes / 2} }

// Keeps reports whether the cache keeps anything.
func (c *Cache) Keeps() bool { return c != nil && c.max >= chunkSize+entryBytes }

// Stats counts what the cache did.
type Stats struct {
	Hits, Misses uint64 // short headers that were there, and that were not
	Bytes        int64  // that the cache takes
	Headers      int    // that it has
}

// Stats returns the counts since New.
func (c *Cache) Stats() Stats {
	if c == nil {
		return Stats{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.hits.Load(), c.misses.Load(), c.young.bytes() + c.old.bytes(),
		len(c.young.places) + len(c.old.places)}
}

// Get sets headers[i] to the short header of the content ids[i] for each that is in the cache, and
// returns how many those are. The caller must not change them.
func (c *Cache) Get(ids []dedupe.Hash, headers [][]byte) (found int) {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		h, ok := c.young.get(id)
		if !ok {
			if h, ok = c.old.get(id); ok {
				h = c.keep(id, h)
			}
		}
		if ok {
			headers[i] = h
			found++
		}
	}
	c.hits.Add(uint64(found))
	c.misses.Add(uint64(len(ids) - found))
	return found
}

// Put keeps a copy of the short header of a content.
func (c *Cache) Put(id dedupe.Hash, header []byte) {
	if c == nil || len(header) > MaxSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young.get(id); !ok {
		c.keep(id, header)
	}
}

// keep adds a short header to the young generation and returns the copy that is there. c.mu is held.
func (c *Cache) keep(id dedupe.Hash, header []byte) []byte {
	if c.young.bytes()+c.young.more(len(header)) > c.max {
		c.turn()
		if c.young.more(len(header)) > c.max {
			return header // a cache smaller than a chunk
		}
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(idleTime, c.idle)
	}
	return c.young.add(id, header)
}

// turn begins a generation. c.mu is held.
func (c *Cache) turn() { c.young, c.old = generation{}, c.young }

// idle ends the generation when its time is over, until the cache is empty.
func (c *Cache) idle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if len(c.old.places) == 0 {
		c.timer = nil
		return
	}
	c.timer.Reset(idleTime)
}

// A generation has short headers one after the other in chunks. Neither its map nor its chunks hold
// pointers to single headers, so the garbage collector passes over them.
type generation struct {
	places map[dedupe.Hash]place
	chunks [][]byte
}

// A place is where a short header is.
type place struct{ chunk, off, size uint32 }

func (g *generation) bytes() int64 {
	return int64(len(g.chunks))*chunkSize + int64(len(g.places))*entryBytes
}

// more returns by how much bytes grows with another short header.
func (g *generation) more(size int) int64 {
	if g.fits(size) {
		return entryBytes
	}
	return chunkSize + entryBytes
}

func (g *generation) fits(size int) bool {
	last := len(g.chunks) - 1
	return last >= 0 && cap(g.chunks[last])-len(g.chunks[last]) >= size
}

func (g *generation) get(id dedupe.Hash) (header []byte, ok bool) {
	p, ok := g.places[id]
	if !ok {
		return nil, false
	}
	end := p.off + p.size
	return g.chunks[p.chunk][p.off:end:end], true
}

func (g *generation) add(id dedupe.Hash, header []byte) []byte {
	if !g.fits(len(header)) {
		g.chunks = append(g.chunks, make([]byte, 0, chunkSize))
	}
	if g.places == nil {
		g.places = make(map[dedupe.Hash]place)
	}
	last := len(g.chunks) - 1
	g.places[id] = place{uint32(last), uint32(len(g.chunks[last])), uint32(len(header))}
	g.chunks[last] = append(g.chunks[last], header...)
	kept, _ := g.get(id)
	return kept
}
