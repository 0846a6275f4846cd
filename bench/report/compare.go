package report

import (
	"fmt"
	"maps"
	"slices"

	"gadwall/bench/result"
)

// comparison is a figure of one case on two subjects.
type comparison struct {
	Key, Name, Figure  string // Key is Name with the parameters
	Old, New           string // subjects
	OldValue, NewValue string
	Ratio, Noise       string
	Verdict            string
	Class              string // how the verdict is coloured
	Mark               string // the shape before it
	Speed              bool   // the figure is a speed, not one of the values
}

// compare compares each subject with the first one.
func (r *Report) compare() {
	if len(r.Subjects) < 2 {
		return
	}
	base := r.Subjects[0]
	for _, other := range r.Subjects[1:] {
		byKey := make(map[string]*result.Summary)
		for _, s := range base.Summaries {
			byKey[s.Key] = s
		}
		speeds := make(map[string]result.Ratio)
		for _, ratio := range result.Compare(base.Summaries, other.Summaries) {
			speeds[ratio.Key] = ratio
		}
		for _, s := range other.Summaries {
			old := byKey[s.Key]
			if old == nil {
				continue
			}
			both := pair{base.Name, other.Name, old, s}
			if ratio, has := speeds[s.Key]; has {
				r.Compared = append(r.Compared, both.speed(ratio))
			}
			for _, name := range slices.Sorted(maps.Keys(s.Values)) {
				if v, has := old.Values[name]; has && v.Median > 0 {
					r.Compared = append(r.Compared, both.value(name, v, s.Values[name]))
				}
			}
		}
	}
}

// worse is the class of what has become slower.
const worse = "worse"

// pair is one case on two subjects.
type pair struct {
	oldName, newName string
	before, after    *result.Summary
}

// speed compares calls a second. In an open loop these are given, and the latency is compared.
func (p pair) speed(ratio result.Ratio) comparison {
	figure, before, after := "calls/s", p.before.CallsPerSecond, p.after.CallsPerSecond
	if p.after.Lines[0].Rate > 0 && p.before.P50.Median > 0 && p.after.P50.Median > 0 {
		figure, before, after = "p50 ms", p.before.P50, p.after.P50
		ratio.Speed, ratio.Noise = before.Median/after.Median, before.Noise()+after.Noise()
	}
	c := p.comparison(figure, number, before, after, ratio.Speed)
	c.Speed = true
	switch {
	case failed(p.before) || failed(p.after):
		c.Verdict, c.Class, c.Mark = "has errors: no verdict", "unknown", "!"
	case before.N < 2 || after.N < 2:
		c.Verdict, c.Class, c.Mark = "no repeats: noise unknown", "unknown", "?"
	case ratio.Faster(leastChange):
		c.Verdict, c.Class, c.Mark = "faster", "better", "▲"
	case ratio.Slower(leastChange):
		c.Verdict, c.Class, c.Mark = "slower", worse, "▼"
	}
	return c
}

// value compares a figure of which nobody knows whether more of it is better.
func (p pair) value(name string, before, after result.Spread) comparison {
	ratio := result.Ratio{Speed: after.Median / before.Median, Noise: before.Noise() + after.Noise()}
	c := p.comparison(name, formatOf(name), before, after, ratio.Speed)
	switch {
	case before.N < 2 || after.N < 2:
		c.Verdict, c.Class, c.Mark = "no repeats: noise unknown", "unknown", "?"
	case ratio.Faster(leastChange):
		c.Verdict, c.Class, c.Mark = "more", "other", "△"
	case ratio.Slower(leastChange):
		c.Verdict, c.Class, c.Mark = "less", "other", "▽"
	}
	return c
}

func (p pair) comparison(
	figure string, format func(float64) string, before, after result.Spread, ratio float64,
) comparison {
	c := comparison{
		Key: p.after.Key, Name: p.after.Name, Figure: figure, Old: p.oldName, New: p.newName,
		OldValue: format(before.Median), NewValue: format(after.Median), Ratio: fmt.Sprintf("%.2f", ratio),
		Noise: "unknown", Verdict: "within the noise", Class: "same", Mark: "=",
	}
	if before.N > 1 && after.N > 1 {
		c.Noise = percent(before.Noise() + after.Noise())
	}
	return c
}

// failed reports that calls failed: a server that answers with errors may be fast.
func failed(s *result.Summary) bool {
	return slices.ContainsFunc(s.Lines, func(l *result.Line) bool { return l.Errors > 0 })
}
