package maintenance

import (
	"log/slog"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

func newTestCollection(s *store, interval time.Duration) *PeriodicCollection {
	return NewPeriodicCollection(s.Store, CollectTask(s.db, nil, slog.New(slog.DiscardHandler)), interval, 0)
}

// One instance collects when it is time, and none while another is at it.
func TestPeriodicCollection(t *testing.T) {
	s := newStore(t)
	one, two := newTestCollection(s, time.Hour), newTestCollection(s, time.Hour)
	turn := func(g *PeriodicCollection, want float64) {
		t.Helper()
		if err := g.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		var m dto.Metric
		if err := g.runs.WithLabelValues("ok").Write(&m); err != nil {
			t.Fatal(err)
		}
		if got := m.GetCounter().GetValue(); got != want {
			t.Errorf("%v collections, want %v", got, want)
		}
	}
	held, err := one.task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	turn(one, 0)
	held.Release(t.Context())
	turn(one, 1)
	turn(one, 1) // not yet time again
	turn(two, 0) // for nobody
	l, err := two.task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.Done(partCollect).IsZero() || l.Done(partOrphans).IsZero() {
		t.Errorf("collected at %v, looked for orphans at %v", l.Done(partCollect), l.Done(partOrphans))
	}
	l.Release(t.Context())
	later := func() time.Time { return time.Now().Add(time.Hour) }
	one.now, two.now = later, later
	turn(two, 1)
	turn(one, 1)
	off := newTestCollection(s, 0)
	off.Run(t.Context()) // returns at once
}
