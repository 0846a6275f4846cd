package webhooks

import "time"

const (
	// MaxHooks bounds the hooks of a database, MaxURL and MaxName the octets of theirs.
	MaxHooks = 100
	MaxURL   = 2000
	MaxName  = 200
	// MaxLetters is how many letters of a hook are kept. Those that come later replace the oldest.
	MaxLetters = 1000
	// letterKept is how long a letter is kept.
	letterKept = 30 * 24 * time.Hour

	// refreshInterval is how often a process looks which hooks there are.
	refreshInterval = 10 * time.Second
	// maxTracked bounds the readers that a process knows to exist.
	maxTracked = 100_000

	// pollInterval is how often the sender looks for readers that are due, of which this process has
	// not told.
	pollInterval = time.Second
	// maxDue bounds the readers of a hook that are read at a time, and perHook its requests.
	maxDue  = 64
	perHook = 8
	// pageEvents bounds the events of a delivery, maxBody its octets; one event may be larger.
	pageEvents = 20
	maxBody    = 4 << 20
	// maxLetter bounds the octets of a letter: a document has 16 MiB at most.
	maxLetter = 8 << 20
	// maxPages is after how many deliveries the sender turns from a reader to the next one.
	maxPages = 10
	// requestTimeout bounds a request, with its answer; maxAnswer the octets that are read of the answer's
	// content, and maxAnswerHeader its header.
	requestTimeout  = 15 * time.Second
	maxAnswer       = 64 << 10
	maxAnswerHeader = 64 << 10
	// firstRetry is the pause after the first failure of a reader, which doubles up to lastRetry.
	firstRetry = 5 * time.Second
	lastRetry  = time.Hour
	// giveUp is how long a delivery is tried before it becomes a letter.
	giveUp = 3 * 24 * time.Hour
	// markTimeout bounds the note that a reader is due: the client waits for it.
	markTimeout = 5 * time.Second
	callTimeout = 30 * time.Second
	// maxError bounds the text of an error that is kept.
	maxError = 300
	// linkValid is how long the address of a message's source can be used.
	linkValid = 24 * time.Hour
	// countMost is how many readers of a hook that wait are counted at most.
	countMost = 10_000
	// removeBatch is how many documents of a removed hook go at a time, removeBatches after how many
	// times the sender looks after other hooks, and whether it still has the lease.
	removeBatch   = 1000
	removeBatches = 10
)
