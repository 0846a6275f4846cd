package sessions

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
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
	self     string               // names this process among the peers
	instance string               // for people
	seen     map[string]time.Time // orders that this instance has done, and when they expire
	looked   time.Time            // by the database's clock: when the latest look began that found all orders
	patience time.Duration
	// clock returns the time of the database: all times in the collection are by its clock.
	clock func(ctx context.Context) (time.Time, error)
	page  int64 // orderPage
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
		self: rand.Text(), instance: fmt.Sprintf("%s:%d", host, os.Getpid()), seen: make(map[string]time.Time),
		patience: o.Patience,
		clock:    func(ctx context.Context) (time.Time, error) { return database.Now(ctx, o.Database.Client()) },
		page:     orderPage,
	}
}

// Run answers orders until ctx ends.
func (x *Exchange) Run(ctx context.Context) {
	defer x.leave(ctx)
	began := time.Now()
	var announced time.Time
	for {
		now, err := x.now(ctx)
		if err == nil && x.looked.IsZero() {
			x.looked = now.Add(-time.Since(began))
		}
		if since := now.Sub(announced); err == nil && (since > peerEvery || since < 0) {
			if err := x.announce(ctx, now); err != nil && ctx.Err() == nil {
				x.log.Warn("this instance is not known to have sessions", "error", err)
			} else {
				announced = now
			}
		}
		if err == nil {
			err = x.answerOrders(ctx, now)
		}
		if err != nil && ctx.Err() == nil {
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

// now returns the time of the database.
func (x *Exchange) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now, err := x.clock(ctx)
	return now.UTC(), err
}

// announce makes this instance a peer, or keeps it one.
func (x *Exchange) announce(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := x.coll.ReplaceOne(ctx, bson.D{{Key: "_id", Value: x.self}},
		document{ID: x.self, Kind: kindPeer, Peer: x.instance, Expires: now.Add(peerExpires)},
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

// answerOrders does what is new, and answers those who wait for that.
func (x *Exchange) answerOrders(ctx context.Context, now time.Time) error {
	since := x.looked
	if now.Before(since) { // another member has become the primary
		since = now
	}
	orders, err := x.orders(ctx, since.Add(orderKept-orderLate))
	if err != nil {
		return err
	}
	if missed := now.Sub(since); missed > orderKept {
		x.log.Warn("all sessions end: not all orders to end some of them can be read", "missed", missed)
		x.registry.end(Target{}, endedByServer)
	}
	x.looked = now
	var answers []answer
	for i := range orders {
		order := &orders[i]
		_, seen := x.seen[order.ID]
		x.seen[order.ID] = order.Expires
		late := order.Kind == kindList && order.Expires.Sub(now) < orderKept-orderExpires
		if seen || order.By == x.self || late {
			continue
		}
		list, n, err := x.do(order)
		switch {
		case err != nil:
			x.log.Warn("an order about sessions was not understood", "error", err)
		case order.By == "": // somebody waits
			answers = append(answers, answer{order.ID, list, n})
		}
	}
	x.forget(now)
	if len(answers) > 0 {
		x.reply(ctx, answers, now.Add(orderExpires))
	}
	return nil
}

// forget forgets orders that are not there any more. The clock of the database may go back, and then
// orders that were done long ago are read again. So none is forgotten before it expires, unless there
// are too many: then those of the earlier half are.
func (x *Exchange) forget(now time.Time) {
	maps.DeleteFunc(x.seen, func(_ string, expires time.Time) bool { return expires.Before(now.Add(-orderLate)) })
	if len(x.seen) <= maxSeen {
		return
	}
	times := slices.SortedFunc(maps.Values(x.seen), time.Time.Compare)
	middle := times[len(times)/2]
	maps.DeleteFunc(x.seen, func(_ string, expires time.Time) bool { return expires.Before(middle) })
}

// orders returns the orders that expire after a time. However many these are, it reads all of them:
// who gives many orders ends no session of others.
func (x *Exchange) orders(ctx context.Context, after time.Time) (orders []document, err error) {
	known := make(map[string]bool)
	limit := x.page
	for {
		page, err := x.find(ctx, bson.D{{Key: "k", Value: bson.D{{Key: "$in", Value: bson.A{kindList, kindKick}}}},
			{Key: "e", Value: bson.D{{Key: "$gte", Value: after}}}}, 1, limit)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if !known[page[i].ID] {
				known[page[i].ID] = true
				orders = append(orders, page[i])
			}
		}
		if int64(len(page)) < limit {
			return orders, nil
		}
		last := page[len(page)-1].Expires
		if !last.After(after) { // no page has all of one time
			limit *= 2
		}
		after = last
	}
}

// answer is what this instance has to say to an order.
type answer struct {
	order string
	list  []Info
	n     int
}

// reply writes answers.
func (x *Exchange) reply(ctx context.Context, answers []answer, expires time.Time) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, a := range answers {
		if err := x.replyTo(ctx, a, expires); err != nil {
			x.log.Warn("an order about sessions was not answered", "error", err)
		}
	}
}

func (x *Exchange) replyTo(ctx context.Context, a answer, expires time.Time) error {
	for chunk := 0; ; chunk++ {
		part := a.list[:min(len(a.list), chunkSessions)]
		a.list = a.list[len(part):]
		_, err := x.coll.InsertOne(ctx, document{ID: fmt.Sprintf("%s/%s/%d", a.order, x.self, chunk), Kind: kindReply,
			Order: a.order, Peer: x.self, Count: a.n, More: len(a.list) > 0, List: part, Expires: expires})
		if err != nil || len(a.list) == 0 {
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

// find returns documents in the order in which they expire, or against it.
func (x *Exchange) find(ctx context.Context, filter bson.D, order int, limit int64) ([]document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cursor, err := x.coll.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "e", Value: order}}).SetLimit(limit))
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

// End ends the sessions of a target: those of this instance at once, others within a second or two. It
// waits for no peer.
func (x *Exchange) End(ctx context.Context, t Target) error { return x.Ending(t)(ctx) }

// Ending ends the sessions of a target on this instance. The function that it returns has the others
// end theirs. The caller may call it until it returns nil: it gives one order, however often it is
// called, and sessions that began meanwhile on this instance stay.
func (x *Exchange) Ending(t Target) (tell func(ctx context.Context) error) {
	x.registry.end(t, endedByServer)
	order := x.newOrder(kindKick, t, x.self)
	return func(ctx context.Context) error {
		_, err := x.give(ctx, order)
		return err
	}
}

// newOrder returns an order, which the peer by has done already; nobody if that is empty.
func (x *Exchange) newOrder(kind string, t Target, by string) document {
	order := document{ID: rand.Text(), Kind: kind, Session: t.ID, With: t.Credential, By: by}
	if t.User != nil {
		user := t.User.Binary()
		order.User = &user
	}
	return order
}

// give writes an order, and returns the time of the database. If an earlier call has written it, perhaps
// without hearing so, it is given anew: others may have looked past its first time meanwhile.
func (x *Exchange) give(ctx context.Context, order document) (now time.Time, err error) {
	if now, err = x.now(ctx); err != nil {
		return now, fmt.Errorf("order about sessions: time of the database: %w", err)
	}
	order.Expires = now.Add(orderKept)
	_, err = x.coll.InsertOne(ctx, order)
	if mongo.IsDuplicateKeyError(err) {
		_, err = x.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: order.ID}},
			bson.D{{Key: "$max", Value: bson.D{{Key: "e", Value: order.Expires}}}})
	}
	if err != nil {
		return now, fmt.Errorf("order about sessions: %w", err)
	}
	return now, nil
}

func (x *Exchange) ask(ctx context.Context, kind string, t Target) (a Answer, err error) {
	order := x.newOrder(kind, t, "")
	now, err := x.give(ctx, order)
	if err != nil {
		return a, err
	}
	peers, err := x.find(ctx, bson.D{{Key: "k", Value: kindPeer},
		{Key: "e", Value: bson.D{{Key: "$gt", Value: now}}}}, -1, maxDocuments)
	if err != nil {
		return a, fmt.Errorf("read peers: %w", err)
	}
	until := time.Now().Add(x.patience)
	for {
		replies, err := x.find(ctx, bson.D{{Key: "k", Value: kindReply}, {Key: "o", Value: order.ID}},
			-1, maxDocuments)
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
