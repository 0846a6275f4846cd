package events

import (
	"sync"

	"gadwall/internal/mailkey"
)

// A Watch collects the changes of all users, of all instances, for one receiver. It keeps a bounded
// number of them, and counts those for which it has no room.
//
// There is no goroutine behind it: publishers put changes into it.
type Watch struct {
	bus  *local
	room int
	want func(Event) bool
	wake chan struct{} // has an element when there may be something to take
	// others reports whether events of other instances arrive.
	others func() bool

	mu      sync.Mutex
	waiting []Change
	places  map[changeKey]int // in waiting
	leftOut int64
	ended   bool
}

// A Change is what events say that a receiver has not taken yet: of the messages of a mailbox, of a
// user's list of mailboxes, or of a quota.
type Change struct {
	User    mailkey.UserID
	Mailbox uint32 // 0 if it is about no mailbox
	Kind    Kind   // New, Changed, MailboxList or Quota; of messages, New if there is a New among them
	// From and To are the mod-sequences of the first and of the last event. Of MailboxList they are
	// numbers of entries of the user's journal, or 0 if the instance that published does not say.
	From, To uint64
	// First and Last are the least and the greatest UID of the new messages; 0 if events do not name them.
	First, Last uint32
	// Altered says that there is more than new messages.
	Altered bool
	Quota   *QuotaLevel
}

// changeKey is what changes have in common of which one takes the place of all.
type changeKey struct {
	user    mailkey.UserID
	mailbox uint32
}

// C has an element when there may be something to take: changes, or another value of Others. It is for
// one receiver.
func (w *Watch) C() <-chan struct{} { return w.wake }

// Others reports whether events of other instances arrive now.
func (w *Watch) Others() bool { return w.others() }

// Wake puts an element into C.
func (w *Watch) Wake() { w.awake() }

// Take returns what has come since the last call: changes, the earliest first, and how many events there
// were beyond the room for them. open is false when the watch or its bus was closed.
func (w *Watch) Take() (changes []Change, leftOut int64, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes, leftOut = w.waiting, w.leftOut
	w.waiting, w.leftOut = nil, 0
	clear(w.places)
	return changes, leftOut, !w.ended
}

// Close ends the watch. It may be called more than once.
func (w *Watch) Close() {
	w.bus.unwatch(w)
	w.end()
}

func (w *Watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.awake()
}

func (w *Watch) awake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// put adds what an event says, and never blocks.
func (w *Watch) put(ev Event) {
	switch ev.Kind {
	case Changed, New, MailboxList, Quota, Resync:
	default:
		return // Junk and Ham follow others that say the same
	}
	if !w.want(ev) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	defer w.awake()
	if ev.Kind == Resync { // in the place of events that were lost
		w.leftOut++
		return
	}
	c := changeOf(ev)
	key := changeKey{ev.User, ev.Mailbox}
	if at, known := w.places[key]; known && c.merges() {
		w.waiting[at].add(c)
		return
	}
	if len(w.waiting) >= w.room {
		w.leftOut++
		return
	}
	if c.merges() {
		w.places[key] = len(w.waiting)
	}
	w.waiting = append(w.waiting, c)
}

// lose counts events that were lost, of whomever.
func (w *Watch) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leftOut++
	w.awake()
}

func changeOf(ev Event) Change {
	c := Change{User: ev.User, Mailbox: ev.Mailbox, Kind: ev.Kind, From: ev.ModSeq, To: ev.ModSeq, Quota: ev.Quota,
		Altered: ev.Kind == Changed}
	if ev.Kind == New && len(ev.UIDs) > 0 {
		c.First, c.Last = ev.UIDs[0], ev.UIDs[0]
		for _, uid := range ev.UIDs {
			c.First, c.Last = min(c.First, uid), max(c.Last, uid)
		}
	}
	return c
}

// merges reports whether one change can stand for this and others of the same mailbox or list: whether it
// is known by numbers alone what changed.
func (c *Change) merges() bool {
	return c.From > 0 && c.Kind != Quota && (c.Kind != New || c.First > 0)
}

// add makes c stand for another change, too.
func (c *Change) add(o Change) {
	c.From, c.To = min(c.From, o.From), max(c.To, o.To)
	c.Altered = c.Altered || o.Altered
	if o.Kind != New {
		return
	}
	if c.Kind != New {
		c.Kind, c.First, c.Last = New, o.First, o.Last
		return
	}
	c.First, c.Last = min(c.First, o.First), max(c.Last, o.Last)
}

// watch adds a Watch.
func (l *local) watch(room int, want func(Event) bool, others func() bool) *Watch {
	w := &Watch{bus: l, room: room, want: want, others: others, wake: make(chan struct{}, 1),
		places: make(map[changeKey]int)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		w.end()
		return w
	}
	if l.watches == nil {
		l.watches = make(map[*Watch]struct{})
	}
	l.watches[w] = struct{}{}
	if l.onWatch != nil {
		l.onWatch()
	}
	return w
}

// unwatch takes a Watch away; the second call for the same one does nothing.
func (l *local) unwatch(w *Watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.watches[w]; !ok {
		return
	}
	delete(l.watches, w)
	if l.onWatch != nil {
		l.onWatch()
	}
}

// tellWatches hands an event to all watches. l.mu is held.
func (l *local) tellWatches(ev Event) {
	for w := range l.watches {
		w.put(ev)
	}
}

// watched reports whether anybody watches.
func (l *local) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watches) > 0
}

// eachWatch calls do for each Watch.
func (l *local) eachWatch(do func(*Watch)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watches {
		do(w)
	}
}

// Watch implements Bus.
func (l *local) Watch(room int, want func(Event) bool) *Watch {
	return l.watch(room, want, func() bool { return false })
}
