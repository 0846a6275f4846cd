package transfer

import (
	"bytes"
	"io"
)

// decodeBatch is the number of decoded bytes collected before the sink is called.
const decodeBatch = 12 << 10

// A Decoder takes encoded bytes by Write, in pieces of any size, and passes on decoded bytes and
// tail. Its memory is constant. Not safe for concurrent use.
type Decoder struct {
	decoded, tail io.Writer
	recipe        Recipe
	out           []byte // decoded bytes not yet passed on

	state    state
	col      int64   // characters in the current line
	carry    [4]byte // start of a base64 group, or the CR of a line end
	carried  int
	deviated bool
}

type state uint8

const (
	inLine state = iota // at a base64 group, or at the end of a line
	inEOL               // after CR
	ended               // after a short line and its end: nothing can follow
)

// NewDecoder returns a Decoder that writes decoded bytes to decoded. From the first byte on that
// the recipe does not describe, it writes its input to tail.
func NewDecoder(decoded, tail io.Writer) *Decoder {
	return &Decoder{decoded: decoded, tail: tail, out: make([]byte, 0, decodeBatch)}
}

// Deviated reports whether the tail has begun.
func (d *Decoder) Deviated() bool { return d.deviated }

// Recipe returns the recipe of the bytes passed on as decoded. It is final after Close, or once
// Deviated.
func (d *Decoder) Recipe() Recipe { return d.recipe }

// Write takes the next encoded bytes. Its error is that of one of the two writers.
func (d *Decoder) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && !d.deviated {
		n, err := d.step(p)
		p = p[n:]
		if err != nil {
			return total - len(p), err
		}
	}
	if len(p) > 0 {
		if _, err := d.tail.Write(p); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// Close ends the input. It does not close the writers.
func (d *Decoder) Close() error {
	if d.deviated {
		return nil
	}
	if d.carried > 0 {
		return d.deviate()
	}
	return d.flush()
}

// step consumes some of p, at least one byte unless it starts the tail.
func (d *Decoder) step(p []byte) (int, error) {
	switch d.state {
	case inEOL:
		if p[0] != '\n' {
			return 0, d.deviate()
		}
		d.carried = 0
		d.endLine(false)
		return 1, nil
	case ended:
		return 0, d.deviate()
	}
	if d.carried > 0 {
		return d.fillGroup(p)
	}
	if room := d.room(); room > 0 && !isLineEnd(p[0]) {
		return d.groups(p[:min(int64(len(p)), room)])
	}
	return d.lineEnd(p[0])
}

// room returns how many characters the current line may still take.
func (d *Decoder) room() int64 {
	switch {
	case d.recipe.DecodedSize%3 != 0: // after padding
		return 0
	case d.recipe.LineLength == 0:
		return 1 << 62
	}
	return d.recipe.LineLength - d.col
}

// groups decodes whole base64 groups of p, which starts with one and is no longer than the line, up
// to a line end or a deviation, and carries a rest shorter than a group.
func (d *Decoder) groups(p []byte) (int, error) {
	if d.recipe.LineLength == 0 {
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			p = p[:i] // not empty: p[0] is no line end
		}
		if i := bytes.IndexByte(p, '\r'); i >= 0 {
			p = p[:i]
		}
	}
	n := min(len(p)/4*4, decodeBatch/3*4)
	if n == 0 {
		d.carried = copy(d.carry[:], p)
		return len(p), nil
	}
	used, err := d.decode(p[:n])
	if err != nil || used == n || isLineEnd(p[used]) {
		return used, err
	}
	return used, d.deviate()
}

// fillGroup completes a carried group.
func (d *Decoder) fillGroup(p []byte) (int, error) {
	n := copy(d.carry[d.carried:], p)
	d.carried += n
	if d.carried < len(d.carry) {
		return n, nil
	}
	used, err := d.decode(d.carry[:])
	if err == nil && used == 0 {
		return n, d.deviate() // with the group, which is still carried
	}
	d.carried = 0
	return n, err
}

// decode decodes whole groups of one line, up to the first that is not as the encoder writes it,
// and returns how many characters that were.
func (d *Decoder) decode(p []byte) (int, error) {
	if len(d.out)+len(p)/4*3 > cap(d.out) {
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	dst := d.out[len(d.out):cap(d.out)]
	n, err := strict.Decode(dst, p)
	if err == nil && canonicalEnd(p, len(p)/4*3-n) {
		d.accept(n, len(p))
		return len(p), nil
	}
	used := 0
	for used < len(p) && d.room() > 0 {
		group := p[used : used+4]
		n, err := strict.Decode(dst, group)
		if err != nil || !canonicalEnd(group, 3-n) {
			break
		}
		d.accept(n, 4)
		dst = dst[n:]
		used += 4
	}
	return used, nil
}

// canonicalEnd reports whether p ends with just as many pad characters as its decoded bytes are
// fewer than three per group. Otherwise a line end inside of p was skipped.
func canonicalEnd(p []byte, pads int) bool {
	found := 0
	for found < 2 && p[len(p)-1-found] == '=' {
		found++
	}
	return found == pads
}

func isLineEnd(c byte) bool { return c == '\r' || c == '\n' }

func (d *Decoder) accept(decoded, chars int) {
	d.out = d.out[:len(d.out)+decoded]
	d.recipe.DecodedSize += int64(decoded)
	d.recipe.FinalEOL = false
	d.col += int64(chars)
	d.state = inLine
}

// lineEnd handles c in a place where a line end must be.
func (d *Decoder) lineEnd(c byte) (int, error) {
	first := d.recipe.LineLength == 0
	switch {
	case d.col == 0: // an empty line
	case c == '\n' && (first || d.recipe.BareLF):
		d.endLine(true)
		return 1, nil
	case c == '\r' && (first || !d.recipe.BareLF):
		d.carry[0], d.carried = c, 1
		d.state = inEOL
		return 1, nil
	}
	return 0, d.deviate()
}

func (d *Decoder) endLine(bareLF bool) {
	if d.recipe.LineLength == 0 {
		d.recipe.LineLength, d.recipe.BareLF = d.col, bareLF
	}
	d.recipe.FinalEOL = true
	d.state = inLine
	if d.col < d.recipe.LineLength || d.recipe.DecodedSize%3 != 0 {
		d.state = ended
	}
	d.col = 0
}

// deviate starts the tail with what is carried.
func (d *Decoder) deviate() error {
	d.deviated = true
	if err := d.flush(); err != nil {
		return err
	}
	carried := d.carry[:d.carried]
	d.carried = 0
	if len(carried) == 0 {
		return nil
	}
	_, err := d.tail.Write(carried)
	return err
}

func (d *Decoder) flush() error {
	if len(d.out) == 0 {
		return nil
	}
	_, err := d.decoded.Write(d.out)
	d.out = d.out[:0]
	return err
}
