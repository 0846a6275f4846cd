package database

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A Clock is the operation time of the latest call in a chain of calls that rely on each other:
// what one of them wrote or saw, the later ones see, on whichever shard it lies and whichever mongos
// they ask. Causal sessions take their time from it and advance it. The zero Clock is ready for use;
// it may be used concurrently.
type Clock struct {
	mu   sync.Mutex
	time bson.Timestamp
}

// Time returns the latest operation time; it is zero before the first call.
func (c *Clock) Time() bson.Timestamp {
	if c == nil {
		return bson.Timestamp{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

// Advance moves the clock on to t, unless it is there already.
func (c *Clock) Advance(t bson.Timestamp) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.time) {
		c.time = t
	}
}

type clockKey struct{}

// WithClock returns a context whose calls follow the clock.
func WithClock(ctx context.Context, c *Clock) context.Context {
	return context.WithValue(ctx, clockKey{}, c)
}

// ClockOf returns the clock that calls with the context follow, nil if there is none.
func ClockOf(ctx context.Context) *Clock {
	c, _ := ctx.Value(clockKey{}).(*Clock)
	return c
}

// Causal returns a context whose calls are a chain: ctx itself if it has a clock, else with a new
// one.
func Causal(ctx context.Context) context.Context {
	if ClockOf(ctx) != nil {
		return ctx
	}
	return WithClock(ctx, new(Clock))
}

// Follow returns ctx with the clock of another context, for work that goes on behind a caller who
// does not wait for it.
func Follow(ctx, chain context.Context) context.Context {
	if c := ClockOf(chain); c != nil {
		return WithClock(ctx, c)
	}
	return ctx
}

// A Session is a causally consistent session of the driver that follows the clock of a context. One
// goroutine at a time uses it.
type Session struct {
	*mongo.Session
	clock *Clock
}

// StartSession starts a session at the time of the context's clock. The caller ends it.
func StartSession(ctx context.Context, client *mongo.Client) (*Session, error) {
	session, err := client.StartSession(options.Session().SetCausalConsistency(true))
	if err != nil {
		return nil, err
	}
	s := &Session{session, ClockOf(ctx)}
	if t := s.clock.Time(); !t.IsZero() {
		_ = session.AdvanceOperationTime(&t) // fails in sessions that have ended
	}
	return s, nil
}

// End advances the clock to what the session did and saw, and ends the session.
func (s *Session) End(ctx context.Context) {
	if t := s.OperationTime(); t != nil {
		s.clock.Advance(*t)
	}
	s.EndSession(context.WithoutCancel(ctx))
}

// Link returns a context for one call of a chain: a query with its cursor, or a write. end is called
// when the call is over. Without a clock, and in a transaction, the call is made as it is.
func Link(ctx context.Context, client *mongo.Client) (linked context.Context, end func()) {
	if ClockOf(ctx) == nil || mongo.SessionFromContext(ctx) != nil {
		return ctx, func() {}
	}
	s, err := StartSession(ctx, client)
	if err != nil {
		return ctx, func() {} // the client is disconnected, of which the call tells, too
	}
	return mongo.NewSessionContext(ctx, s.Session), func() { s.End(ctx) }
}
