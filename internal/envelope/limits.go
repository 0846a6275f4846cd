package envelope

// The limits of what is made of one message, and the degraded result of each.
const (
	// MaxWire is the size of a wire form, in octets. A BODYSTRUCTURE that would be larger is
	// made again with less detail: first shorter strings, then no parameters, extension data and inner
	// envelopes. Even that may exceed MaxWire if the message has very many parts; with
	// mimestream.MaxParts it stays below twice as much.
	MaxWire = 64 << 10

	// maxText is the length of a single string within an ENVELOPE; a longer one is cut at a
	// character.
	maxText = 4 << 10

	// maxSmallList is the size of From, Sender and Reply-To, each, in an ENVELOPE: further
	// addresses are left out. To, Cc and Bcc share what the others leave.
	maxSmallList = 4 << 10

	// maxInnerEnvelope is the size of the ENVELOPE of an embedded message in a BODYSTRUCTURE.
	maxInnerEnvelope = 32 << 10

	// MaxSubject, MaxAddresses and maxID are the lengths of the normalised fields, in octets;
	// longer ones are cut at a character.
	MaxSubject   = 1 << 10
	MaxAddresses = 16 << 10
	maxID        = 998

	// maxReferences is the number of References that are kept: the first, which is the root of
	// the thread, and the last ones.
	maxReferences = 50

	// maxStructureDepth bounds the nesting of a stored BODYSTRUCTURE that AppendBody takes; the MIME
	// parser stops nesting far earlier.
	maxStructureDepth = 512
)
