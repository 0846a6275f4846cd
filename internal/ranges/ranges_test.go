package ranges

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/lease"
)

func newJob(db *mongo.Database) *Job {
	return &Job{Name: "count", KeySize: 3, Database: db, PerRange: 1, Log: slog.New(slog.DiscardHandler)}
}

func begin(t *testing.T, j *Job, documents int64) *Round {
	t.Helper()
	r, err := j.Begin(t.Context(), documents, struct{ Option string }{"deep"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Ranges follow one another without a gap, whatever their number.
func TestRangesCoverAllKeys(t *testing.T) {
	for _, documents := range []int64{0, 1, 2, 3, 100, 1 << 40} {
		r := begin(t, newJob(dbtest.Database(t)), documents)
		var mu sync.Mutex
		type bounds struct{ first, last []byte }
		var list []bounds
		err := r.Each(t.Context(), 3, func(ctx context.Context, g *Range) error {
			mu.Lock()
			list = append(list, bounds{g.First(), g.Last()})
			mu.Unlock()
			return g.Finish(ctx, 1, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(list, func(a, b bounds) int { return bytes.Compare(a.first, b.first) })
		next := []byte{0, 0, 0}
		for _, b := range list {
			if !bytes.Equal(b.first, next) || bytes.Compare(b.first, b.last) > 0 {
				t.Fatalf("of %d documents: from %x to %x, want from %x", documents, b.first, b.last, next)
			}
			next = []byte{b.last[0] + 1, 0, 0}
		}
		if next[0] != 0 || documents > 1 && len(list) < 2 || len(list) > maxRanges {
			t.Errorf("of %d documents: %d ranges, to %x", documents, len(list), next)
		}
	}
}

// An instance that stops is followed by one that goes on where it was, with what it had kept.
func TestRoundGoesOn(t *testing.T) {
	db := dbtest.Database(t)
	first := begin(t, newJob(db), 4)
	type note struct{ Found []string }
	stopped := errors.New("stopped")
	err := first.Each(t.Context(), 1, func(ctx context.Context, g *Range) error {
		if err := g.Save(ctx, []byte{g.First()[0], 7, 0xff}, 10, note{[]string{"a"}}); err != nil {
			t.Error(err)
		}
		return stopped
	})
	if !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	second := begin(t, newJob(db), 1000)
	if !second.Resumed || !second.Same(first) || second.Note().Lookup("option").StringValue() != "deep" {
		t.Errorf("begun again: %+v", second)
	}
	resumed := 0
	err = second.Each(t.Context(), 2, func(ctx context.Context, g *Range) error {
		if want := []byte{g.First()[0], 8, 0}; bytes.Equal(g.From(), want) && g.Count() == 10 && g.Note() != nil {
			resumed++
		} else if !bytes.Equal(g.From(), g.First()) || g.Count() != 0 {
			t.Errorf("from %x after %d", g.From(), g.Count())
		}
		return g.Finish(ctx, 1, nil)
	})
	if err != nil || resumed != 1 {
		t.Errorf("%d ranges went on, %v", resumed, err)
	}
	states, err := second.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if done, n := Totals(states); done != 4 || n != 14 {
		t.Errorf("%d ranges done, %d documents", done, n)
	}
	if err := second.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Collection(collection).EstimatedDocumentCount(t.Context()); err != nil || n != 0 {
		t.Errorf("%d documents are left, %v", n, err)
	}
}

// Two instances share the ranges of a round, and both wait until all are done.
func TestRoundIsShared(t *testing.T) {
	db := dbtest.Database(t)
	var mu sync.Mutex
	done := make(map[int]int)
	var all sync.WaitGroup
	rounds := make([]*Round, 3)
	for i := range rounds {
		rounds[i] = begin(t, newJob(db), 64)
	}
	for _, r := range rounds {
		all.Go(func() {
			err := r.Each(t.Context(), 2, func(ctx context.Context, g *Range) error {
				mu.Lock()
				done[g.Index()]++
				mu.Unlock()
				return g.Finish(ctx, 1, nil)
			})
			states, errStates := r.States(t.Context())
			if n, _ := Totals(states); err != nil || errStates != nil || n != 64 {
				t.Errorf("%d ranges, %v, %v", n, err, errStates)
			}
		})
	}
	all.Wait()
	for i := range 64 {
		if done[i] != 1 {
			t.Errorf("range %d was done %d times", i, done[i])
		}
	}
}

// An instance that lost its lease cannot move the position of its successor, and leaves the range to
// it.
func TestLostRange(t *testing.T) {
	db := dbtest.Database(t)
	r := begin(t, newJob(db), 2)
	held, err := r.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := r.take(t.Context(), 1); other != nil || err != nil {
		t.Fatalf("taken twice: %v, %v", other, err)
	}
	if left, err := r.Help(t.Context(), 1, func(ctx context.Context, g *Range) error {
		return g.Finish(ctx, 5, nil)
	}); err != nil || left != 1 {
		t.Fatalf("%d ranges are left, %v", left, err)
	}
	if err := lease.EndAll(t.Context(), db); err != nil { // as when it has run out
		t.Fatal(err)
	}
	if err := r.Each(t.Context(), 1, func(ctx context.Context, g *Range) error {
		if err := g.Save(ctx, []byte{0x90, 1, 1}, 6, nil); err != nil {
			t.Error(err)
		}
		if err := held.Save(ctx, []byte{0x81, 0, 0}, 7, nil); !errors.Is(err, lease.ErrLost) {
			t.Errorf("saved without the lease: %v", err)
		}
		if err := held.Check(ctx); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the lease is still held: %v", err)
		}
		return g.Finish(ctx, 1, nil)
	}); err != nil {
		t.Fatal(err)
	}
	held.lease.Release(t.Context())
	states, err := r.States(t.Context())
	if err != nil || states[1].Count != 7 || !states[1].Done {
		t.Errorf("%+v, %v", states, err)
	}
	if s := fmt.Sprintf("%x", held.From()); s != "800000" {
		t.Errorf("position of the loser: %s", s)
	}
}
