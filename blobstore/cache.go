package blobstore

import (
	"container/list"
	"sync"

	"gadwall/dedupe"
)

// DefaultCacheBytes is a bound for a FrameCache that is enough for one session: it holds the frames
// at both ends of a slice, for two parts that the client reads in turn.
const DefaultCacheBytes = 4 * FrameSize

// A FrameCache keeps the decoded frames that were used last, within a bound. It is safe for
// concurrent use. Sessions have one each, so that a client that reads a part in many small slices
// does not cost a database read per slice.
type FrameCache struct {
	mu    sync.Mutex
	max   int
	size  int
	order *list.List // of *cacheEntry, most recently used first
	index map[frameKey]*list.Element
}

// A frameKey names a frame by the hash of the whole that it belongs to.
type frameKey struct {
	hash  dedupe.Hash
	frame int
}

type cacheEntry struct {
	key  frameKey
	data []byte
}

// NewFrameCache returns a cache of at most maxBytes decoded bytes.
func NewFrameCache(maxBytes int) *FrameCache {
	return &FrameCache{max: maxBytes, order: list.New(), index: make(map[frameKey]*list.Element)}
}

// Get returns the decoded frame of that number of the bytes with that hash, or nil. The caller must
// not change it. A nil cache holds nothing.
func (c *FrameCache) Get(hash dedupe.Hash, frame int) []byte {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.index[frameKey{hash, frame}]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cacheEntry).data
}

// Put keeps a copy of a decoded frame, and drops the least recently used ones beyond the bound.
func (c *FrameCache) Put(hash dedupe.Hash, frame int, data []byte) {
	if c == nil || len(data) > c.max {
		return
	}
	key := frameKey{hash, frame}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.index[key]; e != nil {
		c.order.MoveToFront(e)
		return
	}
	c.index[key] = c.order.PushFront(&cacheEntry{key, append(make([]byte, 0, len(data)), data...)})
	c.size += len(data)
	for c.size > c.max {
		e := c.order.Back()
		entry := c.order.Remove(e).(*cacheEntry)
		delete(c.index, entry.key)
		c.size -= len(entry.data)
	}
}

// Len returns the number of decoded bytes held.
func (c *FrameCache) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// has reports whether a frame is held, without marking it as used.
func (c *FrameCache) has(hash dedupe.Hash, frame int) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index[frameKey{hash, frame}] != nil
}

// Clear drops all frames: for a session that will be idle.
func (c *FrameCache) Clear() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.index)
	c.size = 0
}
