package query

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// For every document within the bounds of _id, the residual filter says what the whole one does.
func TestResidual(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		short := func() []byte { return rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 3).Draw(t, "bytes") }
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			return rapid.StringMatching("[a-c]{0,2}").Draw(t, "string")
		case 1:
			return bson.Binary{Subtype: byte(rapid.SampledFrom([]int{0, 5, 0x80}).Draw(t, "subtype")), Data: short()}
		case 2:
			return bson.ObjectID{11: rapid.Byte().Draw(t, "id")}
		case 3:
			return bson.DateTime(rapid.Int64Range(-2, 2).Draw(t, "date"))
		case 4:
			return rapid.Float64Range(-1, 1).Draw(t, "number")
		case 5:
			return nil
		case 6:
			return bson.MinKey{}
		}
		return rapid.Bool().Draw(t, "bool")
	})
	rapid.Check(t, func(t *rapid.T) {
		cond := bson.D{}
		for _, op := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"$gt", "$gte", "$lt",
			"$lte", "$eq", "$ne"}), 1, 3, rapid.ID).Draw(t, "ops") {
			cond = append(cond, bson.E{Key: op, Value: value.Draw(t, "operand")})
		}
		raw, err := bson.Marshal(bson.D{{Key: "_id", Value: cond}, {Key: "a", Value: 1}})
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFilter(raw)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: value.Draw(t, "id")},
			{Key: "a", Value: rapid.IntRange(0, 1).Draw(t, "a")}})
		if err != nil {
			t.Fatal(err)
		}
		iv, ok := f.Intervals("_id", false)
		if !ok || !holds(iv, rawdoc.Get(doc, "_id")) {
			if ok && f.Match(doc) {
				t.Fatalf("%v matches %v, which is out of its bounds", f, bson.Raw(doc))
			}
			return
		}
		if whole, rest := f.Match(doc), f.Residual().Match(doc); whole != rest {
			t.Fatalf("%v: the filter %v says %v, what is left of it %v", bson.Raw(doc), bson.Raw(raw), whole, rest)
		}
	})
}

// holds reports that one of the intervals holds v.
func holds(iv []Interval, v bson.RawValue) bool {
	for _, i := range iv {
		low, high := bsonkey.Compare(v, i.Low), bsonkey.Compare(v, i.High)
		if (low > 0 || low == 0 && i.LowInc) && (high < 0 || high == 0 && i.HighInc) {
			return true
		}
	}
	return false
}
