package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/dedupe"
	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
)

// taskCollect is the name of the task that collects. Its parts are done at times of their own.
const (
	taskCollect = "gc"
	partCollect = "collect"
	partOrphans = "orphans"
)

// orphansInterval is how often a periodic collection looks for chunks without a file. That reads
// all chunks.
const orphansInterval = 7 * 24 * time.Hour

// CollectTask is the task of collections on a database, for periodic ones and those of commands.
func CollectTask(db *mongo.Database, client *redis.Client, log *slog.Logger) *lease.Task {
	return &lease.Task{Name: taskCollect, Database: db, Redis: client, Log: log}
}

// CollectUnder collects as long as the lease is held, and records when it began.
func CollectUnder(ctx context.Context, l *lease.Lease, mail *mailstore.Store, options CollectOptions,
	began time.Time) (*Collected, error) {
	options.Guard = l.Check
	done, err := Collect(ctx, mail, options)
	if err != nil {
		return &done, err
	}
	if options.Orphans {
		err = l.SetDone(ctx, partOrphans, began)
	}
	return &done, errors.Join(err, l.SetDone(ctx, partCollect, began))
}

// PeriodicCollection collects now and then, in one instance of all that serve.
type PeriodicCollection struct {
	periodic
	mail  *mailstore.Store
	grace time.Duration

	runs           *prometheus.CounterVec
	deleted, bytes *prometheus.CounterVec
}

// NewPeriodicCollection returns a collection that Run repeats every interval; never if that is 0.
func NewPeriodicCollection(mail *mailstore.Store, task *lease.Task,
	interval, grace time.Duration) *PeriodicCollection {
	count := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	g := &PeriodicCollection{
		periodic: periodic{task: task, part: partCollect, interval: interval, look: interval / lookTries,
			log: task.Log, now: time.Now},
		mail: mail, grace: grace,
		runs:    count("gadwall_gc_runs_total", "Collections by this instance.", "result"),
		deleted: count("gadwall_gc_deleted_total", "Documents deleted by collections of this instance.", "kind"),
		bytes: count("gadwall_gc_deleted_bytes_total",
			"What was stored in them, before the database's compression.", "kind"),
	}
	for _, result := range []string{"ok", "failed"} { // 0 is shown, too
		g.runs.WithLabelValues(result)
	}
	g.count(new(Collected))
	g.do = g.collect
	g.help = func(ctx context.Context) error {
		sum, err := helpWithOrphans(ctx, mail.Contents().Blobs(), CollectOptions{})
		g.count(&Collected{Orphans: sum})
		return err
	}
	g.failed = func() { g.runs.WithLabelValues("failed").Inc() }
	return g
}

// Register adds the metrics of the collections of this instance.
func (g *PeriodicCollection) Register(r prometheus.Registerer) {
	r.MustRegister(g.runs, g.deleted, g.bytes)
}

func (g *PeriodicCollection) collect(ctx context.Context, l *lease.Lease) error {
	now := g.now()
	missing, err := g.mail.MissingIndexes(ctx)
	if err != nil {
		return err
	}
	for _, d := range missing {
		if d.Index == dedupe.IndexUnused {
			g.log.Warn("no collection before gadwall schema apply has built the index by which it finds what is unused",
				"collection", d.Collection, "index", d.Index)
			return nil
		}
	}
	options := CollectOptions{Grace: g.grace, Orphans: now.Sub(l.Done(partOrphans)) >= orphansInterval}
	done, err := CollectUnder(ctx, l, g.mail, options, now)
	if done != nil {
		g.count(done)
	}
	if err == nil {
		g.runs.WithLabelValues("ok").Inc()
		g.log.Info("collected", "took", g.now().Sub(now).Round(time.Millisecond), "contents",
			done.Contents.Deleted.Documents,
			"blobs", done.Blobs.Deleted.Documents, "orphan_chunks", done.Orphans.Documents,
			"bytes", done.Contents.Deleted.Bytes+done.Blobs.Deleted.Bytes+done.Orphans.Bytes,
			"quarantined_contents", done.Contents.Quarantined, "quarantined_blobs", done.Blobs.Quarantined,
			"busy_contents", done.Contents.Busy)
	}
	return err
}

func (g *PeriodicCollection) count(done *Collected) {
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
