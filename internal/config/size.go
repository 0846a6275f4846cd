package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of octets, written as a number with an optional unit: KB, MB, GB
// (powers of 1000), KiB, MiB, GiB (powers of 1024), K, M, G (the same).
type Size int64

var units = []struct {
	suffix string
	factor int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40},
	{"b", 1}, {"", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.ToLower(strings.TrimSpace(string(text)))
	for _, u := range units {
		digits, ok := strings.CutSuffix(t, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.factor {
			break
		}
		*s = Size(n * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 50MB or 512MiB", text)
}

// String writes the size with the unit that leaves the shortest whole number.
func (s Size) String() string {
	shortest := strconv.FormatInt(int64(s), 10)
	best := len(shortest) + 1 // a unit is shorter than so
	for _, u := range []struct {
		suffix string
		factor Size
	}{{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"KB", 1e3}} {
		if s == 0 || s%u.factor != 0 {
			continue
		}
		if n := strconv.FormatInt(int64(s/u.factor), 10); len(n)+len(u.suffix) < best {
			shortest = n + u.suffix
			best = len(shortest)
		}
	}
	return shortest
}
