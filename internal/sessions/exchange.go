package sessions

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// Target says which sessions: the one with the ID, those of the User, that one of the user, or all.
type Target struct {
	ID   string
	User *mailkey.UserID
}

// Options of an Exchange. Database and Registry are required.
type Options struct {
	Database *mongo.Database
	Registry *Registry
	Logger   *slog.Logger // slog.Default() if nil
	// Patience is how long to wait for replies; 0 means 4 seconds.
	Patience time.Duration
}

// Exchange asks all instances, and answers for this one. It is safe for concurrent use.
type Exchange struct {
	coll     *mongo.Collection
	registry *Registry
	log      *slog.Logger
	self     string // names this process among the peers
	instance string // for people
	seen     map[string]bool
	patience time.Duration
}

// document is a peer, an order or a reply.
type document struct {
	ID      string       `bson:"_id"`
	Kind    string       `bson:"k"`
	Order   string       `bson:"o,omitempty"` // of a reply: the order's id
	Peer    string       `bson:"i,omitempty"` // of a peer or reply; for people
	Count   int          `bson:"n"`           // of a reply: how many sessions were ended
	More    bool         `bson:"m,omitempty"` // of a reply: others of the peer follow
	List    []Info       `bson:"l,omitempty"` // of a reply
	Session string       `bson:"s,omitempty"` // of an order: the Target
	User    *bson.Binary `bson:"u,omitempty"`
	Expires time.Time    `bson:"e"`
}

const (
	kindPeer  = "peer"
	kindList  = "list"
	kindKick  = "kick"
	kindReply = "reply"
)

// Collection is the name of the collection.
const Collection = "sessions"

// Indexes returns the indexes of the collection.
func Indexes(db *mongo.Database) database.Indexes {
	expires := mongo.IndexModel{Keys: bson.D{{Key: "e", Value: 1}},
		Options: options.Index().SetName("expires").SetExpireAfterSeconds(0)}
	kinds := mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}, {Key: "o", Value: 1}},
		Options: options.Index().SetName("kinds")}
	return database.Indexes{Collection: db.Collection(Collection, database.Collection()),
		Models: []mongo.IndexModel{expires, kinds}, Optional: []string{"expires", "kinds"}}
}

// Forms returns how the collection is to be stored.
func Forms() []database.Form { return []database.Form{{Name: Collection}} }

// New returns an Exchange. Run makes it a peer.
func New(o Options) *Exchange {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Patience <= 0 {
		o.Patience = patience
	}
	host, _ := os.Hostname() // for people; they do without
	return &Exchange{
		coll: o.Database.Collection(Collection, database.Committed()), registry: o.Registry, log: o.Logger,
		self: rand.Text(), instance: fmt.Sprintf("%s:%d", host, os.Getpid()), seen: make(map[string]bool),
		patience: o.Patience,
	}
}

// Run answers orders until ctx ends.
func (x *Exchange) Run(ctx context.Context) {
	defer x.leave(ctx)
	var announced time.Time
	first := true
	for {
		if time.Since(announced) > peerEvery {
			if err := x.announce(ctx); err != nil && ctx.Err() == nil {
				x.log.Warn("this instance is not known to have sessions", "error", err)
			} else {
				announced = time.Now()
			}
		}
		if err := x.answerOrders(ctx, first); err != nil && ctx.Err() == nil {
			x.log.Debug("orders about sessions were not read", "error", err)
		} else {
			first = false
		}
		pause := time.NewTimer(lookEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// announce makes this instance a peer, or keeps it one.
func (x *Exchange) announce(ctx context.Context) error {
	_, err := x.coll.ReplaceOne(ctx, bson.D{{Key: "_id", Value: x.self}},
		document{ID: x.self, Kind: kindPeer, Peer: x.instance, Expires: time.Now().Add(peerExpires).UTC()},
		options.Replace().SetUpsert(true))
	return err
}

// leave makes this instance no peer.
func (x *Exchange) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := x.coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: x.self}}); err != nil {
		x.log.Debug("this instance stays a peer until that expires", "error", err)
	}
}

// answerOrders answers what is new. What was there before this instance began is for others.
func (x *Exchange) answerOrders(ctx context.Context, skip bool) error {
	orders, err := x.find(ctx, bson.D{{Key: "k", Value: bson.D{{Key: "$in", Value: bson.A{kindList, kindKick}}}}})
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(orders))
	for i := range orders {
		id := orders[i].ID
		seen[id] = true
		if skip || x.seen[id] {
			continue
		}
		if err := x.reply(ctx, &orders[i]); err != nil {
			x.log.Warn("an order about sessions was not answered", "error", err)
		}
	}
	x.seen = seen
	return nil
}

// reply does what an order asks and writes the answer.
func (x *Exchange) reply(ctx context.Context, order *document) error {
	list, n, err := x.do(order)
	if err != nil {
		return err
	}
	for chunk := 0; ; chunk++ {
		part := list[:min(len(list), chunkSessions)]
		list = list[len(part):]
		_, err := x.coll.InsertOne(ctx, document{ID: fmt.Sprintf("%s/%s/%d", order.ID, x.self, chunk), Kind: kindReply,
			Order: order.ID, Peer: x.self, Count: n, More: len(list) > 0, List: part,
			Expires: time.Now().Add(orderExpires).UTC()})
		if err != nil || len(list) == 0 {
			return err
		}
	}
}

// do does what an order asks of the sessions of this instance.
func (x *Exchange) do(order *document) (list []Info, n int, err error) {
	t := Target{ID: order.Session}
	if order.User != nil {
		if len(order.User.Data) != len(mailkey.UserID{}) {
			return nil, 0, fmt.Errorf("user id of %d octets in an order", len(order.User.Data))
		}
		id := mailkey.UserID(order.User.Data)
		t.User = &id
	}
	if order.Kind == kindKick {
		return nil, x.registry.end(t, "The session was ended by the server"), nil
	}
	list = x.registry.list(t)
	for i := range list {
		list[i].Instance = x.instance
	}
	return list[:min(len(list), maxListed)], 0, nil
}

func (x *Exchange) find(ctx context.Context, filter bson.D) ([]document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// The latest: there may be more orders than that which nobody needs any more.
	filter = append(filter, bson.E{Key: "e", Value: bson.D{{Key: "$gt", Value: time.Now().UTC()}}})
	cursor, err := x.coll.Find(ctx, filter,
		options.Find().SetSort(bson.D{{Key: "e", Value: -1}}).SetLimit(maxDocuments))
	if err != nil {
		return nil, err
	}
	var docs []document
	return docs, cursor.All(ctx, &docs)
}

// Answer is what the peers replied.
type Answer struct {
	Sessions []Info   // of List, the oldest first
	Ended    int      // of Kick: how many sessions were told to end
	Silent   []string // peers that have not replied in time
}

// List returns the open sessions of a target on all instances.
func (x *Exchange) List(ctx context.Context, t Target) (Answer, error) {
	return x.ask(ctx, kindList, t)
}

// Kick ends the sessions of a target on all instances.
func (x *Exchange) Kick(ctx context.Context, t Target) (Answer, error) {
	return x.ask(ctx, kindKick, t)
}

// EndUser ends the sessions of a user, and waits for no peer.
func (x *Exchange) EndUser(ctx context.Context, user mailkey.UserID) error {
	_, err := x.give(ctx, kindKick, Target{User: &user})
	return err
}

// give writes an order.
func (x *Exchange) give(ctx context.Context, kind string, t Target) (*document, error) {
	order := &document{ID: rand.Text(), Kind: kind, Session: t.ID, Expires: time.Now().Add(orderExpires).UTC()}
	if t.User != nil {
		user := t.User.Binary()
		order.User = &user
	}
	if _, err := x.coll.InsertOne(ctx, order); err != nil {
		return nil, fmt.Errorf("order about sessions: %w", err)
	}
	return order, nil
}

func (x *Exchange) ask(ctx context.Context, kind string, t Target) (a Answer, err error) {
	order, err := x.give(ctx, kind, t)
	if err != nil {
		return a, err
	}
	peers, err := x.find(ctx, bson.D{{Key: "k", Value: kindPeer}})
	if err != nil {
		return a, fmt.Errorf("read peers: %w", err)
	}
	until := time.Now().Add(x.patience)
	for {
		replies, err := x.find(ctx, bson.D{{Key: "k", Value: kindReply}, {Key: "o", Value: order.ID}})
		if err != nil {
			return a, fmt.Errorf("read replies: %w", err)
		}
		silent := slices.DeleteFunc(slices.Clone(peers), func(p document) bool {
			return slices.ContainsFunc(replies, func(r document) bool { return r.Peer == p.ID && !r.More })
		})
		if len(silent) == 0 || time.Now().After(until) {
			return answerOf(replies, silent), nil
		}
		pause := time.NewTimer(askEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return a, ctx.Err()
		}
	}
}

func answerOf(replies, silent []document) (a Answer) {
	for _, r := range replies {
		a.Sessions = append(a.Sessions, r.List...)
		a.Ended += r.Count
	}
	slices.SortFunc(a.Sessions, func(x, y Info) int { return x.Since.Compare(y.Since) })
	for _, p := range silent {
		a.Silent = append(a.Silent, p.Peer)
	}
	return a
}
