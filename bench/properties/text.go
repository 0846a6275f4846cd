package properties

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gadwall/bench"
)

const (
	// barWidth is how many columns the bar of everything has.
	barWidth = 50
	// labelWidth is how many columns a label has.
	labelWidth = 18
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
	_, err := io.WriteString(w, b.String())
	return err
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
