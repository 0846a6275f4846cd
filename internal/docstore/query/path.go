package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// step is one part of a dotted path.
type step struct {
	name  string
	index int // the name as a position in an array, or -1
}

func splitPath(path string) []step {
	steps := make([]step, 0, strings.Count(path, ".")+1)
	for name := range strings.SplitSeq(path, ".") {
		steps = append(steps, step{name, arrayIndex(name)})
	}
	return steps
}

// arrayIndex returns the position that a step names: decimal digits without leading zeros, or -1.
func arrayIndex(s string) int {
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// anyValue reports whether p holds for one of the values to which path leads in doc. Arrays on the
// way are entered once per step of the path: each element that is an object is searched for the
// rest of the path, and the element at the position that the next step names is taken itself. An
// array at the end gives its elements and then itself; only itself when whole is set.
func anyValue(doc []byte, path []step, whole bool, p pred) bool {
	for {
		v := rawdoc.Get(doc, path[0].name)
		path = path[1:]
		switch {
		case v.Type == bson.TypeArray:
			return anyInArray(v, path, whole, p)
		case len(path) == 0:
			return p.test(v)
		case v.Type != bson.TypeEmbeddedDocument:
			return p.test(rawdoc.Missing)
		}
		doc = v.Value
	}
}

func anyInArray(arr bson.RawValue, path []step, whole bool, p pred) bool {
	if len(path) == 0 {
		if !whole {
			for it := rawdoc.Over(arr.Value); it.Next(); {
				if p.test(it.Value()) {
					return true
				}
			}
		}
		return p.test(arr)
	}
	i := 0
	for it := rawdoc.Over(arr.Value); it.Next(); i++ {
		if it.Type() == bson.TypeEmbeddedDocument && anyValue(it.Value().Value, path, whole, p) {
			return true
		}
		if i == path[0].index && anyAtPosition(it.Value(), path[1:], whole, p) {
			return true
		}
	}
	return false
}

// anyAtPosition continues from an array element that the path chose by its position. At the end of
// the path an array found there is not opened.
func anyAtPosition(v bson.RawValue, path []step, whole bool, p pred) bool {
	switch {
	case len(path) == 0:
		return p.test(v)
	case v.Type == bson.TypeEmbeddedDocument:
		return anyValue(v.Value, path, whole, p)
	case v.Type == bson.TypeArray:
		return anyInArray(v, path, whole, p)
	}
	return false
}

// checkFieldPath checks a path of a sort or a projection: no empty step, none that starts with '$'.
func checkFieldPath(path string) error {
	if strings.HasSuffix(path, ".") {
		return mongoerr.New(mongoerr.FieldPathEndsWithDot, "FieldPath must not end with a '.'.")
	}
	steps := 0
	for step := range strings.SplitSeq(path, ".") {
		steps++
		switch {
		case step == "":
			return mongoerr.New(mongoerr.FieldPathEmptyName, "FieldPath field names may not be empty strings.")
		case step[0] == '$':
			return mongoerr.New(mongoerr.FieldPathDollarName,
				"FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case steps > MaxPathSteps:
			return mongoerr.New(mongoerr.Overflow, "FieldPath is too long")
		}
	}
	return nil
}
