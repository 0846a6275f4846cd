package workload

import (
	"context"
	"maps"
	"time"

	"gadwall/bench/result"
	"gadwall/bench/target"
)

// meter reads the usage of the server's process between the repeats of a step, if the target knows
// it.
type meter struct {
	target  *target.Target
	disk    bool
	begun   time.Duration   // processor time at the beginning of the repeat
	counted target.Counters // at the beginning of the repeat
	metrics target.Metrics  // at the beginning of the repeat
	laps    []lap
}

// lap is what a repeat took, and what there was at its end.
type lap struct {
	cpu            time.Duration
	before, after  target.Counters
	begun, ended   target.Metrics
	resident, disk int64
}

// begin begins a repeat.
func (m *meter) begin(ctx context.Context) error {
	if m.target.Counters != nil {
		var err error
		if m.counted, err = m.target.Counters(ctx); err != nil {
			return err
		}
	}
	if m.target.Metrics != nil {
		var err error
		if m.metrics, err = m.target.Metrics(ctx); err != nil {
			return err
		}
	}
	usage, _, err := m.target.Usage()
	m.begun = usage.CPU
	return err
}

// lap ends the repeat that is under way.
func (m *meter) lap(ctx context.Context) error {
	usage, _, err := m.target.Usage()
	if err != nil {
		return err
	}
	l := lap{cpu: usage.CPU - m.begun, resident: usage.Resident}
	if m.target.Counters != nil {
		l.before = m.counted
		if l.after, err = m.target.Counters(ctx); err != nil {
			return err
		}
	}
	if m.target.Metrics != nil {
		l.begun = m.metrics
		if l.ended, err = m.target.Metrics(ctx); err != nil {
			return err
		}
	}
	if m.disk {
		if l.disk, _, err = m.target.Disk(); err != nil {
			return err
		}
	}
	m.laps = append(m.laps, l)
	return nil
}

// database is what the database did for each call of a repeat; nil if that is not known.
func (m *meter) database(repeat int, calls int64) map[string]result.Commands {
	if m.target.Counters == nil {
		return nil
	}
	return target.Between(m.laps[repeat].before, m.laps[repeat].after, calls)
}

// values are those of a repeat for a line; calls are those that were made.
func (m *meter) values(repeat int, calls int64) map[string]float64 {
	values := make(map[string]float64)
	l := m.laps[repeat]
	if m.target.PID != 0 && calls > 0 {
		values["cpu-ms-per-call"] = float64(l.cpu) / float64(time.Millisecond) / float64(calls)
		values["rss-bytes"] = float64(l.resident)
	}
	if m.disk && m.target.DataDir != "" {
		values["disk-bytes"] = float64(l.disk)
	}
	maps.Copy(values, target.Searched(l.begun, l.ended, calls))
	return values
}
