package mimestream

import (
	"bytes"
	"io"
)

// The decoders are tolerant: whatever the input, their only errors are those of the reader below.
// Their memory is constant. Part.DecodedSize is the number of octets that they return.

// NewDecoder returns a reader of r with the given transfer encoding undone, as it is in
// Part.Encoding. Any encoding but base64 and quoted-printable is passed through.
func NewDecoder(encoding string, r io.Reader) io.Reader {
	switch encoding {
	case "base64":
		return NewBase64Decoder(r)
	case "quoted-printable":
		return NewQPDecoder(r)
	}
	return r
}

// NewBase64Decoder decodes base64 (RFC 2045 section 6.8). Octets outside of the alphabet are
// ignored; padding ends a quantum and decoding goes on after it; an incomplete quantum gives the
// octets it has in full.
func NewBase64Decoder(r io.Reader) io.Reader {
	return &decoder{src: r, codec: &base64Decoder{}}
}

// NewQPDecoder decodes quoted-printable (RFC 2045 section 6.7). An equals sign without two
// hexadecimal digits or a line end stays as it is; white space at line ends goes; line ends are
// kept as they are.
func NewQPDecoder(r io.Reader) io.Reader {
	return &decoder{src: r, codec: &qpDecoder{}}
}

// A codec decodes in steps. In decode, dst has room for src and slack more octets; in finish, for
// slack octets.
type codec interface {
	decode(dst, src []byte) int
	finish(dst []byte) int
}

// maxSpace is the greatest number of octets of white space that the decoder holds back, to drop
// them at the end of a line. More white space counts as text.
const maxSpace = 998

const slack = maxSpace + 8

type decoder struct {
	src   io.Reader
	codec codec
	in    [4096]byte
	out   [4096 + slack]byte
	ready []byte // decoded, not yet read
	err   error
}

func (d *decoder) Read(b []byte) (int, error) {
	for len(d.ready) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if len(b) == 0 {
			return 0, nil
		}
		n, err := d.src.Read(d.in[:])
		m := d.codec.decode(d.out[:], d.in[:n])
		if err == io.EOF {
			m += d.codec.finish(d.out[m:])
		}
		d.ready, d.err = d.out[:m], err
	}
	n := copy(b, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

// unbase64 is the value of each base64 digit, or -1.
var unbase64 = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = int8(i)
	}
	return t
}()

// unhex is the value of each hexadecimal digit, or -1.
var unhex = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range 10 {
		t['0'+i] = int8(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = int8(10+i), int8(10+i)
	}
	return t
}()

type base64Decoder struct {
	bits uint32
	n    int // digits in bits, 0 to 3
}

func (d *base64Decoder) decode(dst, src []byte) int {
	bits, n, w := d.bits, d.n, 0
	for i := 0; i < len(src); i++ {
		if n == 0 {
			// The fast way: whole quanta without anything between.
			for i+4 <= len(src) {
				a, b, c, e := unbase64[src[i]], unbase64[src[i+1]], unbase64[src[i+2]], unbase64[src[i+3]]
				if a|b|c|e < 0 {
					break
				}
				q := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(e)
				dst[w], dst[w+1], dst[w+2] = byte(q>>16), byte(q>>8), byte(q)
				w += 3
				i += 4
			}
			if i == len(src) {
				break
			}
		}
		v := unbase64[src[i]]
		switch {
		case v >= 0:
			bits = bits<<6 | uint32(v)
			if n++; n == 4 {
				dst[w], dst[w+1], dst[w+2] = byte(bits>>16), byte(bits>>8), byte(bits)
				w += 3
				bits, n = 0, 0
			}
		case src[i] == '=':
			d.bits, d.n = bits, n
			w += d.finish(dst[w:])
			bits, n = 0, 0
		}
	}
	d.bits, d.n = bits, n
	return w
}

func (d *base64Decoder) finish(dst []byte) int {
	w := 0
	switch d.n {
	case 2:
		dst[0] = byte(d.bits >> 4)
		w = 1
	case 3:
		dst[0], dst[1] = byte(d.bits>>10), byte(d.bits>>2)
		w = 2
	}
	d.bits, d.n = 0, 0
	return w
}

// A qpDecoder holds back octets that may be an escape, a soft line break, or white space at the end
// of a line, one of these at a time: held starts with '=', or is white space that a CR may follow.
type qpDecoder struct {
	held []byte
}

func (d *qpDecoder) decode(dst, src []byte) int {
	w := 0
	for len(src) > 0 {
		if len(d.held) == 0 {
			n := bytes.IndexAny(src, "= \t\r")
			if n < 0 {
				n = len(src)
			}
			w += copy(dst[w:], src[:n])
			if n == len(src) {
				break
			}
			d.held = append(d.held, src[n])
			src = src[n+1:]
			continue
		}
		used, out := d.step(dst[w:], src[0])
		w += out
		src = src[used:]
	}
	return w
}

// step decides held with the help of the next octet. used is 1 if that octet is done with, too.
func (d *qpDecoder) step(dst []byte, c byte) (used, out int) {
	last := d.held[len(d.held)-1]
	if d.held[0] == '=' {
		return d.escape(dst, c)
	}
	switch {
	case c == '\n':
		eol := 0
		if last == '\r' {
			dst[0] = '\r'
			eol = 1
		}
		dst[eol] = '\n'
		d.held = d.held[:0]
		return 1, eol + 1
	case last != '\r' && (c == ' ' || c == '\t' || c == '\r') && len(d.held) < maxSpace:
		d.held = append(d.held, c)
		return 1, 0
	}
	return 0, d.finish(dst)
}

// escape goes on in what started with an equals sign: two digits, or white space and a line end.
func (d *qpDecoder) escape(dst []byte, c byte) (used, out int) {
	switch n := len(d.held); {
	case n == 1 && unhex[c] >= 0:
		d.held = append(d.held, c)
		return 1, 0
	case n == 2 && unhex[d.held[1]] >= 0:
		if unhex[c] < 0 {
			return 0, d.finish(dst)
		}
		dst[0] = byte(unhex[d.held[1]]<<4 | unhex[c])
		d.held = d.held[:0]
		return 1, 1
	case c == '\n':
		d.held = d.held[:0]
		return 1, 0
	case d.held[n-1] != '\r' && (c == ' ' || c == '\t' || c == '\r') && n < maxSpace:
		d.held = append(d.held, c)
		return 1, 0
	}
	return 0, d.finish(dst)
}

// finish returns the held octets as they are, but drops a soft line break at the end of the input.
func (d *qpDecoder) finish(dst []byte) int {
	n := copy(dst, d.held)
	d.held = d.held[:0]
	return n
}
