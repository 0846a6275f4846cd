package plan

import (
	"math"

	"gadwall/bench/result"
)

// Figure is a value with the bounds between which it lies. The zero Figure is not known.
type Figure struct {
	Low, Value, High float64
	// Known says that there is a value, Bounded that the bounds come from repeats.
	Known, Bounded bool
}

// Exactly is a figure without an error, such as what the caller has said.
func Exactly(x float64) Figure { return Figure{x, x, x, true, true} }

// measured makes a figure of repeats; it is not known if there are none.
func measured(values []float64) Figure {
	if len(values) == 0 {
		return Figure{}
	}
	s := result.NewSpread(values)
	return Figure{Low: s.Min, Value: s.Median, High: s.Max, Known: true, Bounded: s.N > 1}
}

// with combines two figures that are not negative, by a function that grows with a, and with b too
// unless falling.
func (a Figure) with(b Figure, falling bool, f func(a, b float64) float64) Figure {
	if !a.Known || !b.Known {
		return Figure{}
	}
	low, high := b.Low, b.High
	if falling {
		low, high = high, low
	}
	return Figure{Low: f(a.Low, low), Value: f(a.Value, b.Value), High: f(a.High, high), Known: true,
		Bounded: a.Bounded && b.Bounded}
}

// Plus is the sum.
func (a Figure) Plus(b Figure) Figure {
	return a.with(b, false, func(a, b float64) float64 { return a + b })
}

// Times is the product.
func (a Figure) Times(b Figure) Figure {
	return a.with(b, false, func(a, b float64) float64 { return a * b })
}

// Per is the quotient; not known if the divisor may be 0.
func (a Figure) Per(b Figure) Figure {
	if b.Low <= 0 {
		return Figure{}
	}
	return a.with(b, true, func(a, b float64) float64 { return a / b })
}

// Whole is the figure rounded up.
func (a Figure) Whole() Figure {
	// What is a whole number but for the last digits of a division is one.
	up := func(x float64) float64 { return math.Ceil(x * (1 - 1e-12)) }
	a.Low, a.Value, a.High = up(a.Low), up(a.Value), up(a.High)
	return a
}

// Most is the larger one of both; a figure that is not known counts for nothing.
func (a Figure) Most(b Figure) Figure {
	switch {
	case !a.Known:
		return b
	case !b.Known:
		return a
	}
	return a.with(b, false, math.Max)
}
