package mailstore

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

const maxUID = math.MaxUint32

func drawUIDs(t *rapid.T, label string) []uint32 {
	// From a small set, so that neighbours are common, and at the end of what is possible.
	gen := rapid.OneOf(rapid.Uint32Range(1, 300), rapid.Uint32Range(1, 5000), rapid.Uint32Range(maxUID-50, maxUID))
	uids := rapid.SliceOfNDistinct(gen, 0, 200, rapid.ID[uint32]).Draw(t, label)
	slices.Sort(uids)
	return uids
}

func drawRanges(t *rapid.T, label string) uidset.Set {
	return uidset.Of(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) uidset.Range {
		a := rapid.Uint32Range(1, 2000).Draw(t, "first")
		return uidset.Range{First: a, Last: a + rapid.Uint32Range(0, 300).Draw(t, "more")}
	}), 0, 8).Draw(t, label)...)
}

// matches evaluates what keyFilters makes.
func matches(t *rapid.T, filter bson.D, key bson.Binary) bool {
	if len(filter) != 1 || filter[0].Key != DocID {
		t.Fatalf("filter %v", filter)
	}
	conditions, ok := filter[0].Value.(bson.D)
	if !ok {
		return bytes.Equal(filter[0].Value.(bson.Binary).Data, key.Data)
	}
	for _, c := range conditions {
		switch c.Key {
		case "$gte":
			if bytes.Compare(key.Data, c.Value.(bson.Binary).Data) < 0 {
				return false
			}
		case "$lte":
			if bytes.Compare(key.Data, c.Value.(bson.Binary).Data) > 0 {
				return false
			}
		case "$in":
			if !slices.ContainsFunc(c.Value.([]bson.Binary),
				func(b bson.Binary) bool { return bytes.Equal(b.Data, key.Data) }) {
				return false
			}
		default:
			t.Fatalf("condition %v", c)
		}
	}
	return true
}

func TestKeyFiltersTakeEachUIDOnceAndInOrder(t *testing.T) {
	box := mailkey.UserID{1}.Mailbox(7)
	rapid.Check(t, func(t *rapid.T) {
		ranges := drawRanges(t, "ranges")
		filters := keyFilters(box, ranges, rapid.Bool().Draw(t, "clustered"))
		last := 0
		for uid := uint32(1); uid <= 2400; uid++ {
			var in []int
			for i, f := range filters {
				if matches(t, f, box.Message(uid).Binary()) {
					in = append(in, i)
				}
			}
			if ranges.Contains(uid) != (len(in) == 1) || len(in) > 1 {
				t.Fatalf("UID %d is in %v of %d filters; ranges %v", uid, in, len(filters), ranges)
			}
			if len(in) == 1 {
				if in[0] < last {
					t.Fatalf("UID %d is in filter %d after %d", uid, in[0], last)
				}
				last = in[0]
			}
		}
	})
}

func TestKeyFiltersAreBounded(t *testing.T) {
	box := mailkey.UserID{1}.Mailbox(7)
	var sparse uidset.Set
	for uid := uint32(1); uid < 10*maxRangesPerFind; uid += 2 {
		sparse = append(sparse, uidset.Range{First: uid, Last: uid})
	}
	for _, clustered := range []bool{false, true} {
		for _, f := range keyFilters(box, sparse, clustered) {
			points := f[0].Value.(bson.D)[2].Value.([]bson.Binary)
			if len(points) > maxRangesPerFind+shortRange {
				t.Errorf("%d keys in one filter", len(points))
			}
		}
	}
	far := uidset.Set{{First: 1, Last: 2}, {First: 1_000_000, Last: 1_000_000}}
	if n := len(keyFilters(box, far, true)); n != 2 {
		t.Errorf("%d queries in a clustered collection, want one on each side of the gap", n)
	}
	if n := len(keyFilters(box, far, false)); n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
}

func TestCoverHoldsNoOtherMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawUIDs(t, "all")
		ranges := drawRanges(t, "ranges")
		wanted := ranges.Keep(slices.Clone(all))
		size := rapid.IntRange(1, 20).Draw(t, "size")
		var seen []uint32
		for part := range slices.Chunk(wanted, size) {
			c := cover(part, ranges)
			inside := c.Keep(slices.Clone(all))
			if !slices.Equal(inside, part) {
				t.Fatalf("cover %v of %v holds %v", c, part, inside)
			}
			seen = append(seen, inside...)
		}
		if !slices.Equal(seen, wanted) {
			t.Fatalf("covered %v of %v", seen, wanted)
		}
	})
}
