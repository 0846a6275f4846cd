package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"gadwall/bench/result"
)

// File is the lines of one file.
type File struct {
	Name  string // how readers know it, such as "before"
	Lines []*result.Line
}

// Report is what both writers write.
type Report struct {
	Runs     []run
	Subjects []*subject
	Compared []comparison
	Sections []*section
}

// run is what one invocation of a measurement was.
type run struct{ File, ID, Begun, Server, Version, Machine string }

// subject is a server as one file has it.
type subject struct {
	Name      string
	Summaries []*result.Summary
}

// section is one workload and step.
type section struct {
	ID, Name  string
	Fixed     string // the parameters that do not vary
	Rows      []row
	Footprint []footprintRow
	Values    []valueRow
	Commands  []commandRow
	Growth    []growthRow
	Charts    []*chart
	Notes     []string
}

// row is a case of a subject.
type row struct {
	Case, Subject           string
	Rate, Range, Noise      string
	P50, P90, P99, Max      string
	Octets, Errors, Example string
}

// New makes a report. The lines are changed: names that cannot be shown are made so.
func New(files []File) (*Report, error) {
	r := new(Report)
	for _, f := range files {
		f.Name = printable(f.Name)
		for _, l := range f.Lines {
			clean(l)
		}
		r.addRuns(f)
		r.addSubjects(f)
	}
	r.nameSubjects()
	names, bySection := r.cases()
	for i, name := range names {
		s, err := newSection(fmt.Sprintf("section-%d", i+1), name, bySection[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r.Sections = append(r.Sections, s)
	}
	r.compare()
	return r, nil
}

func (r *Report) addRuns(f File) {
	type id struct{ run, server, version string }
	seen := make(map[id]bool)
	for _, l := range f.Lines {
		key := id{l.Run, l.Server.String(), l.Server.Version}
		if seen[key] {
			continue
		}
		seen[key] = true
		begun := ""
		if !l.Time.IsZero() {
			begun = l.Time.UTC().Format(time.DateTime)
		}
		r.Runs = append(r.Runs, run{
			File: f.Name, ID: l.Run, Begun: begun, Server: l.Server.String(), Version: l.Server.Version,
			Machine: machine(l.Machine),
		})
	}
}

func machine(m result.Machine) string {
	var parts []string
	for _, s := range []string{m.CPU, m.System} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch {
	case m.Cores == 1:
		parts = append(parts, "1 core")
	case m.Cores > 1:
		parts = append(parts, fmt.Sprintf("%d cores", m.Cores))
	}
	if m.Memory > 0 {
		parts = append(parts, octets(float64(m.Memory))+" of memory")
	}
	return strings.Join(parts, ", ")
}

// addSubjects parts a file by servers. Two versions of a server are two subjects, or their lines
// would count as repeats of one thing.
func (r *Report) addSubjects(f File) {
	type id struct{ server, version string }
	lines := make(map[id][]*result.Line)
	var order []id
	for _, l := range f.Lines {
		key := id{l.Server.String(), l.Server.Version}
		if lines[key] == nil {
			order = append(order, key)
		}
		lines[key] = append(lines[key], l)
	}
	for _, key := range order {
		name := key.server
		if slices.ContainsFunc(order, func(o id) bool { return o != key && o.server == key.server }) {
			name += " " + key.version
		}
		r.Subjects = append(r.Subjects, &subject{Name: f.Name + "\x00" + name,
			Summaries: result.Summarize(lines[key])})
	}
}

// nameSubjects gives each subject the shortest name that is its own: the server, or the server
// with its file, or both with a number.
func (r *Report) nameSubjects() {
	server := func(s *subject) string { _, after, _ := strings.Cut(s.Name, "\x00"); return after }
	count := make(map[string]int)
	for _, s := range r.Subjects {
		count[server(s)]++
	}
	taken := make(map[string]bool)
	for _, s := range r.Subjects {
		file, name, _ := strings.Cut(s.Name, "\x00")
		if count[name] > 1 {
			name = fmt.Sprintf("%s (%s)", name, file)
		}
		s.Name = name
		for n := 2; taken[s.Name]; n++ {
			s.Name = fmt.Sprintf("%s #%d", name, n)
		}
		taken[s.Name] = true
	}
}

// openLoop is the parameter that stands for the rate of an open loop.
const openLoop = "calls due/s"

// measured is a case of a subject.
type measured struct {
	*result.Summary
	subject *subject
	params  map[string]float64 // and openLoop
	label   string             // the parameters that vary
	lines   []*result.Line
}

// cases returns the names of the sections in the order in which they first occur, and the cases of
// each: all subjects of a case one after the other, cases by their parameters.
func (r *Report) cases() (names []string, bySection map[string][]*measured) {
	bySection = make(map[string][]*measured)
	for _, sub := range r.Subjects {
		for _, s := range sub.Summaries {
			if bySection[s.Name] == nil {
				names = append(names, s.Name)
			}
			m := &measured{Summary: s, subject: sub, params: maps.Clone(s.Params), lines: s.Lines}
			if rate := s.Lines[0].Rate; rate > 0 {
				if m.params == nil {
					m.params = make(map[string]float64)
				}
				m.params[openLoop] = rate
			}
			bySection[s.Name] = append(bySection[s.Name], m)
		}
	}
	for _, list := range bySection {
		varying := varyingParams(list)
		slices.SortStableFunc(list, func(a, b *measured) int {
			for _, p := range varying {
				if c := compareParam(a, b, p); c != 0 {
					return c
				}
			}
			return 0
		})
		for _, m := range list {
			m.label = paramsLabel(m.params, varying)
		}
	}
	return names, bySection
}

// compareParam orders cases by a parameter; those without it come first.
func compareParam(a, b *measured, param string) int {
	x, has := a.params[param]
	y, hasToo := b.params[param]
	if has != hasToo {
		if hasToo {
			return -1
		}
		return 1
	}
	return cmp.Compare(x, y)
}

// varyingParams returns the parameters that do not have one value in all cases, sorted.
func varyingParams(list []*measured) []string {
	names := make(map[string]bool)
	for _, m := range list {
		for p := range m.params {
			names[p] = true
		}
	}
	var varying []string
	for _, p := range slices.Sorted(maps.Keys(names)) {
		for _, m := range list {
			if compareParam(m, list[0], p) != 0 {
				varying = append(varying, p)
				break
			}
		}
	}
	return varying
}

// paramsLabel names the given parameters of a case, as far as it has them.
func paramsLabel(params map[string]float64, names []string) string {
	var parts []string
	for _, p := range names {
		if v, has := params[p]; has {
			parts = append(parts, fmt.Sprintf("%s %s", p, number(v)))
		}
	}
	return strings.Join(parts, ", ")
}

// clean makes the names of a line printable. Values whose names become one keep one of them.
func clean(l *result.Line) {
	for _, s := range []*string{&l.Run, &l.Workload, &l.Step, &l.Example, &l.Server.Name, &l.Server.Version,
		&l.Server.Variant, &l.Machine.CPU, &l.Machine.System} {
		*s = printable(*s)
	}
	l.Params, l.Values, l.Database = cleanKeys(l.Params), cleanKeys(l.Values), cleanKeys(l.Database)
}

func cleanKeys[V any](m map[string]V) map[string]V {
	clean := make(map[string]V, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		clean[printable(name)] = m[name]
	}
	return clean
}

// printable replaces characters that do not print or that turn the direction of the text, and
// shortens what is too long.
func printable(s string) string {
	runes := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	for i, c := range runes {
		if !unicode.IsPrint(c) {
			runes[i] = '\uFFFD'
		}
	}
	if len(runes) > maxName {
		runes = append(runes[:maxName-1], '…')
	}
	return string(runes)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
