package query

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/rawdoc/rawgen"
)

// anyFilter draws filters over the fields that rawgen's documents have.
func anyFilter(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		buf, start := rawdoc.Begin(nil)
		for range rapid.IntRange(1, 2).Draw(t, "conditions") {
			if depth > 0 && rapid.IntRange(0, 3).Draw(t, "logical") == 0 {
				var list []bson.RawValue
				for range rapid.IntRange(1, 2).Draw(t, "clauses") {
					list = append(list, anyFilter(depth-1).Draw(t, "clause"))
				}
				name := rapid.SampledFrom([]string{"$and", "$or", "$nor"}).Draw(t, "operator")
				buf = rawdoc.AppendElem(buf, name, arrayOf(list))
				continue
			}
			path := rapid.SampledFrom([]string{"a", "b", "a.b", "a.a", "a.0"}).Draw(t, "path")
			buf = rawdoc.AppendElem(buf, path, anyPredicate(depth).Draw(t, "predicate"))
		}
		return rawdoc.OfDoc(rawdoc.End(buf, start))
	})
}

func anyPredicate(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		buf, start := rawdoc.Begin(nil)
		for range rapid.IntRange(1, 2).Draw(t, "operators") {
			kinds := 8
			if depth > 0 {
				kinds = 10
			}
			name, v := "", bson.RawValue{}
			switch rapid.IntRange(0, kinds).Draw(t, "kind") {
			case 0, 1, 2, 3:
				name = rapid.SampledFrom([]string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"}).Draw(t, "comparison")
				v = operand(t)
			case 4, 5:
				name = rapid.SampledFrom([]string{"$in", "$nin", "$all"}).Draw(t, "list")
				v = arrayOf([]bson.RawValue{operand(t), operand(t)})
			case 6:
				name, v = "$exists", rawdoc.OfBool(rapid.Bool().Draw(t, "exists"))
			case 7:
				name, v = "$type",
					rawgen.Of(rapid.SampledFrom([]string{"number", "string", "array", "null"}).Draw(t, "type"))
			case 8:
				name, v = "$size", rawdoc.OfInt32(rapid.Int32Range(0, 2).Draw(t, "size"))
			case 9:
				name, v = "$not", anyPredicate(depth-1).Draw(t, "not")
			case 10:
				name, v = "$elemMatch", rapid.OneOf(anyPredicate(depth-1), anyFilter(depth-1)).Draw(t, "element")
			}
			buf = rawdoc.AppendElem(buf, name, v)
		}
		return rawdoc.OfDoc(rawdoc.End(buf, start))
	})
}

// operand draws a value that a comparison accepts; small numbers are frequent, so that they match.
func operand(t *rapid.T) bson.RawValue {
	v := rapid.OneOf(smallNumber(), smallNumber(), rawgen.Value(1)).Draw(t, "operand")
	if v.Type == bson.TypeUndefined || v.Type == bson.TypeRegex {
		return rawdoc.Null
	}
	return v
}

func smallNumber() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		return rawdoc.OfInt32(rapid.Int32Range(0,
			3).Draw(t, "small"))
	})
}

// anyDoc draws documents with few fields, small numbers and many arrays.
func anyDoc(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		buf, start := rawdoc.Begin(nil)
		for _, name := range []string{"a", "b"} {
			if v := anyField(depth).Draw(t, name); !rawdoc.IsMissing(v) {
				buf = rawdoc.AppendElem(buf, name, v)
			}
		}
		return rawdoc.OfDoc(rawdoc.End(buf, start))
	})
}

func anyField(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		kinds := 2
		if depth > 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds).Draw(t, "kind") {
		case 0:
			return rawdoc.Missing
		case 1:
			return smallNumber().Draw(t, "number")
		case 2:
			return rawgen.Value(1).Draw(t, "value")
		case 3:
			return anyDoc(depth-1).Draw(t, "doc")
		}
		var list []bson.RawValue
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			v := anyField(depth-1).Draw(t, "item")
			if rawdoc.IsMissing(v) {
				v = rawdoc.Null
			}
			list = append(list, v)
		}
		return arrayOf(list)
	})
}

func drawFilter(t *rapid.T, label string) (*Filter, bson.RawValue) {
	raw := anyFilter(2).Draw(t, label)
	f, err := ParseFilter(raw.Value)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return f, raw
}

// TestIntervalsHoldMatches: whatever a filter matches has a key within its intervals.
func TestIntervalsHoldMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, raw := drawFilter(t, "filter")
		for range 5 {
			doc := anyDoc(3).Draw(t, "doc")
			if f.Match(doc.Value) {
				t.Logf("%s", raw)
				checkIntervals(t, f, doc.Value)
			}
		}
	})
}

// TestImplicationHolds: what a filter matches, the filters it implies match too.
func TestImplicationHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, rawF := drawFilter(t, "filter")
		g, rawG := drawFilter(t, "implied")
		if !f.Implies(g) {
			return
		}
		for range 10 {
			doc := anyDoc(3).Draw(t, "doc")
			if f.Match(doc.Value) && !g.Match(doc.Value) {
				t.Fatalf("%s should imply %s, but not for %s", rawF, rawG, doc)
			}
		}
	})
}

// TestNegations: $nor is the opposite of the filter, $not and $ne and $nin are those of their
// operators.
func TestNegations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, raw := drawFilter(t, "filter")
		nor := parsed(t, bson.D{{Key: "$nor", Value: bson.A{raw}}})
		p := anyPredicate(2).Draw(t, "predicate")
		v := operand(t)
		pairs := [][2]*Filter{
			{nor, parsed(t, bson.D{{Key: "$and", Value: bson.A{raw}}})},
			{parsed(t, bson.D{{Key: "a.b", Value: bson.D{{Key: "$not", Value: p}}}}),
				parsed(t, bson.D{{Key: "a.b", Value: p}})},
			{parsed(t, bson.D{{Key: "a", Value: bson.D{{Key: "$ne", Value: v}}}}),
				parsed(t, bson.D{{Key: "a", Value: bson.D{{Key: "$eq", Value: v}}}})},
			{parsed(t, bson.D{{Key: "a", Value: bson.D{{Key: "$nin", Value: bson.A{v}}}}}),
				parsed(t, bson.D{{Key: "a", Value: bson.D{{Key: "$eq", Value: v}}}})},
		}
		doc := anyDoc(3).Draw(t, "doc")
		for i, pair := range pairs {
			if pair[0].Match(doc.Value) == pair[1].Match(doc.Value) {
				t.Fatalf("pair %d agrees on %s", i, doc)
			}
		}
	})
}

func parsed(t *rapid.T, d bson.D) *Filter {
	raw, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFilter(raw)
	if err != nil {
		t.Fatalf("%s: %v", bson.Raw(raw), err)
	}
	return f
}
