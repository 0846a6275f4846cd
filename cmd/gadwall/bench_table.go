package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	results "gadwall/bench/result"
)

// writeBenchTable writes a line for each step: the median of the repeats, and how far the repeats
// lie from it.
func writeBenchTable(w io.Writer, lines []*results.Line) error {
	if len(lines) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "workload\tcalls/s\t±\tp50, ms\tp99, ms\tMB/s\tCPU, ms/call\tdb cmds\tdb docs\tdb KB\terrors\t")
	summaries := results.Summarize(lines)
	cases := make(map[string]int)
	for _, s := range summaries {
		cases[s.Name]++
	}
	for _, s := range summaries {
		name := s.Name
		if cases[name] > 1 { // in several sizes
			name = s.Key
		}
		noise, cpu := "?", ""
		if s.CallsPerSecond.N > 1 {
			noise = fmt.Sprintf("%.0f %%", 100*s.CallsPerSecond.Noise())
		}
		if v, ok := s.Values["cpu-ms-per-call"]; ok {
			cpu = fmt.Sprintf("%.2f", v.Median)
		}
		moved := ""
		if s.OctetsPerSec.Median > 0 {
			moved = fmt.Sprintf("%.1f", s.OctetsPerSec.Median/1e6)
		}
		database := "\t\t"
		if all, ok := s.Database[results.AllCommands]; ok {
			database = fmt.Sprintf("%.4g\t%.4g\t%.4g", all.Count, all.Documents, all.Octets/1e3)
		}
		var errors int64
		for _, l := range s.Lines {
			errors += l.Errors
		}
		fmt.Fprintf(table, "%s\t%.4g\t%s\t%.2f\t%.2f\t%s\t%s\t%s\t%d\t\n", name, s.CallsPerSecond.Median, noise,
			s.P50.Median, s.P99.Median, moved, cpu, database, errors)
	}
	return table.Flush()
}
