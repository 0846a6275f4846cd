// Package proofs remembers for a short time what secrets proved, so that a client that logs in again
// does not cost a computation, or a question to another server.
//
// It holds no secrets: an entry stands under a hash with a key that the process draws at its start
// and never tells. What turned out wrong is not remembered: each guess costs its whole price.
package proofs

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// Key stands for a secret and what it was a secret for.
type Key [32]byte

// Cache remembers values, each under a Key. It is safe for concurrent use.
type Cache[V any] struct {
	key    [32]byte
	keep   time.Duration // 0: nothing is remembered
	max    int
	now    func() time.Time
	mu     sync.Mutex
	values map[Key]entry[V]
	nextGC time.Time // when entries that have ended are looked for
}

type entry[V any] struct {
	value V
	until time.Time
}

// New returns a Cache of at most limit entries, which keeps each of them for no longer than keep;
// 0 keeps none.
func New[V any](keep time.Duration, limit int) *Cache[V] {
	c := &Cache[V]{keep: keep, max: limit, now: time.Now, values: make(map[Key]entry[V])}
	rand.Read(c.key[:]) // never fails, as documented
	return c
}

// KeyOf returns the key of some parts, one or more of which are secret. Lengths stand before the
// parts, so that no two lists of parts are hashed from the same octets.
func (c *Cache[V]) KeyOf(parts ...string) Key {
	h, err := blake3.NewKeyed(c.key[:])
	if err != nil {
		panic(err) // the key has the length that it must have
	}
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.WriteString(part)
	}
	return Key(h.Sum(nil))
}

// Get returns the value of an entry that has not ended. It does not last longer for being used.
func (c *Cache[V]) Get(k Key) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.values[k]
	if !ok || !c.now().Before(e.until) {
		return value, false
	}
	return e.value, true
}

// Add remembers a value. When there are too many, one of the others goes, whichever it is.
func (c *Cache[V]) Add(k Key, value V) { c.AddFor(k, value, c.keep) }

// AddFor is Add for a shorter time than that of the Cache.
func (c *Cache[V]) AddFor(k Key, value V, keep time.Duration) {
	keep = min(keep, c.keep)
	if keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.After(c.nextGC) {
		for old, e := range c.values {
			if !now.Before(e.until) {
				delete(c.values, old)
			}
		}
		c.nextGC = now.Add(c.keep)
	}
	if _, ok := c.values[k]; !ok && len(c.values) >= c.max {
		for old := range c.values {
			delete(c.values, old)
			break
		}
	}
	c.values[k] = entry[V]{value, now.Add(keep)}
}
