package query

import (
	"bytes"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A projection finds many fields as it finds few, and of each the same.
func TestProjectionOfManyFields(t *testing.T) {
	var doc, include, exclude, kept, left bson.D
	doc = append(doc, bson.E{Key: "_id", Value: 1})
	kept = append(kept, doc[0])
	left = append(left, doc[0])
	for i := range 10 * manyKids {
		e := bson.E{Key: fmt.Sprint("f", i), Value: i}
		doc = append(doc, e)
		if i%2 == 0 {
			include = append(include, bson.E{Key: e.Key, Value: 1})
			exclude = append(exclude, bson.E{Key: e.Key, Value: 0})
			kept = append(kept, e)
		} else {
			left = append(left, e)
		}
	}
	raw := func(d bson.D) bson.Raw {
		b, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, test := range []struct{ projection, want bson.D }{{include, kept}, {exclude, left}} {
		p, err := ParseProjection(raw(test.projection))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Apply(raw(doc)); !bytes.Equal(got, raw(test.want)) {
			t.Errorf("got %v, want %v", got, test.want)
		}
	}
	twice := append(include, bson.E{Key: "f0", Value: 1})
	if _, err := ParseProjection(raw(twice)); err == nil {
		t.Error("a field may be named twice")
	}
}
