package search

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

// Every open message is in one share, and those of one content are together.
func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := make([]*mailstore.Message, rapid.IntRange(1, 40).Draw(t, "messages"))
		var open []int
		for i := range batch {
			id := contents.ID{byte(rapid.IntRange(0, 20).Draw(t, "content"))}
			batch[i] = &mailstore.Message{UID: uint32(i + 1), Content: id}
			if rapid.Bool().Draw(t, "open") {
				open = append(open, i)
			}
		}
		shares := share(batch, open, rapid.IntRange(0, 4).Draw(t, "shares"))
		var all []int
		of := make(map[contents.ID]int)
		for n, list := range shares {
			for _, i := range list {
				if before, ok := of[batch[i].Content]; ok && before != n {
					t.Fatalf("one content in shares %d and %d", before, n)
				}
				of[batch[i].Content] = n
			}
			all = append(all, list...)
		}
		slices.Sort(all)
		if !slices.Equal(all, open) {
			t.Fatalf("shares have %v, open are %v", all, open)
		}
	})
}
