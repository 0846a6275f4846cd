package events

import (
	"sync"

	"gadwall/internal/mailkey"
)

// Subscription collects the events of a user, or of a few, for one receiver.
//
// There is no goroutine behind it: the channel's buffer is the queue, and the
// publisher merges into it. An idle subscription therefore costs about a
// kilobyte.
type Subscription struct {
	users []mailkey.UserID // whose events arrive; guarded by bus.mu
	bus   *local
	ch    chan Event

	mu    sync.Mutex // held by whoever puts events into ch or closes it
	ended bool
}

// C is where events arrive. It is closed when the subscription or its bus is.
// Events about the same mailbox that nobody has received yet are merged: the
// highest mod-sequence stays.
func (s *Subscription) C() <-chan Event { return s.ch }

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
	if !s.ended {
		s.ended = true
		close(s.ch)
	}
}

// put adds ev, merging it with what waits, and never blocks: only put and end
// send on or close ch, both under mu, and put has made room before it sends.
func (s *Subscription) put(ev Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
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
