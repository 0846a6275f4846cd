package uidset

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"sort"
)

// Range is the UIDs from First to Last, both included. It is empty when First is above Last.
type Range struct{ First, Last uint32 }

// Set is a set of UIDs in canonical form; see the package's comment. A Set that a caller writes
// down range by range must be canonical, or go through Of.
type Set []Range

// All returns the set of every UID there can be.
func All() Set { return Set{{1, math.MaxUint32}} }

// Of returns the set of the UIDs that the ranges hold. They may come in any order, overlap and be
// empty. 0 is no UID and is left out.
func Of(ranges ...Range) Set {
	list := make(Set, 0, len(ranges))
	for _, r := range ranges {
		r.First = max(r.First, 1)
		if r.First <= r.Last {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := list[:0]
	for _, r := range list {
		out = out.with(r)
	}
	return out
}

// FromAscending returns the set of these UIDs, which ascend and do not hold 0.
func FromAscending(uids []uint32) Set {
	s := Set{}
	for _, uid := range uids {
		s = s.with(Range{uid, uid})
	}
	return s
}

// with appends a range that does not begin before the last one of s does. It may change s.
func (s Set) with(r Range) Set {
	// First is at least 1, so the subtraction cannot wrap around; Last+1 could.
	if n := len(s); n > 0 && r.First-1 <= s[n-1].Last {
		s[n-1].Last = max(s[n-1].Last, r.Last)
		return s
	}
	return append(s, r)
}

// Count returns how many UIDs the set holds.
func (s Set) Count() uint64 {
	var n uint64
	for _, r := range s {
		n += uint64(r.Last-r.First) + 1
	}
	return n
}

// index returns the index of the first range that does not end before uid.
func (s Set) index(uid uint32) int {
	return sort.Search(len(s), func(i int) bool { return uid <= s[i].Last })
}

// Contains reports whether the set holds uid.
func (s Set) Contains(uid uint32) bool {
	_, ok := s.Range(uid)
	return ok
}

// Range returns the range of the set that holds uid; ok is false when none does.
func (s Set) Range(uid uint32) (r Range, ok bool) {
	i := s.index(uid)
	if i == len(s) || uid < s[i].First {
		return Range{}, false
	}
	return s[i], true
}

// UIDs iterates over the UIDs of the set in ascending order.
func (s Set) UIDs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s {
			for uid := r.First; ; uid++ {
				if !yield(uid) {
					return
				}
				if uid == r.Last { // here, since 2^32-1 has no successor to compare with
					break
				}
			}
		}
	}
}

// From returns the UIDs of the set that are not below uid.
func (s Set) From(uid uint32) Set {
	out := append(Set{}, s[s.index(uid):]...)
	if len(out) > 0 {
		out[0].First = max(out[0].First, uid)
	}
	return out
}

// Keep returns those of the ascending uids that the set holds. It reuses the array of uids.
func (s Set) Keep(uids []uint32) []uint32 {
	kept := uids[:0]
	for _, uid := range uids {
		for len(s) > 0 && s[0].Last < uid {
			s = s[1:]
		}
		if len(s) == 0 {
			break
		}
		if s[0].First <= uid {
			kept = append(kept, uid)
		}
	}
	return kept
}

// Union returns the UIDs that are in s, in t, or in both.
func (s Set) Union(t Set) Set {
	out := make(Set, 0, len(s)+len(t))
	for len(s) > 0 || len(t) > 0 {
		if len(t) == 0 || len(s) > 0 && s[0].First <= t[0].First {
			out, s = out.with(s[0]), s[1:]
		} else {
			out, t = out.with(t[0]), t[1:]
		}
	}
	return out
}

// Intersect returns the UIDs that are in both s and t.
func (s Set) Intersect(t Set) Set {
	out := Set{}
	for len(s) > 0 && len(t) > 0 {
		both := Range{max(s[0].First, t[0].First), min(s[0].Last, t[0].Last)}
		if both.First <= both.Last {
			out = append(out, both)
		}
		if s[0].Last < t[0].Last {
			s = s[1:]
		} else {
			t = t[1:]
		}
	}
	return out
}

// Subtract returns the UIDs that are in s and not in t.
func (s Set) Subtract(t Set) Set {
	out := Set{}
	for _, r := range s {
		for len(t) > 0 && t[0].Last < r.First {
			t = t[1:]
		}
		rest := true // something of r is left behind the ranges of t looked at
		for _, cut := range t {
			if cut.First > r.Last {
				break
			}
			if cut.First > r.First {
				out = append(out, Range{r.First, cut.First - 1})
			}
			if cut.Last >= r.Last {
				rest = false
				break
			}
			r.First = cut.Last + 1 // below r.Last, so it does not wrap around
		}
		if rest {
			out = append(out, r)
		}
	}
	return out
}
