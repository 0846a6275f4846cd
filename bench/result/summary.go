package result

import (
	"math"
	"slices"
)

// Spread is a figure over the repeats of one thing.
type Spread struct {
	Min, Median, Max float64
	N                int
}

// NewSpread sums up values, of which there must be one.
func NewSpread(values []float64) Spread {
	v := slices.Clone(values)
	slices.Sort(v)
	s := Spread{Min: v[0], Max: v[len(v)-1], N: len(v), Median: v[len(v)/2]}
	if len(v)%2 == 0 {
		s.Median = (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return s
}

// Noise is how far the repeats lie from their median, as a share of it; 0 with one repeat, since
// nothing is known then.
func (s Spread) Noise() float64 {
	if s.Median == 0 || s.N < 2 {
		return 0
	}
	return max(s.Max-s.Median, s.Median-s.Min) / math.Abs(s.Median)
}

// Summary is all repeats of one thing on one server.
type Summary struct {
	Key    string
	Name   string // workload and step
	Server Server
	Params map[string]float64
	Lines  []*Line

	CallsPerSecond Spread
	OctetsPerSec   Spread
	P50, P99       Spread            // ms; zero if there were no latencies
	Values         map[string]Spread // as Line.Values
	// Database has the medians of Line.Database; a command that a repeat did not need counts 0 there.
	Database map[string]Commands
}

// Summarize groups lines by server and key, in the order in which they first occur.
func Summarize(lines []*Line) []*Summary {
	type group struct{ server, key string }
	index := make(map[group]*Summary)
	var list []*Summary
	for _, l := range lines {
		g := group{l.Server.String(), l.Key()}
		s := index[g]
		if s == nil {
			s = &Summary{Key: l.Key(), Name: l.Name(), Server: l.Server, Params: l.Params}
			index[g] = s
			list = append(list, s)
		}
		s.Lines = append(s.Lines, l)
	}
	for _, s := range list {
		s.sum()
	}
	return list
}

func (s *Summary) sum() {
	of := func(f func(*Line) float64) Spread {
		values := make([]float64, len(s.Lines))
		for i, l := range s.Lines {
			values[i] = f(l)
		}
		return NewSpread(values)
	}
	s.CallsPerSecond = of((*Line).CallsPerSecond)
	s.OctetsPerSec = of(func(l *Line) float64 {
		if l.Seconds <= 0 {
			return 0
		}
		return float64(l.Octets) / l.Seconds
	})
	latency := func(f func(*Latency) float64) Spread {
		return of(func(l *Line) float64 {
			if l.Latency == nil {
				return 0
			}
			return f(l.Latency)
		})
	}
	s.P50 = latency(func(l *Latency) float64 { return l.P50 })
	s.P99 = latency(func(l *Latency) float64 { return l.P99 })
	s.Database = make(map[string]Commands)
	for _, l := range s.Lines {
		for name := range l.Database {
			s.Database[name] = Commands{
				Count:     of(func(l *Line) float64 { return l.Database[name].Count }).Median,
				Documents: of(func(l *Line) float64 { return l.Database[name].Documents }).Median,
				Keys:      of(func(l *Line) float64 { return l.Database[name].Keys }).Median,
				Octets:    of(func(l *Line) float64 { return l.Database[name].Octets }).Median,
			}
		}
	}
	values := make(map[string][]float64)
	for _, l := range s.Lines {
		for name, v := range l.Values {
			values[name] = append(values[name], v)
		}
	}
	s.Values = make(map[string]Spread, len(values))
	for name, v := range values {
		s.Values[name] = NewSpread(v)
	}
}

// Ratio compares one thing on two servers, or of two files.
type Ratio struct {
	Key      string
	Name     string
	Old, New *Summary
	// Speed is how many times as fast New is: above 1 it is faster.
	Speed float64
	// Noise is the share by which Speed varies between repeats.
	Noise float64
}

// Slower reports that New is slower by more than the noise, and by more than the share least.
func (r Ratio) Slower(least float64) bool { return r.Speed < 1-max(r.Noise, least) }

// Faster reports that New is faster by more than the noise, and by more than the share least.
func (r Ratio) Faster(least float64) bool { return r.Speed > 1+max(r.Noise, least) }

// Compare returns the ratios of what both lists have, in the order of the second.
func Compare(before, after []*Summary) []Ratio {
	byKey := make(map[string]*Summary, len(before))
	for _, s := range before {
		byKey[s.Key] = s
	}
	var list []Ratio
	for _, s := range after {
		o := byKey[s.Key]
		if o == nil || o.CallsPerSecond.Median <= 0 {
			continue
		}
		list = append(list, Ratio{
			Key: s.Key, Name: s.Name, Old: o, New: s,
			Speed: s.CallsPerSecond.Median / o.CallsPerSecond.Median,
			Noise: o.CallsPerSecond.Noise() + s.CallsPerSecond.Noise(),
		})
	}
	return list
}
