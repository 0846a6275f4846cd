package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
)

var (
	ada  = mailkey.UserID{1}
	bob  = mailkey.UserID{2}
	root = mailkey.UserID{3} // a master user
)

// told opens a session, whose name is added to the list when it is told to end.
type told struct {
	mu    sync.Mutex
	names []string
}

func (l *told) open(r *Registry, name string, info Info) {
	r.Open(info, func(string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.names = append(l.names, name)
	})
}

// take returns the names of those that were told to end since the last call.
func (l *told) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := l.names
	l.names = nil
	slices.Sort(names)
	return names
}

// A target is whose mail it is or who acts for that user, or a credential, or one session.
func TestTargets(t *testing.T) {
	t.Parallel()
	var ended told
	r := NewRegistry()
	fill := func() {
		ended.open(r, "ada", Info{User: ada, ActorID: ada})
		ended.open(r, "phone of ada", Info{User: ada, ActorID: ada, Credential: "app/1"})
		ended.open(r, "root", Info{User: root, ActorID: root})
		ended.open(r, "root for ada", Info{User: ada, ActorID: root})
		ended.open(r, "phone of root for ada", Info{User: ada, ActorID: root, Credential: "app/2"})
		ended.open(r, "operator at ada", Info{User: ada, Credential: "token/1"})
		ended.open(r, "bob", Info{User: bob, ActorID: bob})
	}
	for _, tt := range []struct {
		target Target
		want   []string
	}{
		{Target{User: &root}, []string{"phone of root for ada", "root", "root for ada"}},
		{Target{User: &bob}, []string{"bob"}},
		{Target{User: &ada, Credential: "app/1"}, []string{"phone of ada"}},
		{Target{User: &root, Credential: "app/2"}, []string{"phone of root for ada"}},
		{Target{User: &bob, Credential: "app/1"}, nil},
		{Target{User: new(mailkey.UserID), Credential: "token/1"}, []string{"operator at ada"}},
		{Target{User: &ada}, []string{"ada", "operator at ada", "phone of ada", "phone of root for ada",
			"root for ada"}},
	} {
		*r = Registry{open: make(map[string]*Session)}
		fill()
		if n := r.end(tt.target, ""); n != len(tt.want) || !slices.Equal(ended.take(), tt.want) {
			t.Errorf("%+v ended %d, not %q", tt.target, n, tt.want)
		}
	}
}

// A login that had begun when its like were ended shows what was right before: its session ends as it
// opens. One that begins later stays.
func TestLoginsUnderWayEnd(t *testing.T) {
	t.Parallel()
	var ended told
	r := NewRegistry()
	before := time.Now()
	r.end(Target{User: &ada, Credential: "app/1"}, "")
	r.end(Target{User: &bob}, "")
	ended.open(r, "phone", Info{User: ada, ActorID: ada, Credential: "app/1", Begun: before})
	ended.open(r, "ada", Info{User: ada, ActorID: ada, Begun: before})
	ended.open(r, "bob", Info{User: bob, ActorID: bob, Begun: before})
	ended.open(r, "later", Info{User: bob, ActorID: bob, Begun: time.Now()})
	if got := ended.take(); !slices.Equal(got, []string{"bob", "phone"}) {
		t.Errorf("%q ended", got)
	}
	// What one user does, without end, concerns nobody else.
	for i := range maxEnded {
		r.end(Target{User: &bob, Credential: fmt.Sprint("token/", i)}, "")
	}
	ended.take()
	ended.open(r, "bob", Info{User: bob, ActorID: bob, Credential: "token/0", Begun: before})
	ended.open(r, "ada", Info{User: ada, ActorID: ada, Begun: before})
	if got := ended.take(); !slices.Equal(got, []string{"bob"}) || len(r.ended) > 2*maxEndedOfUser {
		t.Errorf("past what is remembered of bob: %q ended, %d are remembered", got, len(r.ended))
	}
	for i := range 2 * maxEndedOfUser {
		r.end(Target{User: new(mailkey.UserID), Credential: fmt.Sprint("token/", i)}, "")
	}
	ended.open(r, "token", Info{User: ada, Credential: "token/150", Begun: before})
	if got := ended.take(); !slices.Equal(got, []string{"token"}) {
		t.Errorf("of many tokens whose users are not named: %q ended", got)
	}
	for i := range maxEnded {
		r.end(Target{User: &mailkey.UserID{byte(i), byte(i >> 8), 1}}, "")
	}
	ended.take()
	ended.open(r, "ada", Info{User: ada, ActorID: ada, Begun: before})
	if got := ended.take(); !slices.Equal(got, []string{"ada"}) || len(r.ended) > maxEnded {
		t.Errorf("past what is remembered: %q ended, %d are remembered", got, len(r.ended))
	}
}

// peer is an instance whose looks for orders the test decides.
type peer struct {
	*Exchange
	told
}

func newPeer(db *mongo.Database) *peer {
	p := &peer{Exchange: New(Options{Database: db, Registry: NewRegistry(), Logger: slog.New(slog.DiscardHandler)})}
	p.looked = time.Now()
	return p
}

func (p *peer) look(t *testing.T) []string {
	t.Helper()
	now, err := p.now(t.Context())
	if err == nil {
		err = p.answerOrders(t.Context(), now)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.take()
}

// answers returns how many replies there are.
func answers(t *testing.T, db *mongo.Database) int64 {
	t.Helper()
	n, err := db.Collection(Collection).CountDocuments(t.Context(), bson.D{{Key: "k", Value: kindReply}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An order ends sessions on all instances, once, also when they come to read it late. An instance that
// cannot know of all orders ends all its sessions.
func TestOrdersAreNotMissed(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	one, two := newPeer(db), newPeer(db)
	fill := func() {
		for _, p := range []*peer{one, two} {
			p.open(p.registry, "ada", Info{User: ada, ActorID: ada})
			p.open(p.registry, "bob", Info{User: bob, ActorID: bob})
		}
	}
	fill()
	if err := one.End(t.Context(), Target{User: &ada}); err != nil {
		t.Fatal(err)
	}
	if got := one.take(); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("the instance itself ended %q at once", got)
	}
	if got := one.look(t); len(got) > 0 {
		t.Errorf("the instance itself ended %q twice", got)
	}
	if got := two.look(t); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("another instance ended %q", got)
	}
	if got := two.look(t); len(got) > 0 {
		t.Errorf("an order was done twice, and ended %q", got)
	}

	// The database was away, and the order is not fresh.
	if err := one.End(t.Context(), Target{User: &bob}); err != nil {
		t.Fatal(err)
	}
	for _, away := range []struct {
		time time.Duration
		want []string
	}{{orderKept / 2, []string{"bob"}}, {orderKept * 2, []string{"ada", "bob"}}} {
		_, err := db.Collection(Collection).UpdateMany(t.Context(), bson.D{{Key: "k", Value: kindKick}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "e", Value: time.Now().Add(orderKept - away.time).UTC()}}}})
		if err != nil {
			t.Fatal(err)
		}
		two.looked = time.Now().Add(-away.time)
		if got := two.look(t); !slices.Equal(got, away.want) {
			t.Errorf("after %v, %q ended", away.time, got)
		}
	}
	if got := two.look(t); len(got) > 0 {
		t.Errorf("after that, %q ended", got)
	}
}

// Nobody waits for the answer to an old order, and nobody writes it.
func TestOldListsAreNotAnswered(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	p := newPeer(db)
	for _, old := range []bool{false, true} {
		order := p.newOrder(kindList, Target{}, "")
		if _, err := p.give(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		if old {
			_, err := db.Collection(Collection).UpdateByID(t.Context(), order.ID, bson.D{{Key: "$set", Value: bson.D{
				{Key: "e", Value: time.Now().Add(orderKept - 2*orderExpires).UTC()}}}})
			if err != nil {
				t.Fatal(err)
			}
			p.looked = time.Now().Add(-orderKept / 2)
		}
		p.look(t)
		n, err := db.Collection(Collection).CountDocuments(context.WithoutCancel(t.Context()),
			bson.D{{Key: "o", Value: order.ID}})
		if err != nil || (n == 0) != old {
			t.Errorf("old is %t: %d answers, %v", old, n, err)
		}
	}
}

// However many orders there are, each is done, and ends nobody else's session. Nobody writes an answer
// for which nobody waits.
func TestManyOrders(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	one, two := newPeer(db), newPeer(db)
	// Several pages, of orders of one time for the most part.
	two.page = 3
	at, n := time.Now(), 0
	one.clock = func(context.Context) (time.Time, error) {
		if n++; n > 12 {
			at = at.Add(time.Millisecond)
		}
		return at, nil
	}
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("app/%02d", i)
		two.open(two.registry, name, Info{User: ada, ActorID: ada, Credential: name})
		want = append(want, name)
		if err := one.End(t.Context(), Target{User: &ada, Credential: name}); err != nil {
			t.Fatal(err)
		}
	}
	two.open(two.registry, "bob", Info{User: bob, ActorID: bob})
	if got := two.look(t); !slices.Equal(got, want) {
		t.Errorf("%q ended", got)
	}
	if got := two.look(t); len(got) > 0 {
		t.Errorf("another look ended %q", got)
	}
	if n := answers(t, db); n != 0 {
		t.Errorf("%d answers were written for nobody", n)
	}
	if _, err := one.give(t.Context(), one.newOrder(kindKick, Target{User: &bob}, "")); err != nil {
		t.Fatal(err)
	}
	if got := two.look(t); !slices.Equal(got, []string{"bob"}) || answers(t, db) != 1 {
		t.Errorf("%q ended, and %d answers", got, answers(t, db))
	}
}

// The sessions that orders are to end have ended before the first answer is written, whatever comes of
// that.
func TestOrdersAreDoneBeforeAnswers(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	early := make(chan bool, 1)
	db := dbtest.Watched(t, &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		reply, err := e.Command.LookupErr("documents", "0", "k")
		if e.CommandName != "insert" || err != nil || reply.StringValue() != kindReply {
			return
		}
		select {
		case <-ended:
			early <- false
		default:
			early <- true
		}
	}})
	one, two := newPeer(db), newPeer(db)
	two.registry.Open(Info{User: ada, ActorID: ada}, func(string) { close(ended) })
	if _, err := one.give(t.Context(), one.newOrder(kindList, Target{}, "")); err != nil {
		t.Fatal(err)
	}
	if err := one.End(t.Context(), Target{User: &ada}); err != nil {
		t.Fatal(err)
	}
	two.look(t)
	if <-early {
		t.Error("an answer was written before sessions ended")
	}
}

// The clock of the database counts. That of an instance may be wrong.
func TestClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{0, 50 * time.Minute, -50 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			db := dbtest.Database(t)
			one, two := newPeer(db), newPeer(db)
			if skew != 0 {
				clock := func(context.Context) (time.Time, error) { return time.Now().Add(skew), nil }
				one.clock, two.clock = clock, clock
			}
			one.patience = time.Minute
			two.looked = time.Now().Add(skew)
			two.open(two.registry, "ada", Info{User: ada, ActorID: ada})
			two.open(two.registry, "bob", Info{User: bob, ActorID: bob})
			if err := one.End(t.Context(), Target{User: &ada}); err != nil {
				t.Fatal(err)
			}
			var order document
			err := db.Collection(Collection).FindOne(t.Context(), bson.D{{Key: "k", Value: kindKick}}).Decode(&order)
			if err != nil || (time.Until(order.Expires)-orderKept-skew).Abs() > time.Minute {
				t.Errorf("the order ends in %v, %v", time.Until(order.Expires), err)
			}
			if got := two.look(t); !slices.Equal(got, []string{"ada"}) {
				t.Errorf("%q ended", got)
			}
			now, err := two.now(t.Context())
			if err == nil {
				err = two.announce(t.Context(), now)
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { two.Run(ctx) })
			defer running.Wait()
			defer end()
			a, err := one.List(t.Context(), Target{User: &bob})
			if err != nil || len(a.Sessions) != 1 || len(a.Silent) > 0 {
				t.Errorf("%+v, %v", a, err)
			}
			var reply document
			err = db.Collection(Collection).FindOne(t.Context(), bson.D{{Key: "k", Value: kindReply}}).Decode(&reply)
			if err != nil || (time.Until(reply.Expires)-skew).Abs() > 5*time.Minute {
				t.Errorf("the reply ends in %v, %v", time.Until(reply.Expires), err)
			}
		})
	}
}

// Where the primary's clock is behind that of the one before, orders are seen all the same.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	one, two := newPeer(db), newPeer(db)
	two.looked = time.Now().Add(orderKept / 2)
	two.open(two.registry, "ada", Info{User: ada, ActorID: ada})
	if err := one.End(t.Context(), Target{User: &ada}); err != nil {
		t.Fatal(err)
	}
	if got := two.look(t); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("%q ended", got)
	}
}

// Orders that were done are not done again when the clock of the database goes back, whenever they were
// given.
func TestOrdersAreDoneOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	one, two := newPeer(db), newPeer(db)
	start := time.Now().Truncate(time.Second)
	at := start
	clock := func(context.Context) (time.Time, error) { return at, nil }
	one.clock, two.clock = clock, clock
	two.looked = at
	for range 20 { // of ten minutes
		if err := one.End(t.Context(), Target{User: &ada}); err != nil {
			t.Fatal(err)
		}
		two.look(t)
		at = at.Add(30 * time.Second)
	}
	two.open(two.registry, "ada", Info{User: ada, ActorID: ada})
	for _, back := range []time.Duration{3 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		at = start.Add(10*time.Minute - back)
		for range 3 {
			if got := two.look(t); len(got) > 0 {
				t.Fatalf("the clock went back by %v: %q ended", back, got)
			}
			at = at.Add(time.Second)
		}
	}
	at = start.Add(2*orderKept + time.Minute)
	two.looked = at
	two.look(t)
	if len(two.seen) > 0 {
		t.Errorf("%d orders that have expired are known", len(two.seen))
	}
	if err := one.End(t.Context(), Target{User: &ada}); err != nil {
		t.Fatal(err)
	}
	if got := two.look(t); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("a new order ended %q", got)
	}
	for i := range maxSeen + 1 {
		two.seen[strconv.Itoa(i)] = at.Add(time.Duration(i) * time.Second)
	}
	two.forget(at)
	_, oldest := two.seen["0"]
	_, newest := two.seen[strconv.Itoa(maxSeen)]
	if n := len(two.seen); n > maxSeen/2+2 || n < maxSeen/2-2 || oldest || !newest {
		t.Errorf("%d orders are known, the oldest %v, the newest %v", n, oldest, newest)
	}
}

// Who tries again to end sessions gives one order, and ends no session that has begun meanwhile.
func TestEndingAgain(t *testing.T) {
	t.Parallel()
	db := dbtest.Database(t)
	one, two := newPeer(db), newPeer(db)
	away := true
	one.clock = func(ctx context.Context) (time.Time, error) {
		if away {
			return time.Time{}, errors.New("the database is away")
		}
		return two.clock(ctx)
	}
	one.open(one.registry, "old", Info{User: ada, ActorID: ada})
	tell := one.Ending(Target{User: &ada})
	if got := one.take(); !slices.Equal(got, []string{"old"}) {
		t.Errorf("%q ended at once", got)
	}
	one.open(one.registry, "new", Info{User: ada, ActorID: ada})
	two.open(two.registry, "elsewhere", Info{User: ada, ActorID: ada})
	if err := tell(t.Context()); err == nil {
		t.Error("others were told while the database was away")
	}
	away = false
	for i, want := range [][]string{{"elsewhere"}, nil} { // the outcome of the first may not be known
		if err := tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := two.look(t); !slices.Equal(got, want) {
			t.Errorf("call %d ended %q elsewhere", i, got)
		}
		two.open(two.registry, "later", Info{User: ada, ActorID: ada})
	}
	if got := append(one.take(), one.look(t)...); len(got) > 0 {
		t.Errorf("trying again ended %q here", got)
	}
	// Peers that have looked past the first time since, as the order may have come to light later, see
	// the last time.
	expires := func() time.Time {
		t.Helper()
		orders, err := one.find(t.Context(), bson.D{{Key: "k", Value: kindKick}}, 1, 10)
		if err != nil || len(orders) != 1 {
			t.Fatalf("%d orders, %v", len(orders), err)
		}
		return orders[0].Expires
	}
	first := expires()
	one.clock = func(ctx context.Context) (time.Time, error) {
		now, err := two.clock(ctx)
		return now.Add(2 * orderLate), err
	}
	if err := tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := expires(); again.Before(first.Add(orderLate)) {
		t.Errorf("the order expires at %v, as before: %v", again, first)
	}
}
