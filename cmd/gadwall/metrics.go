package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gadwall/imap"
	"gadwall/internal/events"
	"gadwall/internal/node"
)

// registerMetrics adds what the parts of the server count by themselves.
func registerMetrics(reg *prometheus.Registry, store *node.Node, mail *imap.Server) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gadwall_info", Help: "Always 1; the label tells the version.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		gauge("gadwall_imap_connections", "Open IMAP connections.", func() float64 { return float64(mail.Connections()) }))

	if bus, ok := store.Bus.(*events.Redis); ok {
		reg.MustRegister(
			counter("gadwall_events_published_total", "Events sent to Redis.", func() float64 { return float64(bus.Stats().Published) }),
			counter("gadwall_events_dropped_total", "Events that did not reach Redis.", func() float64 { return float64(bus.Stats().Dropped) }),
			counter("gadwall_events_received_total", "Events received from other instances.", func() float64 { return float64(bus.Stats().Received) }),
			counter("gadwall_events_connects_total", "Subscriber connections made to Redis.", func() float64 { return float64(bus.Stats().Connects) }),
			gauge("gadwall_events_connected", "Whether the subscriber connection to Redis is up.", func() float64 {
				if bus.Stats().Connected {
					return 1
				}
				return 0
			}))
	}
	if db := store.Embedded; db != nil {
		reg.MustRegister(
			gauge("gadwall_docstore_connections", "Open connections to the embedded database.", func() float64 { return float64(db.Metrics().Connections) }),
			counter("gadwall_docstore_commands_total", "Commands run by the embedded database.", func() float64 { return float64(db.Metrics().Commands) }),
			counter("gadwall_docstore_synced_commits_total", "Commits that waited for the disk.", func() float64 { return float64(db.Metrics().SyncedCommits) }),
			counter("gadwall_docstore_log_syncs_total", "Syncs of the write-ahead log.", func() float64 { return float64(db.Metrics().LogSyncs) }),
			counter("gadwall_docstore_sync_wait_seconds_total", "Time that commits waited for the disk.", func() float64 { return db.Metrics().SyncWait.Seconds() }),
			gauge("gadwall_docstore_disk_bytes", "Size of the embedded database's files.", func() float64 { return float64(db.Metrics().DiskBytes) }))
	}
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
}

func counter(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
}
