package query

import "go.mongodb.org/mongo-driver/v2/bson"

// Filter is a parsed query filter; immutable and safe for concurrent use.
// The zero Filter matches every document.
type Filter struct{ root and }

// node is a condition on a whole document.
type node interface{ match(doc []byte) bool }

// Match reports whether doc satisfies the filter.
func (f *Filter) Match(doc bson.Raw) bool { return f.root.match(doc) }

type and struct{ kids []node }

func (n *and) match(doc []byte) bool {
	for _, k := range n.kids {
		if !k.match(doc) {
			return false
		}
	}
	return true
}

type or struct{ kids []node }

func (n *or) match(doc []byte) bool {
	for _, k := range n.kids {
		if k.match(doc) {
			return true
		}
	}
	return false
}

type not struct{ kid node }

func (n *not) match(doc []byte) bool { return !n.kid.match(doc) }

// leaf asks for a value at a path.
type leaf struct {
	path  string
	steps []step
	whole bool
	pred  pred
}

func (n *leaf) match(doc []byte) bool { return anyValue(doc, n.steps, n.whole, n.pred) }

// at puts an operator on a path.
func (o *op) at(path string, steps []step) node {
	var n node
	if o.pred != nil {
		n = &leaf{path: path, steps: steps, whole: o.whole, pred: o.pred}
	} else {
		all := &and{}
		for _, k := range o.kids {
			all.add(k.at(path, steps))
		}
		n = all
	}
	if o.negate {
		return &not{n}
	}
	return n
}

// add appends a condition; one that is itself an "and" is merged.
func (n *and) add(kid node) {
	if sub, ok := kid.(*and); ok {
		n.kids = append(n.kids, sub.kids...)
		return
	}
	n.kids = append(n.kids, kid)
}

// IDEquals returns the value to which the filter fixes _id, if it does.
func (f *Filter) IDEquals() (bson.RawValue, bool) {
	for _, k := range f.root.kids {
		if v, ok := equality(k, "_id"); ok {
			return v, true
		}
	}
	return bson.RawValue{}, false
}

// equality returns the value that n compares path with, if n is an equality on it.
func equality(n node, path string) (bson.RawValue, bool) {
	l, ok := n.(*leaf)
	if !ok || l.path != path {
		return bson.RawValue{}, false
	}
	return equalityOperand(l.pred)
}

func equalityOperand(p pred) (bson.RawValue, bool) {
	switch p := p.(type) {
	case *comparison:
		if p.rel == relEq {
			return p.val, true
		}
	case *oneOf:
		if len(p.vals) == 1 && len(p.regexes) == 0 {
			return p.vals[0], true
		}
	}
	return bson.RawValue{}, false
}

// EqualityFields returns the paths which the filter fixes to one value, with the values: those that an
// upsert starts its document from.
func (f *Filter) EqualityFields() bson.D {
	var out bson.D
	for _, k := range f.root.kids {
		l, ok := k.(*leaf)
		if !ok {
			continue
		}
		if v, ok := equalityOperand(l.pred); ok {
			out = append(out, bson.E{Key: l.path, Value: v})
		}
	}
	return out
}
