package blobstore

import (
	"bytes"
	"sync"
	"testing"

	"gadwall/dedupe"
)

func TestFrameCache(t *testing.T) {
	a, b := dedupe.Sum([]byte("a")), dedupe.Sum([]byte("b"))
	c := NewFrameCache(100)
	data := bytes.Repeat([]byte("x"), 40)
	c.Put(a, 0, data)
	data[0] = 'y' // the cache has its own copy
	c.Put(b, 0, bytes.Repeat([]byte("b"), 40))
	if got := c.Get(a, 0); len(got) != 40 || got[0] != 'x' {
		t.Errorf("Get: %q", got)
	}
	c.Put(a, 1, make([]byte, 40)) // b was used less recently than a
	if c.Get(b, 0) != nil || c.Get(a, 0) == nil || c.Get(a, 1) == nil || c.Len() != 80 {
		t.Errorf("after the bound was reached: %d bytes", c.Len())
	}
	c.Put(a, 1, make([]byte, 40)) // again
	c.Put(a, 2, make([]byte, 101))
	if c.Get(a, 2) != nil || c.Len() != 80 {
		t.Errorf("with a frame above the bound: %d bytes", c.Len())
	}
	c.Clear()
	if c.Get(a, 0) != nil || c.Len() != 0 {
		t.Errorf("after Clear: %d bytes", c.Len())
	}
	c.Put(a, 0, data)
	if c.Len() != 40 {
		t.Errorf("used after Clear: %d bytes", c.Len())
	}

	var none *FrameCache
	none.Put(a, 0, data)
	none.Clear()
	if none.Get(a, 0) != nil || none.Len() != 0 || none.has(a, 0) {
		t.Error("a nil cache holds something")
	}
}

func TestFrameCacheIsSafeForConcurrentUse(t *testing.T) {
	c := NewFrameCache(1000)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for k := range 200 {
				hash := dedupe.Sum([]byte{byte(k % 5)})
				if data := c.Get(hash, k%7); data != nil && data[0] != byte(k%7) {
					t.Errorf("frame %d is %d", k%7, data[0])
				}
				c.Put(hash, k%7, bytes.Repeat([]byte{byte(k % 7)}, 100))
				if i == 0 && k%50 == 0 {
					c.Clear()
				}
			}
		})
	}
	group.Wait()
	if c.Len() > 1000 {
		t.Errorf("%d bytes, bound is 1000", c.Len())
	}
}
