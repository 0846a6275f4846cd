package shards

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Slots is how many ranges of users there are.
const Slots = 256

// splits is how many chunks per shard a collection that is spread by hashes begins with.
const splits = 4

// collection is a collection that is sharded.
type collection struct {
	name  string
	key   bson.D
	width int  // octets of the first field of the key
	users bool // the first field begins with the user's id
}

func ascending(fields ...string) bson.D {
	var key bson.D
	for _, f := range fields {
		key = append(key, bson.E{Key: f, Value: 1})
	}
	return key
}

var collections = []collection{
	{"users", ascending("_id"), 8, true},
	{"mailboxes", ascending("u"), 8, true},
	{"subscriptions", ascending("u"), 8, true},
	{"metadata", ascending("u"), 8, true},
	{"messages", ascending("_id"), 16, true},
	{"journal", ascending("_id"), 20, true},
	{"authlog", ascending("_id"), 24, true},
	{"seen", ascending("_id"), 20, true},
	{"rolls", ascending("_id"), 12, true},
	{"webhookreaders", ascending("_id"), 16, true},
	{"searchstates", ascending("_id"), 8, true},
	{"searchrows", ascending("_id"), 16, true},
	{"searchblocks", ascending("_id"), 16, true},
	{"searchcolumns", ascending("_id"), 18, true},
	// Not by user: the name that a client logs in with leads to the user. Its key is unique.
	{"addresses", ascending("_id"), 0, false},
	{"contents", ascending("_id"), 32, false},
	{"blobs.files", ascending("metadata.hash"), 32, false},
	{"blobs.chunks", ascending("files_id", "n"), 0, false},
}

// bound returns the least key of a slot: MinKey of the first, MaxKey behind the last. Binary values
// sort by their length first, so all of them have the length of the keys.
func (c *collection) bound(slot int) bson.D {
	var v any = bson.Binary{Data: append([]byte{byte(slot)}, make([]byte, c.width-1)...)}
	switch slot {
	case 0:
		v = bson.MinKey{}
	case Slots:
		v = bson.MaxKey{}
	}
	return bson.D{{Key: c.key[0].Key, Value: v}}
}

// A Shard is a shard of the cluster with its zones.
type Shard struct {
	Name  string   `bson:"_id"`
	Zones []string `bson:"tags"`
	// Draining shards are being removed.
	Draining bool `bson:"draining"`
}

// A Range is a range of keys of a collection that is in a zone.
type Range struct {
	NS       string `bson:"ns"`
	Min, Max bson.Raw
	Zone     string `bson:"tag"`
}

// State is what a cluster has.
type State struct {
	Database string
	Shards   []Shard
	// Keys are the shard keys by namespace.
	Keys   map[string]bson.Raw
	Ranges []Range
	// UniqueNames says that the users have the unique index on names of earlier versions.
	UniqueNames bool
}

// A Step is a command, and the database that it is for.
type Step struct {
	Database string
	Command  bson.D
}

// String is the command as the shell would print it.
func (s Step) String() string {
	text, err := bson.MarshalExtJSON(s.Command, false, false)
	if err != nil {
		return err.Error()
	}
	return s.Database + ": " + string(text)
}

// Slots returns how many slots of messages a shard has.
func (s *State) Slots(shard string) int {
	n := 0
	for _, r := range s.Ranges {
		if r.NS == s.Database+".messages" && r.Zone == zoneOf(shard) {
			n++
		}
	}
	return n
}

func zoneOf(shard string) string { return "gadwall-" + shard }

// Plan returns the steps that bring the cluster to its layout, none if it is there.
func (s *State) Plan() ([]Step, error) {
	zones, steps, err := s.planZones()
	if err != nil {
		return nil, err
	}
	missing, err := s.unsharded()
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		steps = append(steps, admin("enableSharding", s.Database))
	}
	ranges, err := s.planRanges(zones)
	if err != nil {
		return nil, err
	}
	// Ranges come before shardCollection, which makes and places their chunks.
	steps = append(steps, ranges...)
	for _, c := range missing {
		if c.name == "users" && s.UniqueNames {
			steps = append(steps, Step{s.Database, bson.D{{Key: "dropIndexes", Value: c.name},
				{Key: "index", Value: "name"}}})
		}
		steps = append(steps, admin("shardCollection", s.ns(c), bson.E{Key: "key", Value: c.key}))
		if !c.users && c.width > 0 {
			steps = append(steps, s.presplit(c, len(zones))...)
		}
	}
	return steps, nil
}

func admin(command, target string, args ...bson.E) Step {
	return Step{"admin", append(bson.D{{Key: command, Value: target}}, args...)}
}

func (s *State) ns(c collection) string { return s.Database + "." + c.name }

// planZones returns the zones, in the order of the shards, and makes those that do not exist.
func (s *State) planZones() (zones []string, steps []Step, err error) {
	for _, shard := range s.Shards {
		if shard.Draining {
			continue
		}
		zone := zoneOf(shard.Name)
		zones = append(zones, zone)
		if !slices.Contains(shard.Zones, zone) {
			steps = append(steps, admin("addShardToZone", shard.Name, bson.E{Key: "zone", Value: zone}))
		}
	}
	if len(zones) == 0 {
		return nil, nil, errors.New("the cluster has no shards")
	}
	return zones, steps, nil
}

// unsharded returns the collections that are not sharded yet.
func (s *State) unsharded() ([]collection, error) {
	var missing []collection
	for _, c := range collections {
		have, ok := s.Keys[s.ns(c)]
		if !ok {
			missing = append(missing, c)
			continue
		}
		if !sameFields(have, c.key) {
			return nil, fmt.Errorf("%s is sharded by %s, not by %v", s.ns(c), have, c.key)
		}
	}
	return missing, nil
}

func sameFields(have bson.Raw, want bson.D) bool {
	elements, err := have.Elements()
	if err != nil || len(elements) != len(want) {
		return false
	}
	for i, e := range elements {
		if n, ok := e.Value().AsInt64OK(); e.Key() != want[i].Key || !ok || n != 1 {
			return false
		}
	}
	return true
}

// planRanges puts each slot of each collection into its zone.
func (s *State) planRanges(zones []string) ([]Step, error) {
	have := make(map[string]map[int]string) // zone by namespace and slot
	for _, c := range collections {
		if !c.users {
			continue
		}
		byStart := make(map[string]int, Slots)
		for slot := range Slots {
			byStart[string(raw(c.bound(slot)))+string(raw(c.bound(slot+1)))] = slot
		}
		have[s.ns(c)] = make(map[int]string)
		for _, r := range s.Ranges {
			if r.NS != s.ns(c) {
				continue
			}
			slot, ok := byStart[string(r.Min)+string(r.Max)]
			if !ok {
				return nil, fmt.Errorf("%s has a zone range that is no slot: %s to %s in %s; remove it first",
					r.NS, r.Min, r.Max, r.Zone)
			}
			have[r.NS][slot] = r.Zone
		}
	}
	layout := assign(have[s.Database+".messages"], zones)
	var steps []Step
	for _, c := range collections {
		if !c.users {
			continue
		}
		for slot, zone := range layout {
			old, ok := have[s.ns(c)][slot]
			if ok && old == zone {
				continue
			}
			set := func(zone any) Step {
				return admin("updateZoneKeyRange", s.ns(c), bson.E{Key: "min", Value: c.bound(slot)},
					bson.E{Key: "max", Value: c.bound(slot + 1)}, bson.E{Key: "zone", Value: zone})
			}
			if ok { // a range is in one zone only
				steps = append(steps, set(nil))
			}
			steps = append(steps, set(zone))
		}
	}
	return steps, nil
}

// raw is a bound as the cluster has it.
func raw(bound bson.D) bson.Raw {
	doc, _ := bson.Marshal(bound) // of our own making
	return doc
}

// assign gives each slot a zone, the same number to each, and moves as few as it can.
func assign(have map[int]string, zones []string) [Slots]string {
	var layout [Slots]string
	most := make(map[string]int, len(zones)) // how many slots a zone may have yet
	for i, zone := range zones {
		most[zone] = Slots / len(zones)
		if i < Slots%len(zones) {
			most[zone]++
		}
	}
	for slot := range Slots {
		if zone := have[slot]; most[zone] > 0 {
			layout[slot] = zone
			most[zone]--
		}
	}
	next := 0
	for slot := range Slots {
		if layout[slot] != "" {
			continue
		}
		for most[zones[next]] == 0 {
			next++
		}
		layout[slot] = zones[next]
		most[zones[next]]--
	}
	return layout
}

// presplit cuts a new collection that is spread by hashes into chunks, which the balancer spreads.
func (s *State) presplit(c collection, shards int) []Step {
	var steps []Step
	n := splits * shards
	for i := 1; i < n; i++ {
		at := i * 65536 / n
		middle := bytes.Clone(append([]byte{byte(at >> 8), byte(at)}, make([]byte, c.width-2)...))
		steps = append(steps, admin("split", s.ns(c), bson.E{Key: "middle",
			Value: bson.D{{Key: c.key[0].Key, Value: bson.Binary{Data: middle}}}}))
	}
	return steps
}
