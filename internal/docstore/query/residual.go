package query

import "gadwall/internal/docstore/bsonkey"

// Residual returns what is left to ask of documents whose _id is known to lie within
// Intervals("_id", false): the filter without the comparisons of _id that these intervals express
// exactly. An _id is never an array.
func (f *Filter) Residual() *Filter {
	rest := &Filter{watch: f.watch}
	rest.root.watch = f.root.watch
	for _, k := range f.root.kids {
		if l, ok := k.(*leaf); ok && l.path == "_id" && exactInterval(l.pred) {
			continue
		}
		rest.root.kids = append(rest.root.kids, k)
	}
	return rest
}

// exactInterval reports that p holds for all of its interval: a comparison with a value of a kind
// that has no value out of order, as NaN is among the numbers, and whose bounds belong to no other
// kind.
func exactInterval(p pred) bool {
	c, ok := p.(*comparison)
	if !ok {
		return false
	}
	switch c.kind {
	case bsonkey.KindString, bsonkey.KindBinary, bsonkey.KindObjectID, bsonkey.KindDate:
		return true
	}
	return false
}
