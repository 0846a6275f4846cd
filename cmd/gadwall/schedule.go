package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
	"gadwall/internal/maintenance"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// orphansInterval is how often the collection looks for chunks without a file, which walks along all chunks.
	orphansInterval = 7 * 24 * time.Hour
	// gcTries is how often per interval an instance looks whether it is time: another one may have ended in between.
	gcTries = 4
)

// gcSchedule collects now and then, in one instance of all that run.
type gcSchedule struct {
	task            *lease.Task
	mail            *mailstore.Store
	interval, grace time.Duration
	log             *slog.Logger

	runs           *prometheus.CounterVec
	deleted, bytes *prometheus.CounterVec
}

func newGCSchedule(s *storage, interval, grace time.Duration, log *slog.Logger) *gcSchedule {
	count := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	return &gcSchedule{
		task: s.gcTask(), mail: s.mail, interval: interval, grace: grace, log: log,
		runs:    count("gadwall_gc_runs_total", "Collections by this instance.", "result"),
		deleted: count("gadwall_gc_deleted_total", "Documents deleted by collections of this instance.", "kind"),
		bytes:   count("gadwall_gc_deleted_bytes_total", "What was stored in them, before the database's compression.", "kind"),
	}
}

func (g *gcSchedule) register(r prometheus.Registerer) { r.MustRegister(g.runs, g.deleted, g.bytes) }

// run collects until ctx ends.
func (g *gcSchedule) run(ctx context.Context) {
	if g.interval <= 0 {
		return
	}
	ticker := time.NewTicker(g.interval / gcTries)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := g.turn(ctx)
		if err != nil && ctx.Err() == nil {
			g.runs.WithLabelValues("failed").Inc()
			g.log.Error("collection failed; it goes on next time", "error", err)
		}
	}
}

// turn collects if it is time and no other instance is at it.
func (g *gcSchedule) turn(ctx context.Context) error {
	l, err := g.task.Acquire(ctx)
	if errors.Is(err, lease.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release(ctx)
	now := time.Now()
	// A little early rather than a whole turn late.
	if now.Sub(l.Done(partCollect)) < g.interval-g.interval/(2*gcTries) {
		return nil
	}
	options := maintenance.CollectOptions{Grace: g.grace, Orphans: now.Sub(l.Done(partOrphans)) >= orphansInterval}
	done, err := collectUnder(ctx, l, g.mail, options)
	if done != nil {
		g.count(done)
	}
	if errors.Is(err, lease.ErrLost) {
		g.log.Warn("collection given up", "error", err)
		return nil
	}
	if err == nil {
		g.runs.WithLabelValues("ok").Inc()
		g.log.Info("collected", "took", time.Since(now).Round(time.Millisecond), "contents", done.Contents.Deleted.Documents,
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
