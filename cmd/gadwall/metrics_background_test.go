package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/census"
	"gadwall/internal/config"
	"gadwall/internal/node"
)

// gauges are the values of a collector's metrics by name and labels.
func gauges(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += "," + l.GetValue()
			}
			all[name] = m.GetGauge().GetValue()
		}
	}
	return all
}

// The age of background work and its queues come from the database, which is asked once in a while
// only. What it said last is shown while it does not answer.
func TestBackgroundMetrics(t *testing.T) {
	store, err := node.Open(t.Context(), node.Options{
		Storage: config.Storage{DataDir: t.TempDir(), MongoDBDatabase: "gadwall"}, Access: node.Serving,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	var counted *census.Census
	taken := func(context.Context) (*census.Census, error) { return counted, nil }
	b := &background{store: store, taken: taken, log: slog.New(slog.DiscardHandler),
		now: func() time.Time { return now }}
	const done, waiting = "gadwall_background_done_timestamp_seconds", "gadwall_deletions_waiting"
	before := gauges(t, b)
	if n, ok := before[waiting+",user"]; !ok || n != 0 || before[done+",collect,gc"] != 0 {
		t.Errorf("before anything happened: %v", before)
	}
	l, err := store.CollectTask().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetDone(t.Context(), "collect", time.Unix(1000, 0)); err != nil {
		t.Fatal(err)
	}
	l.Release(t.Context())
	// Somebody is purging it just now: this process leaves it alone.
	if _, err := store.Database.Collection("mailboxes").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: bson.Binary{Data: make([]byte, 12)}}, {Key: "del", Value: true},
		{Key: "dt", Value: time.Now().Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	if got := gauges(t, b); got[done+",collect,gc"] != 0 {
		t.Errorf("asked again at once: %v", got)
	}
	now = now.Add(backgroundKept)
	counted = &census.Census{Taken: time.Unix(2000, 0), Users: 3, Messages: 40, Received: 1000}
	counted.Collections = []census.Collection{{Name: "messages", Stored: 100, Indexes: 11}}
	want := gauges(t, b)
	for name, n := range map[string]float64{"taken_timestamp_seconds": 2000, "users": 3, "messages": 40,
		"received_bytes": 1000, "stored_bytes": 111} {
		if want["gadwall_census_"+name] != n {
			t.Errorf("gadwall_census_%s is %v, want %v", name, want["gadwall_census_"+name], n)
		}
	}
	if want[done+",collect,gc"] != 1000 || want[waiting+",mailbox"] != 1 {
		t.Errorf("got %v", want)
	}
	if err := store.Client.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(backgroundKept)
	if got := gauges(t, b); got[done+",collect,gc"] != 1000 || got[waiting+",mailbox"] != 1 {
		t.Errorf("without a database: %v", got)
	}
}

// A disk that exists has a size, and one that does not has no metric.
func TestDiskMetrics(t *testing.T) {
	dir := t.TempDir()
	got := gauges(t, disks{"data": dir, "temp": filepath.Join(dir, "none")})
	free, size := got["gadwall_disk_free_bytes,data"], got["gadwall_disk_size_bytes,data"]
	if len(got) != 2 || free <= 0 || size < free {
		t.Errorf("got %v", got)
	}
}
