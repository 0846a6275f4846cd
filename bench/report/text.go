package report

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteComparison writes the comparison as text, a line for each figure: speeds, then values. It
// writes nothing if there is nothing to compare.
func (r *Report) WriteComparison(w io.Writer) error {
	if len(r.Compared) == 0 {
		return nil
	}
	// Cases are named by what their parameters tell apart.
	keys := make(map[string]map[string]bool)
	for _, c := range r.Compared {
		if keys[c.Name] == nil {
			keys[c.Name] = make(map[string]bool)
		}
		keys[c.Name][c.Key] = true
	}
	var text bytes.Buffer
	for _, speeds := range []bool{true, false} {
		table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		last := ""
		for _, c := range r.Compared {
			if c.Speed != speeds {
				continue
			}
			if c.New != last {
				fmt.Fprintf(table, "what\tfigure\t%s\t%s\tratio\tnoise\tverdict\t\n", c.Old, c.New)
				last = c.New
			}
			name := c.Name
			if len(keys[name]) > 1 {
				name = c.Key
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s %s\t\n", name, c.Figure, c.OldValue, c.NewValue,
				c.Ratio, c.Noise, c.Mark, c.Verdict)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		if speeds {
			text.WriteByte('\n')
		}
	}
	_, err := w.Write(text.Bytes())
	return err
}

// Slower names what is slower than the first server by more than the noise, with the ratio.
func (r *Report) Slower() (list []string) {
	for _, c := range r.Compared {
		if c.Class == worse {
			list = append(list, fmt.Sprintf("%s: %s of %s, noise %s", c.Key, c.Ratio, c.Old, c.Noise))
		}
	}
	return list
}
