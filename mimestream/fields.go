package mimestream

import (
	"bytes"
	"strings"
)

// keptFields are the fields of root and embedded messages that Part.Header holds. Of those that
// count once it holds the first, of the others all: addresses add up, searches look in each Subject,
// and a second Message-ID makes both doubtful.
var keptFields = map[string]struct{ all bool }{
	"date": {}, "in-reply-to": {}, "message-id": {true}, "references": {}, "subject": {true},
	"from": {true}, "sender": {true}, "reply-to": {true}, "to": {true}, "cc": {true}, "bcc": {true},
}

// mimeFields are the fields of every part that describe its body. The first of each counts.
var mimeFields = map[string]bool{
	"content-type": true, "content-transfer-encoding": true, "content-disposition": true,
	"content-id": true, "content-description": true, "content-md5": true,
	"content-language": true, "content-location": true,
}

// A collector picks the fields of interest out of one header block at a time.
type collector struct {
	line      []byte // the field being read, with its continuation lines and line ends
	lineEnded bool
	cut       bool
	kept      map[string]int // octets remembered of each name
	found     found
}

// found is the result of a collector.
type found struct {
	list      []Field
	degraded  bool
	nul, high bool
}

func (c *collector) reset() {
	clear(c.kept)
	*c = collector{line: c.line[:0], lineEnded: true, kept: c.kept}
}

// write adds bytes of the header block. A line that starts with white space continues the field
// before it (RFC 5322 section 2.2.3).
func (c *collector) write(b []byte) {
	c.found.nul = c.found.nul || bytes.IndexByte(b, 0) >= 0
	c.found.high = c.found.high || has8bit(b)
	for len(b) > 0 {
		if c.lineEnded && b[0] != ' ' && b[0] != '\t' {
			c.finish()
		}
		n := bytes.IndexByte(b, '\n') + 1
		c.lineEnded = n > 0
		if n == 0 {
			n = len(b)
		}
		room := MaxFieldBytes - len(c.line)
		c.cut = c.cut || n > room
		c.line = append(c.line, b[:min(n, room)]...)
		b = b[n:]
	}
}

// finish keeps the field that has been read, if it is of interest. A line without a colon is no
// field and does not end the header. Each name has room of its own, so that no field is lost
// because of fields of other names, however many there are.
func (c *collector) finish() {
	line, cut := c.line, c.cut
	c.line, c.cut = c.line[:0], false
	name, ok := FieldName(line)
	if !ok || len(name) > len("content-transfer-encoding") {
		return
	}
	lower := strings.ToLower(string(name))
	kept, known := keptFields[lower]
	if !known && !mimeFields[lower] {
		return
	}
	before, again := c.kept[lower]
	if again && !kept.all {
		return
	}
	value := unfold(line[bytes.IndexByte(line, ':')+1:])
	c.found.degraded = c.found.degraded || cut
	if again && before+len(value)+fieldCost > MaxFieldBytes {
		c.found.degraded = true
		return
	}
	if c.kept == nil {
		c.kept = make(map[string]int)
	}
	c.kept[lower] = before + len(value) + fieldCost
	c.found.list = append(c.found.list, Field{lower, value})
}

// end returns what was found in the whole block.
func (c *collector) end() found {
	c.finish()
	return c.found
}

// unfold removes the line ends of a field's value, with any CRs before them, and the white space
// before the value.
func unfold(value []byte) string {
	var sb strings.Builder
	sb.Grow(len(value))
	for len(value) > 0 {
		n := bytes.IndexByte(value, '\n')
		if n < 0 {
			sb.Write(value)
			break
		}
		sb.Write(bytes.TrimRight(value[:n], "\r"))
		value = value[n+1:]
	}
	return strings.TrimLeft(sb.String(), " \t")
}

// fill sets what the fields say about part. It returns the boundary parameter. The root has room
// for all that a collector finds; what other parts share is bounded by MaxKeptBytes.
func (p *Parser) fill(part *Part, fields []Field) (bound string) {
	hasType := false
	for _, f := range fields {
		if _, ok := keptFields[f.Name]; ok {
			if part.IsMessage() && p.keep(part, len(f.Value)+fieldCost) {
				part.Header = append(part.Header, f)
			}
			continue
		}
		switch f.Name {
		case "content-type":
			hasType = true
			bound = p.fillType(part, f.Value)
			continue
		case "content-transfer-encoding":
			part.Encoding = encodingToken(f.Value)
			continue
		case "content-disposition":
			p.fillDisposition(part, f.Value)
			continue
		}
		value := truncate(f.Value, MaxParamBytes)
		if !p.keep(part, len(value)) {
			continue
		}
		switch f.Name {
		case "content-id":
			part.ContentID = value
		case "content-description":
			part.Description = value
		case "content-md5":
			part.MD5 = withoutComments(value)
		case "content-location":
			part.Location = withoutComments(value)
		case "content-language":
			part.Language = languages(value)
		}
	}
	if part.HasContentType {
		return bound
	}
	part.Type, part.Subtype = "text", "plain"
	if up := part.Parent; !hasType && up != nil && up.Kind == Multipart && up.Subtype == "digest" {
		part.Type, part.Subtype = "message", "rfc822"
	}
	return bound
}

// keep reports whether n more octets may be remembered.
func (p *Parser) keep(part *Part, n int) bool {
	if part.Parent == nil {
		return true
	}
	if p.kept+n > MaxKeptBytes {
		part.Degraded |= DegradedFields
		return false
	}
	p.kept += n
	return true
}

// fillType reads a Content-Type field.
func (p *Parser) fillType(part *Part, value string) (bound string) {
	s := scanner{value}
	s.skip()
	typ, sub := s.token(), ""
	if s.skip(); s.take('/') {
		s.skip()
		sub = s.token()
	}
	if typ == "" || sub == "" {
		return "" // RFC 2045 section 5.2: taken as text/plain
	}
	part.HasContentType = true
	part.Type = strings.ToLower(truncate(typ, MaxToken))
	part.Subtype = strings.ToLower(truncate(sub, MaxToken))
	part.Params = p.keepParams(part, s.params())
	for _, param := range part.Params {
		if param.Name == "boundary" {
			return truncate(param.RawValue, MaxBoundary)
		}
	}
	return ""
}

func (p *Parser) fillDisposition(part *Part, value string) {
	s := scanner{value}
	s.skip()
	part.Disposition = strings.ToLower(truncate(s.token(), MaxToken))
	if part.Disposition != "" {
		part.DispositionParams = p.keepParams(part, s.params())
	}
}

// keepParams drops parameters that exceed what may be remembered.
func (p *Parser) keepParams(part *Part, params []Param) []Param {
	for i, param := range params {
		if !p.keep(part, len(param.Name)+len(param.Value)+len(param.RawName)+len(param.RawValue)) {
			return append([]Param(nil), params[:i]...) // lets go of the others
		}
	}
	return params
}

func encodingToken(value string) string {
	s := scanner{value}
	s.skip()
	return strings.ToLower(truncate(s.token(), MaxToken))
}

func languages(value string) []string {
	var tags []string
	s := scanner{value}
	for len(tags) < MaxLanguages && s.rest != "" {
		s.skip()
		tag := s.token()
		if tag != "" {
			tags = append(tags, truncate(tag, MaxToken))
		}
		s.skip()
		if !s.take(',') && tag == "" {
			break
		}
	}
	return tags
}

// withoutComments removes the comments of a value that is one word, as a URI is: what stands in
// parentheses at its start or after white space (RFC 5322 section 3.2.2). Parentheses within the
// word belong to it.
func withoutComments(value string) string {
	var sb strings.Builder
	space := true
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '(' && space {
			s := scanner{value[i:]}
			if s.comment() {
				i = len(value) - len(s.rest) - 1
				continue
			}
		}
		space = c == ' ' || c == '\t'
		sb.WriteByte(c)
	}
	return strings.Trim(sb.String(), " \t")
}

// truncate copies at most n octets, so that a short string does not hold on to a long field.
func truncate(s string, n int) string { return strings.Clone(s[:min(len(s), n)]) }

func has8bit(b []byte) bool {
	for len(b) >= 8 {
		w := b[:8]
		if (w[0]|w[1]|w[2]|w[3]|w[4]|w[5]|w[6]|w[7])&0x80 != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
