package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gadwall/bench/result"
)

// Parameter along which a section shows the throughput; along others it shows the cost of a call.
const concurrency = "connections"

// valueRow is one of result.Line.Values of a case of a subject.
type valueRow struct{ Case, Subject, Name, Median, Range, Noise string }

// commandRow is what a command of the database came to, for one call.
type commandRow struct{ Case, Subject, Command, Count, Documents, Keys, Octets string }

// growthRow says how a figure grows with a parameter.
type growthRow struct{ Param, Case, Subject, Figure, From, To, Factor, Power string }

func newSection(id, name string, list []*measured) (*section, error) {
	s := &section{ID: id, Name: name}
	varying := varyingParams(list)
	fixed := slices.DeleteFunc(slices.Sorted(maps.Keys(list[0].params)),
		func(p string) bool { return slices.Contains(varying, p) })
	s.Fixed = paramsLabel(list[0].params, fixed)
	for _, m := range list {
		if hasCalls(m) {
			s.Rows = append(s.Rows, newRow(m))
		}
		s.addFootprint(m)
		s.addValues(m)
		s.addCommands(m)
	}
	for _, param := range varying {
		s.addAlong(list, param, varying)
	}
	return s, s.addPercentiles(list)
}

// hasCalls reports that the case is of calls, not of values alone.
func hasCalls(m *measured) bool {
	return slices.ContainsFunc(m.lines, func(l *result.Line) bool { return l.Calls > 0 || l.Errors > 0 })
}

func newRow(m *measured) row {
	r := row{
		Case: m.label, Subject: m.subject.Name, Rate: number(m.CallsPerSecond.Median),
		Range: spreadRange(m.CallsPerSecond, number), Noise: noise(m.CallsPerSecond),
	}
	if m.OctetsPerSec.Median > 0 {
		r.Octets = octets(m.OctetsPerSec.Median)
	}
	var errors int64
	for _, l := range m.lines {
		errors += l.Errors
		if r.Example == "" {
			r.Example = l.Example
		}
	}
	r.Errors = number(float64(errors))
	quantile := func(f func(*result.Latency) float64) string {
		var values []float64
		for _, l := range m.lines {
			if l.Latency != nil {
				values = append(values, f(l.Latency))
			}
		}
		if len(values) == 0 {
			return ""
		}
		return number(result.NewSpread(values).Median)
	}
	r.P50 = quantile(func(l *result.Latency) float64 { return l.P50 })
	r.P90 = quantile(func(l *result.Latency) float64 { return l.P90 })
	r.P99 = quantile(func(l *result.Latency) float64 { return l.P99 })
	r.Max = quantile(func(l *result.Latency) float64 { return l.Max })
	return r
}

func (s *section) addValues(m *measured) {
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		if isFootprint(name) {
			continue
		}
		v, format := m.Values[name], formatOf(name)
		s.Values = append(s.Values, valueRow{
			Case: m.label, Subject: m.subject.Name, Name: name, Median: format(v.Median),
			Range: spreadRange(v, format), Noise: noise(v),
		})
	}
}

func (s *section) addCommands(m *measured) {
	byName := make(map[string][]result.Commands)
	for _, l := range m.lines {
		for name, c := range l.Database {
			byName[name] = append(byName[name], c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		median := func(f func(result.Commands) float64) float64 {
			var values []float64
			for _, c := range byName[name] {
				values = append(values, f(c))
			}
			return result.NewSpread(values).Median
		}
		s.Commands = append(s.Commands, commandRow{
			Case: m.label, Subject: m.subject.Name, Command: name,
			Count:     number(median(func(c result.Commands) float64 { return c.Count })),
			Documents: number(median(func(c result.Commands) float64 { return c.Documents })),
			Keys:      number(median(func(c result.Commands) float64 { return c.Keys })),
			Octets:    octets(median(func(c result.Commands) float64 { return c.Octets })),
		})
	}
}

// line is a row of cases that differ in one parameter only.
type line struct {
	subject, label string
	cases          []*measured
}

func (l line) name(many bool) string {
	switch {
	case l.label == "":
		return l.subject
	case !many:
		return l.label
	}
	return l.subject + ", " + l.label
}

// lines groups cases by all but one parameter, in the order in which they occur.
func lines(list []*measured, param string, varying []string) []line {
	others := slices.DeleteFunc(slices.Clone(varying), func(p string) bool { return p == param })
	var groups []line
	index := make(map[string]int)
	for _, m := range list {
		if _, has := m.params[param]; !has {
			continue
		}
		label := paramsLabel(m.params, others)
		var key strings.Builder
		fmt.Fprintf(&key, "%p", m.subject)
		for _, p := range others {
			v, has := m.params[p]
			fmt.Fprintf(&key, " %t %g", has, v)
		}
		i, has := index[key.String()]
		if !has {
			i = len(groups)
			index[key.String()] = i
			groups = append(groups, line{subject: m.subject.Name, label: label})
		}
		groups[i].cases = append(groups[i].cases, m)
	}
	return slices.DeleteFunc(groups, func(g line) bool { return len(g.cases) < 2 })
}

// addAlong adds the charts and rows of what a section costs along a parameter.
func (s *section) addAlong(list []*measured, param string, varying []string) {
	groups := lines(list, param, varying)
	if len(groups) == 0 {
		return
	}
	many := severalSubjects(list)
	c := &chart{
		Title: s.Name + ": cost of a call by " + param, X: axis{Name: param, Log: true},
		Y: axis{Name: "median latency, ms", Log: true},
	}
	figure := func(m *measured) result.Spread { return m.P50 }
	if param == concurrency {
		c.Title, c.Y = s.Name+": throughput by "+param, axis{Name: "calls/s"}
		figure = func(m *measured) result.Spread { return m.CallsPerSecond }
	}
	for _, g := range groups {
		one := series{Name: g.name(many)}
		for _, m := range g.cases {
			f := figure(m)
			one.Points = append(one.Points, point{X: m.params[param], Y: f.Median, Low: f.Min, High: f.Max})
		}
		c.Series = append(c.Series, one)
		s.addGrowth(g, param)
	}
	s.addCharts(c)
}

// addGrowth adds a row for each figure that all cases of the line have.
func (s *section) addGrowth(g line, param string) {
	add := func(name string, format func(float64) string, figure func(*measured) (float64, bool)) {
		var points []point
		for _, m := range g.cases {
			y, has := figure(m)
			x := m.params[param]
			if !has || x <= 0 || y <= 0 || !finite(y) {
				return
			}
			points = append(points, point{X: x, Y: y})
		}
		first, last := points[0], points[len(points)-1]
		s.Growth = append(s.Growth, growthRow{
			Param: param, Case: g.label, Subject: g.subject, Figure: name,
			From:   fmt.Sprintf("%s at %s", format(first.Y), number(first.X)),
			To:     fmt.Sprintf("%s at %s", format(last.Y), number(last.X)),
			Factor: fmt.Sprintf("%s for %s", factor(last.Y/first.Y), factor(last.X/first.X)),
			Power:  power(points),
		})
	}
	if param == concurrency {
		add("calls/s", number, func(m *measured) (float64, bool) { return m.CallsPerSecond.Median, true })
	}
	add("p50 ms", number, func(m *measured) (float64, bool) { return m.P50.Median, true })
	add("p99 ms", number, func(m *measured) (float64, bool) { return m.P99.Median, true })
	database := func(of func(result.Commands) float64) func(*measured) (float64, bool) {
		return func(m *measured) (float64, bool) {
			all, has := m.Database[result.AllCommands]
			return of(all), has
		}
	}
	add("database commands", number, database(func(c result.Commands) float64 { return c.Count }))
	add("documents examined", number, database(func(c result.Commands) float64 { return c.Documents }))
	add("database bytes", octets, database(func(c result.Commands) float64 { return c.Octets }))
	names := make(map[string]bool)
	for _, m := range g.cases {
		for name := range m.Values {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		add(name, formatOf(name), func(m *measured) (float64, bool) {
			v, has := m.Values[name]
			return v.Median, has
		})
	}
}

// power fits y = c * x^p and returns p: the slope of the least squares between the logarithms.
func power(points []point) string {
	var sx, sy, sxx, sxy float64
	n := float64(len(points))
	for _, p := range points {
		x, y := math.Log(p.X), math.Log(p.Y)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	if !finite(slope) {
		return ""
	}
	// Adding 0 makes 0 of -0.
	return fmt.Sprintf("%.2f", math.Round(100*slope)/100+0)
}

func severalSubjects(list []*measured) bool {
	return slices.ContainsFunc(list, func(m *measured) bool { return m.subject != list[0].subject })
}

// addCharts adds a chart, or several if it has more series than readers can tell apart.
func (s *section) addCharts(c *chart) {
	c.Series = slices.DeleteFunc(c.Series, func(one series) bool { return !c.shows(one) })
	parts := slices.Collect(slices.Chunk(c.Series, maxSeries))
	for i, part := range parts {
		if i == maxCharts {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: %s more lines are in the tables only.",
				c.Title, number(float64(len(c.Series)-maxCharts*maxSeries))))
			break
		}
		one := *c
		one.Series = part
		if len(parts) > 1 {
			one.Title = fmt.Sprintf("%s (%d of %d)", c.Title, i+1, len(parts))
		}
		s.Charts = append(s.Charts, &one)
	}
}
