package mailstore

import (
	"bytes"
	"io"
)

// traceFields are the fields that a server adds for one recipient when it delivers (RFC 5321
// section 4.4 and usage), in any order. After a Delivered-To, one Received may follow: that of the
// delivery.
var traceFields = [][]byte{
	[]byte("return-path:"), deliveredField, []byte("x-original-to:"), []byte("envelope-to:"), []byte("delivery-date:"),
}

var deliveredField, receivedField = []byte("delivered-to:"), []byte("received:")

// A PrefixWriter takes a whole message and passes on its content: what is left without the trace
// lines of one recipient at its start, the Delivery's Prefix. So a message that a client uploads
// after it was delivered, here or elsewhere, to whomever, has the content that is stored already.
type PrefixWriter struct {
	w      io.Writer
	head   []byte // as long as it is not decided
	known  bool
	prefix []byte
}

// NewPrefixWriter returns a PrefixWriter that passes on to w.
func NewPrefixWriter(w io.Writer) *PrefixWriter { return &PrefixWriter{w: w} }

// Write takes the next bytes of the message. Its error is that of w.
func (p *PrefixWriter) Write(b []byte) (int, error) {
	if p.known {
		return p.w.Write(b)
	}
	n := min(len(b), MaxPrefixLength+1-len(p.head))
	p.head = append(p.head, b[:n]...)
	if end, ok := prefixEnd(p.head); ok || len(p.head) > MaxPrefixLength {
		if err := p.split(end); err != nil {
			return 0, err
		}
		m, err := p.w.Write(b[n:])
		return n + m, err
	}
	return n, nil
}

// End ends the message and returns the prefix, which may be empty.
func (p *PrefixWriter) End() ([]byte, error) {
	if !p.known {
		if err := p.split(0); err != nil { // nothing but trace lines
			return nil, err
		}
	}
	return p.prefix, nil
}

func (p *PrefixWriter) split(end int) error {
	head := p.head
	p.known, p.head = true, nil
	p.prefix = bytes.Clone(head[:end]) // not with all of head: many may wait for one APPEND
	if len(head) == end {
		return nil
	}
	_, err := p.w.Write(head[end:])
	return err
}

// prefixEnd returns the length of the prefix of a message that begins with head; ok is false if
// more of it must be known. There is none unless another field follows, so that what is left begins
// as a message does.
func prefixEnd(head []byte) (end int, ok bool) {
	at, delivered, received := 0, false, false
	for {
		line := head[at:]
		eol := bytes.IndexByte(line, '\n')
		if eol < 0 {
			return 0, false
		}
		colon := bytes.IndexByte(line[:eol], ':')
		if eol == 0 || line[eol-1] != '\r' || colon <= 0 {
			return 0, true // the end of the header, or nothing that is split
		}
		name := bytes.ToLower(line[:colon+1])
		switch {
		case received:
			return at, true
		case bytes.Equal(name, receivedField) && delivered:
			received = true
		case !isTraceField(name):
			return at, true
		}
		delivered = delivered || bytes.Equal(name, deliveredField)
		// With its continuation lines.
		for {
			next := at + eol + 1
			if next == len(head) {
				return 0, false
			}
			at = next
			if head[at] != ' ' && head[at] != '\t' {
				break
			}
			if eol = bytes.IndexByte(head[at:], '\n'); eol < 0 {
				return 0, false
			}
			if eol == 0 || head[at+eol-1] != '\r' {
				return 0, true
			}
		}
	}
}

func isTraceField(name []byte) bool {
	for _, f := range traceFields {
		if bytes.Equal(name, f) {
			return true
		}
	}
	return false
}
