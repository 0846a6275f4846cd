package report

import (
	"math"
	"strconv"
	"strings"

	"gadwall/bench/result"
)

// number writes a figure with three digits, and whole numbers below a million with all of theirs.
func number(x float64) string {
	abs := math.Abs(x)
	switch {
	case !finite(x):
		return "–"
	case abs != 0 && (abs >= 1e15 || abs < 1e-6):
		return strconv.FormatFloat(x, 'g', 3, 64)
	case abs >= 1000 || x == math.Trunc(x):
		return thousands(strconv.FormatFloat(x, 'f', 0, 64))
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(abs))))
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// thousands puts commas between groups of three digits.
func thousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// octets writes an amount in decimal units.
func octets(x float64) string {
	if !finite(x) {
		return "–"
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for math.Abs(x) >= 999.5 && i < len(units)-1 {
		x /= 1000
		i++
	}
	return number(x) + " " + units[i]
}

// formatOf returns how to write the value of that name.
func formatOf(name string) func(float64) string {
	if name == "bytes" || strings.HasSuffix(name, "-bytes") {
		return octets
	}
	return number
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

func factor(x float64) string { return "×" + number(x) }

// noise is empty without repeats.
func noise(s result.Spread) string {
	if s.N < 2 {
		return ""
	}
	return "±" + percent(s.Noise())
}

// spreadRange is empty without repeats.
func spreadRange(s result.Spread, format func(float64) string) string {
	if s.N < 2 {
		return ""
	}
	return format(s.Min) + " – " + format(s.Max)
}
