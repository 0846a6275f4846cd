package order

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gadwall/internal/casemap"
)

func TestSort(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	messages := []numbered{
		{1, Message{day(5), day(2), 300, "b", "carol", "x", "", "zoe", "t1"}},
		{2, Message{day(4), day(2), 100, "a", "alice", "", "c", "alice@example.com", "t2"}},
		{3, Message{day(6), day(1), 200, "b", "bob", "y", "c", "m", ""}},
		{4, Message{day(4), day(3), 100, "", "bob", "x", "a", "m", "t1"}},
	}
	for _, tt := range []struct{ keys, want string }{
		{"", "1234"}, {"ARRIVAL", "2413"}, {"REVERSE ARRIVAL", "3124"}, {"DATE", "3124"},
		{"REVERSE DATE", "4123"},
		{"SIZE", "2431"}, {"SUBJECT", "4213"}, {"REVERSE SUBJECT", "1324"},
		{"SUBJECT REVERSE DATE", "4213"},
		{"REVERSE SIZE REVERSE DATE", "1342"}, {"FROM", "2341"}, {"FROM REVERSE ARRIVAL", "2341"},
		{"TO", "2143"},
		{"CC", "1423"}, {"DISPLAYFROM", "2341"}, {"DISPLAYTO SIZE", "3412"}, {"SUBJECT DATE",
			"4231"},
	} {
		var keys []Criterion
		reverse := false
		for _, word := range strings.Fields(tt.keys) {
			if word == "REVERSE" {
				reverse = true
				continue
			}
			by, ok := Parse(word)
			if !ok {
				t.Fatalf("%s is not known", word)
			}
			keys = append(keys, Criterion{by, reverse})
			reverse = false
		}
		for range 2 { // whatever the order before
			slices.Reverse(messages)
			var got strings.Builder
			for _, n := range sorted(messages, keys) {
				got.WriteByte('0' + byte(n))
			}
			if got.String() != tt.want {
				t.Errorf("%s: %s, want %s", tt.keys, got.String(), tt.want)
			}
		}
	}
	for _, word := range []string{"", "date", "REVERSE", "SENT"} {
		if _, ok := Parse(word); ok {
			t.Errorf("%q is known", word)
		}
	}
}

// numbered is a message and its number.
type numbered struct {
	number uint32
	Message
}

func sorted(messages []numbered, criteria []Criterion) []uint32 {
	s := NewSorter(criteria)
	for i := range messages {
		s.Add(messages[i].number, &messages[i].Message)
	}
	return s.Numbers()
}

// TestSortCriteria: a criterion decides wherever those before it leave messages equal, and the
// number what all leave open.
func TestSortCriteria(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []numbered
		for i := range rapid.IntRange(0, 20).Draw(t, "messages") {
			messages = append(messages, numbered{uint32(i + 1), Message{
				Size: rapid.SampledFrom([]int64{-1, 0, 1, 255, 256, 1 << 40}).Draw(t, "size"),
				Subject: rapid.SampledFrom([]string{"", "a", "aa", "b", "_", "é", "日"}).Draw(t,
					"subject"),
				From: rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "from")}})
		}
		reverse := rapid.Bool().Draw(t, "reverse")
		got := sorted(rapid.Permutation(messages).Draw(t, "shuffled"),
			[]Criterion{{Size, false}, {Subject, reverse}, {From, !reverse}})
		// The same by stable sorts, the last criterion first.
		by := func(compare func(a, b numbered) int, reverse bool) {
			slices.SortStableFunc(messages, func(a, b numbered) int {
				if reverse {
					a, b = b, a
				}
				return compare(a, b)
			})
		}
		by(func(a, b numbered) int { return strings.Compare(a.From, b.From) }, !reverse)
		by(func(a, b numbered) int {
			return strings.Compare(strings.ToTitle(a.Subject), strings.ToTitle(b.Subject))
		}, reverse)
		by(func(a, b numbered) int { return cmp.Compare(a.Size, b.Size) }, false)
		want := []uint32{}
		for _, m := range messages {
			want = append(want, m.number)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// TestCollation: texts are in the order of i;unicode-casemap (RFC 5051), in which letters come in
// title case: before the underscore, which comes before small letters in ASCII.
func TestCollation(t *testing.T) {
	want := []string{"", "1", "A", "Ab", "B", "[x]", "_", "Ё", "Ж", "日本"}
	var messages []numbered
	for i, s := range want {
		messages = append(messages, numbered{uint32(i), Message{Subject: casemap.String(s)}})
	}
	slices.Reverse(messages)
	for i, n := range sorted(messages, []Criterion{{By: Subject}}) {
		if n != uint32(i) {
			t.Errorf("%q is at %d", want[n], i)
		}
	}
	// An end within a text does not end it.
	a := AppendKey(nil, []Criterion{{By: Subject}, {By: To}}, &Message{Subject: "a\x00b", To: "c"})
	b := AppendKey(nil, []Criterion{{By: Subject}, {By: To}}, &Message{Subject: "a", To: "b\x00c"})
	if bytes.Equal(a, b) {
		t.Errorf("%q", a)
	}
}

// TestKept: messages that were kept, with others that came later, are in the order in which sorting
// all of them puts them.
func TestKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		criteria := []Criterion{{Subject, rapid.Bool().Draw(t, "reverse")}, {Size, false}}
		kept, all := NewSorter(criteria).Keep(), NewSorter(criteria)
		number := uint32(0)
		var known, asked []uint32
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			part := NewSorter(criteria)
			for range rapid.IntRange(0, 8).Draw(t, "messages") {
				number += rapid.Uint32Range(1, 100).Draw(t, "gap")
				if rapid.Bool().Draw(t, "unknown") {
					asked = append(asked, number)
					continue
				}
				m := Message{Size: rapid.Int64Range(0, 2).Draw(t, "size"),
					Subject: rapid.SampledFrom([]string{"", "a", "a long subject",
						"a long subject, 2"}).Draw(t, "subject")}
				part.Add(number, &m)
				known = append(known, number)
				if rapid.Bool().Draw(t, "asked") {
					asked = append(asked, number)
					all.Add(number, &m)
				}
			}
			kept = kept.With(part.Keep())
		}
		if kept.Len() != len(known) {
			t.Fatalf("%d messages, not %d", kept.Len(), len(known))
		}
		want := all.Numbers()
		if got := kept.Sorted(asked); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if missing := kept.Missing(asked); len(missing)+len(want) != len(asked) ||
			slices.ContainsFunc(missing, func(n uint32) bool { return slices.Contains(known, n) }) {
			t.Fatalf("%v of %v are missing in %v", missing, asked, known)
		}
		if got := kept.Sorted(known); len(got) != len(known) {
			t.Fatalf("%v of %v", got, known)
		}
	})
}
