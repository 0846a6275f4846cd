package query

import (
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// bitsMode says what the $bits operators ask of the bits in the mask.
type bitsMode uint8

const (
	bitsAllSet bitsMode = iota
	bitsAllClear
	bitsAnySet
	bitsAnyClear
)

// bitTest is one of $bitsAllSet, $bitsAllClear, $bitsAnySet and $bitsAnyClear. Bit 0 is the lowest
// bit of a number and the lowest bit of the first byte of a binary. Numbers go on with their sign,
// binaries with zeros.
type bitTest struct {
	mode   bitsMode
	bytes  []maskByte // bytes of the mask that are not zero, by position
	low    uint64     // mask of the bits below 64
	beyond bool       // the mask has bits from 64 on
}

type maskByte struct {
	pos  int
	mask byte
}

func newBits(mode bitsMode, bytes []maskByte) *bitTest {
	b := &bitTest{mode: mode, bytes: bytes}
	for _, m := range bytes {
		if m.pos < 8 {
			b.low |= uint64(m.mask) << (8 * m.pos)
		} else {
			b.beyond = true
		}
	}
	return b
}

func (b *bitTest) test(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeInt32:
		return b.testNumber(int64(rawdoc.Int32(v)))
	case bson.TypeInt64:
		return b.testNumber(rawdoc.Int64(v))
	case bson.TypeDouble, bson.TypeDecimal128:
		n, ok := rawdoc.Integer(v)
		return ok && b.testNumber(n)
	case bson.TypeBinary:
		_, data := rawdoc.Binary(v)
		return b.testBinary(data)
	}
	return false
}

func (b *bitTest) testNumber(n int64) bool {
	set, clear := b.low&uint64(n) != 0, b.low&^uint64(n) != 0
	if b.beyond {
		set, clear = set || n < 0, clear || n >= 0
	}
	switch b.mode {
	case bitsAllSet:
		return !clear
	case bitsAllClear:
		return !set
	case bitsAnySet:
		return set
	}
	return clear
}

func (b *bitTest) testBinary(data []byte) bool {
	switch b.mode {
	case bitsAllSet:
		for _, m := range b.bytes {
			if m.pos >= len(data) || data[m.pos]&m.mask != m.mask {
				return false
			}
		}
		return true
	case bitsAllClear:
		for _, m := range b.bytes {
			if m.pos < len(data) && data[m.pos]&m.mask != 0 {
				return false
			}
		}
		return true
	case bitsAnySet:
		for _, m := range b.bytes {
			if m.pos < len(data) && data[m.pos]&m.mask != 0 {
				return true
			}
		}
		return false
	}
	for _, m := range b.bytes {
		if m.pos >= len(data) || data[m.pos]&m.mask != m.mask {
			return true
		}
	}
	return false
}

// parseBits parses the operand of a $bits operator: a number, a binary or an array of bit
// positions.
func parseBits(mode bitsMode, name string, v bson.RawValue) (*bitTest, error) {
	switch v.Type {
	case bson.TypeBinary:
		_, data := rawdoc.Binary(v)
		var mask []maskByte
		for i, c := range data {
			if c != 0 {
				mask = append(mask, maskByte{i, c})
			}
		}
		return newBits(mode, mask), nil
	case bson.TypeArray:
		mask, err := parseBitPositions(v.Value)
		if err != nil {
			return nil, err
		}
		return newBits(mode, mask), nil
	}
	if !rawdoc.IsNumber(v) {
		return nil, mongoerr.New(mongoerr.BadValue,
			"%s takes an Array, a number, or a BinData but received: %s", name, v)
	}
	n, problem := nonNegative(v)
	if problem != "" {
		return nil, mongoerr.New(mongoerr.FailedToParse, "%s in: %s: %s", problem, name, v)
	}
	var mask []maskByte
	for i := range 8 {
		if c := byte(n >> (8 * i)); c != 0 {
			mask = append(mask, maskByte{i, c})
		}
	}
	return newBits(mode, mask), nil
}

func parseBitPositions(arr []byte) ([]maskByte, error) {
	var positions []int
	for it := rawdoc.Over(arr); it.Next(); {
		v := it.Value()
		n, ok := rawdoc.Integer(v)
		switch {
		case !ok:
			return nil, mongoerr.New(mongoerr.BadValue, "bit positions must be an integer but got: %s", v)
		case n < 0:
			return nil, mongoerr.New(mongoerr.BadValue, "bit positions must be >= 0 but got: %s", v)
		case n > MaxBitPosition:
			return nil, mongoerr.New(mongoerr.BadValue,
				"bit positions cannot be represented as a 32-bit signed integer: %s", v)
		}
		positions = append(positions, int(n))
	}
	slices.Sort(positions)
	var mask []maskByte
	for _, p := range positions {
		if n := len(mask); n == 0 || mask[n-1].pos != p/8 {
			mask = append(mask, maskByte{pos: p / 8})
		}
		mask[len(mask)-1].mask |= 1 << (p % 8)
	}
	return mask, nil
}

// nonNegative reads a whole number that is not negative; problem says what was expected instead.
func nonNegative(v bson.RawValue) (n int64, problem string) {
	if !rawdoc.IsNumber(v) {
		return 0, "Expected a number"
	}
	n, ok := rawdoc.Integer(v)
	switch {
	case !ok && v.Type == bson.TypeDouble && math.Abs(rawdoc.Double(v)) >= 1<<63:
		return 0, "Cannot represent as a 64-bit integer"
	case !ok:
		return 0, "Expected an integer"
	case n < 0:
		return 0, "Expected a non-negative number"
	}
	return n, ""
}

func (b *bitTest) equal(o *bitTest) bool { return b.mode == o.mode && slices.Equal(b.bytes, o.bytes) }
