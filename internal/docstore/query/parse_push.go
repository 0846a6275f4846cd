package query

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// parsePush parses the operand of $push: a value, or a document with $each and other modifiers.
func parsePush(path string, v bson.RawValue) (updateOp, error) {
	each, ok, err := eachOf("$push", path, v)
	if err != nil || !ok {
		return &pushOp{vals: []bson.RawValue{v}}, err
	}
	o := &pushOp{vals: each}
	for it := rawdoc.Over(v.Value); it.Next(); {
		m := it.Value()
		switch name := string(it.Key()); name {
		case "$each":
		case "$slice", "$position":
			n, ok := clampedWhole(m)
			switch {
			case !ok && name == "$slice":
				return nil, mongoerr.New(mongoerr.BadValue,
					"The value for $slice must be an integer value but was given type: %s",
					rawdoc.TypeName(m.Type))
			case !ok:
				return nil, mongoerr.New(mongoerr.BadValue,
					"The value for $position must be an integer value, not of type: %s",
					rawdoc.TypeName(m.Type))
			case name == "$slice":
				o.slice = &n
			default:
				o.position = &n
			}
		case "$sort":
			if o.order, err = parseElementOrder(m); err != nil {
				return nil, err
			}
		default:
			return nil, mongoerr.New(mongoerr.BadValue, "Unrecognized clause in $push: %s", name)
		}
	}
	return o, nil
}

func clampedWhole(v bson.RawValue) (int, bool) {
	if _, ok := rawdoc.Integer(v); !ok {
		return 0, false
	}
	n, ok := truncated(v)
	return int(min(max(n, math.MinInt32+1), math.MaxInt32)), ok
}

// eachOf returns the values of $each, if v is a document with that.
func eachOf(op, path string, v bson.RawValue) (vals []bson.RawValue, ok bool, err error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, false, nil
	}
	each := rawdoc.Get(v.Value, "$each")
	switch {
	case rawdoc.IsMissing(each) && startsWithDollar(v.Value):
		return nil, false, mongoerr.New(mongoerr.DollarPrefixedFieldName,
			"The dollar ($) prefixed field in '%s' is not valid for storage.", path)
	case rawdoc.IsMissing(each):
		return nil, false, nil
	case each.Type != bson.TypeArray:
		return nil, false, mongoerr.New(mongoerr.BadValue,
			"The argument to $each in %s must be an array but it was of type: %s",
			op, rawdoc.TypeName(each.Type))
	}
	return items(each), true, nil
}

func parseAddToSet(path string, v bson.RawValue) (updateOp, error) {
	each, ok, err := eachOf("$addToSet", path, v)
	if err != nil || !ok {
		return &addToSetOp{vals: []bson.RawValue{v}}, err
	}
	for it := rawdoc.Over(v.Value); it.Next(); {
		if string(it.Key()) != "$each" {
			return nil, mongoerr.New(mongoerr.BadValue, "Found unexpected fields after $each in $addToSet: %s", v)
		}
	}
	return &addToSetOp{vals: each}, nil
}

func parseElementOrder(v bson.RawValue) (*elementOrder, error) {
	if rawdoc.IsNumber(v) {
		n, ok := rawdoc.Integer(v)
		if !ok || n != 1 && n != -1 {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort element value must be either 1 or -1")
		}
		return &elementOrder{desc: n < 0}, nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.BadValue,
			"The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort "+
				"embedded fields")
	}
	o := &elementOrder{}
	for it := rawdoc.Over(v.Value); it.Next(); {
		path := string(it.Key())
		n, ok := rawdoc.Integer(it.Value())
		if !ok || n != 1 && n != -1 {
			return nil, mongoerr.New(mongoerr.BadValue, "The $sort element value must be either 1 or -1")
		}
		if err := checkFieldPath(path); err != nil {
			return nil, mongoerr.New(mongoerr.BadValue,
				"The $sort field is a dotted field but has an empty part: %s", path)
		}
		o.fields = append(o.fields, SortField{path, n < 0})
	}
	if len(o.fields) == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "The $sort pattern is empty when it should be a set of fields.")
	}
	return o, nil
}
