package index_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/search/index"
)

// replies counts what a database answers.
type replies struct{ commands, bytes atomic.Int64 }

func (r *replies) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		r.commands.Add(1)
		r.bytes.Add(int64(len(e.Reply)))
	}}
}

// newLarge returns the index of an account of many small mails, in full blocks, of which one in
// 100,000 has the word needleword.
func newLarge(t testing.TB, mails int) (*index.Index, mailkey.UserID, *replies) {
	t.Helper()
	r := new(replies)
	x, err := index.Open(t.Context(), dbtest.Watched(t, r.monitor()), false)
	if err != nil {
		t.Fatal(err)
	}
	const different, rare = 1000, 100_000
	text := func(i int, word string) *index.Grams {
		g := new(index.Grams)
		g.Begin()
		g.Add([]byte(fmt.Sprintf("from: a%d@example.com\nsubject: report %d of the %dth\n"+
			"dear %d, this is about %x and the order of the day. %s kind regards, the office.\n",
			i, i*7919, i%31, i, i*104729, word)))
		return g
	}
	common := make([]*index.Grams, different)
	for i := range common {
		common[i] = text(i, "")
	}
	needle := text(different, "needleword")
	user := mailkey.NewUserID()
	for first := 0; first < mails; first += index.BlockRows {
		var numbers []uint64
		var grams []*index.Grams
		for i := first; i < min(mails, first+index.BlockRows); i++ {
			numbers, grams = append(numbers, uint64(i+1)), append(grams, common[i*7%different])
			if i%rare == rare/2 {
				grams[len(grams)-1] = needle
			}
		}
		if err := x.WriteBlock(t.Context(), user, numbers, grams); err != nil {
			t.Fatal(err)
		}
	}
	return x, user, r
}

// look returns how many of the mails are left, and what the database answered meanwhile.
func (r *replies) look(
	t testing.TB, x *index.Index, user mailkey.UserID, mails int, word string,
) (left int, commands, bytes int64) {
	t.Helper()
	commands, bytes = r.commands.Load(), r.bytes.Load()
	q := index.Holds(index.Text, word)
	excluded, err := x.Exclude(t.Context(), user, &q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mails - excluded.Len(), r.commands.Load() - commands, r.bytes.Load() - bytes
}

// A search reads a small part of the index of a large account: the numbers of its blocks, and for
// each bit of the needle a document of each block.
func TestSearchReadsASmallPart(t *testing.T) {
	const mails = 8 * index.BlockRows
	x, user, r := newLarge(t, mails)
	for _, word := range []string{"needleword", "absentword"} {
		left, commands, bytes := r.look(t, x, user, mails, word)
		if left > mails/100 || commands > 4 || bytes > mails*6 { // a million: 6 MB
			t.Errorf("%s: %d mails left, %d commands, %d bytes", word, left, commands, bytes)
		}
	}
}

// BenchmarkCold measures what the database answers to a search that finds nothing in memory.
//
//	go test ./internal/search/index -run '^$' -bench Cold -benchtime 5x -timeout 30m
func BenchmarkCold(b *testing.B) {
	for _, mails := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("mails=%d", mails), func(b *testing.B) {
			x, user, r := newLarge(b, mails)
			for _, word := range []string{"needleword", "absentword", "quarterly report of the office"} {
				b.Run(word, func(b *testing.B) {
					var left int
					var commands, bytes int64
					for b.Loop() {
						left, commands, bytes = r.look(b, x, user, mails, word)
					}
					b.ReportMetric(float64(left), "left")
					b.ReportMetric(float64(commands), "commands")
					b.ReportMetric(float64(bytes), "B-read")
				})
			}
		})
	}
}
