package transfer

import (
	"bytes"
	"io"
)

// A QuotedDecoder is a Decoder for quoted-printable. Its memory is constant. Not safe for
// concurrent use.
//
// It goes on line by line. A line is right if the encoder would write each of its bytes in the same
// way, and if the soft line end before it was needed. Then the decoder passes on the bytes that are
// certain: up to a line end of the text, or to just before a soft line end, where the encoder could
// have stopped.
type QuotedDecoder struct {
	decoded, tail io.Writer
	recipe        Recipe // its sizes are those of what is certain
	marks         []byte
	last          mark

	raw      []byte // input behind what is certain
	from     int    // where in raw the line being received starts
	out      []byte // decoded bytes: those certain and not passed on, then others
	certain  int    // how many of out are certain
	line     mark   // where the line being received starts
	soft     bool   // the line before ended softly
	column   int    // its length, without "="
	cr       bool   // the decoded byte before was an encoded CR
	ended    bool   // Binary: a line end, which must be the last
	deviated bool
}

// maxUncertain bounds the input that the decoder keeps because it is not certain yet.
const maxUncertain = 16 << 10

// NewQuotedDecoder returns a QuotedDecoder that writes as NewDecoder's does. The sample is the
// first bytes of the body, from which it learns how long lines are; the more the better.
func NewQuotedDecoder(decoded, tail io.Writer, sample []byte) *QuotedDecoder {
	return newQuotedDecoder(decoded, tail, learnQuoted(sample))
}

func newQuotedDecoder(decoded, tail io.Writer, parameters Recipe) *QuotedDecoder {
	return &QuotedDecoder{decoded: decoded, tail: tail, recipe: parameters}
}

// Deviated reports whether the tail has begun.
func (d *QuotedDecoder) Deviated() bool { return d.deviated }

// Recipe returns the recipe of the bytes passed on as decoded. It is final after Close, or once
// Deviated.
func (d *QuotedDecoder) Recipe() Recipe {
	if d.recipe.DecodedSize == 0 {
		return Recipe{}
	}
	r := d.recipe
	r.Marks = string(d.marks)
	return r
}

// Write takes the next encoded bytes. Its error is that of one of the two writers.
func (d *QuotedDecoder) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && !d.deviated {
		n := bytes.IndexByte(p, '\n') + 1
		complete := n > 0
		if !complete {
			n = len(p)
		}
		longest := int(d.recipe.LineLength) + len("\r\n")
		if d.ended || len(d.raw)-d.from+n > longest || len(d.raw)+n > maxUncertain {
			if err := d.deviate(); err != nil {
				return total - len(p), err
			}
			break
		}
		d.raw = append(d.raw, p[:n]...)
		p = p[n:]
		if complete {
			if err := d.endLine(); err != nil {
				return total - len(p), err
			}
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
func (d *QuotedDecoder) Close() error {
	if d.deviated {
		return nil
	}
	rest := d.raw[d.from:]
	switch {
	case d.ended:
		d.recipe.FinalEOL = true
		d.accept(len(d.raw))
	case len(rest) > 0:
		if _, ok := d.take(rest, false, true); !ok {
			return d.deviate()
		}
		d.accept(len(d.raw))
	case d.soft:
		return d.deviate()
	}
	return d.flush()
}

// endLine takes the line that is complete in raw.
func (d *QuotedDecoder) endLine() error {
	line := d.raw[d.from:]
	text, ok := bytes.CutSuffix(line, []byte(d.recipe.eol()))
	if !ok || d.recipe.BareLF && bytes.HasSuffix(text, []byte("\r")) {
		return d.deviate()
	}
	text, soft := bytes.CutSuffix(text, []byte("="))
	tokens, ok := d.take(text, soft, !soft)
	if !ok || d.recipe.Binary && tokens == 0 {
		return d.deviate()
	}
	switch {
	case soft:
		// The encoder could have stopped here, unless what is at the end of a text would be written
		// otherwise.
		if last := text[len(text)-1]; tokens > 1 && !isBlank(last) {
			d.accept(d.from + len(text))
		}
	case d.recipe.Binary:
		d.ended = true
		return nil
	default:
		d.out = append(d.out, d.recipe.eol()...)
		d.accept(len(d.raw))
	}
	d.soft, d.column = soft, len(text)
	d.from = len(d.raw)
	d.line = mark{d.recipe.EncodedSize + int64(d.from), d.recipe.DecodedSize + int64(len(d.out)-d.certain)}
	if len(d.out) >= decodeBatch {
		return d.flush()
	}
	return nil
}

// take decodes a line without its end and checks that the encoder would have written it. ends says
// that a line end or the end of the input follows. take returns the number of decoded bytes.
func (d *QuotedDecoder) take(text []byte, soft, ends bool) (tokens int, ok bool) {
	limit := int(d.recipe.LineLength)
	if !ends || !d.recipe.Full {
		limit--
	}
	if len(text) > limit || (soft || d.soft) && len(text) == 0 {
		return 0, false
	}
	first := 1
	for i := 0; i < len(text); tokens++ {
		c := text[i]
		last := ends && i+1 == len(text)
		if c != '=' {
			if !plainByte(c) || last && isBlank(c) {
				return 0, false
			}
			d.out = append(d.out, c)
			d.cr = false
			i++
			continue
		}
		if i+2 >= len(text) {
			return 0, false
		}
		v, ok := unhex(text[i+1], text[i+2])
		last = ends && i+3 == len(text)
		if !ok || plainByte(v) && !(isBlank(v) && last) || !d.mayEncode(v) {
			return 0, false
		}
		d.out = append(d.out, v)
		d.cr = v == '\r'
		if i == 0 {
			first = 3
		}
		i += 3
	}
	if d.soft {
		// Was the soft line end needed?
		room := int(d.recipe.LineLength) - 1
		if d.recipe.Full && ends && tokens == 1 {
			room++
		}
		if d.column+first <= room {
			return 0, false
		}
	}
	return tokens, true
}

// mayEncode reports whether =XX may stand for v, a byte of a line end.
func (d *QuotedDecoder) mayEncode(v byte) bool {
	return v != '\n' || d.recipe.Binary || !d.recipe.BareLF && !d.cr
}

func unhex(a, b byte) (byte, bool) {
	hi, lo := bytes.IndexByte([]byte(upperHex), a), bytes.IndexByte([]byte(upperHex), b)
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}

// accept makes the first n bytes of raw certain, and all of out.
func (d *QuotedDecoder) accept(n int) {
	if d.line.encoded-d.last.encoded >= markSpacing {
		d.marks = appendMark(d.marks, d.last, d.line)
		d.last = d.line
	}
	d.recipe.EncodedSize += int64(n)
	d.recipe.DecodedSize += int64(len(d.out) - d.certain)
	d.certain = len(d.out)
	d.raw = d.raw[:copy(d.raw, d.raw[n:])]
	d.from -= n
}

// deviate starts the tail with what is not certain.
func (d *QuotedDecoder) deviate() error {
	d.deviated = true
	d.out = d.out[:d.certain]
	if err := d.flush(); err != nil {
		return err
	}
	if len(d.raw) == 0 {
		return nil
	}
	_, err := d.tail.Write(d.raw)
	d.raw = nil
	return err
}

// flush passes on what is certain.
func (d *QuotedDecoder) flush() error {
	if d.certain == 0 {
		return nil
	}
	_, err := d.decoded.Write(d.out[:d.certain])
	d.out = d.out[:copy(d.out, d.out[d.certain:])]
	d.certain = 0
	return err
}
