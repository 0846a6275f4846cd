package contents

import (
	"sync"

	"gadwall/mimestream"
)

// Limits of a Kept. A content beyond maxKeptSegments or maxKeptParts is not kept, and its frames are
// not beyond maxKeptFrames octets.
const (
	maxKept         = 2
	maxKeptSegments = 256
	maxKeptParts    = 256
	maxKeptFrames   = 128 << 10
)

// Kept has the contents that a session used last, with what was loaded of them: a client that reads
// a message part by part or slice by slice needs the tables for each. It may be used concurrently.
// A content that was taken is the taker's alone.
type Kept struct {
	mu       sync.Mutex
	contents []*Content // the last used at the end
}

// Take takes the content of that ID out, if it is there and has all that is wanted but for frames,
// which it loads when they are used. Otherwise it returns nil.
func (k *Kept) Take(id ID, want Want) *Content {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range k.contents {
		if c.ID == id && (c.root != nil || !want.Parts) {
			k.contents = append(k.contents[:i:i], k.contents[i+1:]...)
			return c
		}
	}
	return nil
}

// Put keeps a content that its user does not need any more.
func (k *Kept) Put(c *Content) {
	if len(c.table.segments) > maxKeptSegments || parts(c.root, maxKeptParts) == 0 {
		return
	}
	c.ahead = nil
	size := 0
	for _, data := range c.stored {
		size += len(data)
	}
	if size > maxKeptFrames {
		clear(c.stored)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.contents) == maxKept {
		k.contents = append(k.contents[:0:0], k.contents[1:]...)
	}
	k.contents = append(k.contents, c)
}

// parts counts down from left by the parts of a tree; 0 means that there are too many.
func parts(p *mimestream.Part, left int) int {
	if p == nil || left == 0 {
		return left
	}
	left--
	for _, child := range p.Children {
		left = parts(child, left)
	}
	return left
}
