package query

import (
	"math"
	"math/big"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// pred is a condition on a single value, which may be missing.
type pred interface{ test(v bson.RawValue) bool }

// relation is a comparison operator.
type relation uint8

const (
	relEq relation = iota
	relLt
	relLte
	relGt
	relGte
)

func (r relation) orEqual() bool { return r == relEq || r == relLte || r == relGte }

// holds interprets the result of a comparison.
func (r relation) holds(c int) bool {
	switch r {
	case relEq:
		return c == 0
	case relLt:
		return c < 0
	case relLte:
		return c <= 0
	case relGt:
		return c > 0
	}
	return c >= 0
}

// comparison compares with a constant, within the constant's kind.
type comparison struct {
	rel  relation
	val  bson.RawValue
	kind bsonkey.Kind
	nan  bool
}

func newComparison(rel relation, v bson.RawValue) *comparison {
	return &comparison{rel: rel, val: v, kind: bsonkey.KindOf(v.Type), nan: isNaN(v)}
}

func isNaN(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeDouble:
		return math.IsNaN(rawdoc.Double(v))
	case bson.TypeDecimal128:
		return rawdoc.Decimal(v).IsNaN()
	}
	return false
}

func (c *comparison) test(v bson.RawValue) bool {
	kind := bsonkey.KindOf(v.Type)
	if kind != c.kind {
		switch c.kind {
		case bsonkey.KindNull: // undefined counts as null
			return kind == bsonkey.KindUndefined && c.rel.orEqual()
		case bsonkey.KindMinKey:
			return c.rel == relGt || c.rel == relGte
		case bsonkey.KindMaxKey:
			return c.rel == relLt || c.rel == relLte
		}
		return false
	}
	// NaN equals itself and is neither less nor greater than anything.
	if kind == bsonkey.KindNumber && (c.nan || isNaN(v)) {
		return c.nan && c.rel.orEqual() && isNaN(v)
	}
	return c.rel.holds(bsonkey.Compare(v, c.val))
}

// oneOf is $in: equal to one of the values, or matched by one of the regular expressions.
type oneOf struct {
	vals    []bson.RawValue // sorted by bsonkey.Compare, distinct
	regexes []*regex
	null    bool // null is among vals
}

func newOneOf(vals []bson.RawValue, regexes []*regex) *oneOf {
	vals = slices.Clone(vals)
	slices.SortStableFunc(vals, bsonkey.Compare)
	vals = slices.CompactFunc(vals, func(a, b bson.RawValue) bool { return bsonkey.Compare(a, b) == 0 })
	o := &oneOf{vals: vals, regexes: regexes}
	for _, v := range vals {
		o.null = o.null || v.Type == bson.TypeNull
	}
	return o
}

func (o *oneOf) test(v bson.RawValue) bool {
	if _, found := slices.BinarySearchFunc(o.vals, v, bsonkey.Compare); found {
		return true
	}
	if v.Type == bson.TypeUndefined && o.null {
		return true
	}
	for _, r := range o.regexes {
		if r.test(v) {
			return true
		}
	}
	return false
}

type exists struct{}

func (exists) test(v bson.RawValue) bool { return !rawdoc.IsMissing(v) }

// hasType is $type: a set of types.
type hasType [256]bool

func (h *hasType) test(v bson.RawValue) bool { return h[byte(v.Type)] }

// sized is $size, on whole arrays.
type sized int64

func (s sized) test(v bson.RawValue) bool {
	if v.Type != bson.TypeArray {
		return false
	}
	n := int64(0)
	for it := rawdoc.Over(v.Value); it.Next(); {
		if n++; n > int64(s) {
			return false
		}
	}
	return n == int64(s)
}

// modulo is $mod.
type modulo struct{ divisor, remainder int64 }

func (m modulo) test(v bson.RawValue) bool {
	n, ok := truncated(v)
	if !ok {
		return false
	}
	if m.divisor == -1 { // MinInt64 % -1 is 0
		return m.remainder == 0
	}
	return n%m.divisor == m.remainder
}

// truncated is a number without its fraction, if that is an int64.
func truncated(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeDouble:
		f := math.Trunc(rawdoc.Double(v))
		if !(f >= -(1<<63) && f < 1<<63) {
			return 0, false
		}
		return int64(f), true
	case bson.TypeDecimal128:
		return truncatedDecimal(rawdoc.Decimal(v))
	}
	return rawdoc.Integer(v)
}

func truncatedDecimal(d bson.Decimal128) (int64, bool) {
	coef, exp, err := d.BigInt()
	switch {
	case err != nil: // NaN and infinities
		return 0, false
	case coef.Sign() == 0 || exp < -34: // a coefficient has 34 digits
		return 0, true
	case exp > 19:
		return 0, false
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
	if exp < 0 {
		coef.Quo(coef, scale)
	} else {
		coef.Mul(coef, scale)
	}
	return coef.Int64(), coef.IsInt64()
}

// elemMatchObject is $elemMatch with a filter: one element, an object or array, matches it whole.
type elemMatchObject struct{ filter node }

func (e *elemMatchObject) test(v bson.RawValue) bool {
	if v.Type != bson.TypeArray {
		return false
	}
	for it := rawdoc.Over(v.Value); it.Next(); {
		switch it.Type() {
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			if e.filter.match(it.Value().Value) {
				return true
			}
		}
	}
	return false
}

// elemMatchValue is $elemMatch with operators: one element satisfies all of them.
type elemMatchValue struct{ all *op }

func (e *elemMatchValue) test(v bson.RawValue) bool {
	if v.Type != bson.TypeArray {
		return false
	}
	for it := rawdoc.Over(v.Value); it.Next(); {
		if e.all.test(it.Value()) {
			return true
		}
	}
	return false
}

// op is an operator, or several of which all must hold, on one path; it may be negated.
type op struct {
	pred   pred // nil: all of kids
	whole  bool // an array at the end of the path is tested as a whole only
	negate bool
	kids   []*op
}

// test applies the operator to a single value, without any path.
func (o *op) test(v bson.RawValue) bool {
	ok := true
	if o.pred != nil {
		ok = o.pred.test(v)
	} else {
		for _, k := range o.kids {
			if !k.test(v) {
				ok = false
				break
			}
		}
	}
	return ok != o.negate
}
