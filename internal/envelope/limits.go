package envelope

// The limits of what is made of one message, and the degraded result of each.
const (
	// MaxWire is the size of a wire form that is stored, in octets. A larger one is made of the
	// content each time that it is asked for: no address, name, disposition or encoding is ever
	// left out. What then bounds it are the limits of mimestream (MaxParts, MaxHeaderBytes,
	// MaxParams, MaxParamBytes) and maxText.
	MaxWire = 64 << 10

	// maxText is the length of Date, Subject, In-Reply-To, Message-ID and of the name of an address
	// in an ENVELOPE; a longer one is cut at a character.
	maxText = 4 << 10

	// flushSize is how much of a wire form is gathered before it is written.
	flushSize = 16 << 10

	// MaxSubject, MaxAddresses and maxID are the lengths of the normalised fields, in octets;
	// longer ones are cut at a character.
	MaxSubject   = 1 << 10
	MaxAddresses = 16 << 10
	maxID        = 998

	// maxReferences is the number of References that are kept: the first, which is the root of
	// the thread, and the last ones.
	maxReferences = 50

	// maxStructureDepth bounds the nesting of a stored BODYSTRUCTURE that AppendBody takes; the
	// MIME parser stops nesting far earlier.
	maxStructureDepth = 512
)
