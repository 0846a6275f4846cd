package ingest

import (
	"bytes"
	"io"
)

// bodyDecoder undoes dot-stuffing and finds the end of a body sent with DATA (RFC 5321
// sections 4.1.1.4 and 4.5.2). The zero value stands at the start of a body.
type bodyDecoder struct{ state bodyState }

type bodyState uint8

const (
	lineStart  bodyState = iota // after CRLF, or at the start
	afterDot                    // a dot at the start of a line, not passed on
	afterDotCR                  // that dot and CR, neither passed on
	afterCR                     // CR, passed on
	inLine
	atEnd
)

// decode reads from src and writes to dst, which must not be empty, until either is used up or the
// body ends. It returns how many octets of each it used.
func (d *bodyDecoder) decode(dst, src []byte) (nDst, nSrc int) {
	for nSrc < len(src) && nDst < len(dst) && d.state != atEnd {
		c := src[nSrc]
		switch d.state {
		case inLine:
			// Nearly all octets: up to the next CR.
			part := src[nSrc:]
			if room := len(dst) - nDst; len(part) > room {
				part = part[:room]
			}
			if i := bytes.IndexByte(part, '\r'); i >= 0 {
				part = part[:i+1]
				d.state = afterCR
			}
			nDst += copy(dst[nDst:], part)
			nSrc += len(part)
			continue
		case lineStart:
			if c == '.' {
				d.state = afterDot
				nSrc++
				continue
			}
		case afterDot:
			if c == '\r' {
				d.state = afterDotCR
				nSrc++
				continue
			}
		case afterDotCR:
			if c == '\n' {
				d.state = atEnd
				nSrc++
				continue
			}
			// ". CR" and something else: the CR was text, c is looked at again.
			dst[nDst] = '\r'
			nDst++
			d.state = afterCR
			continue
		}
		switch {
		case c == '\r':
			d.state = afterCR
		case c == '\n' && d.state == afterCR:
			d.state = lineStart
		default:
			d.state = inLine
		}
		dst[nDst] = c
		nDst++
		nSrc++
	}
	return nDst, nSrc
}

// dataReader reads the body that follows DATA. It returns io.EOF after the dot line only; a
// connection that ends earlier is io.ErrUnexpectedEOF.
type dataReader struct {
	in  *input
	dec bodyDecoder
}

func (r *dataReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.dec.state != atEnd {
		if len(r.in.buffered()) == 0 {
			if err := r.in.fill(); err != nil {
				return 0, unexpected(err)
			}
		}
		n, used := r.dec.decode(p, r.in.buffered())
		r.in.consume(used)
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// chunkReader reads the octets that follow a BDAT command (RFC 3030 section 2). It returns io.EOF
// after all of them only.
type chunkReader struct {
	in   *input
	left int64
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.in.read(p)
	r.left -= int64(n)
	return n, unexpected(err)
}

// unexpected turns the end of the connection into an error: the body had not ended.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
