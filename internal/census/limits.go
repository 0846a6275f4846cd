package census

import "time"

const (
	// least is the age from which on a census may be taken again, restFactor times as long as the
	// last one took if that is more.
	least      = time.Minute
	restFactor = 20
	// maxTime bounds a census. What takes longer is given up, and tried again later.
	maxTime = 6 * time.Hour
	// retryAfter is the time after a census that failed.
	retryAfter = 5 * time.Minute
	// sampleSize is how many contents are looked at.
	sampleSize = 1000
	// largest bounds the lists of users and of mailboxes.
	largest = 20
	// callTimeout bounds each short call of the database.
	callTimeout = 15 * time.Second
)
