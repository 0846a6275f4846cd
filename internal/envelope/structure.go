package envelope

import (
	"strings"

	"gadwall/mimestream"
)

// BodyStructure returns the BODYSTRUCTURE of a message, extension data included.
func BodyStructure(p *mimestream.Part) []byte { return structure(p, true) }

// A detail is how much of a message a structure tells.
type detail struct {
	extended bool
	params   bool
	text     int // length of a string
	envelope int // size of the envelope of an embedded message, 0 for none
}

func structure(p *mimestream.Part, extended bool) []byte {
	var w writer
	for _, d := range []detail{
		{extended, true, mimestream.MaxParamBytes, maxInnerEnvelope},
		{extended, true, 128, 1 << 10},
		{false, false, 32, 0},
	} {
		w.buf = w.buf[:0]
		w.part(p, d)
		if len(w.buf) <= MaxWire {
			break
		}
	}
	return w.buf
}

func (w *writer) part(p *mimestream.Part, d detail) {
	if p.Kind == mimestream.Multipart {
		w.multipart(p, d)
		return
	}
	w.leaf(p, d)
}

// emptyText is what a multipart without parts has, since it must have one (RFC 3501, body-type-mpart), and
// what stands for a message that was not looked into.
const emptyText = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0`

func (w *writer) emptyText(d detail) {
	w.raw(emptyText)
	if d.extended {
		w.raw(" NIL NIL NIL NIL")
	}
	w.raw(")")
}

func (w *writer) multipart(p *mimestream.Part, d detail) {
	w.raw("(")
	for _, c := range p.Children {
		w.part(c, d)
	}
	if len(p.Children) == 0 {
		w.emptyText(d)
	}
	w.sp()
	w.str(cut(p.Subtype, d.text))
	if d.extended {
		w.sp()
		w.params(p.Params, d)
		w.sp()
		w.disposition(p, d)
	}
	w.raw(")")
}

// leaf appends what is not a multipart: basic, text, and message parts.
func (w *writer) leaf(p *mimestream.Part, d detail) {
	w.raw("(")
	w.str(cut(p.Type, d.text))
	w.sp()
	w.str(cut(p.Subtype, d.text))
	w.sp()
	if p.Type == "text" {
		w.params(withCharset(p.Params), d)
	} else {
		w.params(p.Params, d)
	}
	w.sp()
	w.nstr(cut(p.ContentID, d.text))
	w.sp()
	w.nstr(cut(p.Description, d.text))
	w.sp()
	if p.Encoding == "" {
		w.raw(`"7bit"`)
	} else {
		w.str(cut(p.Encoding, d.text))
	}
	w.sp()
	w.number(p.BodySize)
	switch {
	case p.Type == "text":
		w.sp()
		w.number(p.Lines)
	case isMessage(p):
		w.message(p, d)
	}
	if d.extended {
		w.sp()
		w.nstr(cut(p.MD5, d.text))
		w.sp()
		w.disposition(p, d)
	}
	w.raw(")")
}

// isMessage says that the part has the form of RFC 9051's body-type-msg.
func isMessage(p *mimestream.Part) bool {
	return p.Kind == mimestream.Message || p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// message appends envelope, structure and lines of an embedded message. One that was not looked into, since
// it is under a transfer encoding or too deep, has empty ones: the form wants them.
func (w *writer) message(p *mimestream.Part, d detail) {
	w.sp()
	var inner *mimestream.Part
	if p.Kind == mimestream.Message {
		inner = p.Children[0]
	}
	if inner == nil || d.envelope == 0 {
		w.raw(nilEnvelope)
	} else {
		w.envelope(inner.Header, d.envelope)
	}
	w.sp()
	if inner == nil {
		w.emptyText(d)
	} else {
		w.part(inner, d)
	}
	w.sp()
	w.number(p.Lines)
}

// withCharset adds the default charset of text parts (RFC 2046 section 4.1.2), as most servers do.
func withCharset(params []mimestream.Param) []mimestream.Param {
	for _, p := range params {
		if p.Name == "charset" {
			return params
		}
	}
	return append(params[:len(params):len(params)], mimestream.Param{RawName: "charset", RawValue: "us-ascii"})
}

func (w *writer) params(params []mimestream.Param, d detail) {
	if len(params) == 0 || !d.params {
		w.raw("NIL")
		return
	}
	for i, p := range params {
		if i == 0 {
			w.raw("(")
		} else {
			w.sp()
		}
		w.str(p.RawName)
		w.sp()
		w.str(cut(p.RawValue, d.text))
	}
	w.raw(")")
}

// disposition appends disposition, language and location, the extension data that all parts have.
func (w *writer) disposition(p *mimestream.Part, d detail) {
	if p.Disposition == "" {
		w.raw("NIL")
	} else {
		w.raw("(")
		w.str(cut(p.Disposition, d.text))
		w.sp()
		w.params(p.DispositionParams, d)
		w.raw(")")
	}
	w.sp()
	if len(p.Language) == 0 {
		w.raw("NIL")
	} else {
		w.raw("(")
		for i, tag := range p.Language {
			if i > 0 {
				w.sp()
			}
			w.str(tag)
		}
		w.raw(")")
	}
	w.sp()
	w.nstr(cut(strings.TrimSpace(p.Location), d.text))
}
