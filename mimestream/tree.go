package mimestream

import "slices"

// beginPart opens a part: a child of parent, or the root.
func (p *Parser) beginPart(parent *Part) {
	part := &Part{Parent: parent, HeaderOffset: p.off, startLF: p.lfs}
	if parent != nil {
		parent.Children = append(parent.Children, part)
		part.Path = childPath(parent)
		p.depth++
	}
	p.part = part
	p.parts++
	if p.parts >= MaxParts {
		part.Degraded |= DegradedParts
	}
	p.state, p.inLine = stHeader, false
	p.fields.reset()
	if p.err == nil {
		p.err = p.h.PartBegin(part)
	}
}

// childPath is the section number of the newest child of parent.
func childPath(parent *Part) []int {
	switch {
	case parent.Kind == Multipart:
		return append(slices.Clip(parent.Path), len(parent.Children))
	case parent.IsMessage():
		return append(slices.Clip(parent.Path), 1)
	}
	return parent.Path
}

// endHeaders ends the header block that is open where no more header follows. If that makes the
// part a message part, then the header block of the embedded message is open: it is empty.
func (p *Parser) endHeaders() {
	for p.state == stHeader {
		p.endHeader()
	}
}

// endHeader decides what the part is and opens its body.
func (p *Parser) endHeader() {
	part := p.part
	part.HeaderSize = p.off - part.HeaderOffset
	part.HeaderLines = p.lfs - part.startLF
	part.BodyOffset = p.off
	part.startLF = p.lfs
	bound := p.describe(part)

	p.state = stBody
	switch part.Kind {
	case Multipart:
		p.bounds = append(p.bounds, boundary{bound, part})
	case Message:
		p.beginPart(part)
	case Leaf:
		p.count.reset(part.Encoding)
		if p.err == nil {
			p.err = p.h.BodyBegin(part)
		}
	}
}

// describe describes the part by its header fields and decides its kind. It returns the boundary of
// a multipart.
func (p *Parser) describe(part *Part) (bound string) {
	fields := p.fields.end()
	if fields.degraded {
		part.Degraded |= DegradedFields
	}
	part.HasNUL, part.Has8bit = fields.nul, fields.high

	bound = p.fill(part, fields.list)
	multipart := part.Type == "multipart"
	message := part.Type == "message" && (part.Subtype == "rfc822" || part.Subtype == "global")
	switch {
	case !multipart && !message:
	case part.Degraded&DegradedHeader != 0:
	case multipart && bound == "":
		part.Degraded |= DegradedBoundary
	case message && encoded(part.Encoding):
	case p.depth >= MaxDepth:
		part.Degraded |= DegradedNesting
	case p.parts >= MaxParts:
		part.Degraded |= DegradedParts
	case multipart:
		part.Kind = Multipart
	default:
		part.Kind = Message
	}
	if multipart && part.Kind == Leaf {
		part.Type, part.Subtype = "application", "octet-stream"
		if part.Degraded&DegradedBoundary != 0 {
			// A wrong Content-Type counts as none (RFC 2045 section 5.2).
			part.Type, part.Subtype, part.Params = "text", "plain", nil
		}
	}
	return bound
}

// encoded reports whether a body has a transfer encoding. RFC 2046 section 5.2.1 forbids that for
// messages, but some mailers do it. A parser that looked into such a body would find one long
// broken header.
func encoded(encoding string) bool {
	return encoding == "base64" || encoding == "quoted-printable"
}

// endPart closes the innermost open part.
func (p *Parser) endPart() {
	part := p.part
	part.BodySize = p.off - part.BodyOffset
	part.Lines = p.lfs - part.startLF
	part.DecodedSize = part.BodySize
	if part.Kind == Leaf {
		part.DecodedSize = p.count.size()
		part.HasNUL = part.HasNUL || p.count.nul
		part.Has8bit = part.Has8bit || p.count.high
		if p.err == nil {
			p.err = p.h.BodyEnd(part)
		}
	}
	if p.err == nil {
		p.err = p.h.PartEnd(part)
	}
	p.part = part.Parent
	if p.part != nil {
		p.depth--
	}
}
