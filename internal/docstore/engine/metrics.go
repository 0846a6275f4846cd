package engine

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	dto "github.com/prometheus/client_model/go"
)

// Metrics tells how the storage is doing.
type Metrics struct {
	// SyncedCommits counts the commits that waited for the disk, and SyncWait their time in all.
	// LogSyncs counts the syncs they shared.
	SyncedCommits, LogSyncs int64
	SyncWait                time.Duration
	// KeysExamined and DocsExamined count index entries and documents that queries have read. Those of
	// an open cursor count when it is closed.
	KeysExamined, DocsExamined int64
	// DiskBytes is the size of the database's files.
	DiskBytes uint64
	// MemTableBytes and CacheBytes are what write buffers and block cache hold.
	MemTableBytes, CacheBytes uint64
	// FreeBytes is what the file system has left. WritesRefused says that this is too little to store
	// anything new.
	FreeBytes     uint64
	WritesRefused bool
}

type metrics struct{ syncedCommits, syncWait, keys, docs atomic.Int64 }

func (m *metrics) examined(keys, docs int64) {
	m.keys.Add(keys)
	m.docs.Add(docs)
}

func (m *metrics) synced(d time.Duration) {
	m.syncedCommits.Add(1)
	m.syncWait.Add(int64(d))
}

// Metrics returns the current numbers; those of Pebble are 0 after the database was closed.
func (e *Engine) Metrics() Metrics {
	m := Metrics{
		SyncedCommits: e.metrics.syncedCommits.Load(),
		SyncWait:      time.Duration(e.metrics.syncWait.Load()),
		KeysExamined:  e.metrics.keys.Load(),
		DocsExamined:  e.metrics.docs.Load(),
	}
	done, err := e.begin()
	if err != nil {
		return m
	}
	defer done()
	m.FreeBytes, m.WritesRefused = e.space.state()
	p := e.pebbleMetrics()
	m.DiskBytes = diskBytes(p)
	m.MemTableBytes = p.MemTable.Size
	m.CacheBytes = uint64(p.BlockCache.Size)
	var latency dto.Metric
	if h := p.LogWriter.FsyncLatency; h != nil && h.Write(&latency) == nil {
		m.LogSyncs = int64(latency.GetHistogram().GetSampleCount())
	}
	return m
}

// pebbleMetrics returns Pebble's numbers. While Pebble waits for space on the disk it answers nobody;
// then they are those of the last time.
func (e *Engine) pebbleMetrics() *pebble.Metrics {
	last := func() *pebble.Metrics {
		if m := e.lastMetrics.Load(); m != nil {
			return m
		}
		return new(pebble.Metrics)
	}
	if !e.measuring.CompareAndSwap(false, true) {
		return last()
	}
	full := e.space.whenFull()
	done := make(chan *pebble.Metrics, 1)
	e.commits.Go(func() {
		m := e.db.Metrics()
		e.lastMetrics.Store(m)
		e.measuring.Store(false)
		done <- m
	})
	select {
	case m := <-done:
		return m
	case <-full:
		return last()
	}
}

// diskBytes is the size of the database's files. Pebble itself leaves out the files of values that
// were there when it was opened, and subtracts them when they go.
func diskBytes(m *pebble.Metrics) uint64 {
	return m.DiskSpaceUsage() - m.BlobFiles.Local.LiveSize + m.BlobFiles.LiveSize
}
