package report

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gadwall/bench/load"
)

const (
	// stepsPerDecade is how many quantiles a chart shows between 90 and 99 percent, 99 and 99.9, ...
	stepsPerDecade = 8
	// maxDecades ends the axis at 99.9999 percent.
	maxDecades = 6
)

// addPercentiles adds the latencies of all cases by percentile. The axis shows how rare a call is:
// each decade is a nine more.
func (s *section) addPercentiles(list []*measured) error {
	c := &chart{
		Title: s.Name + ": latency by percentile",
		X:     axis{Name: "percentile", Log: true, Percentile: true},
		Y:     axis{Name: "latency, ms", Log: true}, Plain: true,
	}
	many := severalSubjects(list)
	for _, m := range list {
		merged, err := mergedLatency(m)
		if err != nil {
			return err
		}
		if merged.TotalCount() == 0 {
			continue
		}
		l := line{subject: m.subject.Name, label: m.label}
		c.Series = append(c.Series, series{Name: l.name(many), Points: percentiles(merged)})
	}
	s.addCharts(c)
	return nil
}

// mergedLatency adds up the histograms of all repeats.
func mergedLatency(m *measured) (*hdrhistogram.Histogram, error) {
	merged := load.NewHistogram()
	for _, l := range m.lines {
		if l.Latency == nil || len(l.Latency.Histogram) == 0 {
			continue
		}
		h, err := l.Latency.Decode()
		if err != nil {
			return nil, fmt.Errorf("repeat %d: %w", l.Repeat, err)
		}
		merged.Merge(h)
	}
	return merged, nil
}

// percentiles returns the latency of each quantile as far as there are calls beyond it.
func percentiles(h *hdrhistogram.Histogram) []point {
	var points []point
	total := float64(h.TotalCount())
	for i := range maxDecades*stepsPerDecade + 1 {
		rarity := math.Pow(10, float64(i)/stepsPerDecade) // 1, ..., 10 (p90), ..., 100 (p99)
		if rarity > total {
			break
		}
		ms := float64(h.ValueAtQuantile(100-100/rarity)) / float64(time.Millisecond)
		points = append(points, point{X: rarity, Y: ms})
	}
	return points
}
