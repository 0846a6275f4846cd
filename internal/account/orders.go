package account

import (
	"container/list"
	"fmt"
	"sync"

	"gadwall/internal/mailkey"
	"gadwall/internal/search/order"
)

// orders keeps the orders of mailboxes that were sorted lately, for all sessions of an instance: the
// next sort by the same criteria reads only the messages that came since. What it keeps is true for
// ever, since a message with a UID never changes but for its flags. It is safe for concurrent use.
type orders struct {
	mu      sync.Mutex
	entries map[orderName]*list.Element // of keptOrder
	recent  *list.List                  // the last used is at the front
	bytes   int64
}

// orderName names an order.
type orderName struct {
	mailbox  mailkey.Mailbox
	criteria string
}

type keptOrder struct {
	name orderName
	kept *order.Kept
}

func newOrders() *orders {
	return &orders{entries: make(map[orderName]*list.Element), recent: list.New()}
}

func orderOf(mailbox mailkey.Mailbox, criteria []order.Criterion) orderName {
	return orderName{mailbox, fmt.Sprint(criteria)}
}

// get returns what is kept; nil for nothing.
func (o *orders) get(name orderName) *order.Kept {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.entries[name]
	if e == nil {
		return nil
	}
	o.recent.MoveToFront(e)
	return e.Value.(*keptOrder).kept
}

// put keeps an order in the place of what was kept. The longest unused ones go when there is too
// much.
func (o *orders) put(name orderName, kept *order.Kept) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(o.entries[name])
	if kept.Bytes() > maxOrderBytes/2 {
		return
	}
	o.entries[name] = o.recent.PushFront(&keptOrder{name, kept})
	o.bytes += kept.Bytes()
	for o.bytes > maxOrderBytes {
		o.remove(o.recent.Back())
	}
}

// remove forgets an order. o.mu is held.
func (o *orders) remove(e *list.Element) {
	if e == nil {
		return
	}
	kept := o.recent.Remove(e).(*keptOrder)
	delete(o.entries, kept.name)
	o.bytes -= kept.kept.Bytes()
}
