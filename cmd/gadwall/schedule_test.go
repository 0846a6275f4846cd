package main

import (
	"log/slog"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"gadwall/internal/config"
)

func openTestStorage(t *testing.T) *storage {
	t.Helper()
	s, err := openStorage(t.Context(), config.Storage{DataDir: dataDir(t), MongoDBDatabase: "gadwall"}, slog.New(slog.DiscardHandler), serving)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// One instance collects when it is time, and none while another is at it.
func TestGCSchedule(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := openTestStorage(t)
	one, two := newGCSchedule(s, time.Hour, 0, log), newGCSchedule(s, time.Hour, 0, log)
	turn := func(g *gcSchedule, want float64) {
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
	off := newGCSchedule(s, 0, 0, log)
	off.run(t.Context()) // returns at once
}
