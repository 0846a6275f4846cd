package report

import (
	"fmt"
	"slices"
	"strings"

	"gadwall/bench"
)

// footprintRow says what a class of bytes takes, and what each step saves of it.
type footprintRow struct {
	Case, Subject, Class               string
	Received, Decoding, Once, Compress string // what came, and shares of it that were saved
	Stored, Ratio                      string
}

// classSuffixes end the names of values of a class.
var classSuffixes = []string{bench.ClassLogical, bench.ClassDecoded, bench.ClassUnique, bench.ClassStored}

// isFootprint reports that a value is in a footprintRow.
func isFootprint(name string) bool {
	for _, suffix := range classSuffixes {
		class, ok := strings.CutSuffix(name, suffix)
		if ok && slices.Contains(bench.Classes, bench.Class(class)) {
			return true
		}
	}
	return false
}

// addFootprint adds a row for each class, and one for all of them.
func (s *section) addFootprint(m *measured) {
	var all [4]float64
	row := func(class string, steps [4]float64) {
		saved := func(from, to int) string { return percent((steps[from] - steps[to]) / steps[0]) }
		s.Footprint = append(s.Footprint, footprintRow{
			Case: m.label, Subject: m.subject.Name, Class: class, Received: octets(steps[0]),
			Decoding: saved(0, 1), Once: saved(1, 2), Compress: saved(2, 3),
			Stored: octets(steps[3]), Ratio: fmt.Sprintf("%.3f", steps[3]/steps[0]),
		})
	}
	for _, class := range bench.Classes {
		var steps [4]float64
		for i, suffix := range classSuffixes {
			steps[i] = m.Values[string(class)+suffix].Median
			all[i] += steps[i]
		}
		if steps[0] > 0 {
			row(string(class), steps)
		}
	}
	if all[0] > 0 {
		row("all", all)
	}
}
