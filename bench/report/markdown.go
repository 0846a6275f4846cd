package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the report as tables, without the charts.
func (r *Report) WriteMarkdown(w io.Writer) error {
	b := &markdown{}
	b.WriteString("# Measurements\n")
	if len(r.Sections) == 0 {
		b.paragraph("The files have no measurements.")
	} else {
		b.runs(r.Runs)
	}
	if len(r.Compared) > 0 {
		b.compared(r.Compared)
	}
	for _, s := range r.Sections {
		b.section(s)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// markdown is a page in the making.
type markdown struct{ bytes.Buffer }

// markdownEscapes are the characters that mean something somewhere in a line of Markdown.
var markdownEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `<`, `\<`, `>`, `\>`, `|`, `\|`,
	`#`, `\#`, `!`, `\!`, `~`, `\~`, `&`, `\&`, `$`, `\$`, `@`, `\@`, `:/`, `\:/`,
)

func (b *markdown) paragraph(s string) { fmt.Fprintf(b, "\n%s\n", s) }

func (b *markdown) heading(s string) { fmt.Fprintf(b, "\n## %s\n", markdownEscapes.Replace(s)) }

// table begins a table. The last numbers columns are aligned to the right.
func (b *markdown) table(numbers int, names ...string) {
	fmt.Fprintf(b, "\n| %s |\n|", strings.Join(names, " | "))
	for i := range names {
		if i < len(names)-numbers {
			b.WriteString(" --- |")
		} else {
			b.WriteString(" ---: |")
		}
	}
	b.WriteString("\n")
}

func (b *markdown) row(cells ...string) {
	b.WriteString("|")
	for _, c := range cells {
		fmt.Fprintf(b, " %s |", markdownEscapes.Replace(c))
	}
	b.WriteString("\n")
}

func (b *markdown) runs(runs []run) {
	b.table(0, "file", "run", "begun (UTC)", "server", "version", "machine")
	for _, r := range runs {
		b.row(r.File, r.ID, r.Begun, r.Server, r.Version, r.Machine)
	}
}

func (b *markdown) compared(list []comparison) {
	b.heading("Comparison")
	b.paragraph("A ratio above 1 of calls/s or of latencies says that the second server is faster. " +
		"Other ratios are\nsecond by first. Noise is how far the repeats of both lie from their medians. " +
		"A difference within\nthe noise, or below 5 %, says nothing.")
	b.table(0, "what", "verdict", "figure", "first", "its figure", "second", "its figure", "ratio", "noise")
	for _, c := range list {
		b.row(c.Key, c.Mark+" "+c.Verdict, c.Figure, c.Old, c.OldValue, c.New, c.NewValue, c.Ratio, c.Noise)
	}
}

func (b *markdown) section(s *section) {
	b.heading(s.Name)
	if s.Fixed != "" {
		b.paragraph("All with: " + markdownEscapes.Replace(s.Fixed) + ".")
	}
	if len(s.Rows) > 0 {
		b.table(9, "case", "server", "calls/s, median", "range", "noise", "p50 ms", "p90 ms", "p99 ms", "max ms",
			"per second", "errors")
	}
	for _, r := range s.Rows {
		b.row(r.Case, r.Subject, r.Rate, r.Range, r.Noise, r.P50, r.P90, r.P99, r.Max, r.Octets, r.Errors)
	}
	for _, r := range s.Rows {
		if r.Example != "" {
			of := strings.TrimSuffix(r.Subject+", "+r.Case, ", ")
			b.paragraph(markdownEscapes.Replace(fmt.Sprintf("An error of %s: %s", of, r.Example)))
		}
	}
	if len(s.Growth) > 0 {
		b.paragraph("Growth: a power of 0 says that the figure stays, of 1 that it grows as the parameter does.")
		b.table(4, "with", "case", "server", "figure", "from", "to", "factor", "power")
	}
	for _, g := range s.Growth {
		b.row(g.Param, g.Case, g.Subject, g.Figure, g.From, g.To, g.Factor, g.Power)
	}
	if len(s.Footprint) > 0 {
		b.paragraph("Footprint: what each step saves, as a share of what was received.")
		b.table(6, "case", "server", "class", "received", "decoding saves", "keeping once saves", "compression saves",
			"stored", "ratio")
	}
	for _, f := range s.Footprint {
		b.row(f.Case, f.Subject, f.Class, f.Received, f.Decoding, f.Once, f.Compress, f.Stored, f.Ratio)
	}
	if len(s.Values) > 0 {
		b.table(3, "case", "server", "value", "median", "range", "noise")
	}
	for _, v := range s.Values {
		b.row(v.Case, v.Subject, v.Name, v.Median, v.Range, v.Noise)
	}
	if len(s.Commands) > 0 {
		b.paragraph("Database, for one call:")
		b.table(4, "case", "server", "command", "commands", "documents examined", "keys examined", "bytes")
	}
	for _, c := range s.Commands {
		b.row(c.Case, c.Subject, c.Command, c.Count, c.Documents, c.Keys, c.Octets)
	}
}
