package search

import (
	"slices"
	"sync"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

const (
	// maxMemo bounds the messages of which a search remembers what their texts told.
	maxMemo = 1024
	// maxMemoLeaves bounds the keys of a search that does so.
	maxMemoLeaves = 64
)

// memo is what texts told in one search: messages of the same bytes are compared once. All leaves of a
// matcher are about these bytes; where a document tells, it tells the same. The zero value is empty.
// Several goroutines use it.
type memo struct {
	mu    sync.Mutex
	known map[memoKey][]truth
}

// memoKey is the bytes of a message.
type memoKey struct {
	content contents.ID
	prefix  string
}

// apply gives the matcher, which has begun with the message, what is known of its bytes.
func (o *memo) apply(m *matcher, msg *mailstore.Message) {
	if len(m.leaves) > maxMemoLeaves {
		return
	}
	o.mu.Lock()
	known := o.known[memoKey{msg.Content, string(msg.Prefix)}]
	o.mu.Unlock()
	for i, t := range known {
		if m.known[i] == maybe {
			m.known[i] = t
		}
	}
}

// note remembers what the matcher has found out about the message.
func (o *memo) note(m *matcher, msg *mailstore.Message) {
	if len(m.leaves) > maxMemoLeaves {
		return
	}
	known := slices.Clone(m.known)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known) >= maxMemo {
		o.known = make(map[memoKey][]truth)
	}
	o.known[memoKey{msg.Content, string(msg.Prefix)}] = known
}
