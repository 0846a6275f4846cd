package engine

import (
	"context"
	"math/big"
)

// firstReadable returns the first key from lower on that can be read, where lower itself cannot;
// nil if there is none before upper.
//
// The storage does not say where what it cannot read ends. So keys are tried, at distances that
// grow fourfold, and then between the last that failed and the first that did not. When more is
// damaged a little further on, what lies between may be passed over. Keys that are longer than
// those around them may be, too.
func firstReadable(ctx context.Context, v view, lower, upper []byte) ([]byte, error) {
	// Keys are tried as numbers of so many bytes.
	width := max(len(lower), prefixLen+skipBytes)
	number := func(key []byte) *big.Int {
		padded := make([]byte, width)
		copy(padded, key)
		return new(big.Int).SetBytes(padded)
	}
	// try returns the first key from x on, and whether it could be read.
	try := func(x *big.Int) (key []byte, ok bool) {
		s, err := v.scan(x.FillBytes(make([]byte, width)), upper, false)
		if err != nil {
			return nil, false
		}
		if s.next() {
			key = clone(s.key())
		}
		return key, s.close() == nil
	}
	end := number(upper)
	bad := number(lower)
	good, found := end, []byte(nil)
	// unit is the distance of two keys of that length.
	unit := func(length int) *big.Int {
		return new(big.Int).Lsh(big.NewInt(1), uint(8*(width-min(length, width))))
	}
	for step := unit(len(lower)); ; step.Lsh(step, 2) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x := new(big.Int).Add(bad, step)
		if x.Cmp(end) >= 0 {
			break
		}
		if key, ok := try(x); ok {
			good, found = x, key
			break
		}
		bad = x
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if new(big.Int).Sub(good, bad).Cmp(unit(max(len(lower), len(found)))) <= 0 {
			return found, nil
		}
		x := new(big.Int).Add(bad, good)
		x.Rsh(x, 1)
		if key, ok := try(x); ok {
			good, found = x, key
		} else {
			bad = x
		}
	}
}
