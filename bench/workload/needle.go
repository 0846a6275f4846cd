package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// hits are the messages that a search may find: least has those that every server finds, most those
// that one server finds and another does not, too. Both are sorted.
type hits struct{ least, most []int }

func exactly(seqs []int) hits { return hits{seqs, seqs} }

// check compares an answer, which is sorted.
func (h hits) check(criteria string, got []int) error {
	if len(h.least) == len(h.most) {
		if !slices.Equal(got, h.least) {
			return wrong("SEARCH %s finds %d messages of %d, or others", criteria, len(got), len(h.least))
		}
		return nil
	}
	for i, seq := range got {
		if _, ok := slices.BinarySearch(h.most, seq); !ok || i > 0 && got[i-1] == seq {
			return wrong("SEARCH %s finds message %d, which is none of its %d", criteria, seq, len(h.most))
		}
	}
	for _, seq := range h.least {
		if _, ok := slices.BinarySearch(got, seq); !ok {
			return wrong("SEARCH %s does not find message %d", criteria, seq)
		}
	}
	return nil
}

// wordShares are the shares of messages that have the words of the steps of wordStep, in per cent.
var wordShares = []int{1, 5, 20}

func wordStep(share int) string { return fmt.Sprintf("word %d %%", share) }

// word is a word that mail really has.
type word struct {
	text string
	hits
}

// unsure is how many messages only some servers find.
func (w *word) unsure() int { return len(w.most) - len(w.least) }

// words chooses a word of the folder's mail for each of wordShares.
func (f *folder) words(ctx context.Context) ([]*word, error) {
	candidates, err := f.candidates(ctx)
	if err != nil {
		return nil, err
	}
	var all []*word
	for _, list := range candidates {
		all = append(all, list...)
	}
	if err := f.look(ctx, all); err != nil {
		return nil, err
	}
	var chosen []*word
	for i, share := range wordShares {
		list := slices.DeleteFunc(candidates[i], func(w *word) bool {
			return slices.ContainsFunc(chosen, func(c *word) bool { return c.text == w.text })
		})
		if len(list) == 0 {
			return chosen, nil // mail of few words
		}
		want := float64(len(f.expected)*share) / 100
		slices.SortStableFunc(list, func(a, b *word) int {
			off := func(w *word) float64 { return math.Abs(float64(len(w.least))-want) + float64(w.unsure()) }
			return cmp.Compare(off(a), off(b))
		})
		chosen = append(chosen, list[0])
	}
	return chosen, nil
}

// candidates are words for each of wordShares that the first mails have about as often.
func (f *folder) candidates(ctx context.Context) ([][]*word, error) {
	mails := min(len(f.spool.mails), wordSample)
	counts := make(map[string]int)
	var mu sync.Mutex
	err := f.eachMail(ctx, mails, func(_ int, text *mailText) {
		seen := make(map[string]bool)
		for _, w := range strings.FieldsFunc(text.least, func(r rune) bool { return r < 'a' || r > 'z' }) {
			if len(w) >= minWord && len(w) <= maxWord {
				seen[w] = true
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for w := range seen {
			if counts[w] > 0 || len(counts) < maxWords {
				counts[w]++
			}
		}
	})
	if err != nil {
		return nil, err
	}
	lists := make([][]*word, len(wordShares))
	for i, share := range wordShares {
		// A word is in other words, too, so that more mails hold it than have it.
		want := float64(mails*share) / 100
		type near struct {
			text string
			off  float64
		}
		var all []near
		for text, n := range counts {
			all = append(all, near{text, math.Abs(float64(n) - want)})
		}
		slices.SortFunc(all, func(a, b near) int {
			return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.text, b.text))
		})
		for _, n := range all[:min(len(all), wordCandidates)] {
			lists[i] = append(lists[i], &word{text: n.text})
		}
	}
	return lists, nil
}

// look finds the messages that hold each word.
func (f *folder) look(ctx context.Context, words []*word) error {
	type found struct{ least, most []bool }
	of := make([]found, len(words))
	for i := range of {
		of[i] = found{make([]bool, len(f.spool.mails)), make([]bool, len(f.spool.mails))}
	}
	err := f.eachMail(ctx, len(f.spool.mails), func(n int, text *mailText) {
		for i, w := range words {
			of[i].least[n] = strings.Contains(text.least, w.text)
			of[i].most[n] = of[i].least[n] || strings.Contains(text.most, w.text)
		}
	})
	for i, w := range words {
		for n := range f.spool.mails {
			if of[i].least[n] {
				w.least = append(w.least, n+1)
			}
			if of[i].most[n] {
				w.most = append(w.most, n+1)
			}
		}
	}
	return err
}

// eachMail calls do with the texts of the first mails; several goroutines do so, each with another
// mail.
func (f *folder) eachMail(ctx context.Context, mails int, do func(n int, text *mailText)) error {
	var next, done atomic.Int64
	var readers sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for i := range errs {
		readers.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= mails {
					return
				}
				raw, err := f.spool.read(n)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					errs[i] = err
					return
				}
				do(n, textOf(raw))
				f.s.Progress("reading mail for words", done.Add(1), int64(mails))
			}
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}
