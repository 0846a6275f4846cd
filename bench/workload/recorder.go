package workload

import (
	"maps"
	"slices"
	"time"

	"gadwall/bench/load"
)

// recorder keeps times of things that a step's calls do, by name: each becomes a line of its own,
// beside that of the step. Workers may record at the same time, each under its own number.
type recorder struct {
	workers []map[string]*load.Sample // of the repeat under way
	repeats []map[string]*load.Sample
}

func newRecorder(workers int) *recorder {
	r := &recorder{workers: make([]map[string]*load.Sample, workers)}
	r.cut()
	return r
}

// cut throws away what was recorded since the last repeat.
func (r *recorder) cut() {
	for w := range r.workers {
		r.workers[w] = make(map[string]*load.Sample)
	}
}

// record notes that something took so long.
func (r *recorder) record(worker int, name string, took time.Duration, octets int64) {
	s := r.workers[worker][name]
	if s == nil {
		s = newSample()
		r.workers[worker][name] = s
	}
	s.Record(took)
	s.Octets += octets
}

func newSample() *load.Sample {
	return &load.Sample{Latency: load.NewHistogram(), Service: load.NewHistogram()}
}

// keep ends a repeat.
func (r *recorder) keep() {
	all := make(map[string]*load.Sample)
	for _, worker := range r.workers {
		for name, s := range worker {
			sum := all[name]
			if sum == nil {
				sum = newSample()
				all[name] = sum
			}
			sum.Calls += s.Calls
			sum.Octets += s.Octets
			sum.Latency.Merge(s.Latency)
			sum.Service.Merge(s.Service)
		}
	}
	r.repeats = append(r.repeats, all)
	r.cut()
}

// names are those that a repeat has.
func (r *recorder) names(repeat int) []string {
	return slices.Sorted(maps.Keys(r.repeats[repeat]))
}
