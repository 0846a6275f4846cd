package uidset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const last = math.MaxUint32

// model is a set the plain way.
type model map[uint32]bool

func (m model) ascending() []uint32 { return slices.Sorted(maps.Keys(m)) }

// uid draws from few numbers, so that neighbours are common, and from both ends of what there is.
var uid = rapid.OneOf(rapid.Uint32Range(0, 40), rapid.Uint32Range(last-20, last))

// drawRanges draws ranges in any order: they overlap, touch, are empty and hold 0.
func drawRanges(t *rapid.T, label string) ([]Range, model) {
	m := model{}
	ranges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Range {
		first := uid.Draw(t, "first")
		end := uint64(first) + rapid.Uint64Range(0, 7).Draw(t, "length")
		r := Range{first, uint32(min(end, last))}
		if rapid.IntRange(0, 9).Draw(t, "backwards") == 0 {
			r.First, r.Last = r.Last, r.First
		}
		return r
	}), 0, 8).Draw(t, label)
	for _, r := range ranges {
		for n := uint64(r.First); n <= uint64(r.Last); n++ {
			if n > 0 {
				m[uint32(n)] = true
			}
		}
	}
	return ranges, m
}

func draw(t *rapid.T, label string) (Set, model) {
	ranges, m := drawRanges(t, label)
	return Of(ranges...), m
}

// check fails unless s is canonical, not nil, and holds what m does.
func check(t *rapid.T, what string, s Set, m model) {
	t.Helper()
	if s == nil {
		t.Fatalf("%s is nil", what)
	}
	for i, r := range s {
		if r.First == 0 || r.First > r.Last || i > 0 && uint64(r.First) <= uint64(s[i-1].Last)+1 {
			t.Fatalf("%s is not canonical: %v", what, s)
		}
	}
	if got, want := slices.Collect(s.UIDs()), m.ascending(); !slices.Equal(got, want) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
	if s.Count() != uint64(len(m)) {
		t.Fatalf("%s has %d UIDs, want %d", what, s.Count(), len(m))
	}
}

func TestSetIsWhatTheRangesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges, m := drawRanges(t, "ranges")
		before := slices.Clone(ranges)
		s := Of(ranges...)
		check(t, "Of", s, m)
		if !slices.Equal(before, ranges) {
			t.Fatalf("Of changed its argument")
		}
		check(t, "FromAscending", FromAscending(m.ascending()), m)
		for n := range uint64(60) {
			for _, uid := range []uint32{uint32(n), uint32(last - n)} {
				if s.Contains(uid) != m[uid] {
					t.Fatalf("Contains(%d) is %t", uid, !m[uid])
				}
				r, ok := s.Range(uid)
				if ok != m[uid] || ok && !slices.Contains(s, r) || ok && (uid < r.First || uid > r.Last) {
					t.Fatalf("Range(%d) is %v, %t", uid, r, ok)
				}
			}
		}
	})
}

func TestAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, inA := draw(t, "a")
		b, inB := draw(t, "b")
		if rapid.IntRange(0, 9).Draw(t, "nil") == 0 {
			b, inB = nil, model{}
		}
		beforeA, beforeB := slices.Clone(a), slices.Clone(b)
		union, both, rest := maps.Clone(inA), model{}, model{}
		maps.Copy(union, inB)
		for uid := range inA {
			if inB[uid] {
				both[uid] = true
			} else {
				rest[uid] = true
			}
		}
		check(t, "union", a.Union(b), union)
		check(t, "intersection", a.Intersect(b), both)
		check(t, "difference", a.Subtract(b), rest)
		check(t, "what is left of all", All().Subtract(All().Subtract(a)), inA)
		if !slices.Equal(a, beforeA) || !slices.Equal(b, beforeB) {
			t.Fatal("an operand was changed")
		}
	})
}

func TestFromAndKeep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := draw(t, "set")
		before := slices.Clone(s)
		first := uid.Draw(t, "first")
		rest := maps.Clone(m)
		maps.DeleteFunc(rest, func(uid uint32, _ bool) bool { return uid < first })
		check(t, "From", s.From(first), rest)

		_, others := draw(t, "others")
		want := model{}
		for uid := range others {
			if m[uid] {
				want[uid] = true
			}
		}
		if got := s.Keep(others.ascending()); !slices.Equal(got, want.ascending()) {
			t.Fatalf("Keep gives %v, want %v", got, want.ascending())
		}
		if !slices.Equal(s, before) {
			t.Fatal("the set was changed")
		}
	})
}

func TestIterationCanEnd(t *testing.T) {
	for uid := range All().UIDs() {
		if uid == 3 {
			break
		}
	}
	n := 0
	for range (Set{{last - 1, last}}).UIDs() {
		n++
	}
	if n != 2 {
		t.Errorf("%d UIDs at the end of what there is, want 2", n)
	}
}

func TestEdges(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want Set
	}{
		{"none", Of(), Set{}},
		{"overlap and touch", Of(Range{5, 9}, Range{1, 2}, Range{3, 3}, Range{8, 12}), Set{{1, 3}, {5, 12}}},
		{"inside", Of(Range{1, 100}, Range{5, 9}), Set{{1, 100}}},
		{"backwards is empty", Of(Range{9, 5}), Set{}},
		{"0 is no UID", Of(Range{0, 0}, Range{0, 3}), Set{{1, 3}}},
		{"at the end", Of(Range{last, last}, Range{last - 1, last}), Set{{last - 1, last}}},
		{"all", Of(Range{0, last}), All()},
		{"all but one", All().Subtract(Set{{last, last}}), Set{{1, last - 1}}},
		{"all but the first", All().Subtract(Set{{1, 1}}), Set{{2, last}}},
		{"nothing of all", All().Subtract(All()), Set{}},
		{"the last two", All().From(last - 1), Set{{last - 1, last}}},
		{"of nil", Set(nil).Union(nil), Set{}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if n := All().Count(); n != last {
		t.Errorf("%d UIDs in all", n)
	}
}

func TestFormat(t *testing.T) {
	for want, in := range map[string][]uint32{
		"":                        nil,
		"1":                       {1},
		"1:3":                     {1, 2, 3},
		"1,3:4,10:11":             {1, 3, 4, 10, 11},
		"4294967295":              {last},
		"1,4294967294:4294967295": {1, last - 1, last},
	} {
		if got := Format(in); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
		if got := FromAscending(in).String(); got != want {
			t.Errorf("set of %v: %q, want %q", in, got, want)
		}
		if got := string(Append([]byte("UID "), in)); got != "UID "+want {
			t.Errorf("appended %v: %q", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, m := draw(t, "set")
		var want []string
		for _, r := range s {
			if r.First == r.Last {
				want = append(want, fmt.Sprint(r.First))
			} else {
				want = append(want, fmt.Sprintf("%d:%d", r.First, r.Last))
			}
		}
		if got := s.String(); got != strings.Join(want, ",") || got != Format(m.ascending()) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
