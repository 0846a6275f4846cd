package wire

// Bounds of what a client may send. What passes them is refused with a
// SyntaxError, after which the decoder can resynchronise.
const (
	// MaxLine is the longest line, without its literals.
	MaxLine = 64 << 10

	// MaxCommandLines bounds the sum of all lines of one command.
	MaxCommandLines = 256 << 10

	// MaxLiteral is the largest literal taken into memory. APPEND streams the
	// literals of its messages and has its own bound.
	MaxLiteral = 64 << 10

	// MaxCommandLiterals bounds the sum of literals of one command that are
	// taken into memory.
	MaxCommandLiterals = 128 << 10

	// MaxDrain is how many bytes are read and thrown away to find the next
	// command; past it Resync gives ErrDrain and the connection is closed.
	MaxDrain = 64 << 20

	// MaxDepth is the deepest nesting of parentheses.
	MaxDepth = 64

	// MaxListItems is the largest number of elements of one list.
	MaxListItems = 10_000

	// MaxRanges is the largest number of ranges of one number set.
	MaxRanges = 20_000

	// MaxAtom is the longest atom.
	MaxAtom = 8 << 10

	// maxQuoted is the longest string that the encoder writes quoted.
	maxQuoted = 1000

	// readerSize is the buffer that a decoder borrows from the beginning of a command until Rest,
	// encoderSize the one that an encoder borrows while it has something to write.
	readerSize  = 4 << 10
	encoderSize = 16 << 10
)
