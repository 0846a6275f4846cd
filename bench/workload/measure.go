package workload

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"gadwall/bench/load"
	"gadwall/bench/result"
)

// measurement is a step under way.
type measurement struct {
	s        *suite
	workload string
	st       *step
	begun    time.Time
	usage    *meter
	values   []map[string]float64 // of step.after, by repeat
}

// step measures one step and writes its lines.
func (s *suite) step(ctx context.Context, name string, st *step) error {
	m := &measurement{s: s, workload: name, st: st, begun: time.Now().UTC(),
		usage: &meter{target: s.Target, disk: st.writes}}
	what := name
	if st.name != "" {
		what += " " + st.name
	}
	repeats := cmp.Or(st.repeats, s.Repeats)
	samples, err := load.Run(ctx, load.Options{
		Workers: m.workers(), Calls: st.calls, Rate: s.Rate, WarmUp: st.warm, Repeats: repeats,
		Assigned: st.assigned, MaxErrors: maxErrors, Before: m.before,
		Progress: func(repeat int, calls int64, _ time.Duration) {
			s.Progress(fmt.Sprintf("%s, %d of %d", what, repeat+1, repeats), calls, st.calls)
		},
	}, st.op)
	if err != nil {
		return err
	}
	if err := m.after(ctx, repeats-1); err != nil {
		return err
	}
	if st.check != nil {
		if err := st.check(ctx); err != nil {
			return err
		}
	}
	for repeat, sample := range samples {
		if err := m.write(repeat, sample); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) workers() int { return cmp.Or(m.st.workers, m.s.Connections) }

// before is load.Options.Before: it ends the repeat before, and prepares the next one.
func (m *measurement) before(ctx context.Context, repeat int) error {
	if repeat > 0 {
		if err := m.after(ctx, repeat-1); err != nil {
			return err
		}
	} else if m.st.parts != nil {
		m.st.parts.cut() // the warm-up
	}
	if m.st.before != nil {
		if err := m.st.before(ctx, repeat); err != nil {
			return err
		}
	}
	return m.usage.begin(ctx)
}

// after ends a repeat.
func (m *measurement) after(ctx context.Context, repeat int) error {
	if err := m.usage.lap(ctx); err != nil {
		return err
	}
	if m.st.parts != nil {
		m.st.parts.keep()
	}
	var values map[string]float64
	if m.st.after != nil {
		var err error
		if values, err = m.st.after(ctx, repeat); err != nil {
			return err
		}
	}
	m.values = append(m.values, values)
	return nil
}

// write writes the lines of a repeat: that of the step, and those of its parts.
func (m *measurement) write(repeat int, sample *load.Sample) error {
	line := m.line(repeat, m.st.name)
	line.Values = m.usage.values(repeat, sample.Calls+sample.Errors)
	maps.Copy(line.Values, m.values[repeat])
	line.Database = m.usage.database(repeat, sample.Calls+sample.Errors)
	if err := line.SetSample(sample, m.s.Rate); err != nil {
		return err
	}
	if err := m.s.Line(line); err != nil {
		return err
	}
	if m.st.parts == nil {
		return nil
	}
	for _, part := range m.st.parts.names(repeat) {
		line := m.line(repeat, part)
		sum := m.st.parts.repeats[repeat][part]
		sum.Elapsed = sample.Elapsed
		if err := line.SetSample(sum, 0); err != nil {
			return err
		}
		if err := m.s.Line(line); err != nil {
			return err
		}
	}
	return nil
}

// line is one with all but the figures.
func (m *measurement) line(repeat int, step string) *result.Line {
	params := map[string]float64{"connections": float64(m.workers()), "users": float64(m.s.Users),
		"messages": float64(m.s.Messages)}
	maps.Copy(params, m.s.Params)
	maps.Copy(params, m.s.Target.Layers.Params())
	maps.Copy(params, m.st.params)
	return &result.Line{
		Run: m.s.Options.Run, Time: m.begun, Machine: m.s.machine, Server: m.s.Target.Server,
		Workload: m.workload, Step: step, Repeat: repeat, Params: params,
	}
}
