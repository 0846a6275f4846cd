package mimestream

import "bytes"

// A boundary in force: a line that starts with two dashes and text delimits the children of part.
type boundary struct {
	text string
	part *Part
}

var (
	lf       = []byte("\n")
	lfDashes = []byte("\n--")
	tails    = [...]string{"\r\n-", "\r\n", "\n-", "\r", "\n"} // longest first
)

// heldTail is the length of b's end that may be the start of a delimiter. A longer one is found by
// its LF and dashes.
func heldTail(b []byte) int {
	for _, t := range tails {
		if len(b) >= len(t) && string(b[len(b)-len(t):]) == t {
			return len(t)
		}
	}
	return 0
}

// maxCRs is how many CRs may stand before the LF of an empty header line. One too many is common: a
// program writes CRLF, and something on the way makes CRLF of each LF.
const maxCRs = 4

// emptyLineLen is the length of the empty header line with which b starts, line end included, or 0.
// ok is false if that cannot be decided yet.
func emptyLineLen(b []byte, eof bool) (n int, ok bool) {
	for n < len(b) && n <= maxCRs && b[n] == '\r' {
		n++
	}
	switch {
	case n > maxCRs:
		return 0, true
	case n == len(b):
		return 0, eof
	case b[n] == '\n':
		return n + 1, true
	}
	return 0, true
}

// eolLen is the length of the line end with which b starts, or 0.
func eolLen(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

// lineLen is the length of the line with which b starts, without its line end. A CR at the end of b
// is left out unless the input ends there.
func lineLen(b []byte, eof bool) int {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		n = len(b)
		if eof {
			return n
		}
	}
	if n > 0 && b[n-1] == '\r' {
		n--
	}
	return n
}

// boundaryAt looks for a boundary at the start of a line. ok is false if more input is needed to
// decide; bound is the index in p.bounds or -1; closing says that two dashes follow it.
//
// The line need not equal the boundary, it must start with it (RFC 2046 section 5.1.1). The longest
// boundary that fits wins, and among equals the innermost. So nested multiparts may share a
// boundary, and one boundary may be the start of another.
func (p *Parser) boundaryAt(line []byte, eof bool) (bound int, closing, ok bool) {
	if !p.bounded() {
		return -1, false, true
	}
	switch {
	case len(line) == 0 || len(line) == 1 && line[0] == '-':
		return -1, false, eof
	case len(line) == 1 || line[0] != '-' || line[1] != '-':
		return -1, false, true
	}
	text := line[2:]
	switch lf := bytes.IndexByte(text[:min(len(text), MaxBoundary+4)], '\n'); {
	case lf >= 0:
		text = text[:lf]
		if lf > 0 && text[lf-1] == '\r' {
			text = text[:lf-1]
		}
	case len(text) >= MaxBoundary+4:
		text = text[:MaxBoundary+4] // longer than any exact match
	case !eof:
		return -1, false, false
	}
	bound = -1
	for i := len(p.bounds) - 1; i >= 0; i-- {
		b := p.bounds[i].text
		if bound >= 0 && len(b) <= len(p.bounds[bound].text) {
			continue
		}
		if len(text) < len(b) || string(text[:len(b)]) != b {
			continue
		}
		rest := text[len(b):]
		bound = i
		closing = len(rest) >= 2 && rest[0] == '-' && rest[1] == '-'
		if len(rest) == 0 || closing && len(rest) == 2 {
			break // exactly this one: "foo--" closes foo even if an outer boundary is "foo--"
		}
	}
	return bound, closing, true
}

// dropBounds forgets all boundaries from index n on, whose multiparts were not closed.
func (p *Parser) dropBounds(n int) {
	for _, b := range p.bounds[n:] {
		b.part.Degraded |= DegradedUnclosed
	}
	p.bounds = p.bounds[:n]
}

// bounded reports whether any boundary line would be recognised.
func (p *Parser) bounded() bool { return len(p.bounds) > 0 && p.parts < MaxParts }
