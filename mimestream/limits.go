package mimestream

// These are the limits of one message, and the results beyond them. The parser always keeps the
// bytes; only the description becomes coarser, and Part.Degraded says so.
const (
	// MaxDepth is the deepest level of nesting that is looked into; the root is level 0. A
	// multipart or message at this level is a leaf (DegradedNesting).
	MaxDepth = 99

	// MaxParts is the number of parts of one message. Once reached, no boundary line is
	// recognised any more: the rest of the message belongs to the part that is open
	// (DegradedParts).
	MaxParts = 1000

	// MaxHeaderBytes is the size of one header block. At this size the header ends, even in
	// the middle of a line, and the rest of the part is its opaque body (DegradedHeader).
	MaxHeaderBytes = 1 << 20

	// MaxFieldBytes is how much of one header field is remembered. Of a name that may be there
	// several times (From, To and the like), it is how much is remembered of all its fields
	// together, of which each counts fieldCost more (DegradedFields).
	MaxFieldBytes = 32 << 10

	// MaxKeptBytes is the sum of everything remembered of the header fields of all parts but the
	// root; beyond it fields count as absent, except for type, boundary, transfer encoding and
	// disposition (DegradedFields).
	MaxKeptBytes = 512 << 10

	// MaxBoundary is how much of a boundary parameter is compared (RFC 2046 allows 70). A
	// longer one is cut, and any line that starts with the cut one matches.
	MaxBoundary = 80

	// MaxParams is the number of parameters of one field, further ones are ignored.
	MaxParams = 64

	// MaxParamBytes is the length of one parameter's value, in octets; a longer one is cut.
	MaxParamBytes = 4 << 10

	// MaxToken is the length of a media type, subtype, transfer encoding, disposition, language tag
	// or parameter name; a longer one is cut.
	MaxToken = 128

	// MaxLanguages is the number of tags of a Content-Language field that are kept.
	MaxLanguages = 16
)

// lookahead is the number of bytes after which any undecided line start is decided: a line end, the
// two dashes, the longest boundary, two dashes of a close delimiter, CRLF.
const lookahead = 2 + 2 + MaxBoundary + 2 + 2

// fieldCost is what a remembered field takes beside its value, in octets.
const fieldCost = 64
