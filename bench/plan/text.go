package plan

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteText writes the constants, the assumptions and the items.
func (p *Plan) WriteText(w io.Writer, c *Constants) error {
	var b strings.Builder
	l, h := p.Load, p.Hardware
	size := "as measured"
	if l.MailSize > 0 {
		size = write(l.MailSize, Bytes)
	}
	duplicates := fmt.Sprintf("%.0f %% of attachments sent before", 100*l.Duplicates)
	source := fmt.Sprintf("with %.0f %% duplicates", 100*c.Duplicates)
	if c.AsFound {
		duplicates, source = "as many attachments sent before as there", "found in a store"
	}
	fmt.Fprintf(&b, "%s users, %s mails a day each, mail size %s, %s, kept %s days, %.0f %% active\n",
		write(l.Users, Number), write(l.MailsPerDay, Number), size, duplicates, write(l.Retention, Number),
		100*l.Active)
	fmt.Fprintf(&b, "members of %s disk and %s memory, %s of them in a replica set; instances of %s processors\n\n",
		write(h.Disk, Bytes), write(h.Memory, Bytes), write(h.Replicas, Number), write(h.Cores, Number))

	fmt.Fprintf(&b, "Measured, of %s mails %s:\n", write(c.Mails, Number), source)
	if err := c.table(&b); err != nil {
		return err
	}
	d := c.database(h.Database)
	fmt.Fprintf(&b, "\nMongoDB: a byte on the measured disk is %v in tables and %v in the oplog, which "+
		"reaches back %g h;\na byte in use takes %v of the cache, which has %.0f %% of the memory beyond "+
		"1 GiB. Cached at most: %s.\n",
		d.TableFactor, d.OplogFactor, d.OplogHours, d.CacheFactor, 100*d.CacheShare, write(h.cache(), Bytes))
	fmt.Fprintf(&b, "\nAssumed: the peak has %d times the mean; disks are full to %.0f %%; processors and "+
		"writers are busy\nto %.0f %%; a session asks in an hour for: %s\n\n",
		peakFactor, 100*diskFill, 100*utilisation, requestText())

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "needed\tvalue\tfrom\tto\tformula")
	for _, item := range p.Items {
		fmt.Fprintf(t, "%s\t%s\t%s\n", item.Name, columns(item.Value, item.Unit), item.Formula)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(p.Unmeasured) > 0 {
		fmt.Fprintf(&b, "\nNot in the lines, so not in the processors: %s.\n", strings.Join(p.Unmeasured, ", "))
	}
	b.WriteString("\n" + p.advice())
	_, err := io.WriteString(w, b.String())
	return err
}

// advice says what to build.
func (p *Plan) advice() string {
	n := p.ReplicaSets
	switch {
	case !n.Known:
		return "The lines do not say how many replica sets that takes.\n"
	case n.Value <= 1 && n.High <= 1:
		return "One replica set is enough.\n"
	}
	return fmt.Sprintf("Past one replica set: %s cells, each a replica set of its own with instances and Redis, "+
		"for %s users;\nor one sharded cluster with as many shards.\n", write(n.Value, Number),
		write(p.Load.Users/n.Value, Number))
}

func (c *Constants) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, f Figure, unit Unit) { fmt.Fprintf(t, "  %s\t%s\n", name, columns(f, unit)) }
	fmt.Fprintln(t, "  constant\tmedian\tfrom\tto")
	row("size of a mail", c.MailSize, Bytes)
	row("attachments: share of the bytes", c.FileShare, Number)
	row("text: bytes stored for one of headers and texts", c.TextBytes, Number)
	row("file: bytes stored for one sent the first time", c.FileBytes, Number)
	row("overhead of a mail", c.Overhead, Bytes)
	row("document of a message", c.MessageBytes, Bytes)
	row("indexes of a message", c.IndexBytes, Bytes)
	row("indexes by hash, for each mail", c.ByHashBytes, Bytes)
	row("oplog of a mail", c.OplogPerMail, Bytes)
	row(fmt.Sprintf("deliveries of a machine of %g processors", c.Cores), c.Deliveries, PerSecond)
	row("memory of the server after deliveries", c.Resident, Bytes)
	row("database commands of a delivery", c.Commands, Number)
	row("transactions of a delivery", c.Transactions, Number)
	for _, name := range slices.Sorted(maps.Keys(c.CPU)) {
		if _, used := requests[name]; used || name == delivery {
			row("CPU of "+name+", ms", c.CPU[name], Number)
		}
	}
	return t.Flush()
}

func requestText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		parts = append(parts, fmt.Sprintf("%g %s", requests[name], name))
	}
	return strings.Join(parts, ", ")
}

// columns are a figure and its bounds.
func columns(f Figure, unit Unit) string {
	switch {
	case !f.Known:
		return "not measured\t\t"
	case !f.Bounded:
		return write(f.Value, unit) + "\t?\t?"
	case f.Low == f.High:
		return write(f.Value, unit) + "\t\t"
	}
	return write(f.Value, unit) + "\t" + write(f.Low, unit) + "\t" + write(f.High, unit)
}

// WriteChecks writes a line for each forecast.
func WriteChecks(w io.Writer, list []Checked, times float64) error {
	fmt.Fprintf(w, "Forecasts of a run with %s times as many mails:\n", write(times, Number))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tforecast\tfrom\tto\tmeasured\terror")
	for _, c := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%+.1f %%\n", c.Name, columns(c.Forecast, c.Unit),
			write(c.Measured.Value, c.Unit), 100*c.Error())
	}
	return t.Flush()
}

// write writes a value with three digits.
func write(x float64, unit Unit) string {
	suffix := map[Unit]string{PerSecond: " /s", BytesPerSecond: "/s"}[unit]
	if unit == Bytes || unit == BytesPerSecond {
		units := []string{" B", " kB", " MB", " GB", " TB", " PB", " EB"}
		i := 0
		for x >= 999.5 && i < len(units)-1 {
			x /= 1000
			i++
		}
		suffix = units[i] + suffix
	}
	return digits(x) + suffix
}

func digits(x float64) string {
	if x >= 999.5 || x == math.Trunc(x) {
		s := strconv.FormatFloat(x, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
