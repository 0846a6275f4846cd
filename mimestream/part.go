package mimestream

import "strings"

// Kind says what a part's body is to the parser.
type Kind uint8

const (
	Leaf      Kind = iota // body not looked into
	Multipart             // body holds any number of children, possibly none
	Message               // body is one embedded message, the only child
)

func (k Kind) String() string {
	switch k {
	case Multipart:
		return "multipart"
	case Message:
		return "message"
	}
	return "leaf"
}

// Degraded is a set of reasons why the description of a part is coarser than its bytes would allow,
// or why its bytes are damaged.
type Degraded uint8

const (
	DegradedNesting Degraded = 1 << iota // MaxDepth: a multipart or message kept as a leaf
	DegradedParts                        // MaxParts: the rest of the message went into this part
	DegradedHeader                       // MaxHeaderBytes: header cut, the rest of it is body
	// MaxFieldBytes, MaxKeptBytes: fields missing or cut
	DegradedFields
	// a multipart without a boundary parameter, kept as a leaf
	DegradedBoundary
	DegradedUnclosed // a multipart without its close delimiter
)

var degradedNames = [...]string{"nesting", "parts", "header", "fields", "boundary", "unclosed"}

// String lists the reasons, separated by commas; empty if there are none.
func (d Degraded) String() string {
	var names []string
	for i, name := range degradedNames {
		if d&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// A Part is a node of the MIME tree. Its header fields are set when BodyBegin is called (for a
// leaf) or when its first child begins; its sizes when PartEnd is called. A Part belongs to the
// parser until Close has returned: handlers read, and change nothing.
type Part struct {
	// Path is the IMAP section number, nil for the root (RFC 3501 section 6.4.5). The embedded
	// message of a message part has that part's own path (its sections are path.HEADER and
	// path.TEXT). If that part is itself the root or an embedded message, then a 1 follows: the
	// number of its body. Use Find to go from a section to a part.
	Path     []int
	Parent   *Part
	Children []*Part
	Kind     Kind

	// Offsets count from the start of the input, sizes in octets as received. HeaderSize includes
	// the empty line. BodyOffset is HeaderOffset + HeaderSize.
	HeaderOffset, HeaderSize int64
	BodyOffset, BodySize     int64

	// Lines and HeaderLines count the LF octets of body and header block, as Dovecot does.
	Lines, HeaderLines int64

	// DecodedSize is the size of a leaf's body in octets when its transfer encoding is undone by
	// the decoders of this package. For other parts, and unknown encodings, it is BodySize.
	DecodedSize int64

	// HasContentType says that the header block has a Content-Type field that names a type. Without
	// one Type and Subtype are the defaults: text/plain, or message/rfc822 within a
	// multipart/digest. Type is never multipart for a leaf: one without boundary is text/plain
	// without parameters (RFC 2045 section 5.2), one beyond a limit application/octet-stream. A
	// message/rfc822 leaf is one under a transfer encoding or beyond a limit.
	HasContentType bool
	Type, Subtype  string // lower case
	Params         []Param

	Encoding string // Content-Transfer-Encoding as lower-case token; empty if absent

	Disposition       string // lower case; empty if absent
	DispositionParams []Param

	// The values of further Content- fields, unfolded; empty if absent.
	ContentID, Description, MD5, Location string
	Language                              []string

	// Header holds the fields of the root and of embedded messages that describe a message (see
	// KeptFields), in their order. Other parts have none.
	Header Header

	Degraded Degraded
	HasNUL   bool // a NUL in header block or leaf body
	Has8bit  bool // an octet above 127 in header block or leaf body

	startLF int64 // LFs of the input before the header block, then before the body
}

// A Param is a parameter of Content-Type or Content-Disposition. Continuations (RFC 2231 section 3)
// are already joined.
type Param struct {
	Name  string // lower case, without the asterisk of extended values
	Value string // UTF-8, with RFC 2231 and RFC 2047 encoding undone

	// RawName and RawValue are what BODYSTRUCTURE shows: the name in its original case, with an
	// asterisk if the value is an extended one (charset'language'value), and the value as received.
	RawName, RawValue string
}

// A Field is a header field as received: the value starts after the colon and any white space, has
// its line ends removed (unfolded, RFC 5322 section 2.2.3) and is otherwise untouched.
type Field struct {
	Name  string // lower case
	Value string
}

// Header is a list of fields in the order of the message.
type Header []Field

// Get returns the first value of the named (lower case) field. ok is false if there is none.
func (h Header) Get(name string) (value string, ok bool) {
	for _, f := range h {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// Values returns all values of the named (lower case) field.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}

// IsMessage reports whether the part is a whole message: the root or an embedded one.
func (p *Part) IsMessage() bool { return p.Parent == nil || p.Parent.Kind == Message }

// End returns the offset of the first byte after the part.
func (p *Part) End() int64 { return p.BodyOffset + p.BodySize }

// MediaType returns type and subtype joined by a slash.
func (p *Part) MediaType() string { return p.Type + "/" + p.Subtype }

// Param returns the decoded value of a Content-Type parameter, empty if there is none. An extended
// value (name*) is preferred to a plain one, as RFC 6266 section 4.3 does for file names.
func (p *Part) Param(name string) string { return findParam(p.Params, name) }

// DispositionParam is Param for Content-Disposition.
func (p *Part) DispositionParam(name string) string { return findParam(p.DispositionParams, name) }

// Charset returns the charset parameter in lower case; empty if there is none.
func (p *Part) Charset() string { return strings.ToLower(p.Param("charset")) }

// Filename returns the decoded file name, from Content-Disposition or else from Content-Type's name
// parameter; empty if there is none. It may hold anything, directory separators too.
func (p *Part) Filename() string {
	if name := p.DispositionParam("filename"); name != "" {
		return name
	}
	return p.Param("name")
}

func findParam(params []Param, name string) string {
	value := ""
	for _, p := range params {
		if p.Name != name {
			continue
		}
		if strings.HasSuffix(p.RawName, "*") {
			return p.Value
		}
		if value == "" {
			value = p.Value
		}
	}
	return value
}

// Find returns the part that an IMAP section number addresses, or nil (RFC 3501 section 6.4.5), for
// p a message (root or embedded). An empty section is p itself. Where the number names a message
// part, that part is returned, not the message embedded in it. A message whose body is not
// multipart has that body as its part 1, so Find may return a message, which then stands for its
// body.
func (p *Part) Find(section []int) *Part {
	asBody := false // p was reached by a number, so that only its body is left to number
	for _, n := range section {
		if asBody && p.Kind == Message {
			p, asBody = p.Children[0], false
		}
		switch {
		case p.Kind == Multipart:
			if n < 1 || n > len(p.Children) {
				return nil
			}
			p = p.Children[n-1]
		case n != 1 || asBody:
			return nil
		}
		asBody = true
	}
	return p
}

// Walk calls f for p and all parts below it, parents first, until f returns false.
func (p *Part) Walk(f func(*Part) bool) bool {
	if !f(p) {
		return false
	}
	for _, c := range p.Children {
		if !c.Walk(f) {
			return false
		}
	}
	return true
}
