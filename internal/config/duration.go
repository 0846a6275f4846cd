package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration is a time.Duration that may begin with days: 7d, 1d12h, 90m.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	rest := strings.TrimSpace(string(text))
	rest, negative := strings.CutPrefix(rest, "-")
	var sum time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err != nil || n < 0 || n > int64(math.MaxInt64/day) {
			return durationError(text)
		}
		sum, rest = time.Duration(n)*day, after
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || more > math.MaxInt64-sum {
			return durationError(text)
		}
		sum += more
	} else if sum == 0 && !strings.HasSuffix(string(text), "d") {
		return durationError(text)
	}
	if negative {
		sum = -sum
	}
	*d = Duration(sum)
	return nil
}

func durationError(text []byte) error {
	return fmt.Errorf("%q is not a duration such as 7d, 12h or 1h30m", text)
}

// String writes the duration as UnmarshalText reads it.
func (d Duration) String() string {
	if d < 0 {
		return "-" + (-d).String()
	}
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	var text string
	if days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
	}
	if rest > 0 || days == 0 {
		clock := rest.String()
		// Not 1h0m0s.
		if short, ok := strings.CutSuffix(clock, "m0s"); ok {
			clock = short + "m"
		}
		if short, ok := strings.CutSuffix(clock, "h0m"); ok {
			clock = short + "h"
		}
		text += clock
	}
	return text
}
