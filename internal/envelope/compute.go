package envelope

import (
	"io"
	"iter"

	"gadwall/mimestream"
)

// Headers reads the header block of a part of a message whose part table is known. What it returns
// is valid until the next call.
type Headers func(p *mimestream.Part) ([]byte, error)

// WriteEnvelope writes the ENVELOPE of the message at root, whatever its size. root needs nothing
// but what a part table has. It holds one header block and one address in memory. Its error may be
// that of w or of headers; some may have been written then.
func WriteEnvelope(out io.Writer, root *mimestream.Part, headers Headers) error {
	w := writer{out: out, headers: headers}
	w.envelope(w.values(root))
	w.flush()
	return w.err
}

// WriteBodyStructure writes the BODYSTRUCTURE of the message at root, or the BODY if extended is
// false, as WriteEnvelope does. It holds one header block and what that says of one part in memory.
func WriteBodyStructure(out io.Writer, root *mimestream.Part, headers Headers, extended bool) error {
	w := writer{out: out, headers: headers}
	w.part(root, extended)
	w.flush()
	return w.err
}

// described returns p with what its header says.
func (w *writer) described(p *mimestream.Part) *mimestream.Part {
	if w.headers == nil || w.err != nil {
		return p
	}
	block, err := w.headers(p)
	if err != nil {
		w.err = err
		return p
	}
	return p.Describe(block)
}

// values returns the header fields of p, a message, until the next call of headers.
func (w *writer) values(p *mimestream.Part) values {
	if w.headers == nil {
		return headerValues(p.Header)
	}
	var block []byte
	if w.err == nil {
		block, w.err = w.headers(p)
	}
	return func(name string) iter.Seq[string] { return mimestream.FieldValues(block, name) }
}
