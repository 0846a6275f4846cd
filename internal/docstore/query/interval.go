package query

import (
	"encoding/binary"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// Interval is a range of values in the order of package bsonkey. It may be a single value.
type Interval struct {
	Low, High       bson.RawValue
	LowInc, HighInc bool
}

// Point reports whether the interval holds one value only.
func (iv Interval) Point() bool {
	return iv.LowInc && iv.HighInc && bsonkey.Compare(iv.Low, iv.High) == 0
}

// Contains reports whether v lies within the interval.
func (iv Interval) Contains(v bson.RawValue) bool {
	lo, hi := bsonkey.Compare(v, iv.Low), bsonkey.Compare(v, iv.High)
	return (lo > 0 || lo == 0 && iv.LowInc) && (hi < 0 || hi == 0 && iv.HighInc)
}

func (iv Interval) empty() bool {
	c := bsonkey.Compare(iv.Low, iv.High)
	return c > 0 || c == 0 && !(iv.LowInc && iv.HighInc)
}

func point(v bson.RawValue) Interval { return Interval{v, v, true, true} }

// bracket is the range of all values of a kind.
func bracket(k bsonkey.Kind) (Interval, bool) {
	closed := func(lo, hi bson.RawValue) (Interval, bool) { return Interval{lo, hi, true, true}, true }
	open := func(lo, next bson.RawValue) (Interval, bool) { return Interval{lo, next, true, false}, true }
	fixed := func(t bson.Type, lo, hi uint64) (Interval, bool) {
		return closed(bson.RawValue{Type: t, Value: binary.LittleEndian.AppendUint64(nil, lo)},
			bson.RawValue{Type: t, Value: binary.LittleEndian.AppendUint64(nil, hi)})
	}
	emptyDoc, emptyArray := rawdoc.OfDoc(rawdoc.Empty), rawdoc.OfArray(rawdoc.Empty)
	emptyBinary := bson.RawValue{Type: bson.TypeBinary, Value: make([]byte, 5)}
	switch k {
	case bsonkey.KindNull:
		return closed(bson.RawValue{Type: bson.TypeUndefined}, rawdoc.Null)
	case bsonkey.KindNumber: // NaN is outside, which no range includes
		return closed(rawdoc.OfDouble(math.Inf(-1)), rawdoc.OfDouble(math.Inf(1)))
	case bsonkey.KindString:
		return open(stringValue(""), emptyDoc)
	case bsonkey.KindObject:
		return open(emptyDoc, emptyArray)
	case bsonkey.KindBinary:
		return open(emptyBinary, bson.RawValue{Type: bson.TypeObjectID, Value: make([]byte, 12)})
	case bsonkey.KindObjectID:
		return closed(bson.RawValue{Type: bson.TypeObjectID, Value: make([]byte, 12)},
			bson.RawValue{Type: bson.TypeObjectID, Value: slices.Repeat([]byte{0xff}, 12)})
	case bsonkey.KindBool:
		return closed(rawdoc.OfBool(false), rawdoc.OfBool(true))
	case bsonkey.KindDate:
		return fixed(bson.TypeDateTime, 1<<63, 1<<63-1)
	case bsonkey.KindTimestamp:
		return fixed(bson.TypeTimestamp, 0, 1<<64-1)
	}
	return Interval{}, false
}

func stringValue(s string) bson.RawValue {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(s)+1))
	return bson.RawValue{Type: bson.TypeString, Value: append(append(b, s...), 0)}
}

// intervalsOf returns the intervals of index keys that a predicate can find: a value for which it
// holds, or in the case of an array one of its elements, is in one of them.
func intervalsOf(p pred, multikey bool) ([]Interval, bool) {
	switch p := p.(type) {
	case *comparison:
		return comparisonIntervals(p)
	case *oneOf:
		var ivs []Interval
		for _, v := range p.vals {
			ivs = append(ivs, equalityIntervals(v)...)
		}
		for _, r := range p.regexes {
			ivs = append(ivs, regexIntervals(r)...)
		}
		return union(ivs), true
	case *regex:
		return union(regexIntervals(p)), true
	case modulo:
		iv, _ := bracket(bsonkey.KindNumber)
		return []Interval{iv}, true
	case *elemMatchValue: // all of it holds for one element, which is an index key
		return opIntervals(p.all)
	}
	return nil, false
}

// opIntervals are the intervals of one value for which the whole of o holds.
func opIntervals(o *op) ([]Interval, bool) {
	if o.negate {
		return nil, false
	}
	if o.pred != nil {
		switch p := o.pred.(type) {
		case *comparison, *oneOf:
			if matchesArrays(p) {
				return nil, false // the element itself may be an array, whose elements are no index keys
			}
		case *elemMatchValue:
			return nil, false
		}
		return intervalsOf(o.pred, true)
	}
	return combine(o.kids, false, opIntervals)
}

// matchesArrays reports whether a value for which p holds could be an array.
func matchesArrays(p pred) bool {
	switch p := p.(type) {
	case *comparison:
		return p.kind == bsonkey.KindArray || p.kind == bsonkey.KindMinKey || p.kind == bsonkey.KindMaxKey
	case *oneOf:
		return slices.ContainsFunc(p.vals, func(v bson.RawValue) bool { return v.Type == bson.TypeArray })
	}
	return true
}

func equalityIntervals(v bson.RawValue) []Interval {
	switch v.Type {
	case bson.TypeNull:
		iv, _ := bracket(bsonkey.KindNull)
		return []Interval{iv}
	case bson.TypeArray:
		// An array is found by its first element, an empty one under undefined; and as an element of an
		// outer array it is a key itself.
		first := bson.RawValue{Type: bson.TypeUndefined}
		if it := rawdoc.Over(v.Value); it.Next() {
			first = it.Value()
		}
		return []Interval{point(first), point(v)}
	}
	return []Interval{point(v)}
}

func comparisonIntervals(c *comparison) ([]Interval, bool) {
	if c.rel == relEq {
		return union(equalityIntervals(c.val)), true
	}
	if c.nan {
		if c.rel.orEqual() {
			return []Interval{point(c.val)}, true
		}
		return nil, true
	}
	iv, ok := bracket(c.kind)
	if !ok {
		return nil, false
	}
	if c.kind == bsonkey.KindNull {
		if c.rel.orEqual() {
			return []Interval{iv}, true
		}
		return nil, true
	}
	switch c.rel {
	case relLt, relLte:
		iv.High, iv.HighInc = c.val, c.rel == relLte
	default:
		iv.Low, iv.LowInc = c.val, c.rel == relGte
	}
	if iv.empty() {
		return nil, true
	}
	return []Interval{iv}, true
}

func regexIntervals(r *regex) []Interval {
	self := bson.RawValue{Type: bson.TypeRegex}
	self.Value = append(append(append(append(self.Value, r.pattern...), 0), r.options...), 0)
	iv, _ := bracket(bsonkey.KindString)
	if r.prefix != "" {
		iv.Low = stringValue(r.prefix)
		if next, ok := successor(r.prefix); ok {
			iv.High = stringValue(next)
		}
	}
	return []Interval{iv, point(self)}
}

// successor is the smallest string above all that start with s.
func successor(s string) (string, bool) {
	b := []byte(s)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "", false
	}
	b[len(b)-1]++
	return string(b), true
}

// union sorts intervals and merges those that overlap or touch.
func union(ivs []Interval) []Interval {
	slices.SortFunc(ivs, func(a, b Interval) int {
		if c := bsonkey.Compare(a.Low, b.Low); c != 0 {
			return c
		}
		switch {
		case a.LowInc == b.LowInc:
			return 0
		case a.LowInc:
			return -1
		}
		return 1
	})
	var out []Interval
	for _, iv := range ivs {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if c := bsonkey.Compare(iv.Low, last.High); c < 0 || c == 0 && (iv.LowInc || last.HighInc) {
				if c := bsonkey.Compare(iv.High, last.High); c > 0 || c == 0 && iv.HighInc {
					last.High, last.HighInc = iv.High, iv.HighInc
				}
				continue
			}
		}
		out = append(out, iv)
	}
	return out
}

// intersect returns the values that are in both unions.
func intersect(a, b []Interval) []Interval {
	var out []Interval
	for i, j := 0, 0; i < len(a) && j < len(b); {
		iv := a[i]
		if c := bsonkey.Compare(b[j].Low, iv.Low); c > 0 || c == 0 && !b[j].LowInc {
			iv.Low, iv.LowInc = b[j].Low, b[j].LowInc
		}
		c := bsonkey.Compare(b[j].High, a[i].High)
		if c < 0 || c == 0 && !b[j].HighInc {
			iv.High, iv.HighInc = b[j].High, b[j].HighInc
		}
		if !iv.empty() {
			out = append(out, iv)
		}
		if c < 0 {
			j++
		} else {
			i++
		}
	}
	return out
}
