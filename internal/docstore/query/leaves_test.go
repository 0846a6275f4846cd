package query

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An update leaves the fields alone that no operator names, in whatever depth.
func TestLeaves(t *testing.T) {
	marshal := func(d bson.D) bson.Raw {
		b, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	filter, err := ParseFilter(marshal(bson.D{{Key: "p.q", Value: true}, {Key: "$and", Value: bson.A{
		bson.D{{Key: "r", Value: bson.D{{Key: "$exists", Value: true}}}}, bson.D{{Key: "s.0", Value: 1}}}}}))
	if err != nil {
		t.Fatal(err)
	}
	fields := filter.PartialFields()
	if slices.Sort(fields); !slices.Equal(fields, []string{"p", "r", "s"}) {
		t.Errorf("a filter decides by %q", fields)
	}
	for _, tc := range []struct {
		update bson.D
		leaves bool
	}{
		{bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}},
			{Key: "$inc", Value: bson.D{{Key: "b.p", Value: 1}}}}, true},
		{bson.D{{Key: "$set", Value: bson.D{{Key: "a", Value: 1}}},
			{Key: "$inc", Value: bson.D{{Key: "p", Value: 1}}}}, false},
		{bson.D{{Key: "$unset", Value: bson.D{{Key: "r.x", Value: ""}}}}, false},
		{bson.D{{Key: "$push", Value: bson.D{{Key: "s", Value: 1}}}}, false},
		{bson.D{{Key: "x", Value: 1}}, false},
	} {
		u, err := ParseUpdate(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: marshal(tc.update)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Leaves(fields); got != tc.leaves {
			t.Errorf("%v: %t", tc.update, got)
		}
	}
}
