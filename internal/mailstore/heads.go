package mailstore

import (
	"sync"

	"gadwall/internal/mailkey"
)

// A head is what a transaction of this process left in a mailbox's document, as far as the next one
// can make use of it.
type head struct {
	modSeq, expunged, deleted int64
}

// heads remembers heads of mailboxes. A head is a guess: another process may have changed the
// mailbox since, or the transaction may have failed. So the update that relies on a head names it
// in its filter.
type heads struct {
	mu   sync.Mutex
	list map[mailkey.Mailbox]head // at most maxHeads
}

func (h *heads) get(key mailkey.Mailbox) (head, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	got, ok := h.list[key]
	return got, ok
}

// set remembers a head. If there are too many, any other is forgotten.
func (h *heads) set(key mailkey.Mailbox, to head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		h.list = make(map[mailkey.Mailbox]head)
	}
	if _, known := h.list[key]; !known && len(h.list) >= maxHeads {
		for other := range h.list {
			delete(h.list, other)
			break
		}
	}
	h.list[key] = to
}
