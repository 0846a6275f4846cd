package dedupe

import "time"

const (
	// MaxHold is how long a reference may be counted before its referrer is written. After that the
	// caller must neither write the referrer nor release the reference.
	MaxHold = 12 * time.Hour

	// MaxRelease is how long after the end of its referrer a caller may release a reference.
	MaxRelease = 5 * time.Minute

	// DefaultGrace is how long a document stays in quarantine before a collector deletes it. An
	// audit judges only documents that nobody has touched for as long. It is twice MaxHold, which
	// leaves 12 hours for clocks that differ.
	DefaultGrace = 2 * MaxHold

	// DefaultSettle is how long an audit waits for releases under way: twice MaxRelease.
	DefaultSettle = 2 * MaxRelease

	// DefaultTableSize is the number of references that an audit keeps in memory before it writes them
	// to a file, about 88 bytes each.
	DefaultTableSize = 1 << 18

	// DefaultDisk bounds the temporary files of an audit, in bytes.
	DefaultDisk = 8 << 30

	// maxRuns is how many files of one size an audit keeps before it makes one of them, and runBuffer
	// the buffer of each that is open. Files of few sizes are open at the same time.
	maxRuns   = 64
	runBuffer = 64 << 10

	// maxCandidates is the number of documents with differences that an audit keeps before it judges
	// them.
	maxCandidates = 1 << 15

	// maxBatch is the number of updates sent in one bulk write.
	maxBatch = 500

	// collectBatch is the number of unused documents that one query returns, and that a collector
	// deletes between two calls of its guard.
	collectBatch = 500

	// collectWorkers is the number of single deletes that run at the same time. Each waits for the
	// disk, and they share the wait.
	collectWorkers = 8

	// maxHolders is the number of documents that one transaction of a collector deletes, and
	// maxHolderRefs the number of references that it releases (those of one document are never
	// parted). Both are small, because others wait for these transactions.
	maxHolders    = 100
	maxHolderRefs = 500

	// transactionTimeout bounds a transaction of a collector with its repetitions.
	transactionTimeout = 10 * time.Second

	// tableBatch is the batch size of reading counts.
	tableBatch = 5000

	// judgeBatch is the number of documents that an audit judges between two calls of its guard.
	judgeBatch = 100

	// maxUnknown is the number of references without a document that a Tally keeps before it looks
	// the documents up.
	maxUnknown = 1000

	// finishTimeout bounds the steps that follow a delete and must not be interrupted. It is less
	// than MaxRelease.
	finishTimeout = time.Minute
)
