package shortheader

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/dedupe"
)

func hash(i int) (h dedupe.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(i))
	return h
}

// header is one of which the size and the octets depend on i.
func header(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i*37%3000) }

// get returns the short header of i, which must be right if it is there.
func get(t testing.TB, c *Cache, i int) (ok bool) {
	t.Helper()
	h := make([][]byte, 1)
	ok = c.Get([]dedupe.Hash{hash(i)}, h) == 1
	if ok != (h[0] != nil) || ok && !bytes.Equal(h[0], header(i)) {
		t.Errorf("%d: %v with %d octets", i, ok, len(h[0]))
	}
	return ok
}

// The cache stays below its bound and keeps what was used last.
func TestCacheIsBounded(t *testing.T) {
	const max = 1 << 20
	c := New(max)
	for i := range 5000 {
		c.Put(hash(i), header(i))
		c.Put(hash(i), header(i))
		if !get(t, c, i) || i > 0 && !get(t, c, 1) {
			t.Fatalf("%d was put just now, 1 is used all the time", i)
		}
		if s := c.Stats(); s.Bytes > max || s.Headers == 0 {
			t.Fatalf("%+v", s)
		}
	}
	there := 0
	for i := range 5000 {
		if get(t, c, i) {
			there++
		}
	}
	if there < 200 || get(t, c, 2) {
		t.Errorf("%d are there", there)
	}
	c.Put(hash(9999), make([]byte, MaxSize+1))
	if h := make([][]byte, 1); c.Get([]dedupe.Hash{hash(9999)}, h) != 0 {
		t.Error("a header above MaxSize is there")
	}
}

func TestNoCache(t *testing.T) {
	for _, c := range []*Cache{nil, New(0), New(-1), New(1000)} {
		c.Put(hash(1), header(1))
		if get(t, c, 1) || c.Stats().Bytes != 0 {
			t.Errorf("%+v", c.Stats())
		}
	}
}

// What nobody uses goes, and then no timer is left: synctest tells of one.
func TestCacheGoesWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1 << 20)
		for range 2 {
			c.Put(hash(1), header(1))
			c.Put(hash(2), header(2))
			for range 5 {
				time.Sleep(idleTime * 9 / 10)
				if !get(t, c, 1) {
					t.Fatal("a header in use is gone")
				}
			}
			if get(t, c, 2) {
				t.Error("a header that nobody used for long is there")
			}
			time.Sleep(3 * idleTime)
			if s := c.Stats(); s.Headers != 0 || s.Bytes != 0 || get(t, c, 1) {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestCacheOfMany(t *testing.T) {
	c := New(512 << 10)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				n := (i*7 + g) % 500
				if !get(t, c, n) {
					c.Put(hash(n), header(n))
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Hits+s.Misses != 4*3000 || s.Hits == 0 {
		t.Errorf("%+v", s)
	}
}
