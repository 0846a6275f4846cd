package transfer

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// An encoder makes a quoted-printable body from decoded bytes as follows: every byte is itself or
// =XX, and a line gets a soft line end (RFC 2045 section 6.7 rule 5) before the first byte that
// does not fit any more. The Recipe has the length of the lines and the form of line ends.

const (
	// markSpacing is the least number of encoded bytes between two marks. To make a range, an
	// encoder makes less than twice as many bytes in vain.
	markSpacing = 64 << 10

	// lookahead is the number of decoded bytes behind a place that decide the encoded bytes before
	// it: one byte, and whether a line end follows.
	lookahead = 3

	minQuotedLine = 8
	maxQuotedLine = 1000
)

const upperHex = "0123456789ABCDEF"

// plainByte reports whether c may stand for itself. Space and tab may not at the end of a line.
func plainByte(c byte) bool { return c > ' ' && c < 0x7f && c != '=' || c == ' ' || c == '\t' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// A mark is a place from which encoded bytes can be made without those before it: the start of a
// line.
type mark struct{ encoded, decoded int64 }

// appendMark appends the distances from the mark before.
func appendMark(dst []byte, before, m mark) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.encoded-before.encoded))
	return binary.AppendUvarint(dst, uint64(m.decoded-before.decoded))
}

// nextMark reads a mark.
func nextMark(marks string, before mark) (m mark, rest string, ok bool) {
	// Two varints of at most ten bytes; binary.Uvarint takes no string.
	b := []byte(marks[:min(len(marks), 2*binary.MaxVarintLen64)])
	e, n := binary.Uvarint(b)
	if n <= 0 || e > maxSize {
		return m, "", false
	}
	d, k := binary.Uvarint(b[n:])
	if k <= 0 || d > e {
		return m, "", false
	}
	return mark{before.encoded + int64(e), before.decoded + int64(d)}, marks[n+k:], true
}

// checkQuoted returns an error if a stored recipe contradicts itself.
func (r Recipe) checkQuoted() error {
	switch {
	case r.LineLength < minQuotedLine || r.LineLength > maxQuotedLine:
		return fmt.Errorf("%w: line length %d", errRecipe, r.LineLength)
	case r.FinalEOL && !r.Binary:
		return fmt.Errorf("%w: flags", errRecipe)
	case r.DecodedSize == 0:
		return fmt.Errorf("%w: nothing is encoded", errRecipe)
	case r.EncodedSize > 8*r.DecodedSize:
		return fmt.Errorf("%w: size", errRecipe)
	}
	var m mark
	for rest := r.Marks; rest != ""; {
		next, more, ok := nextMark(rest, m)
		if !ok || next.encoded-m.encoded < markSpacing || next.encoded >= r.EncodedSize ||
			next.decoded >= r.DecodedSize {
			return fmt.Errorf("%w: marks", errRecipe)
		}
		m, rest = next, more
	}
	return nil
}

// around returns the last mark at or before off, and the decoded offset of the first at or after
// end.
func (r Recipe) around(off, end int64) (start mark, decodedEnd int64) {
	var m mark
	for rest := r.Marks; rest != ""; {
		var ok bool
		if m, rest, ok = nextMark(rest, m); !ok {
			break
		}
		if m.encoded <= off {
			start = m
		}
		if m.encoded >= end {
			return start, m.decoded
		}
	}
	return start, r.DecodedSize
}

// mapQuoted is Map for quoted-printable.
func (r Recipe) mapQuoted(off, n int64) (decodedOff, decodedN int64) {
	start, end := r.around(off, off+n)
	if n == 0 {
		return start.decoded, 0
	}
	return start.decoded, min(end+lookahead, r.DecodedSize) - start.decoded
}

// learnQuoted returns the parameters that describe most of a sample, the first bytes of a body.
func learnQuoted(sample []byte) Recipe {
	base := Recipe{Quoted: true, LineLength: 76}
	soft, hard, ends := 0, 0, 0
	for i, line := range bytes.SplitAfter(sample, []byte("\n")) {
		text := bytes.TrimRight(line, "\r\n")
		if i == 0 && len(line) > len(text) {
			base.BareLF = !bytes.HasSuffix(line, []byte("\r\n"))
		}
		switch {
		case len(text) == len(line): // the rest
		case bytes.HasSuffix(text, []byte("=")):
			soft = max(soft, len(text))
		default:
			hard = max(hard, len(text))
			ends++
		}
	}
	switch {
	case soft == 0:
		base.LineLength = int64(max(76, hard))
	case hard > soft && hard <= soft+2: // soft lines end early where =XX did not fit
		base.LineLength = int64(hard)
	default:
		base.LineLength = int64(soft)
	}
	base.LineLength = min(max(base.LineLength, minQuotedLine), maxQuotedLine)
	lengths := []int64{base.LineLength}
	if soft == 74 || soft == 75 {
		lengths = append(lengths, 76)
	}
	modes := []bool{false}
	if bytes.Contains(sample, []byte("=0D")) || bytes.Contains(sample, []byte("=0A")) {
		modes = []bool{ends == 0, ends > 0} // encoded ones only, or both: what is likelier first
	}
	best := base
	most := int64(-1)
	for _, length := range lengths {
		for _, binary := range modes {
			for _, full := range []bool{true, false} {
				try := base
				try.LineLength, try.Binary, try.Full = length, binary, full
				d := newQuotedDecoder(discard{}, discard{}, try)
				d.Write(sample) // the writers do not fail
				reached := d.recipe.EncodedSize
				if !d.deviated && (binary || !bytes.Contains(d.raw, []byte("=0D=0A"))) {
					reached = int64(len(sample))
				}
				if reached > most {
					best, most = try, reached
				}
				if most == int64(len(sample)) {
					return best
				}
			}
		}
	}
	return best
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
