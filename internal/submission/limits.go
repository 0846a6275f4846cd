package submission

import "time"

const (
	// maxFieldName bounds the name of a header field: a longer one is none.
	maxFieldName = 1000
	// maxFrom bounds a From field, and maxFroms how many there may be (550 5.6.0).
	maxFrom  = 16 << 10
	maxFroms = 4
	// maxFromAddresses bounds the addresses of a From field (550 5.6.0).
	maxFromAddresses = 50

	// saveWait is how long a client waits for the copy of a message that the smarthost has taken.
	saveWait = 20 * time.Second
	// maxCopies bounds the copies that wait in memory for the database; further ones are given up.
	maxCopies = 1000
	// copyPatience is how long a copy is tried.
	copyPatience = time.Hour
	// firstCopyPause and maxCopyPause bound the pause between two tries.
	firstCopyPause = time.Second
	maxCopyPause   = time.Minute
	// copyTimeout bounds one try.
	copyTimeout = 2 * time.Minute
	// queryTimeout bounds the queries before a message comes in, finishTimeout what makes the bytes of
	// a copy durable.
	queryTimeout  = 30 * time.Second
	finishTimeout = 5 * time.Minute
	// undoTimeout bounds what is given back when a message is not sent.
	undoTimeout = 30 * time.Second
)
