package dedupe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

// A garden is a collection of counted documents, with a clock that moves when told so.
type garden struct {
	*Counter
	t    *testing.T
	coll *mongo.Collection
	now  time.Time
	key  string
}

// forShapes runs f with documents counted in either way.
func forShapes(t *testing.T, f func(t *testing.T, g *garden)) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			g := &garden{t: t, coll: dbtest.Database(t).Collection("c"), now: time.Now(), key: shape.key}
			g.Counter = NewCounter(g.coll, shape.key, shape.prefix).WithClock(func() time.Time { return g.now })
			if _, err := g.coll.Indexes().CreateOne(t.Context(), g.UnusedIndex()); err != nil {
				t.Fatal(err)
			}
			f(t, g)
		})
	}
}

// plant inserts a document with references.
func (g *garden) plant(name string, magics ...Magic) Hash {
	g.t.Helper()
	h := Sum([]byte(name))
	prefix := ""
	if g.key != "_id" {
		prefix = "metadata."
	}
	insert(g.t, g.coll, g.key, prefix, h)
	if len(magics) > 0 {
		g.add(h, magics...)
	}
	return h
}

func (g *garden) add(h Hash, magics ...Magic) {
	g.t.Helper()
	if existed, err := g.Add(g.t.Context(), h, magics...); err != nil || !existed {
		g.t.Fatalf("add: %v, %v", existed, err)
	}
}

func (g *garden) has(h Hash) bool {
	g.t.Helper()
	n, err := g.coll.CountDocuments(g.t.Context(), bson.D{{Key: g.key, Value: h.Binary()}})
	if err != nil {
		g.t.Fatal(err)
	}
	return n > 0
}

func (g *garden) collector(deleted *[]Hash) *Collector {
	return &Collector{
		Counter: g.Counter, Workers: 1,
		Bytes: func(bson.Raw) int64 { return 10 },
		Deleted: func(_ context.Context, doc bson.Raw) error {
			h, err := hashOf(doc, g.key)
			if deleted != nil {
				*deleted = append(*deleted, h)
			}
			return err
		},
	}
}

func TestCollect(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		ctx := t.Context()
		used, unused, odd := g.plant("used", 1), g.plant("unused"), g.plant("odd", 7, 8)
		// magic is left: something else was released
		if err := g.Remove(ctx, odd, 7, 9); err != nil {
			t.Fatal(err)
		}
		var deleted []Hash
		c := g.collector(&deleted)
		collect := func(grace time.Duration, want Collected) {
			t.Helper()
			if got, err := c.Collect(ctx, grace); err != nil || got != want {
				t.Errorf("collected %+v, %v; want %+v", got, err, want)
			}
		}
		plan := func(want Plan) {
			t.Helper()
			if got, err := c.Plan(ctx, time.Hour); err != nil || got != want {
				t.Errorf("plan %+v, %v; want %+v", got, err, want)
			}
		}
		plan(Plan{Fresh: Amount{1, 10}})
		collect(time.Hour, Collected{Quarantined: 1})
		plan(Plan{Waiting: Amount{1, 10}})
		g.now = g.now.Add(time.Hour - time.Second)
		collect(time.Hour, Collected{})
		// Used again, and released again: the time begins anew.
		g.add(unused, 5)
		plan(Plan{})
		if err := g.Remove(ctx, unused, 5); err != nil {
			t.Fatal(err)
		}
		plan(Plan{Waiting: Amount{1, 10}})
		g.now = g.now.Add(time.Hour - time.Second)
		collect(time.Hour, Collected{})
		g.now = g.now.Add(time.Second)
		plan(Plan{Ready: Amount{1, 10}})
		collect(time.Hour, Collected{Deleted: Amount{1, 10}})
		if len(deleted) != 1 || deleted[0] != unused || !g.has(used) || !g.has(odd) {
			t.Errorf("deleted %v", deleted)
		}
		// Without a grace period, both steps at once.
		g.plant("unused")
		plan(Plan{Fresh: Amount{1, 10}})
		if got, err := c.Plan(ctx, 0); err != nil || got != (Plan{Ready: Amount{1, 10}}) {
			t.Errorf("plan without a grace period: %+v, %v", got, err)
		}
		collect(0, Collected{Quarantined: 1, Deleted: Amount{1, 10}})
	})
}

// What is referenced between the query and the delete survives; what was deleted before the
// reference does not exist.
func TestReusedWhileCollected(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		ctx := t.Context()
		var hashes []Hash
		for i := range 3 {
			hashes = append(hashes, g.plant(fmt.Sprint(i)))
		}
		var reused Hash
		c := g.collector(nil)
		first := true
		inner := c.Deleted
		c.Deleted = func(ctx context.Context, doc bson.Raw) error {
			gone, err := hashOf(doc, g.key)
			if err != nil {
				return err
			}
			if first {
				first = false
				for _, h := range hashes { // one that this batch is still to delete
					if h != gone {
						reused = h
					}
				}
				g.add(reused, 3)
				if existed, err := g.Add(ctx, gone, 4); err != nil || existed {
					t.Errorf("reference to what is gone: %v, %v", existed, err)
				}
			}
			return inner(ctx, doc)
		}
		if got, err := c.Collect(ctx, 0); err != nil || got.Deleted.Documents != 2 {
			t.Errorf("collected %+v, %v", got, err)
		}
		if !g.has(reused) {
			t.Error("a referenced document was deleted")
		}
	})
}

func TestGuardEndsCollection(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		h := g.plant("unused")
		stop := errors.New("stop")
		c := g.collector(nil)
		c.Guard = func(context.Context) error { return stop }
		if got, err := c.Collect(t.Context(), 0); !errors.Is(err, stop) || got != (Collected{}) {
			t.Errorf("%+v, %v", got, err)
		}
		if !g.has(h) {
			t.Error("collected against the guard")
		}
	})
}

// Whatever the collector changes it finds by hash: otherwise each batch would examine all garbage.
func TestCollectorChangesByHash(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			changes := map[string]int{}
			monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
				var statement bson.Raw
				switch e.CommandName {
				case "update":
					statement = e.Command.Lookup("updates", "0").Document()
				case "findAndModify":
					statement = e.Command
				default:
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if _, err := statement.LookupErr("hint", shape.key); err == nil {
					changes[e.CommandName]++
				} else {
					changes["without a hint"]++
				}
			}}
			db := dbtest.Database(t)
			coll := dbtest.NewClient(t, options.Client().SetMonitor(monitor)).Database(db.Name()).Collection("c")
			g := &garden{t: t, coll: coll, now: time.Now(), key: shape.key}
			g.Counter = NewCounter(coll, shape.key, shape.prefix).WithClock(func() time.Time { return g.now })
			g.plant("unused")
			c := &Collector{Counter: g.Counter, Bytes: func(bson.Raw) int64 { return 0 },
				Deleted: func(context.Context, bson.Raw) error { return nil }}
			for range 2 {
				if _, err := c.Collect(t.Context(), time.Hour); err != nil {
					t.Fatal(err)
				}
				g.now = g.now.Add(2 * time.Hour)
			}
			if want := map[string]int{"update": 1, "findAndModify": 1}; !maps.Equal(changes, want) {
				t.Errorf("changes %v, want %v", changes, want)
			}
		})
	}
}

// The cost of looking for garbage is that of the garbage.
func TestCollectorReadsGarbageOnly(t *testing.T) {
	forShapes(t, func(t *testing.T, g *garden) {
		for i := range 200 {
			g.plant(fmt.Sprint(i), Magic(i+1))
		}
		g.plant("unused")
		for name, filter := range map[string]bson.D{
			"fresh":   g.unused(g.fresh()),
			"old":     g.unused(g.old()),
			"expired": g.unused(g.expired(g.now)),
		} {
			plan := dbtest.Explain(t, g.coll, filter, nil, nil)
			if plan.Index != IndexUnused || plan.DocsExamined > 1 {
				t.Errorf("%s: %v", name, plan)
			}
		}
	})
}
