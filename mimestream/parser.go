package mimestream

import (
	"bytes"
	"errors"
)

// A Handler receives every input byte exactly once and in order, through exactly one of Structure
// and Body. Byte slices are valid during the call only. An error ends the parse: Write and Close
// return it, and no further event follows.
type Handler interface {
	// PartBegin comes before the header bytes of p; only Path, Parent and HeaderOffset are known.
	PartBegin(p *Part) error
	// Structure gets header blocks, boundary lines, preambles and epilogues.
	Structure(b []byte) error
	// BodyBegin comes before the body of a leaf, possibly empty; header fields, media type and
	// encoding of p are known.
	BodyBegin(p *Part) error
	// Body gets the next bytes of a leaf's body, still transfer-encoded, in pieces of any size.
	Body(p *Part, b []byte) error
	// BodyEnd comes after the last byte of a leaf's body; its sizes are final.
	BodyEnd(p *Part) error
	// PartEnd comes once for every part, after its children; its sizes are final.
	PartEnd(p *Part) error
}

// NopHandler ignores all events. Embed it to handle some, or use it to get the tree only.
type NopHandler struct{}

func (NopHandler) PartBegin(*Part) error    { return nil }
func (NopHandler) Structure([]byte) error   { return nil }
func (NopHandler) BodyBegin(*Part) error    { return nil }
func (NopHandler) Body(*Part, []byte) error { return nil }
func (NopHandler) BodyEnd(*Part) error      { return nil }
func (NopHandler) PartEnd(*Part) error      { return nil }

var _ Handler = NopHandler{}

// ErrClosed is returned by a Parser that is used after Close.
var ErrClosed = errors.New("mimestream: parser is closed")

type state uint8

const (
	stHeader   state = iota // in a header block
	stBody                  // in the body of a leaf, in a preamble or an epilogue
	stBoundary              // in what follows a boundary on its line
)

// A Parser turns bytes into events. It is not safe for concurrent use.
type Parser struct {
	h    Handler
	root *Part
	part *Part // the innermost open part, whose header or body is being read

	state  state
	inLine bool // stHeader, stBody: the next byte continues a line, or is its line end
	opens  bool // stBoundary: a new part follows the line, not an epilogue

	bounds []boundary // boundaries in force, outermost first
	depth  int        // of part; the root has 0
	parts  int
	kept   int // octets remembered of header fields
	fields collector
	count  bodyCounter

	off, lfs int64  // octets and LFs consumed so far
	carry    []byte // undecided bytes, fewer than lookahead
	err      error
	closed   bool
}

// NewParser returns a parser whose events go to h.
func NewParser(h Handler) *Parser {
	return &Parser{h: h, carry: make([]byte, 0, 4*lookahead)}
}

// Parse returns the tree of a message that is in memory.
func Parse(message []byte) *Part {
	p := NewParser(NopHandler{})
	_, err := p.Write(message)
	root, cerr := p.Close()
	if err = errors.Join(err, cerr); err != nil {
		panic(err) // only handlers make errors, and NopHandler makes none
	}
	return root
}

// Write parses the next bytes. It takes all of b or returns the error of the Handler.
func (p *Parser) Write(b []byte) (int, error) {
	if p.closed {
		return 0, ErrClosed
	}
	p.begin()
	n := len(b)
	if held := len(p.carry); held > 0 && p.err == nil {
		// Decide the carried bytes with the help of the next ones. Undecided bytes are always fewer
		// than lookahead: either all that was held goes now, or all of b joins it.
		buf := append(p.carry, b[:min(len(b), 2*lookahead)]...)
		used := p.scan(buf, false)
		if used < held {
			p.carry = buf[:copy(buf, buf[used:])]
			b = nil
		} else {
			p.carry = p.carry[:0]
			b = b[used-held:]
		}
	}
	if len(b) > 0 && p.err == nil {
		used := p.scan(b, false)
		p.carry = append(p.carry[:0], b[used:]...)
	}
	if p.err != nil {
		return 0, p.err
	}
	return n, nil
}

// Close ends the message and returns its root with the whole tree.
func (p *Parser) Close() (*Part, error) {
	if p.closed {
		return nil, ErrClosed
	}
	p.begin()
	p.closed = true
	p.scan(p.carry, true)
	p.endHeaders()
	p.dropBounds(0)
	for p.part != nil {
		p.endPart()
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.root, nil
}

// begin starts the root, once.
func (p *Parser) begin() {
	if p.root == nil {
		p.beginPart(nil)
		p.root = p.part
	}
}

// The scan functions return undecided when they need more input.
const undecided = -1

// scan consumes as much of b as can be decided and returns how much that is. What remains is
// shorter than lookahead, and empty at the end of the input. An error ends it early.
func (p *Parser) scan(b []byte, eof bool) int {
	used := 0
	for used < len(b) && p.err == nil {
		var n int
		switch p.state {
		case stHeader:
			n = p.scanHeader(b[used:], eof)
		case stBody:
			n = p.scanBody(b[used:], eof)
		case stBoundary:
			n = p.scanBoundary(b[used:], eof)
		}
		if n == undecided {
			break
		}
		used += n
	}
	return used
}

// scanHeader consumes a piece of a header block. The line end before a line is held back until that
// line is known to be no boundary line, to which it would belong. So b starts in the middle of a
// line or with its line end (inLine), or with the first line of the block.
func (p *Parser) scanHeader(b []byte, eof bool) int {
	eol := 0
	if p.inLine {
		n := lineLen(b, eof)
		if n > 0 {
			return p.header(b, n, false)
		}
		if eol = eolLen(b); eol == 0 {
			return undecided
		}
	}
	line := b[eol:]
	bound, closing, ok := p.boundaryAt(line, eof)
	if !ok {
		return undecided
	}
	if bound >= 0 {
		p.endHeaders()
		return p.delimiter(b, eol, bound, closing)
	}
	n, ok := emptyLineLen(line, eof)
	if !ok {
		return undecided
	}
	if n > 0 {
		p.inLine = false
		return p.header(b, eol+n, true)
	}
	n = lineLen(line, eof)
	if n == 0 && !eof {
		return undecided
	}
	p.inLine = n > 0
	return p.header(b, eol+n, false)
}

// header consumes n bytes of a header block; last says that they end it. The block ends in any case
// when it reaches its greatest size.
func (p *Parser) header(b []byte, n int, last bool) int {
	room := int(MaxHeaderBytes - (p.off - p.part.HeaderOffset))
	cut := n > room || n == room && !last
	if cut {
		n = room
		p.inLine = n == 0 || b[n-1] != '\n'
	}
	p.fields.write(b[:n])
	p.structure(b[:n])
	if cut {
		p.part.Degraded |= DegradedHeader
	}
	if cut || last {
		p.endHeader()
	}
	return n
}

// scanBody consumes a piece of a body, preamble or epilogue, up to a delimiter.
func (p *Parser) scanBody(b []byte, eof bool) int {
	if !p.bounded() {
		p.body(b)
		return len(b)
	}
	if !p.inLine {
		bound, closing, ok := p.boundaryAt(b, eof)
		if !ok {
			return undecided
		}
		if bound >= 0 {
			return p.delimiter(b, 0, bound, closing)
		}
		p.inLine = true
	}
	for i := 0; ; {
		j := bytes.Index(b[i:], lfDashes)
		if j < 0 {
			n := len(b)
			if !eof {
				n -= heldTail(b)
			}
			if n == 0 {
				return undecided
			}
			p.body(b[:n])
			return n
		}
		i += j + 1 // the first byte of the line
		bound, closing, ok := p.boundaryAt(b[i:], eof)
		if ok && bound < 0 {
			continue
		}
		start, eol := i-1, 1
		if start > 0 && b[start-1] == '\r' {
			start, eol = start-1, 2
		}
		if start > 0 {
			p.body(b[:start])
			return start
		}
		if !ok {
			return undecided
		}
		return p.delimiter(b, eol, bound, closing)
	}
}

// delimiter consumes the line end and the boundary at the start of b: it ends all parts within the
// one to which the boundary belongs.
func (p *Parser) delimiter(b []byte, eol, bound int, closing bool) int {
	owner := p.bounds[bound]
	n := eol + 2 + len(owner.text)
	p.dropBounds(bound + 1)
	if closing {
		n += 2
		p.bounds = p.bounds[:bound]
	}
	for p.part != owner.part {
		p.endPart()
	}
	p.structure(b[:n])
	p.opens = !closing
	p.state = stBoundary
	return n
}

// scanBoundary consumes what follows a boundary on its line. The line end of a line that opens a
// part belongs to the boundary. That of a closing line belongs to what follows: to the next
// boundary, if one follows at once, else to the epilogue (RFC 2046 section 5.1.1).
func (p *Parser) scanBoundary(b []byte, eof bool) int {
	end := bytes.IndexByte(b, '\n') + 1
	if !p.opens {
		n := lineLen(b, eof)
		if end > 0 {
			p.inLine = true
			p.state = stBody
		} else if n == 0 {
			return undecided
		}
		p.structure(b[:n])
		return n
	}
	if end == 0 {
		p.structure(b)
		return len(b)
	}
	p.structure(b[:end])
	p.inLine = false
	p.state = stBody
	if p.parts < MaxParts {
		p.beginPart(p.part)
	} else {
		p.part.Degraded |= DegradedParts
	}
	return end
}

// structure and body are the only two that hand out bytes.
func (p *Parser) structure(b []byte) {
	if len(b) == 0 || p.err != nil {
		return
	}
	p.advance(b)
	p.err = p.h.Structure(b)
}

func (p *Parser) body(b []byte) {
	if p.part.Kind != Leaf {
		p.structure(b)
		return
	}
	if len(b) == 0 || p.err != nil {
		return
	}
	p.count.write(b)
	p.advance(b)
	p.err = p.h.Body(p.part, b)
}

func (p *Parser) advance(b []byte) {
	p.off += int64(len(b))
	p.lfs += int64(bytes.Count(b, lf))
}
