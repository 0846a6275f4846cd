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

// Target says which sessions: those for which all holds that it names. The zero value is all.
type Target struct {
	ID string
	// User is whose mail it is, or who has logged in.
	User *mailkey.UserID
	// Credential is what they logged in with.
	Credential string
}

func (t *Target) has(i *Info) bool {
	return (t.ID == "" || t.ID == i.ID) && (t.User == nil || *t.User == i.User || *t.User == i.ActorID) &&
		(t.Credential == "" || t.Credential == i.Credential)
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
	looked   time.Time // when the latest look began that found all orders
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
	With    string       `bson:"w,omitempty"` // of an order: the Target's Credential
	By      string       `bson:"b,omitempty"` // of an order: the peer that has done it already
	Expires time.Time    `bson:"e"`
}

const (
	kindPeer  = "peer"
	kindList  = "list"
	kindKick  = "kick"
	kindReply = "reply"
)

// endedByServer is what clients are told.
const endedByServer = "The session was ended by the server"

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
	x.looked = time.Now()
	for {
		if time.Since(announced) > peerEvery {
			if err := x.announce(ctx); err != nil && ctx.Err() == nil {
				x.log.Warn("this instance is not known to have sessions", "error", err)
			} else {
				announced = time.Now()
			}
		}
		if err := x.answerOrders(ctx); err != nil && ctx.Err() == nil {
			x.log.Debug("orders about sessions were not read", "error", err)
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

// answerOrders answers what is new. What is too late for the one who asked is not answered, but done.
func (x *Exchange) answerOrders(ctx context.Context) error {
	began := time.Now()
	missed := began.Sub(x.looked) + orderLate
	orders, err := x.orders(ctx, missed)
	if err != nil {
		return err
	}
	if missed > orderKept || len(orders) > maxOrders {
		x.log.Warn("all sessions end: not all orders to end some of them can be read", "missed", missed,
			"orders", len(orders))
		x.registry.end(Target{}, endedByServer)
	}
	x.looked = began
	seen := make(map[string]bool, len(orders))
	for i := range orders {
		order := &orders[i]
		seen[order.ID] = true
		late := order.Kind == kindList && time.Until(order.Expires) < orderKept-orderExpires
		if x.seen[order.ID] || order.By == x.self || late {
			continue
		}
		if err := x.reply(ctx, order); err != nil {
			x.log.Warn("an order about sessions was not answered", "error", err)
		}
	}
	x.seen = seen
	return nil
}

// orders returns the orders that were given within a time, and at most one more than maxOrders.
func (x *Exchange) orders(ctx context.Context, within time.Duration) ([]document, error) {
	since := time.Now().Add(orderKept - within).UTC()
	return x.find(ctx, bson.D{{Key: "k", Value: bson.D{{Key: "$in", Value: bson.A{kindList, kindKick}}}},
		{Key: "e", Value: bson.D{{Key: "$gt", Value: since}}}}, maxOrders+1)
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
	t := Target{ID: order.Session, Credential: order.With}
	if order.User != nil {
		if len(order.User.Data) != len(mailkey.UserID{}) {
			return nil, 0, fmt.Errorf("user id of %d octets in an order", len(order.User.Data))
		}
		id := mailkey.UserID(order.User.Data)
		t.User = &id
	}
	if order.Kind == kindKick {
		return nil, x.registry.end(t, endedByServer), nil
	}
	list = x.registry.list(t)
	for i := range list {
		list[i].Instance = x.instance
	}
	return list[:min(len(list), maxListed)], 0, nil
}

// find returns documents that have not expired, those first that will be the last to do so.
func (x *Exchange) find(ctx context.Context, filter bson.D, limit int64) ([]document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cursor, err := x.coll.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "e", Value: -1}}).SetLimit(limit))
	if err != nil {
		return nil, err
	}
	var docs []document
	return docs, cursor.All(ctx, &docs)
}

// current is the condition that a document has not expired.
func current() bson.E {
	return bson.E{Key: "e", Value: bson.D{{Key: "$gt", Value: time.Now().UTC()}}}
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

// End ends the sessions of a target: those of this instance at once, others within a second or two. It
// waits for no peer.
func (x *Exchange) End(ctx context.Context, t Target) error {
	x.registry.end(t, endedByServer)
	_, err := x.give(ctx, kindKick, t, x.self)
	return err
}

// give writes an order, which the peer by has done already.
func (x *Exchange) give(ctx context.Context, kind string, t Target, by string) (*document, error) {
	order := &document{ID: rand.Text(), Kind: kind, Session: t.ID, With: t.Credential, By: by,
		Expires: time.Now().Add(orderKept).UTC()}
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
	order, err := x.give(ctx, kind, t, "")
	if err != nil {
		return a, err
	}
	peers, err := x.find(ctx, bson.D{{Key: "k", Value: kindPeer}, current()}, maxDocuments)
	if err != nil {
		return a, fmt.Errorf("read peers: %w", err)
	}
	until := time.Now().Add(x.patience)
	for {
		replies, err := x.find(ctx, bson.D{{Key: "k", Value: kindReply}, {Key: "o", Value: order.ID}, current()},
			maxDocuments)
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
