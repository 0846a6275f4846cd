package main

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/contents"
	"gadwall/internal/node"
)

// registerStorage adds what came in, was stored, and was saved.
func registerStorage(reg *prometheus.Registry, store *node.Node) {
	count := func(name, help string, of func(contents.Stats) int64) prometheus.Collector {
		return counter(name, help, func() float64 { return float64(of(store.Contents.Stats())) })
	}
	saved := func(by string, of func(contents.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gadwall_content_saved_bytes_total",
			Help: "Octets that were not stored: of messages and attachments that are there already, of transfer " +
				"encodings, and by compression.",
			ConstLabels: prometheus.Labels{"by": by},
		}, func() float64 { return float64(of(store.Contents.Stats())) })
	}
	reg.MustRegister(
		count("gadwall_content_received_bytes_total", "Octets of messages that came in, once for each recipient.",
			func(s contents.Stats) int64 { return s.Received }),
		count("gadwall_content_stored_bytes_total", "Octets that were stored of them, compressed.",
			func(s contents.Stats) int64 { return s.Stored }),
		saved("message", func(s contents.Stats) int64 { return s.SavedMessages }),
		saved("attachment", func(s contents.Stats) int64 { return s.SavedAttachments }),
		saved("encoding", func(s contents.Stats) int64 { return s.SavedEncodings }),
		saved("compression", func(s contents.Stats) int64 { return s.SavedCompression }))
}

// disks are those that the server writes to.
func (c *serveCmd) disks() disks {
	d := disks{"temp": os.TempDir()}
	if c.Storage.Embedded() {
		d["data"] = c.Storage.DataDir
	}
	return d
}
