package wire

import (
	"bytes"
	"iter"

	"github.com/emersion/go-imap/v2"
)

// RestOfLine returns what is not parsed of the line, which is valid until the next read. ok says that
// the command ends with it.
func (d *Decoder) RestOfLine() (rest []byte, ok bool) {
	if d.ready() != nil || d.hasLit {
		return nil, false
	}
	return d.line[d.pos:], true
}

// Behind iterates over the whole lines that have been received behind this one, and leaves them there.
// They are commands of the client only as long as none of them announces a literal. They are valid
// until the next read.
func (d *Decoder) Behind() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if d.r == nil {
			return
		}
		received, _ := d.r.Peek(d.r.Buffered()) // what is buffered has no error
		for {
			end := bytes.IndexByte(received, '\n')
			if end < 0 || !yield(trimEnd(received[:end+1])) {
				return
			}
			received = received[end+1:]
		}
	}
}

// ParseNumSet reads a text that is a number set, as NumSet does.
func ParseNumSet(text []byte, uid bool) (imap.NumSet, error) {
	d := &Decoder{line: text}
	set, err := d.NumSet(uid)
	if err == nil && !d.AtEnd() {
		err = d.unexpected("the end of the set")
	}
	return set, err
}
