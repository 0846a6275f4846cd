package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// Implies reports whether every document that matches f surely matches partial, the filter of a
// partial index. It errs on the side of no.
func (f *Filter) Implies(partial *Filter) bool { return implies(&f.root, &partial.root) }

// FitsPartialIndex reports whether the filter uses only what MongoDB takes for a partial index.
func (f *Filter) FitsPartialIndex() bool { return fitsPartial(&f.root) }

func fitsPartial(n node) bool {
	switch n := n.(type) {
	case *and:
		return !slices.ContainsFunc(n.kids, func(k node) bool { return !fitsPartial(k) })
	case *or:
		return !slices.ContainsFunc(n.kids, func(k node) bool { return !fitsPartial(k) })
	case *leaf:
		switch p := n.pred.(type) {
		case *comparison, exists, *hasType:
			return true
		case *oneOf:
			return len(p.regexes) == 0
		}
	}
	return false
}

// PartialFields returns the fields of the document itself by which a filter that FitsPartialIndex
// decides.
func (f *Filter) PartialFields() []string { return partialFields(nil, &f.root) }

func partialFields(fields []string, n node) []string {
	switch n := n.(type) {
	case *and:
		for _, k := range n.kids {
			fields = partialFields(fields, k)
		}
	case *or:
		for _, k := range n.kids {
			fields = partialFields(fields, k)
		}
	case *leaf:
		fields = append(fields, n.steps[0].name)
	}
	return fields
}

func implies(n, want node) bool {
	switch w := want.(type) {
	case *and:
		for _, k := range w.kids {
			if !implies(n, k) {
				return false
			}
		}
		return true
	case *or:
		for _, k := range w.kids {
			if implies(n, k) {
				return true
			}
		}
	}
	switch n := n.(type) {
	case *and:
		for _, k := range n.kids {
			if implies(k, want) {
				return true
			}
		}
	case *or:
		for _, k := range n.kids {
			if !implies(k, want) {
				return false
			}
		}
		return true
	case *not:
		w, ok := want.(*not)
		return ok && implies(w.kid, n.kid)
	case *leaf:
		w, ok := want.(*leaf)
		return ok && n.path == w.path && (n.whole || !w.whole) && impliesPred(n.pred, w.pred)
	}
	return false
}

// impliesPred reports whether want holds for every value for which p holds. As both look at the
// same values of a path, the conclusion carries over to documents.
func impliesPred(p, want pred) bool {
	switch w := want.(type) {
	case exists:
		return !p.test(rawdoc.Missing)
	case *hasType:
		return impliesType(p, w)
	case *bitTest:
		b, ok := p.(*bitTest)
		return ok && b.equal(w)
	case sized:
		return p == want
	case modulo:
		return p == want
	case *regex:
		r, ok := p.(*regex)
		return ok && string(r.pattern) == string(w.pattern) && string(r.options) == string(w.options)
	case *comparison, *oneOf:
		return impliesValues(p, want)
	}
	return false
}

// impliesValues is for a want that compares: equality with values is decided by trying the values.
func impliesValues(p, want pred) bool {
	switch p := p.(type) {
	case *comparison:
		if p.rel == relEq {
			return pointImplies(p.val, want)
		}
		w, ok := want.(*comparison)
		if !ok || w.kind != p.kind || p.nan || w.nan || w.rel == relEq {
			return false
		}
		c := bsonkey.Compare(p.val, w.val)
		switch p.rel {
		case relGt, relGte:
			return (w.rel == relGt || w.rel == relGte) && (c > 0 || c == 0 && (w.rel == relGte || p.rel == relGt))
		default:
			return (w.rel == relLt || w.rel == relLte) && (c < 0 || c == 0 && (w.rel == relLte || p.rel == relLt))
		}
	case *oneOf:
		for _, v := range p.vals {
			if !pointImplies(v, want) {
				return false
			}
		}
		return len(p.regexes) == 0
	}
	return false
}

// pointImplies tries a value; equality with null also stands for missing and undefined.
func pointImplies(v bson.RawValue, want pred) bool {
	if v.Type == bson.TypeNull && !(want.test(rawdoc.Missing) && want.test(bson.RawValue{Type: bson.TypeUndefined})) {
		return false
	}
	return want.test(v)
}

// impliesType: what compares with a value of a kind finds only values of that kind, of which all
// types must be wanted.
func impliesType(p pred, want *hasType) bool {
	switch p := p.(type) {
	case *hasType:
		for t, has := range p {
			if has && !want[t] {
				return false
			}
		}
		return true
	case *comparison:
		switch p.kind {
		case bsonkey.KindNull, bsonkey.KindMinKey, bsonkey.KindMaxKey:
			return false
		}
		for t := range want {
			if isType(int64(int8(t))) && bsonkey.KindOf(bson.Type(t)) == p.kind && !want[t] {
				return false
			}
		}
		return true
	case *oneOf:
		for _, v := range p.vals {
			if !impliesType(newComparison(relEq, v), want) {
				return false
			}
		}
		return len(p.regexes) == 0
	}
	return false
}
