package bsonkey

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// A number other than NaN and zero is written as its magnitude after a tag for its sign; the bytes
// of a negative one are inverted. The magnitude is the largest double d that is not above it, then
// what is missing. The 64 bits of d and one more bit, set when the value is not exactly d, are
// written as 2 whole bytes and then groups of 7 bits, each in a byte whose lowest bit says that
// another group follows; groups of zeros at the end are left out, which makes small whole numbers
// short. When the value is not d, which happens only for int64 and decimal128, it follows in
// decimal: the exponent of its first digit (2 bytes), then its digits without trailing zeros, one
// per byte as digit+1, then 0.

// appendMagnitude writes a positive number; rest tells the exact value when d is not.
func appendMagnitude(dst []byte, d float64, rest *decimal) []byte {
	bits := math.Float64bits(d)
	dst = append(dst, byte(bits>>56), byte(bits>>48))
	groups := bits << 16 // 48 bits at the top
	if rest != nil {
		groups |= 1 << 15 // the 49th
	}
	for {
		b := byte(groups >> 56 &^ 1)
		groups <<= 7
		if groups == 0 {
			dst = append(dst, b)
			break
		}
		dst = append(dst, b|1)
	}
	if rest == nil {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(rest.exp+1<<15))
	for _, c := range rest.digits {
		dst = append(dst, c-'0'+1)
	}
	return append(dst, 0)
}

// skipMagnitude returns the length of what appendMagnitude wrote, or -1. Bytes are xored with inv.
func skipMagnitude(b []byte, inv byte) int {
	i, last := 2, byte(0)
	for n := 0; ; n++ {
		if i >= len(b) || n == 7 {
			return -1
		}
		last = b[i] ^ inv
		i++
		if last&1 == 0 {
			if n < 6 || last&2 == 0 {
				return i
			}
			break
		}
	}
	i += 2
	for ; i < len(b); i++ {
		if b[i]^inv == 0 {
			return i + 1
		}
	}
	return -1
}

// decimal is a positive number: 0.digits * 10^exp, first and last digit not zero.
type decimal struct {
	digits []byte
	exp    int
}

func newDecimal(digits []byte, exp int) *decimal {
	n := len(digits)
	for n > 0 && digits[n-1] == '0' {
		n--
	}
	return &decimal{digits: digits[:n], exp: exp + len(digits)}
}

// appendNumber writes tag and payload of a number.
func appendNumber(dst []byte, v bson.RawValue) []byte {
	switch v.Type {
	case bson.TypeInt32:
		return appendDouble(dst, float64(rawdoc.Int32(v)))
	case bson.TypeInt64:
		return appendInt(dst, rawdoc.Int64(v))
	case bson.TypeDouble:
		return appendDouble(dst, rawdoc.Double(v))
	default:
		return appendDecimal(dst, rawdoc.Decimal(v))
	}
}

func appendDouble(dst []byte, f float64) []byte {
	switch {
	case f > 0:
		return appendMagnitude(append(dst, tagPositive), f, nil)
	case f < 0:
		return appendNegative(dst, -f, nil)
	case f == 0:
		return append(dst, tagZero)
	}
	return append(dst, tagNaN)
}

func appendNegative(dst []byte, d float64, rest *decimal) []byte {
	dst = append(dst, tagNegative)
	n := len(dst)
	dst = appendMagnitude(dst, d, rest)
	invert(dst[n:])
	return dst
}

func appendInt(dst []byte, n int64) []byte {
	const exact = 1 << 53
	if n >= -exact && n <= exact {
		return appendDouble(dst, float64(n))
	}
	mag := uint64(n)
	if n < 0 {
		mag = -mag
	}
	d, rest := truncateUint(mag)
	if n < 0 {
		return appendNegative(dst, d, rest)
	}
	return appendMagnitude(append(dst, tagPositive), d, rest)
}

// truncateUint returns the largest double not above n, and n itself when they differ.
func truncateUint(n uint64) (float64, *decimal) {
	drop := 0
	for n>>drop >= 1<<53 {
		drop++
	}
	low := n >> drop << drop
	if low == n {
		return float64(n), nil
	}
	return float64(low), newDecimal(new(big.Int).SetUint64(n).Append(nil, 10), 0)
}

func appendDecimal(dst []byte, d bson.Decimal128) []byte {
	if d.IsNaN() {
		return append(dst, tagNaN)
	}
	if inf := d.IsInf(); inf != 0 {
		return appendDouble(dst, math.Inf(inf))
	}
	coef, exp, err := d.BigInt()
	if err != nil || coef.Sign() == 0 {
		return append(dst, tagZero)
	}
	neg := coef.Sign() < 0
	dec := newDecimal(coef.Abs(coef).Append(nil, 10), exp)
	f, exact := truncateDecimal(dec)
	if exact {
		dec = nil
	}
	if neg {
		return appendNegative(dst, f, dec)
	}
	return appendMagnitude(append(dst, tagPositive), f, dec)
}

// truncateDecimal returns the largest finite double not above d and whether they are equal.
func truncateDecimal(d *decimal) (f float64, exact bool) {
	switch {
	case d.exp > 310:
		return math.MaxFloat64, false
	case d.exp < -330:
		return 0, false
	}
	r := d.rat()
	f, exact = r.Float64()
	if exact {
		return f, true
	}
	if math.IsInf(f, 0) {
		return math.MaxFloat64, false
	}
	if new(big.Rat).SetFloat64(f).Cmp(r) > 0 {
		f = math.Nextafter(f, 0)
	}
	return f, false
}

// rat is the exact value; d.exp must be in the range of doubles.
func (d *decimal) rat() *big.Rat {
	coef, _ := new(big.Int).SetString(string(d.digits), 10)
	exp := int64(d.exp - len(d.digits))
	pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(max(exp, -exp)), nil)
	if exp >= 0 {
		return new(big.Rat).SetInt(coef.Mul(coef, pow))
	}
	return new(big.Rat).SetFrac(coef, pow)
}

// compareNumbers orders two numbers by value, NaN first.
func compareNumbers(a, b bson.RawValue) int {
	if a.Type == bson.TypeDecimal128 || b.Type == bson.TypeDecimal128 {
		return compareDecimals(a, b)
	}
	if a.Type == bson.TypeDouble {
		if b.Type == bson.TypeDouble {
			return cmp.Compare(rawdoc.Double(a), rawdoc.Double(b)) // NaN first, zeros equal
		}
		return compareDoubleInt(rawdoc.Double(a), whole(b))
	}
	if b.Type == bson.TypeDouble {
		return -compareDoubleInt(rawdoc.Double(b), whole(a))
	}
	return cmp.Compare(whole(a), whole(b))
}

func whole(v bson.RawValue) int64 {
	if v.Type == bson.TypeInt32 {
		return int64(rawdoc.Int32(v))
	}
	return rawdoc.Int64(v)
}

func compareDoubleInt(f float64, n int64) int {
	switch {
	case f >= 1<<63:
		return 1
	case f < -(1<<63) || f != f:
		return -1
	}
	t := math.Trunc(f)
	if c := cmp.Compare(int64(t), n); c != 0 {
		return c
	}
	return cmp.Compare(f, t)
}

// compareDecimals compares when at least one side is a decimal.
func compareDecimals(a, b bson.RawValue) int {
	x, y := magnitudeOf(a), magnitudeOf(b)
	if c := cmp.Compare(x.rank, y.rank); c != 0 {
		return c
	}
	if x.dec == nil {
		return 0
	}
	c := compareMagnitudes(x.dec, y.dec)
	if x.rank < rankZero {
		return -c
	}
	return c
}

// Ranks of numbers of which only the finite ones other than zero need a look at their digits.
const (
	rankNaN = iota
	rankMinusInf
	rankNegative
	rankZero
	rankPositive
	rankInf
)

type magnitude struct {
	rank int
	dec  *decimal
}

func magnitudeOf(v bson.RawValue) magnitude {
	var coef *big.Int
	exp := 0
	switch v.Type {
	case bson.TypeDouble:
		f := rawdoc.Double(v)
		switch {
		case f != f:
			return magnitude{rank: rankNaN}
		case math.IsInf(f, 1):
			return magnitude{rank: rankInf}
		case math.IsInf(f, -1):
			return magnitude{rank: rankMinusInf}
		}
		coef, exp = decimalOfDouble(f)
	case bson.TypeDecimal128:
		d := rawdoc.Decimal(v)
		switch {
		case d.IsNaN():
			return magnitude{rank: rankNaN}
		case d.IsInf() > 0:
			return magnitude{rank: rankInf}
		case d.IsInf() < 0:
			return magnitude{rank: rankMinusInf}
		}
		var err error
		if coef, exp, err = d.BigInt(); err != nil {
			coef = new(big.Int)
		}
	default:
		coef = big.NewInt(whole(v))
	}
	rank := rankZero + coef.Sign()
	if rank == rankZero {
		return magnitude{rank: rank}
	}
	return magnitude{rank, newDecimal(coef.Abs(coef).Append(nil, 10), exp)}
}

// decimalOfDouble writes a finite f exactly as coef * 10^exp: m * 2^-k = m * 5^k * 10^-k.
func decimalOfDouble(f float64) (coef *big.Int, exp int) {
	frac, e := math.Frexp(f)
	m := big.NewInt(int64(frac * (1 << 53)))
	e -= 53
	if e >= 0 {
		return m.Lsh(m, uint(e)), 0
	}
	five := new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(-e)), nil)
	return m.Mul(m, five), e
}

func compareMagnitudes(a, b *decimal) int {
	if c := cmp.Compare(a.exp, b.exp); c != 0 {
		return c
	}
	return cmp.Compare(string(a.digits), string(b.digits)) // no trailing zeros: a prefix is smaller
}
