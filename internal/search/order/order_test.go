package order

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSort(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	messages := []Message{
		{1, day(5), day(2), 300, "b", "carol", "x", "", "Zoe", "t1"},
		{2, day(4), day(2), 100, "a", "alice", "", "c", "alice@example.com", "t2"},
		{3, day(6), day(1), 200, "b", "bob", "y", "c", "m", ""},
		{4, day(4), day(3), 100, "", "bob", "x", "a", "m", "t1"},
	}
	for _, tt := range []struct{ keys, want string }{
		{"", "1234"}, {"ARRIVAL", "2413"}, {"REVERSE ARRIVAL", "3124"}, {"DATE", "3124"}, {"REVERSE DATE", "4123"},
		{"SIZE", "2431"}, {"SUBJECT", "4213"}, {"REVERSE SUBJECT", "1324"}, {"SUBJECT REVERSE DATE", "4213"},
		{"REVERSE SIZE REVERSE DATE", "1342"}, {"FROM", "2341"}, {"FROM REVERSE ARRIVAL", "2341"}, {"TO", "2143"},
		{"CC", "1423"}, {"DISPLAYFROM", "1234"}, {"DISPLAYTO SIZE", "3412"}, {"SUBJECT DATE", "4231"},
	} {
		var keys []Key
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
			keys = append(keys, Key{by, reverse})
			reverse = false
		}
		for range 2 { // whatever the order before
			sorted := slices.Clone(messages)
			slices.Reverse(messages)
			Sort(sorted, keys)
			var got strings.Builder
			for _, m := range sorted {
				got.WriteByte('0' + byte(m.Number))
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

// TestSortKeys: a key decides wherever those before it leave messages equal, and the
// number what all leave open.
func TestSortKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []Message
		for i := range rapid.IntRange(0, 20).Draw(t, "messages") {
			messages = append(messages, Message{Number: uint32(i + 1), Size: rapid.Int64Range(0, 2).Draw(t, "size"),
				Subject: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "subject")})
		}
		reverse := rapid.Bool().Draw(t, "reverse")
		shuffled := rapid.Permutation(messages).Draw(t, "shuffled")
		Sort(shuffled, []Key{{Size, false}, {Subject, reverse}})
		// The same by stable sorts, the last key first.
		slices.SortStableFunc(messages, func(a, b Message) int {
			if reverse {
				a, b = b, a
			}
			return strings.Compare(a.Subject, b.Subject)
		})
		slices.SortStableFunc(messages, func(a, b Message) int { return int(a.Size - b.Size) })
		if !slices.Equal(shuffled, messages) {
			t.Fatalf("%v, want %v", shuffled, messages)
		}
	})
}
