package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
)

// Filter is a parsed query filter. It is immutable and safe for concurrent use, but for StopAt.
// The zero Filter matches every document.
type Filter struct {
	root and
	// watch is set when the filter is so large that it looks, while it matches a document, whether
	// it should stop.
	watch *watch
}

// A watch lets a large filter stop in the middle of a document.
type watch struct{ done <-chan struct{} }

func (w *watch) stopped() bool {
	if w == nil {
		return false
	}
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// watchedKids is how many conditions make a node watched, and are tested between two looks.
const watchedKids = 64

// Large reports whether StopAt has an effect.
func (f *Filter) Large() bool { return f.watch != nil }

// StopAt makes a large filter stop when done is closed. It reports whether the filter is large:
// then the caller must look at done after each document, for Match has returned false for one that
// it did not finish. A filter that is shared must not be given one.
func (f *Filter) StopAt(done <-chan struct{}) (large bool) {
	if f.watch == nil {
		return false
	}
	f.watch.done = done
	return true
}

// prepare counts the nodes and makes large ones watched.
func (f *Filter) prepare() error {
	w := &watch{}
	n, watched := prepareNode(&f.root, w)
	if n > MaxFilterNodes {
		return mongoerr.New(mongoerr.BadValue, "exceeded maximum query tree size of %d", MaxFilterNodes)
	}
	if watched {
		f.watch = w
	}
	return nil
}

func prepareNode(n node, w *watch) (count int, watched bool) {
	kids := func(kids []node, mark **watch) {
		for _, k := range kids {
			c, ok := prepareNode(k, w)
			count, watched = count+c, watched || ok
		}
		if len(kids) > watchedKids {
			*mark, watched = w, true
		}
	}
	switch n := n.(type) {
	case *and:
		kids(n.kids, &n.watch)
	case *or:
		kids(n.kids, &n.watch)
	case *not:
		count, watched = prepareNode(n.kid, w)
	case *leaf:
		if e, ok := n.pred.(*elemMatchObject); ok {
			count, watched = prepareNode(e.filter, w)
		}
	}
	return count + 1, watched
}

// node is a condition on a whole document.
type node interface{ match(doc []byte) bool }

// Match reports whether doc satisfies the filter.
func (f *Filter) Match(doc bson.Raw) bool { return f.root.match(doc) }

type and struct {
	kids  []node
	watch *watch
}

func (n *and) match(doc []byte) bool {
	for i, k := range n.kids {
		if !k.match(doc) || i%watchedKids == watchedKids-1 && n.watch.stopped() {
			return false
		}
	}
	return true
}

type or struct {
	kids  []node
	watch *watch
}

func (n *or) match(doc []byte) bool {
	for i, k := range n.kids {
		if k.match(doc) {
			return true
		}
		if i%watchedKids == watchedKids-1 && n.watch.stopped() {
			return false
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

// EqualityFields returns the paths which the filter fixes to one value, with the values: those that
// an upsert starts its document from.
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
