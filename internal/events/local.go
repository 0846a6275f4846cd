package events

import (
	"context"
	"slices"
	"sync"

	"gadwall/internal/mailkey"
)

// NewLocal returns a bus that connects the subscribers of this process only.
func NewLocal() Bus { return newLocal() }

// local is the per-process fan-out, also used inside the Redis bus.
//
// Lock order: local.mu, then Subscription.mu or Watch.mu, then those of wake.
type local struct {
	mu    sync.Mutex
	users map[mailkey.UserID]map[*Subscription]struct{}
	// watches are few, and mostly none.
	watches map[*Watch]struct{}
	closed  bool

	// onFirst and onLast are told, with mu held and therefore in order, that a
	// user has got the first or lost the last subscriber. They must not block.
	onFirst, onLast func(user mailkey.UserID)
	// onWatch is told, in the same way, that there are other watches than before.
	onWatch func()
}

var _ Bus = (*local)(nil)

func newLocal() *local {
	return &local{users: make(map[mailkey.UserID]map[*Subscription]struct{})}
}

func (l *local) Publish(_ context.Context, ev Event) error {
	if len(ev.UIDs) > MaxUIDs {
		ev.UIDs = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.users[ev.User] {
		s.put(ev)
	}
	l.tellWatches(ev)
	return nil
}

// deliver hands an event of another instance to the user's subscribers. What watches hear of others
// comes to them on a way of its own.
func (l *local) deliver(ev Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.users[ev.User] {
		s.put(ev)
	}
}

// overhear hands an event of another instance to the watches.
func (l *local) overhear(ev Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellWatches(ev)
}

// resync tells every subscriber that events were lost.
func (l *local) resync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, subs := range l.users {
		for s := range subs {
			s.put(Event{User: user, Kind: Resync})
		}
	}
}

// resyncUser tells the subscribers of one user that events were lost.
func (l *local) resyncUser(user mailkey.UserID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.users[user] {
		s.put(Event{User: user, Kind: Resync})
	}
}

func (l *local) Subscribe(user mailkey.UserID) *Subscription { return l.SubscribeWaking(user, nil) }

func (l *local) SubscribeWaking(user mailkey.UserID, wake func()) *Subscription {
	s := &Subscription{bus: l, wake: wake}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		s.end()
		return s
	}
	s.users = []mailkey.UserID{user}
	l.add(s, user)
	return s
}

// hear changes the users of a subscription, unless it has ended.
func (l *local) hear(s *Subscription, users []mailkey.UserID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users == nil || l.closed {
		return
	}
	old := s.users
	s.users = slices.Clone(users)
	for _, user := range s.users {
		if !slices.Contains(old, user) {
			l.add(s, user)
		}
	}
	for _, user := range old {
		if !slices.Contains(s.users, user) {
			l.drop(s, user)
		}
	}
}

// add puts s on the list of a user. l.mu is held.
func (l *local) add(s *Subscription, user mailkey.UserID) {
	subs := l.users[user]
	if subs == nil {
		subs = make(map[*Subscription]struct{}, 1)
		l.users[user] = subs
		if l.onFirst != nil {
			l.onFirst(user)
		}
	}
	subs[s] = struct{}{}
}

// remove takes s off all lists; the second call for the same s does nothing.
func (l *local) remove(s *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, user := range s.users {
		l.drop(s, user)
	}
	s.users = nil
}

// drop takes s off the list of a user. l.mu is held.
func (l *local) drop(s *Subscription, user mailkey.UserID) {
	subs := l.users[user]
	if _, ok := subs[s]; !ok {
		return
	}
	delete(subs, s)
	if len(subs) == 0 {
		delete(l.users, user)
		if l.onLast != nil {
			l.onLast(user)
		}
	}
}

// has reports whether the user has a subscriber.
func (l *local) has(user mailkey.UserID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.users[user]) > 0
}

// subscribed lists the users that have subscribers.
func (l *local) subscribed() []mailkey.UserID {
	l.mu.Lock()
	defer l.mu.Unlock()
	users := make([]mailkey.UserID, 0, len(l.users))
	for u := range l.users {
		users = append(users, u)
	}
	return users
}

func (l *local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, subs := range l.users {
		for s := range subs {
			s.end()
		}
	}
	clear(l.users)
	for w := range l.watches {
		w.end()
	}
	clear(l.watches)
	return nil
}

// Connected implements Bus: a local bus hears nothing of other processes.
func (l *local) Connected() bool { return false }
