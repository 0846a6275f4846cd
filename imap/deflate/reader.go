package deflate

import (
	"errors"
	"io"
)

// Bounds of a Reader's memory.
const (
	windowSize = 32 << 10 // how far back a match may begin (RFC 1951 section 2)
	outputSize = 2 * windowSize
	firstSize  = 1 << 10
	inputSize  = 4 << 10
	// maxMatch is the longest match.
	maxMatch = 258
)

// ErrCorrupt says that the peer's data are not DEFLATE.
var ErrCorrupt = errors.New("deflate: data are not in the DEFLATE format")

// A Reader decompresses what it reads from another reader.
type Reader struct {
	src io.Reader
	in  []byte // read from src, not yet in bits
	buf []byte // what in is part of
	err error  // of src, or ErrCorrupt, or io.EOF behind the last block

	bits  bits
	state state
	last  bool // the block is the last one
	empty bool // nothing came of the block yet
	mark  bool // the block before was empty: the peer has flushed

	plain bool // what comes behind the compressed data is not compressed, see Plain
	ended bool // ... and there is none of these left

	// Of a block while it is read.
	stored     int // octets that are left of a stored block
	lits, dist int // how many codes have lengths
	lens, n    int // how many lengths of code lengths there are; how many lengths were read
	lengths    [maxLitCodes + maxDistCode]uint8
	litCode    huffman // also the code of code lengths, before
	distCode   huffman

	out  []byte // decompressed, up to windowSize of it for matches
	read int    // how much of out was returned
}

// state is what is read next.
type state uint8

const (
	atHeader state = iota
	atStored       // the length of a stored block
	inStored
	atCodes   // how many codes the block has
	inMeta    // the lengths of the code of code lengths
	inLengths // the code lengths
	inSymbols
)

// NewReader returns a reader that decompresses first and then what comes from src.
func NewReader(src io.Reader, first []byte) *Reader {
	return &Reader{src: src, in: append([]byte(nil), first...)}
}

// Read implements io.Reader. It returns what can be decompressed of what has arrived, up to where the
// peer has flushed, and reads from below only if that is nothing.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for !r.Ready() {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.arrive(inputSize); err != nil {
			return 0, err
		}
	}
	if r.plain {
		n := copy(p, r.in)
		r.in = r.in[n:]
		return n, nil
	}
	n := copy(p, r.out[r.read:])
	r.read += n
	return n, nil
}

// arrive reads up to n octets from below. It returns only errors after which reading may go on.
func (r *Reader) arrive(n int) error {
	if len(r.buf) < n {
		r.buf = make([]byte, n)
	}
	n, err := r.src.Read(r.buf[:n])
	if t, ok := err.(interface{ Temporary() bool }); ok && n == 0 && t.Temporary() {
		return err
	}
	r.in, r.err = r.buf[:n], err
	if err == io.EOF && !r.ended {
		r.err = io.ErrUnexpectedEOF // unless the last block is among what was read
	}
	return nil
}

// Take takes one octet from below, where there is one, and reports whether Read then has something, or
// an error, without waiting.
func (r *Reader) Take() bool {
	if r.Ready() || r.err != nil {
		return true
	}
	return r.arrive(1) == nil && (r.Ready() || r.err != nil)
}

// Release gives memory back that the next Read takes again. The caller calls it where it waits for
// long.
func (r *Reader) Release() {
	if len(r.in) == 0 {
		r.in, r.buf = nil, nil
	}
}

// Plain ends decompression: the peer has compressed nothing behind what Read returned, but for the end
// of that. Read returns what comes then as it is. The error is ErrCorrupt if more was compressed.
func (r *Reader) Plain() error {
	if r.read < len(r.out) {
		return ErrCorrupt
	}
	r.plain = true
	if r.err == io.EOF {
		r.err = nil
	}
	return nil
}

// Rest returns what has arrived behind the compressed data and was not read yet. The Reader is of no
// use then.
func (r *Reader) Rest() []byte { return r.in }

// end reads the end of the compressed data: that of the block, an empty one of the peer's flush, and
// the last one. It reports whether all of it has arrived.
func (r *Reader) end() bool {
	for !r.ended {
		if r.state == atHeader && (r.mark || r.last) {
			r.unfill()
			switch {
			case r.last:
			case len(r.in) == 0:
				return false
			case r.in[0] <= 3: // no line begins so, but another empty block, or the last one
				r.mark = false
				continue
			}
			r.ended, r.out, r.read = true, nil, 0
			return true
		}
		used := r.used()
		err := r.decode()
		if err == ErrCorrupt || r.read < len(r.out) {
			r.err, r.in = ErrCorrupt, nil
			return false
		}
		if used == r.used() {
			return false
		}
	}
	return true
}

// unfill gives whole octets of bits back to in.
func (r *Reader) unfill() {
	r.bits.take(r.bits.n % 8)
	var octets []byte
	for r.bits.n > 0 {
		v, _ := r.bits.take(8)
		octets = append(octets, byte(v))
	}
	r.in = append(octets, r.in...)
}

// used tells whether decode has got any further.
func (r *Reader) used() int { return len(r.in) + int(r.bits.n) + int(r.state)<<20 }

// Ready reports whether Read has something without waiting.
func (r *Reader) Ready() bool {
	if r.plain {
		return r.end() && len(r.in) > 0
	}
	for r.read == len(r.out) {
		if r.err == ErrCorrupt || r.err == io.EOF {
			return false
		}
		used := r.used()
		if err := r.decode(); err != nil {
			r.err = err
		}
		if r.err == ErrCorrupt {
			r.in = nil
		}
		if r.read == len(r.out) && used == r.used() {
			return false // nothing more can be made of what has arrived
		}
	}
	return true
}

// fill moves as many octets as fit into bits.
func (r *Reader) fill() {
	for r.bits.n <= 56 && len(r.in) > 0 {
		r.bits.value |= uint64(r.in[0]) << r.bits.n
		r.bits.n += 8
		r.in = r.in[1:]
	}
}

// decode decompresses until more has to arrive, or out is full, or the peer has flushed. It begins
// when all of out was returned.
func (r *Reader) decode() error {
	if len(r.out) >= outputSize-maxMatch {
		r.out = r.out[:copy(r.out, r.out[len(r.out)-windowSize:])]
		r.read = len(r.out)
	}
	for len(r.out) < outputSize-maxMatch {
		r.fill()
		var more bool
		var err error
		switch r.state {
		case atHeader:
			more, err = r.header()
		case atStored:
			more, err = r.storedLength()
		case inStored:
			more = r.storedBytes()
		case atCodes:
			more, err = r.codes()
		case inMeta:
			more, err = r.metaLengths()
		case inLengths:
			more, err = r.codeLengths()
		case inSymbols:
			more, err = r.symbol()
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// fixedLengths are the code lengths of blocks with fixed codes (RFC 1951 section 3.2.6).
var fixedLengths = func() (l [maxLitCodes + 30]uint8) {
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		case i < maxLitCodes:
			l[i] = 8
		default:
			l[i] = 5
		}
	}
	return l
}()

// header begins a block (RFC 1951 section 3.2.3).
func (r *Reader) header() (more bool, err error) {
	if r.last {
		return false, io.EOF
	}
	v, ok := r.bits.take(3)
	if !ok {
		return false, nil
	}
	r.last, r.empty, r.mark = v&1 != 0, true, false
	switch v >> 1 {
	case 0:
		r.bits.take(r.bits.n % 8)
		r.state = atStored
	case 1:
		r.litCode.build(fixedLengths[:maxLitCodes])
		r.distCode.build(fixedLengths[maxLitCodes:])
		r.state = inSymbols
	case 2:
		r.state = atCodes
	default:
		return false, ErrCorrupt
	}
	return true, nil
}

// storedLength reads the length of a stored block (RFC 1951 section 3.2.4).
func (r *Reader) storedLength() (more bool, err error) {
	v, ok := r.bits.take(32)
	if !ok {
		return false, nil
	}
	if v&0xffff != ^(v>>16)&0xffff {
		return false, ErrCorrupt
	}
	r.stored, r.state = int(v&0xffff), inStored
	return true, nil
}

// storedBytes copies what has arrived of a stored block.
func (r *Reader) storedBytes() (more bool) {
	for r.stored > 0 && r.bits.n > 0 && len(r.out) < outputSize-maxMatch {
		v, _ := r.bits.take(8)
		r.put(byte(v))
		r.stored--
	}
	if r.bits.n == 0 {
		n := min(r.stored, len(r.in), outputSize-maxMatch-len(r.out))
		for _, c := range r.in[:n] {
			r.put(c)
		}
		r.in, r.stored = r.in[n:], r.stored-n
	}
	if r.stored == 0 {
		return r.endBlock()
	}
	return len(r.in) > 0 || r.bits.n > 0
}

// codes reads how many codes a block has (RFC 1951 section 3.2.7).
func (r *Reader) codes() (more bool, err error) {
	v, ok := r.bits.take(14)
	if !ok {
		return false, nil
	}
	r.lits, r.dist, r.lens = int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if r.lits > 286 || r.dist > 30 {
		return false, ErrCorrupt
	}
	r.lengths, r.n, r.state = [maxLitCodes + maxDistCode]uint8{}, 0, inMeta
	return true, nil
}

// metaOrder is the order of the lengths of the code of code lengths.
var metaOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (r *Reader) metaLengths() (more bool, err error) {
	for ; r.n < r.lens; r.n++ {
		r.fill()
		v, ok := r.bits.take(3)
		if !ok {
			return false, nil
		}
		r.lengths[metaOrder[r.n]] = uint8(v)
	}
	if !r.litCode.build(r.lengths[:19]) {
		return false, ErrCorrupt
	}
	r.n, r.state = 0, inLengths
	return true, nil
}

func (r *Reader) codeLengths() (more bool, err error) {
	for r.n < r.lits+r.dist {
		r.fill()
		b := r.bits // a code and what belongs to it are taken together
		symbol, ok := r.litCode.decode(&b)
		if !ok {
			return false, nil
		}
		if symbol == noSymbol {
			return false, ErrCorrupt
		}
		if symbol < 16 {
			r.bits = b
			r.lengths[r.n] = uint8(symbol)
			r.n++
			continue
		}
		repeat := [3]struct {
			bits uint
			base int
		}{{2, 3}, {3, 3}, {7, 11}}[symbol-16]
		v, ok := b.take(repeat.bits)
		if !ok {
			return false, nil
		}
		times, length := repeat.base+int(v), uint8(0)
		if symbol == 16 {
			if r.n == 0 {
				return false, ErrCorrupt
			}
			length = r.lengths[r.n-1]
		}
		if r.n+times > r.lits+r.dist {
			return false, ErrCorrupt
		}
		r.bits = b
		for range times {
			r.lengths[r.n] = length
			r.n++
		}
	}
	if r.lengths[256] == 0 || // the block could not end
		!r.litCode.build(r.lengths[:r.lits]) || !r.distCode.build(r.lengths[r.lits:r.lits+r.dist]) {
		return false, ErrCorrupt
	}
	r.state = inSymbols
	return true, nil
}

// The lengths and distances that symbols stand for (RFC 1951 section 3.2.5).
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99,
		115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025,
		1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distBits = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12,
		13, 13}
)

// symbol decodes a literal, a match or the end of the block. A match is taken only if all of it has
// arrived: at most 48 bits, which bits has room for.
func (r *Reader) symbol() (more bool, err error) {
	b := r.bits
	symbol, ok := r.litCode.decode(&b)
	switch {
	case !ok:
		return false, nil
	case symbol == noSymbol || symbol > 285:
		return false, ErrCorrupt
	case symbol < 256:
		r.bits = b
		r.put(byte(symbol))
		return true, nil
	case symbol == 256:
		r.bits = b
		return r.endBlock(), nil
	}
	extra, ok := b.take(uint(lengthBits[symbol-257]))
	if !ok {
		return false, nil
	}
	length := int(lengthBase[symbol-257]) + int(extra)
	if symbol, ok = r.distCode.decode(&b); !ok {
		return false, nil
	}
	if symbol == noSymbol || symbol > 29 {
		return false, ErrCorrupt
	}
	if extra, ok = b.take(uint(distBits[symbol])); !ok {
		return false, nil
	}
	distance := int(distBase[symbol]) + int(extra)
	if distance > len(r.out) {
		return false, ErrCorrupt
	}
	r.bits = b
	for range length {
		r.put(r.out[len(r.out)-distance])
	}
	return true, nil
}

// endBlock reports whether to go on with the next block.
func (r *Reader) endBlock() bool {
	r.state, r.mark = atHeader, r.empty && !r.last
	return !r.mark
}

func (r *Reader) put(c byte) {
	r.empty = false
	if r.out == nil {
		r.out = make([]byte, 0, firstSize)
	}
	r.out = append(r.out, c)
}
