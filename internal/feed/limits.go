package feed

import "time"

const (
	// MaxEvents bounds the events of a page.
	MaxEvents = 200
	// streamEvents bounds the events of a page of a stream, and so the memory that each takes.
	streamEvents = 50
	// maxMoved and maxExpunged bound the messages of one event; more messages have several events.
	maxMoved    = 50
	maxExpunged = 500
	// maxNotes and maxEntries bound the entries of a journal that are read at a time.
	maxNotes   = 50
	maxEntries = 50
	// maxMarks bounds the marks of a position, beside those that it shares with its base.
	maxMarks = 128
	// maxTriedBases bounds the bases of a user that a position tries before it makes one more.
	maxTriedBases = 8
	// MaxPosition bounds the text of a position, in octets; a longer one is none.
	MaxPosition = 8 << 10
	// maxBase bounds the marks of a base: a user has no more mailboxes.
	maxBase = 1 << 16
	// pollInterval is how often a stream looks for changes of which no event told, if events of other
	// processes do not arrive; trustedInterval, if they do.
	pollInterval    = 5 * time.Second
	trustedInterval = 5 * time.Minute
	// retryInterval is how soon a stream looks again for a change of which an event told, and which
	// the database does not show yet.
	retryInterval = 100 * time.Millisecond

	// watchInterval is how often a watch reads what changed, and watchBatch bounds the changes that it
	// reads then, each of at most watchEvents events. So it reads no more than 20 changes a second.
	watchInterval = 500 * time.Millisecond
	watchBatch    = 10
	watchEvents   = 10
	// watchReadTimeout bounds the reading of a batch.
	watchReadTimeout = 30 * time.Second
	// watchDomainBatch bounds the changes of which a watch of one domain looks whose they are.
	watchDomainBatch = 1000
	// watchTries is in how many batches a change is that the database does not show.
	watchTries = 5
	// watchRemembered bounds the mailboxes of which a watch remembers what it told last.
	watchRemembered = 1000
)
