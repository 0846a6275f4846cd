package wire

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"gadwall/internal/uidset"
)

// Encoder writes responses. It buffers until Flush or until its buffer is
// full, keeps the first error and then writes nothing more. Its methods return
// the encoder, to be chained. It is not safe for concurrent use.
type Encoder struct {
	w   io.Writer
	buf *[]byte // borrowed while there is something in it
	err error

	// UTF8 writes UTF-8 in quoted strings and mailbox names as it is
	// (RFC 6855); otherwise they become literals and modified UTF-7.
	UTF8 bool

	written int64
	last    byte // what was written last
}

var encoderBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, encoderSize)
	return &b
}}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Reset makes the encoder write to w and drops what is buffered.
func (e *Encoder) Reset(w io.Writer) {
	e.release()
	*e = Encoder{w: w, UTF8: e.UTF8}
}

// Err returns the first error of writing; the connection is then of no use.
func (e *Encoder) Err() error { return e.err }

// Written returns how many bytes were written, also those that are not flushed yet.
func (e *Encoder) Written() int64 { return e.written }

// LineOpen reports whether a line was begun and not ended.
func (e *Encoder) LineOpen() bool { return e.written > 0 && e.last != '\n' }

// Flush writes what is buffered and gives the buffer back. It flushes the writer, too, if that has
// something to flush.
func (e *Encoder) Flush() error {
	e.flush()
	e.release()
	if f, ok := e.w.(flusher); ok && e.err == nil {
		e.err = f.Flush()
	}
	return e.err
}

// flusher is a writer that keeps bytes back until it is flushed, as one that compresses.
type flusher interface{ Flush() error }

func (e *Encoder) flush() {
	if e.buf == nil || len(*e.buf) == 0 {
		return
	}
	if e.err == nil {
		_, e.err = e.w.Write(*e.buf)
	}
	*e.buf = (*e.buf)[:0]
}

func (e *Encoder) release() {
	if e.buf != nil {
		*e.buf = (*e.buf)[:0]
		encoderBuffers.Put(e.buf)
		e.buf = nil
	}
}

// Write implements io.Writer for raw protocol bytes.
func (e *Encoder) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	e.written += int64(len(p))
	e.last = p[len(p)-1]
	if e.buf == nil {
		e.buf = encoderBuffers.Get().(*[]byte)
	}
	if len(*e.buf)+len(p) > encoderSize {
		e.flush()
		if len(p) >= encoderSize && e.err == nil {
			_, e.err = e.w.Write(p)
			return len(p), e.err
		}
	}
	*e.buf = append(*e.buf, p...)
	return len(p), e.err
}

// reserve makes room for n octets in the buffer. It returns false if the buffer is too small for them
// at all, or after an error.
func (e *Encoder) reserve(n int) bool {
	if e.err != nil || n > encoderSize {
		return false
	}
	if e.buf == nil {
		e.buf = encoderBuffers.Get().(*[]byte)
	}
	if len(*e.buf)+n > encoderSize {
		e.flush()
	}
	return true
}

// appended takes over the buffer after something was appended to it within what was reserved.
func (e *Encoder) appended(b []byte) *Encoder {
	e.written += int64(len(b) - len(*e.buf))
	e.last = b[len(b)-1]
	*e.buf = b
	return e
}

// Raw writes s as it is.
func (e *Encoder) Raw(s string) *Encoder {
	if e.err != nil || s == "" {
		return e
	}
	e.written += int64(len(s))
	e.last = s[len(s)-1]
	if e.buf == nil {
		e.buf = encoderBuffers.Get().(*[]byte)
	}
	for len(s) > 0 {
		free := encoderSize - len(*e.buf)
		if free == 0 {
			e.flush()
			continue
		}
		n := min(free, len(s))
		*e.buf = append(*e.buf, s[:n]...)
		s = s[n:]
	}
	return e
}

// RawBytes writes b as it is: protocol text that was encoded before.
func (e *Encoder) RawBytes(b []byte) *Encoder {
	_, _ = e.Write(b) // the error is kept
	return e
}

// Byte writes one byte as it is.
func (e *Encoder) Byte(c byte) *Encoder {
	if e.err != nil {
		return e
	}
	if e.buf == nil {
		e.buf = encoderBuffers.Get().(*[]byte)
	}
	if len(*e.buf) == encoderSize {
		e.flush()
	}
	e.written++
	e.last = c
	*e.buf = append(*e.buf, c)
	return e
}

// SP writes a space.
func (e *Encoder) SP() *Encoder { return e.Byte(' ') }

// CRLF ends a line.
func (e *Encoder) CRLF() *Encoder { return e.Raw("\r\n") }

// Untagged starts an untagged response: "* ".
func (e *Encoder) Untagged() *Encoder { return e.Raw("* ") }

// Atom writes an atom of the program's own. Anything that may come from outside
// goes through String.
func (e *Encoder) Atom(s string) *Encoder { return e.Raw(s) }

// Number writes a number.
func (e *Encoder) Number(n uint32) *Encoder { return e.Number64(uint64(n)) }

// Number64 writes a 63-bit number.
func (e *Encoder) Number64(n uint64) *Encoder {
	if !e.reserve(20) {
		return e
	}
	return e.appended(AppendNumber(*e.buf, n))
}

// String writes s quoted when that is possible and as a literal otherwise. NUL, which neither may
// hold (RFC 3501 section 4.3), is written as U+FFFD.
func (e *Encoder) String(s string) *Encoder {
	if !e.reserve(3*len(s) + 32) { // NUL becomes three octets
		return e.RawBytes(appendString(nil, s, e.UTF8))
	}
	return e.appended(appendString(*e.buf, s, e.UTF8))
}

// NIL writes NIL.
func (e *Encoder) NIL() *Encoder { return e.Raw("NIL") }

// Mailbox writes a mailbox name given in UTF-8.
func (e *Encoder) Mailbox(name string) *Encoder {
	return e.RawBytes(AppendMailbox(nil, name, e.UTF8))
}

// Flags writes a parenthesised list of flags, leaving out what is not a flag.
func (e *Encoder) Flags(flags []string) *Encoder {
	return e.RawBytes(AppendFlags(nil, "", flags))
}

// List writes a parenthesised list of n elements.
func (e *Encoder) List(n int, element func(i int)) *Encoder {
	e.Byte('(')
	for i := range n {
		if i > 0 {
			e.SP()
		}
		element(i)
	}
	return e.Byte(')')
}

// UIDs writes UIDs in ascending order as a set.
func (e *Encoder) UIDs(uids []uint32) *Encoder { return e.RawBytes(uidset.Append(nil, uids)) }

// Literal writes a literal of exactly size bytes, which fill writes to w. When
// fill fails or writes another number of bytes, the connection is broken: the
// error is kept, since the client could not find the end of the literal.
func (e *Encoder) Literal(size int64, fill func(w io.Writer) error) error {
	e.RawBytes(AppendLiteral(nil, size))
	if e.err != nil {
		return e.err
	}
	start := e.written
	w := &literalWriter{e: e, left: size}
	filled := false
	defer func() {
		if !filled { // fill panicked
			e.err = ErrLiteralSize
		}
	}()
	err := fill(w)
	filled = true
	if err == nil && e.written-start != size {
		err = fmt.Errorf("%w: %d of %d bytes", ErrLiteralSize, e.written-start, size)
	}
	if err != nil && e.err == nil {
		// What is buffered is cut off with the connection.
		e.err = err
	}
	return e.err
}

// literalWriter refuses what passes the announced size.
type literalWriter struct {
	e    *Encoder
	left int64
}

// Write implements io.Writer.
func (w *literalWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, fmt.Errorf("%w: more bytes than announced", ErrLiteralSize)
	}
	n, err := w.e.Write(p)
	w.left -= int64(n)
	return n, err
}

// Text writes the human-readable text of a status response: one line, never
// empty, ASCII unless UTF8 is on (RFC 3501 section 9, text).
func (e *Encoder) Text(s string) *Encoder {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == 0:
			return ' '
		case r >= 0x80 && !e.UTF8 || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
	clean = strings.TrimSpace(clean)
	if clean == "" {
		clean = "-"
	}
	return e.Raw(clean)
}

// IsAtom reports whether s can be written as an atom.
func IsAtom(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if class[s[i]]&classAtom == 0 {
			return false
		}
	}
	return true
}

// IsFlag reports whether s is a flag: "\" atom, "\*" or a keyword.
func IsFlag(s string) bool {
	if rest, ok := strings.CutPrefix(s, `\`); ok {
		return rest == "*" || IsAtom(rest)
	}
	return IsAtom(s)
}
