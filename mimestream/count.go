package mimestream

import "bytes"

// A bodyCounter looks at the body of one leaf as it passes.
type bodyCounter struct {
	encoding  string
	raw       int64
	decoded   int64
	digits    int64 // base64: of the run since the last padding
	qp        qpDecoder
	scratch   []byte
	nul, high bool
}

func (c *bodyCounter) reset(encoding string) {
	*c = bodyCounter{encoding: encoding, qp: qpDecoder{c.qp.held[:0]}, scratch: c.scratch}
}

func (c *bodyCounter) write(b []byte) {
	c.nul = c.nul || bytes.IndexByte(b, 0) >= 0
	c.high = c.high || has8bit(b)
	c.raw += int64(len(b))
	switch c.encoding {
	case "base64":
		c.base64(b)
	case "quoted-printable":
		c.quoted(b)
	}
}

// base64 counts digits: four of them make three octets.
func (c *bodyCounter) base64(b []byte) {
	for {
		pad := bytes.IndexByte(b, '=')
		if pad < 0 {
			c.digits += countDigits(b)
			return
		}
		c.digits += countDigits(b[:pad])
		c.endRun()
		b = b[pad+1:]
	}
}

func (c *bodyCounter) endRun() {
	c.decoded += c.digits * 6 / 8
	c.digits = 0
}

func (c *bodyCounter) quoted(b []byte) {
	if c.scratch == nil {
		c.scratch = make([]byte, 4096+slack)
	}
	for len(b) > 0 {
		n := min(len(b), 4096)
		c.decoded += int64(c.qp.decode(c.scratch, b[:n]))
		b = b[n:]
	}
}

// size ends the body and returns its decoded size.
func (c *bodyCounter) size() int64 {
	switch c.encoding {
	case "base64":
		c.endRun()
		return c.decoded
	case "quoted-printable":
		if c.scratch != nil {
			c.decoded += int64(c.qp.finish(c.scratch))
		}
		return c.decoded
	}
	return c.raw
}

// isDigit is 1 for base64 digits.
var isDigit = func() (t [256]uint8) {
	for i, v := range unbase64 {
		if v >= 0 {
			t[i] = 1
		}
	}
	return t
}()

func countDigits(b []byte) int64 {
	var n int64
	for len(b) >= 8 {
		w := b[:8]
		n += int64(isDigit[w[0]] + isDigit[w[1]] + isDigit[w[2]] + isDigit[w[3]] +
			isDigit[w[4]] + isDigit[w[5]] + isDigit[w[6]] + isDigit[w[7]])
		b = b[8:]
	}
	for _, c := range b {
		n += int64(isDigit[c])
	}
	return n
}
