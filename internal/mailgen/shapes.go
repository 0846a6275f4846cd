package mailgen

// A Shape is a kind of message.
type Shape int

// Good mail, then mail of careless software, then broken mail.
const (
	Plain         Shape = iota // one text part
	HTML                       // one HTML part
	Alternative                // text and HTML
	WithFiles                  // text and one to three files
	Related                    // HTML with inline images, in an alternative
	Nested                     // mixed of alternative, related and files
	Forwarded                  // message/rfc822 of any good shape
	ForwardedOnly              // message/rfc822 is the whole body
	Digest                     // multipart/digest, parts without Content-Type
	Report                     // multipart/report: delivery status and headers of the original
	Signed                     // multipart/signed
	Invitation                 // text/calendar alternative
	International              // names, subject, text and file names of many languages
	ExtendedParam              // RFC 2231 parameters, continued and with charsets
	Thread                     // reply with long References and quoted text
	NoText                     // only a file, no multipart
	FormatFlowed               // parameters, languages, location, MD5

	Latin1         // 8-bit text with charset, 8bit encoding
	Raw8bit        // 8-bit octets in header and body, no charset
	UTF8Header     // SMTPUTF8: UTF-8 in header fields
	BareLF         // LF line ends
	MixedLineEnds  // CRLF and LF
	MissingMIME    // multipart without MIME-Version
	NoContentType  // parts without header
	OddBase64      // lines of odd lengths, garbage, missing padding
	OddQP          // broken quoted-printable
	LongLines      // a line of more than 200,000 octets
	ManyRecipients // hundreds of them
	OddAddresses   // groups, comments, routes, broken ones
	OddDates       // many forms of dates
	OddFields      // duplicate fields, empty ones, without space, folded oddly
	OddTypes       // Content-Type fields that are hardly any
	GlobalMessage  // message/global

	Empty            // no octet
	NoHeader         // starts with the empty line
	HeaderOnly       // no empty line
	NoColon          // lines without colon in the header
	Unclosed         // no close delimiter
	UnclosedInner    // a parent's boundary ends a child
	NoBoundary       // multipart without boundary parameter
	UnusedBoundary   // the boundary does not occur
	SharedBoundary   // nested multiparts with the same boundary
	PrefixBoundary   // a boundary is the start of another
	BoundaryInHeader // a boundary line within a header block
	Epilogues        // much preamble and epilogue
	EncodedMessage   // message/rfc822 in base64
	EncodedMultipart // multipart that claims base64
	BrokenInner      // message/rfc822 whose content is no message
	NUL              // NUL octets in header and body
	LoneCR           // CR without LF
	HugeHeader       // header block of hundreds of kilobytes
	ManyParts        // hundreds of parts
	Deep             // nested very deep
	Garbage          // random octets with boundary-like lines

	shapes
)

var shapeNames = [...]string{
	"plain", "html", "alternative", "with-files", "related", "nested", "forwarded", "forwarded-only", "digest",
	"report", "signed", "invitation", "international", "extended-param", "thread", "no-text", "format-flowed",
	"latin1", "raw-8bit", "utf8-header", "bare-lf", "mixed-line-ends", "missing-mime", "no-content-type",
	"odd-base64", "odd-qp", "long-lines", "many-recipients", "odd-addresses", "odd-dates", "odd-fields", "odd-types",
	"global-message",
	"empty", "no-header", "header-only", "no-colon", "unclosed", "unclosed-inner", "no-boundary", "unused-boundary",
	"shared-boundary", "prefix-boundary", "boundary-in-header", "epilogues", "encoded-message", "encoded-multipart",
	"broken-inner", "nul", "lone-cr", "huge-header", "many-parts", "deep", "garbage",
}

func (s Shape) String() string { return shapeNames[s] }

// Good reports whether the shape is well-formed mail.
func (s Shape) Good() bool { return s < Latin1 }

// Shapes returns all shapes.
func Shapes() []Shape {
	list := make([]Shape, shapes)
	for i := range list {
		list[i] = Shape(i)
	}
	return list
}

// Message returns a message whose shape follows from the seed: seeds 0 to n-1 have all n shapes in
// turn.
func Message(seed uint64) []byte { return Of(Shape(seed%uint64(shapes)), seed) }

// Of returns a message of the given shape. Different seeds give different messages.
func Of(shape Shape, seed uint64) []byte {
	b := newBuilder(seed, 0x5000+uint64(shape))
	if shape.Good() {
		b.good(shape)
	} else if shape < Empty {
		return b.careless(shape)
	} else {
		return b.broken(shape)
	}
	return b.Bytes()
}

// goodOf is Of for a part within another message.
func (b *builder) goodOf() []byte {
	return Of(pick(b.gen, []Shape{Plain, HTML, Alternative, WithFiles, International}), b.Uint64())
}
