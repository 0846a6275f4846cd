package contents

import (
	"bytes"
	"io"

	"gadwall/internal/parttext"
	"gadwall/internal/transfer"
	"gadwall/mimestream"
)

// A leaf is the body that is being received.
type leaf struct {
	mode      leafMode
	encoding  encoding
	threshold int
	hold      []byte           // holding: all of the body so far
	part      *mimestream.Part // nil once its preview was tried
	decoder   decoder
	decoded   bytes.Buffer // for small bodies
	tail      bytes.Buffer
}

// encoding is a transfer encoding that is undone.
type encoding uint8

const (
	noEncoding encoding = iota
	base64Encoding
	quotedEncoding
)

func encodingOf(p *mimestream.Part) encoding {
	switch p.Encoding {
	case "base64":
		return base64Encoding
	case "quoted-printable":
		return quotedEncoding
	}
	return noEncoding
}

// A decoder is one of package transfer.
type decoder interface {
	io.Writer
	Close() error
	Deviated() bool
	Recipe() transfer.Recipe
}

// newDecoder returns the decoder of an encoding, which there must be, for a body with these first
// bytes.
func (e encoding) newDecoder(decoded, tail io.Writer, first []byte) decoder {
	if e == quotedEncoding {
		return transfer.NewQuotedDecoder(decoded, tail, first)
	}
	return transfer.NewDecoder(decoded, tail)
}

type leafMode uint8

const (
	leafHolding  leafMode = iota // until the threshold decides
	leafDecoding                 // to a blob of decoded bytes
	leafBlob                     // to a blob of the bytes as they are
	leafMerging                  // with all the rest
)

// receiver is the mimestream.Handler of a Writer. It is a type of its own so that Writer does not
// export these methods.
type receiver Writer

var _ mimestream.Handler = (*receiver)(nil)

func (r *receiver) PartBegin(p *mimestream.Part) error {
	if p.Parent != nil && p.Parent.Parent == nil && len(p.Parent.Children) == 1 {
		// The preamble of a multipart lies between its header and its first child. It is nearly
		// always one line, and counts as header here.
		r.spool.endHeader()
	}
	return nil
}

func (r *receiver) Structure(b []byte) error { return (*Writer)(r).inlineBytes(b) }

func (r *receiver) BodyBegin(p *mimestream.Part) error {
	if p.Parent == nil {
		r.spool.endHeader()
	}
	r.spool.begin(p)
	l := &r.leaf
	l.hold, l.part = l.hold[:0], p
	l.encoding = encodingOf(p)
	l.threshold = r.s.blobThreshold
	if p.Type == "text" && p.Disposition != "attachment" {
		l.threshold = r.s.textThreshold
	}
	if l.encoding == base64Encoding {
		// about the same decoded size: 4 characters and a part of a line end for 3
		l.threshold += l.threshold * 3 / 8
	}
	l.mode = leafHolding
	if (*Writer)(r).merging() {
		l.mode = leafMerging
	}
	return nil
}

func (r *receiver) Body(_ *mimestream.Part, b []byte) error { return (*Writer)(r).body(b) }

func (r *receiver) BodyEnd(*mimestream.Part) error {
	if r.leaf.mode == leafHolding {
		(*Writer)(r).preview()
	}
	err := (*Writer)(r).endBody()
	r.spool.begin(nil)
	return err
}

func (r *receiver) PartEnd(*mimestream.Part) error { return nil }

// preview makes the preview of what is held of the leaf, unless the message has one. The rest of a
// leaf that became a blob has none.
func (w *Writer) preview() {
	l := &w.leaf
	if l.part != nil && w.previewed == "" && parttext.HasPreview(l.part) {
		w.previewed = parttext.Preview(l.part, l.hold)
	}
	l.part = nil
}

// body takes the next bytes of the leaf.
func (w *Writer) body(b []byte) error {
	l := &w.leaf
	switch l.mode {
	case leafMerging:
		return w.inlineBytes(b)
	case leafDecoding:
		_, err := l.decoder.Write(b)
		return err
	case leafBlob:
		_, err := w.blob.Write(b)
		return err
	}
	n := min(len(b), l.threshold-len(l.hold))
	l.hold = append(l.hold, b[:n]...)
	if n == len(b) {
		return nil
	}
	if err := w.startBlob(); err != nil {
		return err
	}
	return w.body(b[n:])
}

// startBlob begins a blob for a leaf that exceeds its threshold. If the leaf already deviates from
// its encoding, the blob keeps it as it came.
func (w *Writer) startBlob() error {
	l := &w.leaf
	w.preview()
	if err := w.endSpill(); err != nil {
		return err
	}
	w.blob = w.s.blobs.NewWriter(w.ctx)
	l.mode = leafBlob
	if l.encoding != noEncoding && l.encoding.describes(l.hold) {
		l.mode = leafDecoding
		l.decoder = l.encoding.newDecoder(w.blob, tailWriter{w}, l.hold)
	}
	return w.body(l.hold)
}

// describes reports whether the first bytes of a body do not deviate from its encoding, and some of
// them are certain. Then a body that deviates later has a decoded part.
func (e encoding) describes(first []byte) bool {
	d := e.newDecoder(io.Discard, io.Discard, first)
	d.Write(first) // the writers do not fail
	return !d.Deviated() && d.Recipe().DecodedSize > 0
}

// A tailWriter receives the bytes from the deviation of a leaf in leafDecoding on. They are handled
// as a leaf of their own that is not decoded.
type tailWriter struct{ w *Writer }

func (t tailWriter) Write(p []byte) (int, error) {
	l := &t.w.leaf
	if l.mode == leafDecoding {
		if err := t.w.endBlob(l.decoder.Recipe()); err != nil {
			return 0, err
		}
		l.mode, l.encoding, l.threshold, l.hold = leafHolding, noEncoding, t.w.s.blobThreshold, l.hold[:0]
	}
	if err := t.w.body(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// endBody ends the leaf.
func (w *Writer) endBody() error {
	l := &w.leaf
	switch l.mode {
	case leafDecoding:
		if err := l.decoder.Close(); err != nil {
			return err
		}
		if l.mode != leafDecoding { // the end was a tail
			return w.endBody()
		}
		return w.endBlob(l.decoder.Recipe())
	case leafBlob:
		return w.endBlob(transfer.IdentityOf(w.blob.Size()))
	case leafHolding:
		return w.endSmall()
	}
	return nil
}

// endSmall adds a leaf that did not exceed its threshold.
func (w *Writer) endSmall() error {
	l := &w.leaf
	if l.encoding != noEncoding && len(l.hold) >= DecodeThreshold && !w.beyond() {
		l.decoded.Reset()
		l.tail.Reset()
		d := l.encoding.newDecoder(&l.decoded, &l.tail, l.hold)
		d.Write(l.hold) // the writers do not fail
		d.Close()
		if saved := len(l.hold) - l.tail.Len() - l.decoded.Len(); saved >= DecodeSaving {
			if err := w.inlineDecoded(l.decoded.Bytes(), d.Recipe()); err != nil {
				return err
			}
			return w.inlineBytes(l.tail.Bytes())
		}
	}
	return w.inlineBytes(l.hold)
}
