package deflate

// Limits of RFC 1951.
const (
	maxBits     = 15  // the longest code (RFC 1951 section 3.2.7)
	maxLitCodes = 288 // of literals and lengths, those that no block may use included
	maxDistCode = 32
)

// A huffman decodes one code. Codes of one length are consecutive, in the order of their symbols
// (RFC 1951 section 3.2.2).
type huffman struct {
	count   [maxBits + 1]uint16 // symbols by the length of their codes
	symbols [maxLitCodes]uint16 // in the order of their codes
}

// build makes the code of the lengths of its symbols; 0 is a symbol without a code. It returns false
// if there are more codes than the lengths have room for, or fewer, but for a single code of one bit.
func (h *huffman) build(lengths []uint8) bool {
	h.count = [maxBits + 1]uint16{}
	for _, n := range lengths {
		h.count[n]++
	}
	coded := len(lengths) - int(h.count[0])
	h.count[0] = 0
	left := 1
	for n := 1; n <= maxBits; n++ {
		if left = left<<1 - int(h.count[n]); left < 0 {
			return false
		}
	}
	var at [maxBits + 2]uint16
	for n := 1; n <= maxBits; n++ {
		at[n+1] = at[n] + h.count[n]
	}
	for symbol, n := range lengths {
		if n > 0 {
			h.symbols[at[n]] = uint16(symbol)
			at[n]++
		}
	}
	return left == 0 || coded == 0 || coded == 1 && h.count[1] == 1
}

// bits are those that have arrived and were not used, the first in the lowest place.
type bits struct {
	value uint64
	n     uint
}

// take takes n bits; ok is false if there are not so many.
func (b *bits) take(n uint) (v uint, ok bool) {
	if b.n < n {
		return 0, false
	}
	v = uint(b.value & (1<<n - 1))
	b.value >>= n
	b.n -= n
	return v, true
}

// noSymbol stands for bits that are no code.
const noSymbol = -1

// decode takes one code, and returns its symbol or noSymbol; ok is false if the code has not
// arrived whole.
func (h *huffman) decode(b *bits) (symbol int, ok bool) {
	code, first, index := 0, 0, 0
	for n := uint(1); n <= maxBits; n++ {
		if b.n < n {
			return 0, false
		}
		code |= int(b.value>>(n-1)) & 1
		count := int(h.count[n])
		if code-count < first {
			b.value >>= n
			b.n -= n
			return int(h.symbols[index+code-first]), true
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return noSymbol, true
}
