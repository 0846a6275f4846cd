package properties

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"gadwall/bench"
)

const (
	// barWidth is how many columns the bar of everything has.
	barWidth = 50
	// labelWidth is how many columns a label has.
	labelWidth = 18
	// maxNames is how many names of one histogram are written.
	maxNames = 20
)

// WriteText writes the histograms. Shares are of all messages, or of all octets.
func (p *Properties) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages, %d bytes", p.Messages, p.Octets)
	if p.Messages > 0 {
		fmt.Fprintf(&b, ", %d on average", p.Octets/p.Messages)
	}
	fmt.Fprintf(&b, "\n%d attachments of %d bytes decoded, %d of %d bytes were there before",
		p.Attachments.Number, p.Attachments.Octets, p.Duplicates.Number, p.Duplicates.Octets)
	if p.Attachments.Octets > 0 {
		fmt.Fprintf(&b, " (%.0f %%)", 100*float64(p.Duplicates.Octets)/float64(p.Attachments.Octets))
	}
	b.WriteString("\n\nsize of messages\n")
	bars(&b, p.Sizes, p.Messages, sizeRange)
	b.WriteString("\nleaf parts of messages\n")
	bars(&b, p.Leaves, p.Messages, func(n int) string { return fmt.Sprint(n) })
	b.WriteString("\nbytes by class\n")
	for _, class := range bench.Classes {
		bar(&b, string(class), p.Classes[class], p.Octets)
	}
	b.WriteString("\nsize of attachments, decoded\n")
	bars(&b, p.Files, p.Attachments.Number, sizeRange)
	b.WriteString("\nattachments by class\n")
	for _, class := range bench.Classes {
		if p.Kinds[class] > 0 {
			bar(&b, string(class), p.Kinds[class], p.Attachments.Number)
		}
	}
	var texts int64
	for _, n := range p.Charsets {
		texts += n
	}
	named(&b, "charsets of texts", p.Charsets, texts)
	b.WriteString("\nmessages that a message refers to\n")
	bars(&b, p.Ancestors, p.Messages, func(n int) string { return fmt.Sprint(n) })
	named(&b, "broken messages", p.Broken, p.Messages)
	_, err := io.WriteString(w, b.String())
	return err
}

// named writes a line for each name, the most frequent first.
func named(b *strings.Builder, title string, counts map[string]int64, all int64) {
	b.WriteString("\n" + title + "\n")
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(counts[y], counts[x]) })
	for i, name := range names {
		if i == maxNames {
			fmt.Fprintf(b, "  and %d more\n", len(names)-maxNames)
			break
		}
		bar(b, shortened(name), counts[name], all)
	}
}

// shortened is a name that a mail has, cut and without what does not print.
func shortened(name string) string {
	runes := []rune(strings.ToValidUTF8(name, "\uFFFD"))
	for i, c := range runes {
		if !unicode.IsPrint(c) {
			runes[i] = '\uFFFD'
		}
	}
	return string(runes[:min(len(runes), labelWidth)])
}

// bars writes a line for each value from the least to the greatest, also for those between that
// nothing has.
func bars(b *strings.Builder, h histogram, all int64, label func(int) string) {
	values := slices.Sorted(maps.Keys(h))
	if len(values) == 0 {
		return
	}
	for n := values[0]; n <= values[len(values)-1]; n++ {
		bar(b, label(n), h[n], all)
	}
}

func bar(b *strings.Builder, label string, n, all int64) {
	share := 0.0
	if all > 0 {
		share = float64(n) / float64(all)
	}
	columns := int(share*barWidth + 0.5)
	if n > 0 {
		columns = max(columns, 1)
	}
	line := fmt.Sprintf("  %-*s %11d %5.1f %%  %s", labelWidth, label, n, 100*share, strings.Repeat("#", columns))
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// sizeRange names the sizes that Properties.Sizes counts at n.
func sizeRange(n int) string {
	if n == 0 {
		return "0"
	}
	return binary(int64(1)<<(n-1)) + " to " + binary(int64(1)<<n)
}

// binary writes a power of two.
func binary(size int64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if size < 1<<10 {
			return fmt.Sprintf("%d %s", size, unit)
		}
		size >>= 10
	}
	return fmt.Sprintf("%d GiB", size)
}
