package transfer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// encodeBatch is the number of encoded bytes collected before the writer is called. It may be a
	// socket.
	encodeBatch = 64 << 10

	// encodeStep is the number of decoded bytes encoded at a time, at most.
	encodeStep = 1536
)

// encodeBuffers has the buffers of Encoders.
var encodeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, encodeBatch); return &b }}

// ErrShort reports that an Encoder was closed before it had all decoded bytes of its range.
var ErrShort = errors.New("transfer: decoded bytes are missing")

// ErrRange reports a range outside of the encoded bytes, or more decoded bytes than the range
// needs.
var ErrRange = errors.New("transfer: outside of the range")

// An Encoder takes the decoded bytes of a range by Write, in pieces of any size, and writes the
// encoded bytes of that range. Its memory is constant. Not safe for concurrent use.
type Encoder struct {
	w       io.Writer
	r       Recipe
	pending int64 // decoded bytes still to come

	pos, off, end int64  // encoded position of the next byte made; the range asked for
	out           []byte // encoded bytes made, from pos-len(out) on; of borrowed
	borrowed      *[]byte
	col           int64 // characters in the current line
	chars, total  int64 // characters up to pos, and of all
	carry         [3]byte
	carried       int

	text  []byte // Quoted: decoded bytes not yet encoded
	final bool   // Quoted: the last decoded byte of the range is the last of all
}

// NewEncoder returns an Encoder for the n encoded bytes at off. The caller writes exactly the
// decoded bytes that Map(off, n) names, and closes it.
func (r Recipe) NewEncoder(w io.Writer, off, n int64) (*Encoder, error) {
	if off < 0 || n < 0 || off > r.EncodedLen() || n > r.EncodedLen()-off {
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, r.EncodedLen())
	}
	start, size := r.Map(off, n)
	e := &Encoder{w: w, r: r, pending: size, pos: off, off: off, end: off + n}
	if r.Identity {
		return e, nil
	}
	e.borrowed = encodeBuffers.Get().(*[]byte)
	e.out = *e.borrowed
	if n == 0 {
		return e, nil
	}
	if r.Quoted {
		from, _ := r.around(off, off)
		e.pos, e.final = from.encoded, start+size == r.DecodedSize
		return e, nil
	}
	e.chars, e.total = r.charsBefore(off), r.chars()
	if size > 0 {
		e.chars = start / 3 * 4
	}
	lines := int64(0) // line ends before the one in front of the first character
	e.pos = e.chars
	if r.LineLength > 0 && e.chars > 0 {
		lines = (e.chars - 1) / r.LineLength
		e.col = e.chars % r.LineLength
		e.pos += e.chars / r.LineLength * r.eolLen()
	}
	if size == 0 || e.pos > off {
		// The range starts within a line end.
		e.pos = e.chars + lines*r.eolLen()
		e.appendEOL()
	}
	return e, nil
}

// Write takes the next decoded bytes. Its error is ErrRange or that of the writer.
func (e *Encoder) Write(p []byte) (int, error) {
	if int64(len(p)) > e.pending {
		return 0, fmt.Errorf("%w: more decoded bytes than asked for", ErrRange)
	}
	e.pending -= int64(len(p))
	if e.r.Identity {
		return e.w.Write(p)
	}
	if e.r.Quoted {
		return e.quotedWrite(p)
	}
	total := len(p)
	if e.carried > 0 {
		n := copy(e.carry[e.carried:], p)
		e.carried += n
		p = p[n:]
		if e.carried < len(e.carry) && e.pending > 0 {
			return total, nil
		}
		group := e.carry[:e.carried]
		e.carried = 0
		if err := e.encode(group); err != nil {
			return 0, err
		}
	}
	whole := len(p)
	if e.pending > 0 {
		whole = len(p) / 3 * 3
	}
	if err := e.encode(p[:whole]); err != nil {
		return 0, err
	}
	e.carried = copy(e.carry[:], p[whole:])
	return total, nil
}

// Close writes the rest, and returns ErrShort if decoded bytes are missing. It does not close the
// writer. The caller must not use the Encoder any more.
func (e *Encoder) Close() error {
	defer e.release()
	if e.pending > 0 {
		return ErrShort
	}
	if e.r.Identity {
		return nil
	}
	if e.r.Quoted && e.pos < e.end {
		return ErrShort // a stored recipe that no decoder made
	}
	return e.flush()
}

// release gives back the Encoder's buffer.
func (e *Encoder) release() {
	if e.borrowed != nil {
		encodeBuffers.Put(e.borrowed)
		e.borrowed, e.out = nil, nil
	}
}

// encode makes the encoding of whole groups, only the last of all may be shorter.
func (e *Encoder) encode(p []byte) error {
	for len(p) > 0 {
		if n := e.wholeLines(p); n > 0 {
			p = p[n:]
			continue
		}
		n := min(len(p), encodeStep)
		if e.r.LineLength > 0 {
			n = int(min(int64(n), (e.r.LineLength-e.col)/4*3))
		}
		size := base64.StdEncoding.EncodedLen(n)
		if len(e.out)+size+2 > cap(e.out) {
			if err := e.flush(); err != nil {
				return err
			}
		}
		made := e.out[len(e.out) : len(e.out)+size]
		base64.StdEncoding.Encode(made, p[:n])
		e.out = e.out[:len(e.out)+size]
		p = p[n:]
		e.pos += int64(size)
		e.chars += int64(size)
		e.col += int64(size)
		last := e.chars == e.total
		if last && e.r.FinalEOL || !last && e.col == e.r.LineLength {
			e.appendEOL()
		}
	}
	return nil
}

// wholeLines makes as many whole lines as there is room for, but not the last of all. It returns
// how many bytes of p are in them.
func (e *Encoder) wholeLines(p []byte) int {
	line := e.r.LineLength
	if e.col != 0 || line == 0 {
		return 0
	}
	eol := e.r.eol()
	group, size := int(line/4*3), int(line)+len(eol)
	lines := min(len(p)/group, (cap(e.out)-len(e.out))/size)
	if left := (e.total - e.chars - 1) / line; int64(lines) > left {
		lines = int(max(left, 0))
	}
	for i := range lines {
		made := e.out[len(e.out) : len(e.out)+size]
		base64.StdEncoding.Encode(made, p[i*group:(i+1)*group])
		copy(made[line:], eol)
		e.out = e.out[:len(e.out)+size]
	}
	e.chars += int64(lines) * line
	e.pos += int64(lines) * int64(size)
	return lines * group
}

func (e *Encoder) appendEOL() {
	e.out = append(e.out, e.r.eol()...)
	e.pos += e.r.eolLen()
	e.col = 0
}

// flush writes what was made, cut to the range.
func (e *Encoder) flush() error {
	start := e.pos - int64(len(e.out))
	from := min(max(e.off-start, 0), int64(len(e.out)))
	to := max(min(e.end-start, int64(len(e.out))), from)
	piece := e.out[from:to]
	e.out = e.out[:0]
	if len(piece) == 0 {
		return nil
	}
	_, err := e.w.Write(piece)
	return err
}
