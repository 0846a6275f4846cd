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
// to look for themselves: at once, and again when the database shows all that it took. In between, a
// commit may be there and not be seen, because the members of a replica set have not agreed on it.
type unsettled struct {
	mu      sync.Mutex
	users   map[mailkey.UserID]struct{} // at most maxUnsettled
	running bool                        // settleLoop
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
		u.users = make(map[mailkey.UserID]struct{})
	}
	if len(u.users) >= maxUnsettled {
		return // those sessions poll
	}
	u.users[user] = struct{}{}
	if !u.running {
		u.running = s.spawn(func() { s.settleLoop(s.base) })
	}
}

// settleLoop tells the sessions of unsettled users again, once it knows what they will see. It ends
// when there are none, or with ctx.
func (s *Store) settleLoop(ctx context.Context) {
	for pause := s.settlePause; ; pause = min(2*pause, maxSettlePause) {
		timer := time.NewTimer(pause + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if s.settleAll(ctx) {
			return
		}
	}
}

// settleAll tells of all users that it can, and reports whether none is left. Then settleLoop ends.
func (s *Store) settleAll(ctx context.Context) bool {
	u := &s.unsettled
	u.mu.Lock()
	users := u.users
	u.users = nil
	u.mu.Unlock()
	var failed error
	for user := range users {
		if failed == nil {
			failed = s.awaitCommitted(ctx, user)
		}
		if failed == nil {
			s.publishResync(ctx, user)
			delete(users, user)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for user := range users {
		if u.users == nil {
			u.users = make(map[mailkey.UserID]struct{})
		}
		u.users[user] = struct{}{}
	}
	u.running = len(u.users) > 0
	return !u.running
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
