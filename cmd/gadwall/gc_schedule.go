package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
	"gadwall/internal/maintenance"
)

// orphansInterval is how often the collection looks for chunks without a file, which walks along all chunks.
const orphansInterval = 7 * 24 * time.Hour

// gcSchedule collects now and then, in one instance of all that run.
type gcSchedule struct {
	schedule
	mail  *mailstore.Store
	grace time.Duration

	runs           *prometheus.CounterVec
	deleted, bytes *prometheus.CounterVec
}

func newGCSchedule(s *storage, interval, grace time.Duration, log *slog.Logger) *gcSchedule {
	count := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	g := &gcSchedule{
		schedule: schedule{task: s.gcTask(), part: partCollect, interval: interval, look: interval / lookTries, log: log, now: time.Now},
		mail:     s.mail, grace: grace,
		runs:    count("gadwall_gc_runs_total", "Collections by this instance.", "result"),
		deleted: count("gadwall_gc_deleted_total", "Documents deleted by collections of this instance.", "kind"),
		bytes:   count("gadwall_gc_deleted_bytes_total", "What was stored in them, before the database's compression.", "kind"),
	}
	g.do = g.collect
	g.failed = func() { g.runs.WithLabelValues("failed").Inc() }
	return g
}

func (g *gcSchedule) register(r prometheus.Registerer) { r.MustRegister(g.runs, g.deleted, g.bytes) }

func (g *gcSchedule) collect(ctx context.Context, l *lease.Lease) error {
	now := g.now()
	options := maintenance.CollectOptions{Grace: g.grace, Orphans: now.Sub(l.Done(partOrphans)) >= orphansInterval}
	done, err := collectUnder(ctx, l, g.mail, options, now)
	if done != nil {
		g.count(done)
	}
	if err == nil {
		g.runs.WithLabelValues("ok").Inc()
		g.log.Info("collected", "took", g.now().Sub(now).Round(time.Millisecond), "contents", done.Contents.Deleted.Documents,
			"blobs", done.Blobs.Deleted.Documents, "orphan_chunks", done.Orphans.Documents,
			"bytes", done.Contents.Deleted.Bytes+done.Blobs.Deleted.Bytes+done.Orphans.Bytes,
			"quarantined_contents", done.Contents.Quarantined, "quarantined_blobs", done.Blobs.Quarantined,
			"busy_contents", done.Contents.Busy)
	}
	return err
}

func (g *gcSchedule) count(done *maintenance.Collected) {
	for _, kind := range []struct {
		name             string
		documents, bytes int64
	}{
		{"content", done.Contents.Deleted.Documents, done.Contents.Deleted.Bytes},
		{"blob", done.Blobs.Deleted.Documents, done.Blobs.Deleted.Bytes},
		{"orphan_chunk", done.Orphans.Documents, done.Orphans.Bytes},
	} {
		g.deleted.WithLabelValues(kind.name).Add(float64(kind.documents))
		g.bytes.WithLabelValues(kind.name).Add(float64(kind.bytes))
	}
}
