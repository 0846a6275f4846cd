package main

import (
	"context"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/census"
	"gadwall/internal/lease"
	"gadwall/internal/node"
)

const (
	// backgroundKept is how long what the database says of background work is shown again:
	// scrapes cost it no more than one look in that time.
	backgroundKept = 30 * time.Second
	// backgroundPatience bounds a look. A scrape does not fail for it.
	backgroundPatience = 2 * time.Second
)

// background tells how far work is that the instances share: the database knows.
type background struct {
	store *node.Node
	// taken returns the latest census, nil if there is none.
	taken func(context.Context) (*census.Census, error)
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	shown  []prometheus.Metric
}

var _ prometheus.Collector = (*background)(nil)

var (
	doneDesc = prometheus.NewDesc("gadwall_background_done_timestamp_seconds",
		"When the last complete run of a task by any instance began.", []string{"task", "part"}, nil)
	deletionsDesc = prometheus.NewDesc("gadwall_deletions_waiting",
		"Mailboxes and users that were deleted, and whose mail is not removed yet.", []string{"kind"}, nil)
)

// censusFigures are those of all users, as old as the census is.
var censusFigures = []struct {
	desc *prometheus.Desc
	of   func(*census.Census) float64
}{
	{prometheus.NewDesc("gadwall_census_taken_timestamp_seconds", "When the latest census was taken.", nil, nil),
		func(c *census.Census) float64 { return float64(c.Taken.Unix()) }},
	{prometheus.NewDesc("gadwall_census_users", "Users with a mailbox, by the latest census.", nil, nil),
		func(c *census.Census) float64 { return float64(c.Users) }},
	{prometheus.NewDesc("gadwall_census_messages", "Messages of all users, by the latest census.", nil, nil),
		func(c *census.Census) float64 { return float64(c.Messages) }},
	{prometheus.NewDesc("gadwall_census_received_bytes",
		"Octets of all messages as clients see them, by the latest census.", nil, nil),
		func(c *census.Census) float64 { return float64(c.Received) }},
	{prometheus.NewDesc("gadwall_census_stored_bytes",
		"Octets that collections and indexes take on disk, by the latest census.", nil, nil),
		func(c *census.Census) float64 {
			var sum int64
			for _, coll := range c.Collections {
				sum += coll.Stored + coll.Indexes
			}
			return float64(sum)
		}},
}

// Describe implements prometheus.Collector.
func (b *background) Describe(to chan<- *prometheus.Desc) {
	to <- doneDesc
	to <- deletionsDesc
	for _, f := range censusFigures {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector. While the database does not answer, it shows what it
// showed before.
func (b *background) Collect(to chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); now.Sub(b.looked) >= backgroundKept {
		b.looked = now
		if shown, err := b.look(); err != nil {
			b.log.Debug("metrics of background work are old", "error", err)
		} else {
			b.shown = shown
		}
	}
	for _, m := range b.shown {
		to <- m
	}
}

func (b *background) look() (list []prometheus.Metric, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), backgroundPatience)
	defer cancel()
	show := func(desc *prometheus.Desc, v float64, labels ...string) {
		list = append(list, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...))
	}
	tasks, err := lease.Done(ctx, b.store.Database)
	if err != nil {
		return nil, err
	}
	for task, parts := range tasks {
		for part, at := range parts {
			show(doneDesc, float64(at.Unix()), task, part)
		}
	}
	mailboxes, users, err := b.store.Mail.Deletions(ctx)
	if err != nil {
		return nil, err
	}
	show(deletionsDesc, float64(mailboxes), "mailbox")
	show(deletionsDesc, float64(users), "user")
	c, err := b.taken(ctx)
	if err != nil || c == nil {
		return list, err
	}
	for _, f := range censusFigures {
		show(f.desc, f.of(c))
	}
	return list, nil
}

// disks tells how full the disks of directories are.
type disks map[string]string // directories by label

var _ prometheus.Collector = (disks)(nil)

var (
	diskFreeDesc = prometheus.NewDesc("gadwall_disk_free_bytes",
		"What the disk of a directory has left for this process.", []string{"directory"}, nil)
	diskSizeDesc = prometheus.NewDesc("gadwall_disk_size_bytes",
		"Size of the disk of a directory.", []string{"directory"}, nil)
)

// Describe implements prometheus.Collector.
func (d disks) Describe(to chan<- *prometheus.Desc) {
	to <- diskFreeDesc
	to <- diskSizeDesc
}

// Collect implements prometheus.Collector. A directory that does not exist has no metrics.
func (d disks) Collect(to chan<- prometheus.Metric) {
	for label, dir := range d {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			continue
		}
		unit := float64(s.Bsize)
		to <- prometheus.MustNewConstMetric(diskFreeDesc, prometheus.GaugeValue, float64(s.Bavail)*unit, label)
		to <- prometheus.MustNewConstMetric(diskSizeDesc, prometheus.GaugeValue, float64(s.Blocks)*unit, label)
	}
}
