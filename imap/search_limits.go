package imap

// Limits of SEARCH. What goes beyond the first four is refused.
const (
	// maxSearchDepth bounds the nesting of NOT, OR and parentheses. The
	// database's own bound on the depth of a filter is a little above three
	// times that.
	maxSearchDepth = 30
	// maxSearchKeys bounds the keys of one SEARCH, nested ones included.
	maxSearchKeys = 1000
	// maxSearchText bounds the octets of one string to look for, normalised.
	maxSearchText = 4 << 10
	// maxSearchTexts bounds the sum of octets of all strings of one SEARCH.
	maxSearchTexts = 64 << 10

	// maxFilterRanges is how many ranges of UIDs a nested set may have to
	// become part of the database's filter; a larger one is compared here.
	maxFilterRanges = 64

	// storedSubject and storedAddresses are the octets of the fields that are
	// stored with a message (package envelope). A text that is not found in one
	// that may have been cut there is looked for in the header.
	storedSubject   = 1 << 10
	storedAddresses = 16 << 10

	// searchBatch is how many candidates share one read of contents.
	searchBatch = 128
	// searchBuffer is the size up to which a part is read at once to be
	// searched; a larger one is searched as it is read.
	searchBuffer = 256 << 10
	// searchChunk is how much text is normalised and compared at a time.
	searchChunk = 32 << 10

	// maxHTMLTag is how much of an HTML tag is kept, to know its name, and
	// maxHTMLRef how long a character reference may be.
	maxHTMLTag = 64
	maxHTMLRef = 32
)
