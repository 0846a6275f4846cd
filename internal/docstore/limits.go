package docstore

import "time"

// Limits. Those that MongoDB has too carry its numbers.
const (
	// maxWriteBatch bounds the statements of one write command; hello announces it.
	maxWriteBatch = 100_000
	// maxIndexSpecs bounds the indexes of one createIndexes.
	maxIndexSpecs = 1000
	// maxConnections bounds the open connections; a further one is closed at once.
	maxConnections = 4096
	// keptReplyBuffer is the largest buffer of a reply that is kept for another one, in bytes.
	keptReplyBuffer = 1 << 20
	// copiedReply is the size up to which a reply is copied behind its header, to be sent by one
	// write.
	copiedReply = 16 << 10
	// maxOpenCursors bounds the cursors that wait for getMore, each of which may pin a snapshot.
	maxOpenCursors = 10_000
	// cursorTimeout closes a cursor that nobody has asked for more.
	cursorTimeout = 10 * time.Minute
	// firstBatch is the number of documents in the first batch when the client names none.
	firstBatch = 101
	// maxBatchBytes bounds a reply's documents; a single larger document still goes out alone.
	maxBatchBytes = 16 << 20
	// sessionTimeout is how long a session lives without use, and how long its retry record is kept.
	sessionTimeout = 30 * time.Minute
	// maxSessions bounds the sessions held in memory. The oldest idle ones are forgotten first; their
	// retry records stay on disk.
	maxSessions = 100_000
	// transactionLifetime aborts a transaction that is still open after it.
	transactionLifetime = 60 * time.Second
	// unsettledWait is how long a client that commits again waits for a commit that the full disk
	// holds up.
	unsettledWait = 2 * time.Second
	// maintenancePeriod is the pause between two looks for idle cursors, transactions and sessions.
	maintenancePeriod = 5 * time.Second
	// sessionSweepPeriod is the pause between two passes over the stored retry records.
	sessionSweepPeriod = 10 * time.Minute
)
