package index

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"
	"slices"
)

// errDamaged reports a document that is not what was written.
var errDamaged = errors.New("text index: a document is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed puts the check sum of key and data before the data.
func sealed(key, data []byte) []byte {
	out := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint32(out, sum(key, data))
	return append(out, data...)
}

// opened returns what was sealed with the key.
func opened(key, stored []byte) ([]byte, error) {
	if len(stored) < 4 || binary.BigEndian.Uint32(stored) != sum(key, stored[4:]) {
		return nil, errDamaged
	}
	return stored[4:], nil
}

func sum(key, data []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, data)
}

// A vector is a set of bits, of a mail or of a column. Its form as stored is:
//
//	mode (1)  emptyVector | fullVector | plainVector | k | inverted + k
//	plainVector: the bits, the lowest first, in words of 64
//	k: the distances between bits that are set (or, inverted, clear), less one, by Rice's code: the
//	distance's upper part in ones and a zero, and its k lower bits
//
// The number of bits is known from elsewhere. After the last one, the code ends with a distance that
// leads to it.
type vector []uint64

const (
	emptyVector = 0xff
	fullVector  = 0xfe
	plainVector = 0xfd
	inverted    = 0x80
	maxRice     = 30
)

func newVector(n int) vector { return make(vector, (n+63)/64) }

func (v vector) set(i int)      { v[i/64] |= 1 << (i % 64) }
func (v vector) has(i int) bool { return v[i/64]>>(i%64)&1 != 0 }

func (v vector) count() int {
	n := 0
	for _, w := range v {
		n += bits.OnesCount64(w)
	}
	return n
}

// fill sets the first n bits, and clears those behind.
func (v vector) fill(n int) {
	for i := range v {
		switch left := n - i*64; {
		case left >= 64:
			v[i] = ^uint64(0)
		case left > 0:
			v[i] = 1<<left - 1
		default:
			v[i] = 0
		}
	}
}

// appendRow appends the form of a row. One of which at least a plainShare of the bits are set stays
// plain until it is turned: Rice's code would save little for that time, and costs the more.
func appendRow(dst []byte, v vector) []byte {
	const plainShare = 1. / 8
	if float64(v.count()) < plainShare*bitCount {
		return appendVector(dst, v, bitCount)
	}
	dst = append(slices.Grow(dst, 1+bitCount/8), plainVector)
	for _, word := range v {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	return dst
}

// appendVector appends the form of the first n bits of v.
func appendVector(dst []byte, v vector, n int) []byte {
	ones := v.count()
	switch ones {
	case 0:
		return append(dst, emptyVector)
	case n:
		return append(dst, fullVector)
	}
	mode, flip := byte(0), uint64(0)
	if ones > n/2 {
		ones, mode, flip = n-ones, inverted, ^uint64(0)
	}
	// The parameter for distances of about n/ones.
	k := max(0, bits.Len64(uint64(float64(n)/float64(ones)*0.69))-1)
	// A distance of n/ones takes k+2 bits or fewer in the mean.
	dst = append(slices.Grow(dst, 1+(ones*(k+2)+7)/8), mode|byte(k))
	w := bitWriter{out: dst}
	last := -1
	for i, word := range v {
		word ^= flip
		if left := n - i*64; left < 64 {
			word &= 1<<left - 1
		}
		for ; word != 0; word &= word - 1 {
			at := i*64 + bits.TrailingZeros64(word)
			w.rice(uint64(at-last-1), k)
			last = at
		}
	}
	w.rice(uint64(n-last-1), k)
	return w.end()
}

// readVector reads n bits into v, which is long enough.
func readVector(v vector, n int, stored []byte) error {
	clear(v)
	if len(stored) == 0 {
		return errDamaged
	}
	mode := stored[0]
	switch mode {
	case emptyVector:
		return nil
	case fullVector:
		v.fill(n)
		return nil
	case plainVector:
		words := (n + 63) / 64
		if len(stored) != 1+8*words {
			return errDamaged
		}
		for i := range words {
			v[i] = binary.LittleEndian.Uint64(stored[1+8*i:])
		}
		if n%64 != 0 && v[words-1]>>(n%64) != 0 {
			return errDamaged
		}
		return nil
	}
	k := int(mode &^ inverted)
	if k > maxRice {
		return errDamaged
	}
	r := bitReader{in: stored[1:]}
	at := -1
	for {
		at = r.readMost(v, at, n, k)
		d, ok := r.rice(k, n)
		if at += d + 1; !ok || at > n {
			return errDamaged
		}
		if at == n {
			break
		}
		v.set(at)
	}
	if mode&inverted != 0 {
		full := newVector(n)
		full.fill(n)
		for i := range full {
			v[i] ^= full[i]
		}
	}
	return nil
}

// bitWriter appends bits, the lowest first.
type bitWriter struct {
	out []byte
	acc uint64
	n   int // bits in acc, less than 32
}

// put appends up to 32 bits.
func (w *bitWriter) put(value uint64, n int) {
	w.acc |= value << (w.n & 63)
	if w.n += n; w.n >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

func (w *bitWriter) rice(d uint64, k int) {
	upper := int(d >> (k & 63))
	if upper+1+k <= 32 {
		w.put(1<<(upper&63)-1|d&(1<<(k&63)-1)<<((upper+1)&63), upper+1+k)
		return
	}
	for ; upper >= 16; upper -= 16 {
		w.put(1<<16-1, 16)
	}
	w.put(1<<upper-1, upper+1)
	if k > 0 {
		w.put(d&(1<<k-1), k)
	}
}

func (w *bitWriter) end() []byte {
	for ; w.n > 0; w.n -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
	return w.out
}

// bitReader reads what a bitWriter wrote.
type bitReader struct {
	in  []byte
	acc uint64
	n   int
}

// more makes the next bits available, at least 48 of them unless the input ends. Bits above the
// first n are those of the input that come next, or 0.
func (r *bitReader) more() {
	if r.n >= 48 {
		return
	}
	if len(r.in) >= 8 {
		r.acc |= binary.LittleEndian.Uint64(r.in) << r.n
		octets := (63 - r.n) / 8
		r.in = r.in[octets:]
		r.n += octets * 8
		return
	}
	for r.n <= 56 && len(r.in) > 0 {
		r.acc |= uint64(r.in[0]) << r.n
		r.in = r.in[1:]
		r.n += 8
	}
}

// readMost sets bits of v behind at, of n, as long as the next distance is short and not among the
// last octets. It returns the last one.
func (r *bitReader) readMost(v vector, at, n, k int) int {
	in, acc, have := r.in, r.acc, r.n
	low := uint64(1)<<(k&63) - 1
	for len(in) >= 8 {
		if have < 48 {
			acc |= binary.LittleEndian.Uint64(in) << (have & 63)
			octets := (63 - have) / 8
			in = in[octets:]
			have += octets * 8
		}
		ones := bits.TrailingZeros64(^acc)
		size := ones + 1 + k
		if size > have {
			break
		}
		next := at + 1 + ones<<(k&63) + int(acc>>((ones+1)&63)&low)
		if next >= n {
			break
		}
		at = next
		v[at/64] |= 1 << (at & 63)
		acc >>= size & 63
		have -= size
	}
	r.in, r.acc, r.n = in, acc, have
	return at
}

// rice reads a distance; ok is false if it is above limit, or if the input ends.
func (r *bitReader) rice(k, limit int) (d int, ok bool) {
	upper := 0
	for {
		r.more()
		ones := min(bits.TrailingZeros64(^r.acc), r.n)
		upper += ones
		r.drop(ones)
		if upper<<k > limit {
			return 0, false
		}
		if ones > 0 && r.n == 0 {
			if len(r.in) == 0 {
				return 0, false
			}
			continue
		}
		if r.n == 0 {
			return 0, false
		}
		r.drop(1)
		break
	}
	r.more()
	if r.n < k {
		return 0, false
	}
	d = upper<<k | int(r.acc&(1<<k-1))
	r.drop(k)
	return d, d <= limit
}

func (r *bitReader) drop(n int) {
	r.acc >>= n
	r.n -= n
}

// appendNumbers appends ascending numbers: for each run, as unsigned varints, how far it begins
// after the end of the run before, and how many follow its first.
func appendNumbers(dst []byte, numbers []uint64) []byte {
	end := uint64(0) // of the run before
	for i := 0; i < len(numbers); {
		j := i + 1
		for j < len(numbers) && numbers[j] == numbers[j-1]+1 {
			j++
		}
		dst = binary.AppendUvarint(dst, numbers[i]-end)
		dst = binary.AppendUvarint(dst, uint64(j-i-1))
		end = numbers[j-1] + 1
		i = j
	}
	return dst
}

// readRuns reads what appendNumbers wrote, and checks that there are n numbers.
func readRuns(stored []byte, n int) ([]run, error) {
	var runs []run
	end, total := uint64(0), 0
	for len(stored) > 0 {
		gap, a := binary.Uvarint(stored)
		if a <= 0 {
			return nil, errDamaged
		}
		more, b := binary.Uvarint(stored[a:])
		if b <= 0 || more >= blockRows || gap > 1<<62 || end > 1<<62 {
			return nil, errDamaged
		}
		stored = stored[a+b:]
		r := run{end + gap, int(more) + 1}
		if total += r.count; total > blockRows {
			return nil, errDamaged
		}
		runs = append(runs, r)
		end = r.first + uint64(r.count)
	}
	if total != n {
		return nil, errDamaged
	}
	return runs, nil
}

// run is numbers that follow each other.
type run struct {
	first uint64
	count int
}
