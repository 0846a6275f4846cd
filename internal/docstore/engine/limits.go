package engine

import "time"

// Limits. Those that MongoDB has too carry its numbers.
const (
	// maxSortBytes bounds what a sort without an index holds in memory.
	maxSortBytes = 100 << 20
	// maxRetryStatements bounds the statement results kept for one retryable command.
	maxRetryStatements = 100_000
	// maxFoundBytes bounds the documents that a statement of a transaction on many documents keeps
	// from its scan. It reads the others once more.
	maxFoundBytes = 4 << 20
	// maxTransactionBytes bounds the writes that a transaction holds in memory until it commits.
	maxTransactionBytes = 64 << 20
	// gateWait is how long a transaction waits for an index build or drop of a collection it wants
	// to write to.
	gateWait = 100 * time.Millisecond
	// writeChunk is how much a statement on many documents writes before it commits and goes on.
	writeChunk = 1 << 20
	// writeChunkDocs is the same by number of documents.
	writeChunkDocs = 1000
	// maxTurn is how long a command has its processor before it gives way to others ...
	maxTurn = time.Millisecond
	// ... and yieldEvery how many documents it writes between two looks at the clock.
	yieldEvery = 16
	// maxNesting is how deep a stored document may nest, itself counted. MongoDB documents 100 and
	// takes more.
	maxNesting = 100
	// maxIndexes bounds the indexes of a collection, _id included.
	maxIndexes = 64
	// maxIndexFields bounds the fields of an index.
	maxIndexFields = 32
	// maxIntervals bounds the key ranges that one query reads; a query that would need more of an
	// index's fields uses fewer of them.
	maxIntervals = 5000
	// maxNamespace bounds "database.collection" in bytes.
	maxNamespace = 255
	// maxProblems bounds the problems that a check of a collection lists; further ones are counted.
	maxProblems = 100
	// damagePause is how long further damage of the same file is counted and not logged.
	damagePause = time.Minute
	// quickDamage is how often within damagePause damage of one file is met at full speed, and
	// damageRest the pause before each further time.
	quickDamage = 1000
	damageRest  = 50 * time.Millisecond
	// maxForeignNames bounds the names in a ForeignFilesError.
	maxForeignNames = 3
	// skipBytes is the length of the keys that a check tries when it looks for the end of a range
	// that cannot be read.
	skipBytes = 40
	// spaceLook is how long the engine believes what the file system said of free space.
	spaceLook = 200 * time.Millisecond
	// floorEighths is the part of the reserve, in eighths, below which the engine refuses even
	// writes that free space.
	floorEighths = 3
	// A write that frees space inserts at most insertSlack bytes more than it deletes, and lets
	// each document it updates grow by at most growthSlack bytes: deleting mail writes counters,
	// marks and an entry of the journal.
	insertSlack = 256
	growthSlack = 256
	// spacePause is the pause between two tries of a write that waits for space on the disk.
	spacePause = 100 * time.Millisecond
	// compactionPause is how long compactions rest after the disk was too full for one.
	compactionPause = 10 * time.Second
	// fullWait is how long a client waits for a commit that the full disk holds up.
	fullWait = 2 * time.Second
	// closeWait bounds how long closing waits for commands and for the storage.
	closeWait = 30 * time.Second
	// ttlPeriod is the pause between two passes of the TTL worker.
	ttlPeriod = 60 * time.Second
	// logsIdle is how long the database must be without writes before it empties the logs, and the
	// pause between two looks.
	logsIdle = 5 * time.Second
	// logsWorth is how many bytes of writes make it worth to empty the logs. With old logs that
	// Pebble keeps it always is.
	logsWorth = 1 << 20
	// logStart is how much space a new log allocates for its first writes.
	logStart = 128 << 10
	// reclaimPeriod is the pause between two looks for space to give back.
	reclaimPeriod = 10 * time.Second
	// reclaimBytes is how much of a collection or index must have been deleted before the engine
	// compacts its keys.
	reclaimBytes = 16 << 20
	// reclaimShare is how many bytes a compaction may rewrite for each deleted one.
	reclaimShare = 4
	// reclaimStep bounds, roughly, what one compaction rewrites, so that others get their turn.
	reclaimStep = 128 << 20
)
