package envelope

import (
	"strconv"
	"strings"
	"time"
)

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// zones are the obsolete zone names with a meaning (RFC 5322 section 4.3), in hours east of UTC.
// All others mean that nothing is known, as -0000 does.
var zones = map[string]int{
	"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
}

// parseDate reads a Date field: RFC 5322 section 3.3 with its obsolete forms, asctime's order, and
// a time without seconds, or none. It looks for the parts by their shape, whatever stands between
// them. local is the time as written, taken as UTC; sent the instant. ok is false if there is no
// date in it.
func parseDate(value string) (local, sent time.Time, ok bool) {
	if len(value) > 256 {
		value = value[:256]
	}
	var day, month, year, hour, minute, second, offset int
	haveTime := false
	words := strings.FieldsFunc(stripComments(value), func(r rune) bool {
		return r == ' ' || r == '\t' || r == ',' || r == '\r' || r == '\n'
	})
	for _, word := range words {
		lower := strings.ToLower(word)
		switch {
		case strings.Contains(word, ":") && !haveTime:
			hour, minute, second, haveTime = parseClock(word)
		case haveTime && (word[0] == '+' || word[0] == '-') && len(word) == 5:
			offset = parseOffset(word)
		case len(lower) >= 3 && month == 0 && monthOf(lower) > 0:
			month = monthOf(lower)
		case zones[lower] != 0:
			offset = zones[lower] * 3600
		case strings.Count(word, "-") == 2:
			// 24-Nov-2026, as some write it
			d, rest, _ := strings.Cut(lower, "-")
			m, y, _ := strings.Cut(rest, "-")
			day, month, year = number(d, 31), monthOf(m), fullYear(y)
		case day == 0 && len(word) <= 2:
			day = number(word, 31)
		case year == 0:
			year = fullYear(word)
		}
	}
	if day == 0 || month == 0 || year == 0 {
		return time.Time{}, time.Time{}, false
	}
	local = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if local.Day() != day {
		return time.Time{}, time.Time{}, false // the 31st of February
	}
	return local, local.Add(-time.Duration(offset) * time.Second), true
}

func monthOf(lower string) int {
	if len(lower) < 3 {
		return 0
	}
	for i, m := range months {
		if lower[:3] == m {
			return i + 1
		}
	}
	return 0
}

// number reads digits, 0 if there is anything else or it exceeds greatest.
func number(s string, greatest int) int {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || int(n) > greatest {
		return 0
	}
	return int(n)
}

// fullYear reads a year, with two or three digits too (RFC 5322 section 4.3).
func fullYear(s string) int {
	n := number(s, 9999)
	switch {
	case len(s) < 2 || n == 0 && len(s) != 2:
		return 0
	case len(s) == 2 && n < 50:
		return 2000 + n
	case len(s) <= 3:
		return 1900 + n
	}
	return n
}

func parseClock(s string) (hour, minute, second int, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		return 0, 0, 0, false
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil || v > 60 {
			return 0, 0, 0, false
		}
		n[i] = int(v)
	}
	if n[0] > 23 || n[1] > 59 {
		return 0, 0, 0, false
	}
	return n[0], n[1], min(n[2], 59), true
}

func parseOffset(s string) int {
	h, m := number(s[1:3], 23), number(s[3:], 59)
	offset := h*3600 + m*60
	if s[0] == '-' {
		return -offset
	}
	return offset
}

func stripComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var sb strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
			sb.WriteByte(' ')
		case depth == 0:
			sb.WriteByte(c)
		}
	}
	return sb.String()
}
