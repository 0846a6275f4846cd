package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gadwall/imap"
	"gadwall/internal/docstore"
	"gadwall/internal/events"
	"gadwall/internal/node"
)

// registerMetrics adds the metrics that parts of the server count by themselves.
func registerMetrics(reg *prometheus.Registry, store *node.Node, mail *imap.Server, shared ...prometheus.Collector) {
	reg.MustRegister(shared...)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gadwall_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	reg.MustRegister(store.Activity, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		gauge("gadwall_imap_connections", "Open IMAP connections.",
			func() float64 { return float64(mail.Connections()) }),
		&imapClients{server: mail, desc: prometheus.NewDesc("gadwall_imap_clients_total",
			"IMAP connections by the client's name in ID.", []string{"name"}, nil)})
	registerStorage(reg, store)
	attempts := store.Logins.Stats
	store.Accounts.Register(reg)
	reg.MustRegister(
		counter("gadwall_authlog_written_total", "Attempts to log in that were written to the authentication log.",
			func() float64 { return float64(attempts().Written) }),
		counter("gadwall_authlog_dropped_total", "Attempts to log in that the authentication log lacks.",
			func() float64 { return float64(attempts().Dropped) }))
	columns := store.Accounts.ColumnStats
	reg.MustRegister(
		gauge("gadwall_columns_bytes", "Memory that the columns of mailboxes take.",
			func() float64 { return float64(columns().Bytes) }),
		gauge("gadwall_columns_mailboxes", "Mailboxes whose columns are in memory.",
			func() float64 { return float64(columns().Mailboxes) }),
		counter("gadwall_columns_hits_total", "Answers from columns that were current.",
			func() float64 { return float64(columns().Hits) }),
		counter("gadwall_columns_updates_total", "Changes that were read into columns.",
			func() float64 { return float64(columns().Updates) }),
		counter("gadwall_columns_loads_total", "Columns that were read whole.",
			func() float64 { return float64(columns().Loads) }))
	rows, texts := store.Index.Writer.Stats, store.Accounts.SearchStats
	reg.MustRegister(
		gauge("gadwall_index_backlog", "Mails that wait for their rows in the text index.",
			func() float64 { return float64(rows().Backlog) }),
		counter("gadwall_index_rows_total", "Rows written into the text index.",
			func() float64 { return float64(rows().Written) }),
		counter("gadwall_index_blocks_total", "Blocks made of rows of the text index.",
			func() float64 { return float64(store.Index.Turner.Turned()) }),
		counter("gadwall_index_dropped_total", "Mails for which the writer of the text index had no room.",
			func() float64 { return float64(rows().Dropped) }),
		counter("gadwall_index_unreadable_total", "Mails not indexed, because their content could not be read.",
			func() float64 { return float64(rows().Unreadable) }),
		counter("gadwall_search_excluded_total", "Messages that the text index ruled out.",
			func() float64 { return float64(texts().Excluded) }),
		counter("gadwall_search_candidates_total", "Messages that searches for texts compared.",
			func() float64 { return float64(texts().Candidates) }),
		counter("gadwall_search_hits_total", "Messages that searches for texts found.",
			func() float64 { return float64(texts().Hits) }))
	headers := store.Contents.ShortHeaderStats
	reg.MustRegister(
		gauge("gadwall_short_header_bytes", "Memory that short headers take.",
			func() float64 { return float64(headers().Bytes) }),
		counter("gadwall_short_header_hits_total", "Short headers that were in memory.",
			func() float64 { return float64(headers().Hits) }),
		counter("gadwall_short_header_misses_total", "Short headers that were not in memory.",
			func() float64 { return float64(headers().Misses) }))

	if bus := events.RedisUnder(store.Bus); bus != nil {
		number := func(of func(events.Stats) float64) func() float64 {
			return func() float64 { return of(bus.Stats()) }
		}
		reg.MustRegister(
			counter("gadwall_events_published_total", "Events sent to Redis.",
				number(func(s events.Stats) float64 { return float64(s.Published) })),
			counter("gadwall_events_dropped_total", "Events that did not reach Redis.",
				number(func(s events.Stats) float64 { return float64(s.Dropped) })),
			counter("gadwall_events_received_total", "Events received from other instances.",
				number(func(s events.Stats) float64 { return float64(s.Received) })),
			counter("gadwall_events_connects_total", "Subscriber connections made to Redis.",
				number(func(s events.Stats) float64 { return float64(s.Connects) })),
			gauge("gadwall_events_connected", "Whether the subscriber connection to Redis is up.",
				number(func(s events.Stats) float64 { return truth(s.Connected) })))
	}
	if db := store.Embedded; db != nil {
		registerEmbedded(reg, db)
	}
}

// imapClients counts connections by the names of client programs.
type imapClients struct {
	server *imap.Server
	desc   *prometheus.Desc
}

var _ prometheus.Collector = (*imapClients)(nil)

// Describe implements prometheus.Collector.
func (c *imapClients) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector.
func (c *imapClients) Collect(to chan<- prometheus.Metric) {
	for name, n := range c.server.Clients() {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), name)
	}
}

// registerEmbedded adds the metrics of the embedded database.
func registerEmbedded(reg *prometheus.Registry, db *docstore.Server) {
	number := func(of func(docstore.Metrics) float64) func() float64 {
		return func() float64 { return of(db.Metrics()) }
	}
	reg.MustRegister(
		gauge("gadwall_docstore_connections", "Open connections to the embedded database.",
			number(func(m docstore.Metrics) float64 { return float64(m.Connections) })),
		counter("gadwall_docstore_commands_total", "Commands run by the embedded database.",
			number(func(m docstore.Metrics) float64 { return float64(m.Commands) })),
		counter("gadwall_docstore_received_bytes_total", "Bytes of these commands.",
			number(func(m docstore.Metrics) float64 { return float64(m.BytesIn) })),
		counter("gadwall_docstore_sent_bytes_total", "Bytes of their replies.",
			number(func(m docstore.Metrics) float64 { return float64(m.BytesOut) })),
		counter("gadwall_docstore_keys_examined_total", "Index entries that queries have read.",
			number(func(m docstore.Metrics) float64 { return float64(m.KeysExamined) })),
		counter("gadwall_docstore_documents_examined_total", "Documents that queries have read.",
			number(func(m docstore.Metrics) float64 { return float64(m.DocsExamined) })),
		counter("gadwall_docstore_synced_commits_total", "Commits that waited for the disk.",
			number(func(m docstore.Metrics) float64 { return float64(m.SyncedCommits) })),
		counter("gadwall_docstore_log_syncs_total", "Syncs of the write-ahead log.",
			number(func(m docstore.Metrics) float64 { return float64(m.LogSyncs) })),
		counter("gadwall_docstore_sync_wait_seconds_total", "Time that commits waited for the disk.",
			number(func(m docstore.Metrics) float64 { return m.SyncWait.Seconds() })),
		gauge("gadwall_docstore_disk_bytes", "Size of the embedded database's files.",
			number(func(m docstore.Metrics) float64 { return float64(m.DiskBytes) })),
		gauge("gadwall_docstore_disk_free_bytes", "What the disk of the embedded database has left.",
			number(func(m docstore.Metrics) float64 { return float64(m.FreeBytes) })),
		gauge("gadwall_docstore_writes_refused", "1 while the disk is too full to store anything new.",
			number(func(m docstore.Metrics) float64 { return truth(m.WritesRefused) })))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
}

func counter(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
}
