package logins

import "time"

const (
	// maxChecks is how many checks run at a time; fewer with fewer processors.
	maxChecks = 8

	// maxAside is how many checks wait for other servers at a time and count as not running; further
	// ones keep their turns while they wait.
	maxAside = 256
	// maxSourceAside is how many of one source do that; its further checks wait.
	maxSourceAside = 4

	// maxWaiting is how many checks of one source wait (ErrTooMany); maxWaitingFailed is the same
	// for a source with failures.
	maxWaiting       = 100
	maxWaitingFailed = 5

	// maxAddresses is how many addresses have a history, and maxUsers how many users have one at an
	// address. Failures of further users count as those of one. maxLocalUsers is how many users have
	// one on the machine itself.
	maxAddresses  = 10_000
	maxUsers      = 32
	maxLocalUsers = 10_000

	// DefaultDelay is the delay after the first failure of a source. Each further failure doubles
	// it, up to maxDelay.
	DefaultDelay = 500 * time.Millisecond
	maxDelay     = 15 * time.Second

	// freeFailures is how many failures an account has, from addresses where its user is not known,
	// before the next check of it from such an address waits. maxAccounts is how many accounts have a
	// history of their own.
	freeFailures = 5
	maxAccounts  = 10_000

	// failureMemory is how long a failure counts after the last one, and successMemory how long a
	// user is known at an address.
	failureMemory = 15 * time.Minute
	successMemory = 24 * time.Hour

	// recordEvery is how long attempts wait to be written, and recordTimeout bounds the writing.
	recordEvery   = 5 * time.Second
	recordTimeout = 10 * time.Second

	// successPeriod and failurePeriod are the times whose attempts of one kind are one entry.
	successPeriod = 24 * time.Hour
	failurePeriod = time.Hour

	// maxPending bounds the entries that wait to be written; attempts beyond are dropped and counted.
	maxPending = 20_000

	// maxFailures bounds the kinds of failures that are told apart of one user in failurePeriod,
	// maxUnknown those of names that are nobody's, and maxFailuresInAll all of an instance.
	maxFailures      = 500
	maxUnknown       = 2_000
	maxFailuresInAll = 20_000
)
