package envelope

import "gadwall/mimestream"

// BodyStructure returns the BODYSTRUCTURE of a message, extension data included. It is nil if the
// BODYSTRUCTURE would be larger than MaxWire, or the parser has left out some header fields:
// WriteBodyStructure then makes it of the content.
func BodyStructure(p *mimestream.Part) []byte {
	whole := p.Walk(func(p *mimestream.Part) bool { return p.Degraded&mimestream.DegradedFields == 0 })
	if !whole {
		return nil
	}
	w := writer{limit: MaxWire}
	w.part(p, true)
	if w.stop() {
		return nil
	}
	return w.buf
}

// part appends a body; extended is with extension data.
func (w *writer) part(p *mimestream.Part, extended bool) {
	switch {
	case w.stop():
	case p.Kind == mimestream.Multipart:
		w.multipart(p, extended)
	default:
		w.leaf(p, extended)
	}
}

// emptyText is what a multipart without parts has, since it must have one (RFC 3501,
// body-type-mpart), and what stands for a message that was not looked into.
const emptyText = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0`

func (w *writer) emptyText(extended bool) {
	w.raw(emptyText)
	if extended {
		w.raw(" NIL NIL NIL NIL")
	}
	w.raw(")")
}

func (w *writer) multipart(p *mimestream.Part, extended bool) {
	w.raw("(")
	for _, c := range p.Children {
		w.part(c, extended)
	}
	if len(p.Children) == 0 {
		w.emptyText(extended)
	}
	w.sp()
	w.str(p.Subtype)
	if extended {
		p = w.described(p)
		w.sp()
		w.params(p.Params)
		w.sp()
		w.disposition(p)
	}
	w.raw(")")
}

// leaf appends what is not a multipart: basic, text, and message parts.
func (w *writer) leaf(part *mimestream.Part, extended bool) {
	p := w.described(part)
	w.raw("(")
	w.str(p.Type)
	w.sp()
	w.str(p.Subtype)
	w.sp()
	if p.Type == "text" {
		w.params(withCharset(p.Params))
	} else {
		w.params(p.Params)
	}
	w.sp()
	w.nstr(p.ContentID)
	w.sp()
	w.nstr(p.Description)
	w.sp()
	if p.Encoding == "" {
		w.raw(`"7bit"`)
	} else {
		w.str(p.Encoding)
	}
	w.sp()
	w.number(p.BodySize)
	switch {
	case p.Type == "text":
		w.sp()
		w.number(p.Lines)
	case isMessage(p):
		w.message(part, extended)
		// Read again rather than kept meanwhile: messages nest.
		p = w.described(part)
	}
	if extended {
		w.sp()
		w.nstr(p.MD5)
		w.sp()
		w.disposition(p)
	}
	w.raw(")")
}

// isMessage says that the part has the form of RFC 9051's body-type-msg.
func isMessage(p *mimestream.Part) bool {
	return p.Kind == mimestream.Message || p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// message appends envelope, structure and lines of an embedded message. One that was not looked
// into, since it is under a transfer encoding or too deep, has empty ones: the form wants them.
func (w *writer) message(p *mimestream.Part, extended bool) {
	w.sp()
	if p.Kind == mimestream.Message {
		inner := p.Children[0]
		w.envelope(w.values(inner))
		w.sp()
		w.part(inner, extended)
	} else {
		w.raw(nilEnvelope)
		w.sp()
		w.emptyText(extended)
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

func (w *writer) params(params []mimestream.Param) {
	if len(params) == 0 {
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
		w.str(p.RawValue)
	}
	w.raw(")")
}

// disposition appends disposition, language and location, the extension data that all parts have.
func (w *writer) disposition(p *mimestream.Part) {
	if p.Disposition == "" {
		w.raw("NIL")
	} else {
		w.raw("(")
		w.str(p.Disposition)
		w.sp()
		w.params(p.DispositionParams)
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
	w.nstr(p.Location)
}
