package activity

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper bounds of the histograms' buckets. What is answered from memory takes less
// than a millisecond, a search that reads all texts takes seconds.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	10 * time.Second, time.Minute,
}

// A histogram of durations. It has no lock: what is collected while something is observed may lack
// that in some of its numbers.
type histogram struct {
	buckets     [len(bounds) + 1]atomic.Int64
	nanoseconds atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.nanoseconds.Add(int64(d))
}

// metric returns the histogram for Prometheus; nil if nothing was observed.
func (h *histogram) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	upTo := make(map[float64]uint64, len(bounds))
	var sum uint64
	for i := range h.buckets {
		sum += uint64(h.buckets[i].Load())
		if i < len(bounds) {
			upTo[bounds[i].Seconds()] = sum
		}
	}
	if sum == 0 {
		return nil
	}
	return prometheus.MustNewConstHistogram(desc, sum, time.Duration(h.nanoseconds.Load()).Seconds(), upTo, labels...)
}
