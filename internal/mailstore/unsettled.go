package mailstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
)

// unsettled are the users of transactions whose outcome is unknown. Sessions of all instances are told
// to look for themselves: at once, when the database answers again, and then at growing intervals until
// the outcome is certain. In between, a commit may be on its way still. Or it is there and not seen,
// because the members of a replica set have not agreed on it.
type unsettled struct {
	mu      sync.Mutex
	users   map[mailkey.UserID]*doubt // at most maxUnsettled
	more    chan struct{}             // of capacity 1: users has another one
	running bool                      // settleLoop
}

// A doubt is about the transactions of one user.
type doubt struct {
	since time.Time // when the outcome of the last one was unknown
	next  time.Time // when sessions are to be told again
}

// userUnsettled is a field that users never have.
const userUnsettled = "unsettled"

// tellUnknown tells sessions of a transaction of the user whose outcome is unknown.
func (s *Store) tellUnknown(ctx context.Context, user mailkey.UserID) {
	s.publishResync(ctx, user)
	u := &s.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users == nil {
		u.users = make(map[mailkey.UserID]*doubt)
		u.more = make(chan struct{}, 1)
	}
	if u.users[user] == nil && len(u.users) >= maxUnsettled {
		return // those sessions poll
	}
	since := time.Now()
	u.users[user] = &doubt{since, since.Add(s.settlePause + rand.N(s.settlePause))}
	if !u.running {
		u.running = s.spawn(func() { s.settleLoop(s.base) })
	}
	select {
	case u.more <- struct{}{}:
	default:
	}
}

// settleLoop tells the sessions of unsettled users again, until the outcome is certain for all of them.
func (s *Store) settleLoop(ctx context.Context) {
	u := &s.unsettled
	for pause := s.settlePause; ; {
		next, left := u.earliest()
		if !left {
			return
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-u.more:
			timer.Stop()
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if s.settleDue(ctx) == nil {
			pause = s.settlePause
			continue
		}
		timer.Reset(pause + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, maxSettlePause)
	}
}

// earliest returns when the next users are to be told. If none is left, settleLoop ends.
func (u *unsettled) earliest() (next time.Time, left bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range u.users {
		if !left || d.next.Before(next) {
			next, left = d.next, true
		}
	}
	u.running = left
	return next, left
}

// settleDue tells the sessions of users whose time has come. The error says that the database does not
// answer.
func (s *Store) settleDue(ctx context.Context) error {
	u := &s.unsettled
	begun := time.Now()
	u.mu.Lock()
	due := make(map[mailkey.UserID]*doubt)
	for user, d := range u.users {
		if !d.next.After(begun) {
			due[user] = d
		}
	}
	u.mu.Unlock()
	for user, d := range due {
		looked := time.Now()
		if err := s.awaitCommitted(ctx, user); err != nil {
			return err
		}
		s.publishResync(ctx, user)
		u.mu.Lock()
		if u.users[user] == d { // or there is another transaction
			if after := looked.Sub(d.since); after >= s.transactionEnd {
				delete(u.users, user)
			} else {
				d.next = d.since.Add(min(settleFactor*after, s.transactionEnd))
			}
		}
		u.mu.Unlock()
	}
	return nil
}

// awaitCommitted waits until reads show all that the database took of a user's changes up to now. An
// update that changes nothing waits for what was written before it, as its write concern says.
func (s *Store) awaitCommitted(ctx context.Context, user mailkey.UserID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.users.UpdateOne(ctx, byID(user.Binary()),
		bson.D{{Key: "$unset", Value: bson.D{{Key: userUnsettled, Value: ""}}}})
	return err
}

// publishResync lets the sessions that look at the user's mail look again.
func (s *Store) publishResync(ctx context.Context, user mailkey.UserID) {
	_ = s.bus.Publish(context.WithoutCancel(ctx), events.Event{User: user, Kind: events.Resync})
}
