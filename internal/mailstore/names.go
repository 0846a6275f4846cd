package mailstore

import (
	"context"
	"errors"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// remembered is the ids that names had a moment ago, so that a login, a recipient or a path costs one
// query for a document whose key, and so whose shard, is known. The name may be another's by now, or
// nobody's, perhaps through another process. So the query asks for id and name together: the document
// decides.
type remembered[ID any] struct {
	mu   sync.Mutex
	list map[string]ID // at most maxNames
}

func (n *remembered[ID]) get(name string) (ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.list[name]
	return id, ok
}

// set remembers a name. If there are too many, any other is forgotten.
func (n *remembered[ID]) set(name string, id ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.list == nil {
		n.list = make(map[string]ID)
	}
	if _, known := n.list[name]; !known && len(n.list) >= maxNames {
		for other := range n.list {
			delete(n.list, other)
			break
		}
	}
	n.list[name] = id
}

func (n *remembered[ID]) forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.list, name)
}

// lookUp returns a context for the queries that find a user by an address. They are a chain, after
// what this process has changed of addresses: the address and the user may be on different shards,
// and a transaction that wrote both may show on one of them before the other.
func (s *Store) lookUp(ctx context.Context) context.Context {
	ctx = database.Causal(ctx)
	database.ClockOf(ctx).Advance(s.addressClock.Time())
	return ctx
}

// noteAddresses makes later calls of lookUp see what the chain of the context has written.
func (s *Store) noteAddresses(ctx context.Context) {
	s.addressClock.Advance(database.ClockOf(ctx).Time())
}

// rememberedUser returns the user who had the name a moment ago, and has it still; nil if none is
// known.
func (s *Store) rememberedUser(ctx context.Context, name string) (*userDoc, error) {
	id, ok := s.names.get(name)
	if !ok {
		return nil, nil
	}
	doc, err := s.findUser(ctx, named(id, name))
	if errors.Is(err, ErrNoSuchUser) {
		s.names.forget(name)
		return nil, nil
	}
	return doc, err
}

// findUserByName returns the user with a name. The address of that name tells the user's id, and so
// the shard. The error is ErrNoSuchUser.
func (s *Store) findUserByName(ctx context.Context, name string) (*userDoc, error) {
	ctx = s.lookUp(ctx)
	if doc, err := s.rememberedUser(ctx, name); doc != nil || err != nil {
		return doc, err
	}
	id, err := s.addressOwner(ctx, name)
	if errors.Is(err, ErrNoSuchAddress) {
		return nil, ErrNoSuchUser
	}
	if err != nil {
		return nil, err
	}
	doc, err := s.findUser(ctx, named(id, name)) // the address may be an alias
	if err == nil {
		s.names.set(name, id)
	}
	return doc, err
}

func named(id mailkey.UserID, name string) bson.D {
	return append(byID(id.Binary()), bson.E{Key: userName, Value: name})
}
