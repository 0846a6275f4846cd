package dedupe

import "time"

const (
	// MaxHold is how long a reference may be counted before its referrer is written. Whoever is
	// later must neither write the referrer nor release the reference.
	MaxHold = 12 * time.Hour

	// MaxRelease is how long after the end of its referrer a reference may be released.
	MaxRelease = 5 * time.Minute

	// DefaultGrace is how long documents are quarantined before they are deleted, and how long they
	// must not have been touched to be judged by an audit. It is twice MaxHold, which leaves 12
	// hours for clocks that differ.
	DefaultGrace = 2 * MaxHold

	// DefaultSettle is how long an audit waits for releases that are on their way: twice
	// MaxRelease.
	DefaultSettle = 2 * MaxRelease

	// DefaultTableSize is the number of documents that an audit compares at once, about 96 bytes
	// each.
	DefaultTableSize = 1 << 18

	// maxBatch is the number of updates sent in one bulk write.
	maxBatch = 500

	// collectBatch is how many unused documents one query returns, and between how many the guard
	// of a collector is asked.
	collectBatch = 500

	// collectWorkers is how many documents are deleted at a time, if one by one: each delete waits
	// for the disk, and several waits are one.
	collectWorkers = 8

	// maxHolders is how many documents one transaction of a collector deletes, and maxHolderRefs
	// how many references it releases (those of one document are never parted): few, because others
	// wait for them.
	maxHolders    = 100
	maxHolderRefs = 500

	// transactionTimeout bounds a transaction of a collector with its repetitions.
	transactionTimeout = 10 * time.Second

	// tableBatch is the batch size of reading counts.
	tableBatch = 5000

	// judgeBatch is on how many documents an audit decides between two calls of its guard.
	judgeBatch = 100

	// maxUnknown is how many references without a document are kept before they are looked up.
	maxUnknown = 1000

	// finishTimeout bounds what follows a delete and must not be interrupted. It is less than
	// MaxRelease.
	finishTimeout = time.Minute
)
