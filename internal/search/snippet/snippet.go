// Package snippet shows where a search found something: a piece of a text in which the hits are
// marked, as HTML (RFC 8621 section 5 has the same form).
package snippet

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"gadwall/internal/casemap"
)

// MaxLine bounds the part of a line in which Of looks for hits, in octets.
const MaxLine = 16 << 10

// Of returns the first line of text that has one of the needles, or the piece of it around the first
// hit, of about limit characters. White space is collapsed. Hits stand in <mark> elements, and what
// is special in HTML is escaped. ok is false, and the piece is the beginning of the text, if no line
// has a needle.
func Of(text string, needles []string, limit int) (piece string, ok bool) {
	var mapped []string
	for _, n := range needles {
		if n = casemap.String(n); n != "" {
			mapped = append(mapped, n)
		}
	}
	first := ""
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if len(line) > MaxLine {
			line = strings.ToValidUTF8(line[:MaxLine], "")
		}
		if line == "" {
			continue
		}
		if first == "" {
			first = line
		}
		if marks := find(line, mapped); marks != nil {
			return write(line, marks, limit), true
		}
	}
	return write(first, nil, limit), false
}

// A mark is a hit: octets [from, to) of a line.
type mark struct{ from, to int }

// find returns the hits in a line, in order; those that overlap are one.
func find(line string, mapped []string) []mark {
	whole := casemap.String(line)
	found := false
	for _, n := range mapped {
		found = found || strings.Contains(whole, n)
	}
	if !found {
		return nil
	}
	// The same character by character, with the place where each octet comes from. What is made of
	// several characters together may be missing here; then nothing is marked.
	var folded []byte
	var at []int
	for i, r := range line {
		for _, c := range []byte(casemap.String(string(r))) {
			folded, at = append(folded, c), append(at, i)
		}
	}
	at = append(at, len(line))
	hit := make([]bool, len(line))
	text := string(folded)
	for _, n := range mapped {
		for i := 0; ; {
			j := strings.Index(text[i:], n)
			if j < 0 {
				break
			}
			from, to := at[i+j], at[i+j+len(n)]
			if to == from {
				_, size := utf8.DecodeRuneInString(line[from:])
				to = from + size
			}
			for k := from; k < to; k++ {
				hit[k] = true
			}
			i += j + len(n)
		}
	}
	marks := []mark{}
	for i := 0; i < len(hit); i++ {
		if !hit[i] {
			continue
		}
		m := mark{from: i}
		for i < len(hit) && hit[i] {
			i++
		}
		m.to = i
		marks = append(marks, m)
	}
	return marks
}

// write writes about limit characters of the line, around the first mark.
func write(line string, marks []mark, limit int) string {
	begin, end := 0, len(line)
	if utf8.RuneCountInString(line) > limit {
		center := 0
		if len(marks) > 0 {
			center = marks[0].from
		}
		begin = back(line, center, limit/4)
		end = forward(line, begin, limit)
	}
	var b strings.Builder
	if begin > 0 {
		b.WriteString("…")
	}
	at := begin
	for _, m := range marks {
		from, to := max(m.from, at), min(m.to, end)
		if from >= to {
			continue
		}
		b.WriteString(html.EscapeString(line[at:from]))
		b.WriteString("<mark>")
		b.WriteString(html.EscapeString(line[from:to]))
		b.WriteString("</mark>")
		at = to
	}
	b.WriteString(html.EscapeString(line[at:end]))
	if end < len(line) {
		b.WriteString("…")
	}
	return b.String()
}

// back returns the place n characters before i, or a little after it, where a word begins.
func back(line string, i, n int) int {
	j := i
	for ; n > 0 && j > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(line[:j])
		j -= size
	}
	if j > 0 {
		if k := strings.IndexFunc(line[j:i], unicode.IsSpace); k >= 0 {
			j += k + 1
		}
	}
	return j
}

// forward returns the place n characters behind i.
func forward(line string, i, n int) int {
	for ; n > 0 && i < len(line); n-- {
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
	}
	return i
}
