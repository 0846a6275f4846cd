package query

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

func items(arr bson.RawValue) []bson.RawValue {
	var out []bson.RawValue
	for it := rawdoc.Over(arr.Value); it.Next(); {
		out = append(out, it.Value())
	}
	return out
}

func arrayOf(vals []bson.RawValue) bson.RawValue {
	buf, start := rawdoc.Begin(nil)
	for i, v := range vals {
		buf = rawdoc.AppendItem(buf, i, v)
	}
	return rawdoc.OfArray(rawdoc.End(buf, start))
}

// pushOp is $push with its modifiers, applied in this order: insert at the position, sort, slice.
type pushOp struct {
	creating
	vals     []bson.RawValue
	position *int // nil: at the end; negative: from the end
	order    *elementOrder
	slice    *int // negative: the last ones
}

func (o *pushOp) apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if !rawdoc.IsMissing(cur) && cur.Type != bson.TypeArray {
		return cur, opKeeps, mongoerr.New(mongoerr.BadValue,
			"The field '%s' must be an array but is of type %s in document {_id: %s}",
			path, rawdoc.TypeName(cur.Type), r.id)
	}
	arr := items(cur)
	at := len(arr)
	if o.position != nil {
		at = min(*o.position, len(arr))
		if at < 0 {
			at = max(0, len(arr)+at)
		}
	}
	arr = slices.Insert(arr, at, o.vals...)
	if o.order != nil {
		slices.SortStableFunc(arr, o.order.compare)
	}
	if o.slice != nil {
		switch n := *o.slice; {
		case n >= 0:
			arr = arr[:min(n, len(arr))]
		default:
			arr = arr[max(0, len(arr)+n):]
		}
	}
	return arrayOf(arr), opSets, nil
}

// elementOrder is the $sort of a $push: by the whole element (no fields), or by fields of elements
// that are documents.
type elementOrder struct {
	desc   bool
	fields []SortField
}

func (o *elementOrder) compare(a, b bson.RawValue) int {
	if len(o.fields) == 0 {
		return directed(bsonkey.Compare(a, b), o.desc)
	}
	for _, f := range o.fields {
		if c := bsonkey.Compare(plainField(a, f.Path), plainField(b, f.Path)); c != 0 {
			return directed(c, f.Desc)
		}
	}
	return 0
}

func directed(c int, desc bool) int {
	if desc {
		return -c
	}
	return c
}

// plainField follows a path through documents and array positions; elsewhere there is nothing.
func plainField(v bson.RawValue, path string) bson.RawValue {
	for more := true; more; {
		if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
			return rawdoc.Missing
		}
		var name string
		name, path, more = strings.Cut(path, ".")
		v = rawdoc.Get(v.Value, name)
	}
	return v
}

type addToSetOp struct {
	creating
	vals []bson.RawValue
}

func (o *addToSetOp) apply(_ *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if !rawdoc.IsMissing(cur) && cur.Type != bson.TypeArray {
		return cur, opKeeps, mongoerr.New(mongoerr.BadValue,
			"Cannot apply $addToSet to non-array field. Field named '%s' has non-array type %s",
			path, rawdoc.TypeName(cur.Type))
	}
	arr := items(cur)
	n := len(arr)
	known := make(map[string]bool, n+len(o.vals))
	var key []byte
	for _, v := range arr {
		key = bsonkey.Append(key[:0], v)
		known[string(key)] = true
	}
	for _, v := range o.vals {
		key = bsonkey.Append(key[:0], v)
		if !known[string(key)] {
			known[string(key)] = true
			arr = append(arr, v)
		}
	}
	if len(arr) == n && !rawdoc.IsMissing(cur) {
		return cur, opKeeps, nil
	}
	return arrayOf(arr), opSets, nil
}

// pullOp is $pull and $pullAll: it removes the elements for which drop holds.
type pullOp struct {
	passive
	name string
	drop func(v bson.RawValue) bool
}

func (o *pullOp) apply(_ *updateRun, _ string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) {
		return cur, opKeeps, nil
	}
	if cur.Type != bson.TypeArray {
		return cur, opKeeps, mongoerr.New(mongoerr.BadValue, "Cannot apply %s to a non-array value", o.name)
	}
	arr := items(cur)
	n := len(arr)
	arr = slices.DeleteFunc(arr, o.drop)
	if len(arr) == n {
		return cur, opKeeps, nil
	}
	return arrayOf(arr), opSets, nil
}

// pullCondition is what $pull removes: documents that match a filter, elements that satisfy
// operators or a regular expression, or elements equal to a value.
func pullCondition(path string, v bson.RawValue) (func(bson.RawValue) bool, error) {
	switch {
	case v.Type == bson.TypeRegex || isOperators(v) && !isLogical(v):
		o, err := parsePredicate(path, v, 1)
		if err != nil {
			return nil, err
		}
		return o.holdsAt, nil
	case v.Type == bson.TypeEmbeddedDocument:
		f, err := parseFilter(v.Value, 1)
		if err != nil {
			return nil, err
		}
		return func(x bson.RawValue) bool { return x.Type == bson.TypeEmbeddedDocument && f.match(x.Value) }, nil
	}
	return func(x bson.RawValue) bool { return bsonkey.Compare(x, v) == 0 }, nil
}

// isLogical reports whether a document starts with an operator on whole documents.
func isLogical(v bson.RawValue) bool {
	it := rawdoc.Over(v.Value)
	it.Next()
	switch string(it.Key()) {
	case "$and", "$or", "$nor":
		return true
	}
	return false
}

// holdsAt applies the operator to v as to the value at the end of a path.
func (o *op) holdsAt(v bson.RawValue) bool {
	ok := true
	switch {
	case o.pred == nil:
		for _, k := range o.kids {
			ok = ok && k.holdsAt(v)
		}
	case v.Type == bson.TypeArray:
		ok = anyInArray(v, nil, o.whole, o.pred)
	default:
		ok = o.pred.test(v)
	}
	return ok != o.negate
}
