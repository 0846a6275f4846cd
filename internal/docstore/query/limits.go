package query

// Limits on what is accepted from outside; beyond them, parsing or applying fails with MongoDB's
// error.
const (
	// MaxFilterDepth is how deep logical operators of a filter may nest.
	MaxFilterDepth = 100
	// MaxFilterNodes is how many conditions a filter may have.
	MaxFilterNodes = 20_000
	// MaxProjectionFields is how many fields a projection may name.
	MaxProjectionFields = 10_000
	// MaxUpdatePaths is how many fields an update may change.
	MaxUpdatePaths = 2000
	// MaxPathSteps is how many steps a dotted path may have.
	MaxPathSteps = 200
	// MaxRegexLength is the longest regular expression, in bytes.
	MaxRegexLength = 32764
	// MaxDocumentSize is the largest document an update may make, in bytes.
	MaxDocumentSize = 16 << 20
	// MaxArrayPadding is how many nulls an update may put before a new array element.
	MaxArrayPadding = 1_500_000
	// MaxBlockingBytes is how much a sort stage may hold in memory.
	MaxBlockingBytes = 100 << 20
	// MaxStages is how many stages a pipeline may have.
	MaxStages = 1000
	// MaxBitPosition is the highest bit position in a mask of the $bits operators.
	MaxBitPosition = 1<<31 - 1
)
