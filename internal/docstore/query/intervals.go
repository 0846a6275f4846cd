package query

import (
	"strings"

	"gadwall/internal/docstore/bsonkey"
)

// Intervals returns the sorted, disjoint intervals within which every matching document has at
// least one index key for path. ok is false when the filter does not restrict path; ok without
// intervals means that nothing can match.
//
// multikey says that a document with an array on path may be in the index. Then two conditions
// on path may be met by different keys of a document, and only one of them is used.
func (f *Filter) Intervals(path string, multikey bool) (iv []Interval, ok bool) {
	return nodeIntervals(&f.root, path, multikey)
}

func nodeIntervals(n node, path string, multikey bool) ([]Interval, bool) {
	switch n := n.(type) {
	case *leaf:
		return leafIntervals(n, path, multikey)
	case *and:
		return combine(n.kids, multikey, func(k node) ([]Interval, bool) { return nodeIntervals(k, path, multikey) })
	case *or:
		var all []Interval
		for _, k := range n.kids {
			iv, ok := nodeIntervals(k, path, multikey)
			if !ok {
				return nil, false
			}
			all = append(all, iv...)
		}
		return union(all), true
	}
	return nil, false
}

func leafIntervals(l *leaf, path string, multikey bool) ([]Interval, bool) {
	if l.path == path {
		return intervalsOf(l.pred, multikey)
	}
	// {a: {$elemMatch: {b: ...}}} restricts a.b.
	em, ok := l.pred.(*elemMatchObject)
	if !ok {
		return nil, false
	}
	rest, ok := strings.CutPrefix(path, l.path+".")
	if !ok {
		return nil, false
	}
	return nodeIntervals(em.filter, rest, true)
}

// combine takes the intervals of conditions that all hold: their intersection, or with arrays,
// where each may hold for another element, those of the narrowest.
func combine[T any](kids []T, multikey bool, of func(T) ([]Interval, bool)) (best []Interval, found bool) {
	for _, k := range kids {
		iv, ok := of(k)
		switch {
		case !ok:
		case !found:
			best, found = iv, true
		case !multikey:
			best = intersect(best, iv)
		case narrower(iv, best):
			best = iv
		}
	}
	return best, found
}

// narrower guesses which of two unions holds fewer keys: single values before ranges, then ranges
// cut at both ends within their kind, then fewer intervals.
func narrower(a, b []Interval) bool {
	if x, y := widest(a), widest(b); x != y {
		return x < y
	}
	return len(a) < len(b)
}

func widest(ivs []Interval) (width int) {
	for _, iv := range ivs {
		w := 0
		if !iv.Point() {
			w = 1
			if br, ok := bracket(bsonkey.KindOf(iv.Low.Type)); ok {
				if bsonkey.Compare(iv.Low, br.Low) == 0 {
					w++
				}
				if bsonkey.Compare(iv.High, br.High) == 0 {
					w++
				}
			}
		}
		width = max(width, w)
	}
	return width
}
