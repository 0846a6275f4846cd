package events

import (
	"sync"

	"gadwall/internal/mailkey"
)

// Subscription collects the events of a user, or of a few, for one receiver, who takes them with Next,
// or receives them from C.
//
// There is no goroutine behind it: publishers merge into its queue. A subscription in whose queue
// nothing waits costs about 200 octets, and a kilobyte more once C was called.
type Subscription struct {
	users []mailkey.UserID // whose events arrive; guarded by bus.mu
	bus   *local
	wake  func() // see Bus.SubscribeWaking; may be nil

	mu    sync.Mutex // held by whoever puts events into queue or ch, or closes it
	queue []Event    // as long as there is no ch
	ch    chan Event // made by C
	ended bool
}

// C is where events arrive. It is closed when the subscription or its bus is.
// Events about the same mailbox that nobody has received yet are merged: the
// highest mod-sequence stays. After the first call of C, Next has nothing.
func (s *Subscription) C() <-chan Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		return s.ch
	}
	s.ch = make(chan Event, maxPending)
	for _, ev := range s.queue {
		s.ch <- ev
	}
	s.queue = nil
	if s.ended {
		close(s.ch)
	}
	return s.ch
}

// Next takes the event that has waited longest. It does not wait: ok is false if there is none. open is
// false when the subscription or its bus was closed, and no more will come.
func (s *Subscription) Next() (ev Event, ok, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return Event{}, false, !s.ended
	}
	ev = s.queue[0]
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return ev, true, true
}

// Hear makes these the users whose events arrive. Events that wait are kept.
func (s *Subscription) Hear(users ...mailkey.UserID) { s.bus.hear(s, users) }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.remove(s)
	s.end()
}

func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if s.ch != nil {
		close(s.ch)
	}
	s.awake()
}

// awake calls wake, with mu held.
func (s *Subscription) awake() {
	if s.wake != nil {
		s.wake()
	}
}

// put adds ev, merging it with what waits, and never blocks: only put, C and end send on or close ch,
// all under mu, and put has made room before it sends.
func (s *Subscription) put(ev Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	defer s.awake()
	if s.ch == nil {
		s.queue = merge(s.queue, ev)
		return
	}
	if len(s.ch) == 0 {
		s.ch <- ev
		return
	}
	var waiting [maxPending + 1]Event
	n := 0
	for {
		select {
		case w := <-s.ch:
			waiting[n] = w
			n++
			continue
		default:
		}
		break
	}
	for _, w := range merge(waiting[:n], ev) {
		s.ch <- w
	}
}

// merge adds ev to the waiting events, which it may overwrite, and returns at
// most maxPending events.
func merge(waiting []Event, ev Event) []Event {
	if ev.Kind == Resync || len(waiting) > 0 && waiting[0].Kind == Resync {
		// Resync asks for everything to be read again. Events that name
		// messages are kept out too: their receivers look for themselves.
		return append(waiting[:0], Event{User: ev.User, Kind: Resync})
	}
	for i := range waiting {
		w := &waiting[i]
		mergeable := ev.Kind == Changed || ev.Kind == MailboxList || ev.Kind == Metadata
		if w.User != ev.User || w.Mailbox != ev.Mailbox || w.Kind != ev.Kind || !mergeable {
			continue
		}
		w.ModSeq = max(w.ModSeq, ev.ModSeq)
		return waiting
	}
	if len(waiting) == maxPending {
		return append(waiting[:0], Event{User: ev.User, Kind: Resync})
	}
	return append(waiting, ev)
}
