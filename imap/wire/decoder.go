package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Decoder reads commands. It is not safe for concurrent use.
//
// A command is read in this order: Start, then Tag and any of the element
// methods, then CRLF; after an error, or when unsure, Resync.
type Decoder struct {
	src io.Reader
	r   *bufio.Reader // borrowed from Start to Rest

	// Continue is called before the bytes of a synchronising literal are
	// read; it must send a continuation request (RFC 3501 section 7.5).
	Continue func() error

	// LiteralLimit is the largest literal that is taken into memory; 0 means
	// MaxLiteral.
	LiteralLimit int64

	// LineLimit is the longest line; 0 means MaxLine.
	LineLimit int

	// LongLine, if it is not nil, may allow a longer line than LineLimit, up to
	// MaxLine, by how the first line of a command begins. It is called once for a
	// line that is longer than the decoder's buffer.
	LongLine func(start []byte) bool

	// UTF8 makes quoted strings and mailbox names UTF-8
	// (RFC 6855 section 3).
	UTF8 bool

	line  []byte // the current line without its end; valid until the next read
	pos   int    // what is parsed of it
	spill []byte // backs a line longer than the reader's buffer
	bad   error  // what is wrong with the line as a whole

	mark   LiteralMark // the literal that the line announces, if hasLit
	markAt int         // where in line the mark starts
	hasLit bool
	opened bool  // the mark was parsed and its bytes asked for
	rest   int64 // bytes of the opened literal that are not read yet

	broken   error // of the connection; nothing more can be read
	finished bool  // CRLF was parsed: nothing of the command is left
	lines    int   // bytes of lines of this command
	literals int64
	depth    int
}

// LiteralMark is the announcement of a literal.
type LiteralMark struct {
	Size    int64
	NonSync bool // {n+}: the client does not wait (RFC 7888)
	Binary  bool // ~{n}: may hold NUL (RFC 3516)
}

// NewDecoder returns a decoder that reads from r.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{src: r, finished: true}
}

var decoderBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readerSize) }}

// reader borrows a buffer, unless the decoder has one.
func (d *Decoder) reader() *bufio.Reader {
	if d.r == nil {
		d.r = decoderBuffers.Get().(*bufio.Reader)
		d.r.Reset(d.src)
	}
	return d.r
}

// Rest gives the buffer back, unless there is something in it. The caller calls it where it waits for
// long, between two commands or before RawLine.
func (d *Decoder) Rest() {
	if d.r == nil || !d.finished || d.r.Buffered() > 0 {
		return
	}
	d.line, d.spill = nil, nil // they may be in the buffer
	d.r.Reset(nil)
	decoderBuffers.Put(d.r)
	d.r = nil
}

// Buffered returns the number of bytes received but not read. STARTTLS
// throws them away (RFC 3501 section 6.2.1, command injection).
func (d *Decoder) Buffered() int {
	if d.r == nil {
		return 0
	}
	return d.r.Buffered()
}

// TakeBuffered takes the bytes that were received and not read.
func (d *Decoder) TakeBuffered() []byte {
	b := make([]byte, d.Buffered())
	n, _ := d.reader().Read(b) // what is buffered has no error
	return b[:n]
}

// Err returns what is wrong with the connection, after which nothing can be read
// from it; nil as long as it works.
func (d *Decoder) Err() error { return d.broken }

// Reset makes the decoder read from r and forget whatever it has buffered.
func (d *Decoder) Reset(r io.Reader) {
	if d.r != nil {
		d.r.Reset(r)
	}
	*d = Decoder{src: r, r: d.r, Continue: d.Continue, LineLimit: d.LineLimit, LongLine: d.LongLine,
		LiteralLimit: d.LiteralLimit,
		UTF8:         d.UTF8, finished: true}
}

// Start waits for the first line of the next command. It gives io.EOF when the
// client closed the connection between two commands. An ErrQuiet of the reader
// breaks nothing: Start may be called again, and Rest before.
func (d *Decoder) Start() error {
	if d.broken != nil {
		return d.broken
	}
	if !d.finished {
		return errors.New("imap: Start before the end of the last command")
	}
	d.lines, d.literals, d.depth = 0, 0, 0
	d.finished = false
	err := d.readLine()
	if err == ErrQuiet {
		d.broken, d.finished = nil, true
	}
	return err
}

// readLine reads the next line of the command. Faults in its text are kept in
// d.bad; only faults of the connection are returned.
func (d *Decoder) readLine() error {
	d.pos, d.hasLit, d.opened, d.bad = 0, false, false, nil
	raw, tooLong, err := d.rawLine(d.lineLimit())
	if err != nil {
		d.line, d.broken = nil, err
		return err
	}
	d.lines += len(raw)
	d.line = raw
	switch {
	case tooLong:
		d.bad = tooBig("line is longer than %d bytes", d.lineLimit())
	case d.lines > MaxCommandLines:
		d.bad = tooBig("command is longer than %d bytes", MaxCommandLines)
	case bytes.IndexByte(raw, 0) >= 0:
		d.bad = Errorf("NUL is not allowed")
	case bytes.IndexByte(raw, '\r') >= 0:
		d.bad = Errorf("CR is not allowed inside a line")
	}
	d.mark, d.markAt, d.hasLit, err = parseMark(raw)
	if err != nil && d.bad == nil {
		d.bad = err
	}
	if !d.hasLit {
		// No command has a blank at its end, and some clients send one.
		d.line = bytes.TrimRight(raw, " ")
	}
	return nil
}

func (d *Decoder) lineLimit() int {
	if d.LineLimit > 0 {
		return max(d.LineLimit, readerSize)
	}
	return MaxLine
}

// rawLine reads one line and strips its end (CRLF or bare LF). Of a line
// longer than limit it returns the first and last bytes and tooLong.
func (d *Decoder) rawLine(limit int) (line []byte, tooLong bool, err error) {
	frag, err := d.reader().ReadSlice('\n')
	if err == nil && len(frag) <= limit {
		return trimEnd(frag), false, nil
	}
	if err != nil && err != bufio.ErrBufferFull {
		if err == io.EOF && (len(frag) > 0 || d.lines > 0) {
			err = io.ErrUnexpectedEOF
		}
		return nil, false, err
	}
	// A long line: gather its start up to limit, and its last bytes, where a
	// literal mark may be.
	spill := append(d.spill[:0], frag...)
	var tail []byte
	if d.LongLine != nil && d.lines == 0 && d.LongLine(spill) {
		limit = MaxLine
	}
	for skipped := 0; err == bufio.ErrBufferFull; {
		frag, err = d.reader().ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, false, err
		}
		if !tooLong && len(spill)+len(frag) <= limit {
			spill = append(spill, frag...)
			continue
		}
		if !tooLong {
			tooLong = true
			tail = append(tail, spill[len(spill)-markLen:]...)
		}
		tail = append(tail, frag...)
		tail = append(tail[:0], tail[max(len(tail)-markLen, 0):]...)
		if skipped += len(frag); skipped > MaxDrain {
			return nil, false, ErrDrain
		}
	}
	spill = append(spill, tail...)
	d.spill = spill
	return trimEnd(spill), tooLong, nil
}

// markLen is more than the longest literal mark and line end.
const markLen = 40

func trimEnd(b []byte) []byte {
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}

// parseMark looks for a literal mark at the end of a line.
func parseMark(line []byte) (m LiteralMark, at int, ok bool, err error) {
	n := len(line)
	if n < 3 || line[n-1] != '}' {
		return m, 0, false, nil
	}
	i := n - 2
	if line[i] == '+' {
		m.NonSync = true
		i--
	}
	end := i + 1
	for i >= 0 && line[i] >= '0' && line[i] <= '9' {
		i--
	}
	if i < 0 || line[i] != '{' || i+1 == end {
		return LiteralMark{}, 0, false, nil
	}
	at = i
	if i > 0 && line[i-1] == '~' {
		m.Binary = true
		at--
	}
	for _, c := range line[i+1 : end] {
		m.Size = m.Size*10 + int64(c-'0')
		if m.Size > 1<<56 {
			m.Size = 1 << 56
			err = tooBig("literal is too large")
		}
	}
	return m, at, true, err
}

// ready makes sure that d.line[d.pos:] is what comes next.
func (d *Decoder) ready() error {
	if d.broken != nil {
		return d.broken
	}
	if d.finished {
		return Errorf("unexpected end of command")
	}
	if d.opened {
		if d.rest > 0 {
			return errors.New("imap: literal was not read to its end")
		}
		if err := d.readLine(); err != nil {
			return err
		}
	}
	return d.bad
}

// atLiteral reports whether the mark of a literal is next.
func (d *Decoder) atLiteral() bool {
	return d.hasLit && !d.opened && d.pos == d.markAt
}

// LiteralMark parses the mark of a literal without asking for its bytes: the
// caller decides with OpenLiteral, or refuses by returning an error.
func (d *Decoder) LiteralMark() (LiteralMark, error) {
	if err := d.ready(); err != nil {
		return LiteralMark{}, err
	}
	if !d.atLiteral() {
		return LiteralMark{}, d.unexpected("a literal")
	}
	return d.mark, nil
}

// OpenLiteral asks the client for the bytes of the literal whose mark is next
// and returns a reader of exactly these. Elements can be read again once the
// reader gave io.EOF; Resync skips what is left of it.
func (d *Decoder) OpenLiteral() (io.Reader, error) {
	if _, err := d.LiteralMark(); err != nil {
		return nil, err
	}
	if !d.mark.NonSync && d.Continue != nil {
		if err := d.Continue(); err != nil {
			return nil, err
		}
	}
	d.opened, d.rest = true, d.mark.Size
	d.pos = len(d.line)
	return (*literalReader)(d), nil
}

// literalReader reads the opened literal of a Decoder.
type literalReader Decoder

// Read implements io.Reader.
func (l *literalReader) Read(p []byte) (int, error) {
	if l.rest == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > l.rest {
		p = p[:l.rest]
	}
	n, err := (*Decoder)(l).reader().Read(p)
	l.rest -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	l.broken = err
	return n, err
}

// memoryLiteral reads a literal into memory.
func (d *Decoder) memoryLiteral() ([]byte, error) {
	size := d.mark.Size
	limit := int64(MaxLiteral)
	if d.LiteralLimit > 0 {
		limit = d.LiteralLimit
	}
	if size > limit {
		return nil, tooBig("literal is larger than %d bytes", limit)
	}
	if d.literals+size > MaxCommandLiterals {
		return nil, tooBig("literals of the command are larger than %d bytes", MaxCommandLiterals)
	}
	binary := d.mark.Binary
	r, err := d.OpenLiteral()
	if err != nil {
		return nil, err
	}
	d.literals += size
	// Grow with what really arrives, not with what is announced.
	var buf bytes.Buffer
	buf.Grow(int(min(size, readerSize)))
	if _, err := io.Copy(&buf, r); err != nil {
		return nil, err
	}
	if !binary && bytes.IndexByte(buf.Bytes(), 0) >= 0 {
		return nil, Errorf("NUL is not allowed in a literal")
	}
	return buf.Bytes(), nil
}

// Resync skips whatever is left of the current command, draining literals
// that come without being asked for. It gives ErrDrain when that is too much,
// and the connection's error when that fails.
func (d *Decoder) Resync() error {
	if d.broken != nil {
		return d.broken
	}
	budget := int64(MaxDrain)
	for !d.finished {
		switch {
		case d.opened:
			if err := d.discard(&budget, d.rest); err != nil {
				return err
			}
			d.rest = 0
		case d.hasLit && d.mark.NonSync:
			if err := d.discard(&budget, d.mark.Size); err != nil {
				return err
			}
		default:
			d.finished = true
			continue
		}
		if err := d.readLine(); err != nil {
			return err
		}
		budget -= int64(len(d.line))
	}
	d.line, d.spill = nil, nil
	return nil
}

func (d *Decoder) discard(budget *int64, n int64) error {
	if *budget -= n; *budget < 0 {
		return ErrDrain
	}
	if _, err := io.CopyN(io.Discard, d.reader(), n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		d.broken = fmt.Errorf("skip literal: %w", err)
		return d.broken
	}
	return nil
}

// RawLine reads one line that is not part of a command: the client's answer
// to a continuation request (AUTHENTICATE, IDLE). It may be called only
// after CRLF.
func (d *Decoder) RawLine() (string, error) {
	if !d.finished {
		return "", errors.New("imap: RawLine inside a command")
	}
	raw, tooLong, err := d.rawLine(d.lineLimit())
	if err != nil {
		d.broken = err
		return "", err
	}
	if tooLong {
		return "", tooBig("line is longer than %d bytes", d.lineLimit())
	}
	return string(raw), nil
}
