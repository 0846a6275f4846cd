package shards

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"gadwall/internal/dbtest"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"
)

// cluster does what the config servers do with the steps, and refuses what they refuse.
type cluster struct {
	State
	enabled  bool
	commands []string
}

func newCluster(shards ...string) *cluster {
	c := &cluster{State: State{Database: "gadwall", Keys: make(map[string]bson.Raw)}}
	for _, name := range shards {
		c.Shards = append(c.Shards, Shard{Name: name})
	}
	return c
}

func (c *cluster) run(_ context.Context, step Step) error {
	command := raw(step.Command)
	name := step.Command[0].Key
	target := command.Lookup(name).StringValue()
	c.commands = append(c.commands, name)
	switch name {
	case "enableSharding":
		c.enabled = true
	case "addShardToZone":
		i := slices.IndexFunc(c.Shards, func(s Shard) bool { return s.Name == target })
		if i < 0 {
			return errors.New("ShardNotFound")
		}
		c.Shards[i].Zones = append(c.Shards[i].Zones, command.Lookup("zone").StringValue())
	case "updateZoneKeyRange":
		return c.updateRange(target, command)
	case "dropIndexes":
		c.UniqueNames = false
	case "shardCollection":
		if !c.enabled {
			return errors.New("sharding not enabled for db")
		}
		if target == "gadwall.users" && c.UniqueNames {
			return errors.New("can't shard a collection with a unique index that has another prefix")
		}
		c.Keys[target] = command.Lookup("key").Document()
	case "split":
		if c.Keys[target] == nil {
			return errors.New("NamespaceNotSharded")
		}
	default:
		return errors.New("CommandNotFound")
	}
	return nil
}

func (c *cluster) updateRange(ns string, command bson.Raw) error {
	low, high := command.Lookup("min").Document(), command.Lookup("max").Document()
	i := slices.IndexFunc(c.Ranges, func(r Range) bool {
		return r.NS == ns && string(r.Min) == string(low) && string(r.Max) == string(high)
	})
	zone, ok := command.Lookup("zone").StringValueOK()
	switch {
	case !ok && i >= 0:
		c.Ranges = slices.Delete(c.Ranges, i, i+1)
	case i >= 0 && c.Ranges[i].Zone != zone:
		return errors.New("RangeOverlapConflict")
	case i < 0:
		known := slices.ContainsFunc(c.Shards, func(s Shard) bool { return slices.Contains(s.Zones, zone) })
		if !known {
			return errors.New("ZoneNotFound")
		}
		c.Ranges = append(c.Ranges, Range{NS: ns, Min: low, Max: high, Zone: zone})
	}
	return nil
}

// apply plans, applies, and expects that another plan is empty. It returns the
// steps.
func (c *cluster) apply(t *testing.T) []Step {
	t.Helper()
	steps, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	if err := Apply(t.Context(), steps, c.run, func(Step) { done++ }); err != nil || done != len(steps) {
		t.Fatalf("%d of %d steps: %v", done, len(steps), err)
	}
	if again, err := c.Plan(); err != nil || len(again) > 0 {
		t.Fatalf("%d steps are left, %v", len(again), err)
	}
	return steps
}

// layout returns the zones of a collection by the prefixes of the ranges.
func (c *cluster) layout(ns string) map[string]string {
	zones := make(map[string]string)
	for _, r := range c.Ranges {
		if r.NS == ns {
			zones[prefixOf(r.Min)+"-"+prefixOf(r.Max)] = r.Zone
		}
	}
	return zones
}

func prefixOf(bound bson.Raw) string {
	v := bound.Index(0).Value()
	if _, data, ok := v.BinaryOK(); ok {
		return string("0123456789abcdef"[data[0]>>4]) + string("0123456789abcdef"[data[0]&15])
	}
	return v.Type.String()
}

// All collections that lie by user have the same layout, from the first key to the last, and
// shards share the slots evenly. A shard that comes takes its share, and nothing else moves.
func TestLayout(t *testing.T) {
	c := newCluster("a", "b")
	c.UniqueNames = true
	c.apply(t)
	if len(c.Keys) != len(collections) {
		t.Errorf("%d collections are sharded", len(c.Keys))
	}
	before := c.layout("gadwall.messages")
	if len(before) != Slots || before["min key-01"] == "" || before["ff-max key"] == "" {
		t.Errorf("%d slots: %v", len(before), slices.Sorted(maps.Keys(before)))
	}
	for _, other := range []string{"users", "mailboxes", "subscriptions", "journal", "authlog", "seen",
		"webhookreaders", "searchstates", "searchrows", "searchblocks", "searchcolumns"} {
		if !maps.Equal(before, c.layout("gadwall."+other)) {
			t.Errorf("%s lies elsewhere than messages", other)
		}
	}
	count := func(layout map[string]string) map[string]int {
		n := make(map[string]int)
		for _, zone := range layout {
			n[zone]++
		}
		return n
	}
	if n := count(before); n["gadwall-a"] != 128 || n["gadwall-b"] != 128 {
		t.Errorf("slots: %v", n)
	}
	c.Shards = append(c.Shards, Shard{Name: "c"})
	c.apply(t)
	after := c.layout("gadwall.messages")
	for slot, zone := range after {
		if zone != before[slot] && zone != "gadwall-c" {
			t.Errorf("slot %s went from %s to %s", slot, before[slot], zone)
		}
	}
	if n := count(after); n["gadwall-a"] != 86 || n["gadwall-b"] != 85 || n["gadwall-c"] != 85 {
		t.Errorf("slots: %v", n)
	}
	c.Shards[0].Draining = true
	c.apply(t)
	if n := count(c.layout("gadwall.messages")); n["gadwall-b"] != 128 || n["gadwall-c"] != 128 {
		t.Errorf("slots without the shard that goes: %v", n)
	}
}

// Interrupted anywhere, a plan is made anew and comes to the same end.
func TestInterruptedApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster("a", "b", "c")
		c.UniqueNames = rapid.Bool().Draw(t, "old index")
		for range 4 {
			steps, err := c.Plan()
			if err != nil {
				t.Fatal(err)
			}
			n := rapid.IntRange(0, len(steps)).Draw(t, "steps")
			if err := Apply(context.Background(), steps[:n], c.run, func(Step) {}); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "another shard") {
				c.Shards = append(c.Shards, Shard{Name: "s" + string(rune('0'+len(c.Shards)))})
			}
		}
		steps, err := c.Plan()
		if err == nil {
			err = Apply(context.Background(), steps, c.run, func(Step) {})
		}
		if err != nil {
			t.Fatal(err)
		}
		if steps, err = c.Plan(); err != nil || len(steps) > 0 {
			t.Fatalf("%d steps are left, %v", len(steps), err)
		}
	})
}

// What an operator made by hand is not undone.
func TestForeignLayouts(t *testing.T) {
	c := newCluster("a")
	c.Keys["gadwall.messages"] = raw(bson.D{{Key: "_id", Value: "hashed"}})
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "gadwall.messages is sharded by") {
		t.Errorf("another shard key: %v", err)
	}
	c = newCluster("a")
	c.Ranges = []Range{{NS: "gadwall.users", Zone: "mine",
		Min: raw(bson.D{{Key: "_id", Value: bson.MinKey{}}}), Max: raw(bson.D{{Key: "_id", Value: 1}})}}
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "no slot") {
		t.Errorf("another range: %v", err)
	}
	if _, err := newCluster().Plan(); err == nil {
		t.Error("a cluster without shards has a plan")
	}
}

// What a cluster has is read from its config database.
func TestRead(t *testing.T) {
	db := dbtest.OpenReplicaSet(t, 1).Database(t)
	if _, err := Read(t.Context(), db); !errors.Is(err, ErrNotSharded) {
		t.Errorf("no cluster: %v", err)
	}
	c := newCluster("a", "b")
	c.Database = db.Name()
	c.apply(t)
	insert := func(collection string, docs ...any) {
		t.Helper()
		config := db.Client().Database("config").Collection(collection)
		if _, err := config.InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Shards {
		insert("shards", bson.D{{Key: "_id", Value: s.Name}, {Key: "tags", Value: s.Zones}})
	}
	for ns, key := range c.Keys {
		insert("collections", bson.D{{Key: "_id", Value: ns}, {Key: "key", Value: key}})
	}
	insert("collections", bson.D{{Key: "_id", Value: "test.gone"}, {Key: "dropped", Value: true}})
	for _, r := range c.Ranges {
		insert("tags", bson.D{{Key: "ns", Value: r.NS}, {Key: "min", Value: r.Min},
			{Key: "max", Value: r.Max}, {Key: "tag", Value: r.Zone}})
	}
	state, err := Read(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if steps, err := state.Plan(); err != nil || len(steps) > 0 || state.Slots("a") != 128 {
		t.Errorf("%d steps, %v; %d slots", len(steps), err, state.Slots("a"))
	}
	old := mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}},
		Options: options.Index().SetName("name").SetUnique(true)}
	if _, err := db.Collection("users").Indexes().CreateOne(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if state, err = Read(t.Context(), db); err != nil || !state.UniqueNames {
		t.Errorf("a unique index on names was not seen: %v", err)
	}
}
