package mailstore

import "time"

// Limits on what comes from outside; past them a call fails with the error named.
const (
	// MaxKeywords is how many keywords one message carries (ErrInvalidKeyword).
	MaxKeywords = 64
	// MaxMailboxKeywords is how many different keywords one mailbox has seen (ErrInvalidKeyword).
	MaxMailboxKeywords = 1000
	// MaxKeywordLength is in octets (ErrInvalidKeyword).
	MaxKeywordLength = 128
	// MaxPathLength is a mailbox path's length in octets (ErrInvalidName).
	MaxPathLength = 1000
	// MaxPathDepth is how many names a mailbox path is made of (ErrInvalidName).
	MaxPathDepth = 32
	// MaxMailboxes is how many mailboxes a user has (ErrTooMany).
	MaxMailboxes = 5000
	// MaxSubscriptions is how many names without a mailbox a user is subscribed to (ErrTooMany).
	MaxSubscriptions = 1000
	// MaxAliases is how many further addresses a user has (ErrTooMany).
	MaxAliases = 100
	// MinPasswordLength and MaxPasswordLength are in octets (ErrWeakPassword).
	MinPasswordLength = 8
	MaxPasswordLength = 1024
	// MaxAddressLength is in octets of UTF-8 (RFC 5321 section 4.5.3.1.3, less the angle brackets;
	// ErrInvalidAddress).
	MaxAddressLength = 254
	// MaxPrefixLength bounds the trace lines of one delivery, in octets.
	MaxPrefixLength = 16 << 10
	// MaxRecipients is how many deliveries one call of Deliver takes.
	MaxRecipients = 1000
	// MaxAppendBytes is what is stored of the messages of one Append beside their contents, which
	// one transaction writes (ErrTooMany): far more than a thousand ordinary ones come to.
	MaxAppendBytes = 16 << 20
)

// Bounds on our own work.
const (
	// maxVerified is how many right passwords are remembered; each takes about a hundred octets.
	maxVerified = 20_000
	// maxBatch is how many messages one transaction inserts, changes or removes.
	maxBatch = 1000
	// purgeBatch is how many messages of a deleted mailbox one transaction removes: fewer, because
	// nobody waits for it and others go on in between.
	purgeBatch = 250
	// maxRest is how long a long operation rests at most between two batches.
	maxRest = time.Second
	// maxBatchBytes is what the documents come to that one transaction copies or moves (one is
	// always taken).
	maxBatchBytes = 8 << 20
	// maxGroup is how many waiting deliveries share one transaction, and maxGroupBytes what their
	// documents come to at most (one more is always taken).
	maxGroup      = 128
	maxGroupBytes = 4 << 20
	// maxTransactions is how many transactions an instance runs at a time.
	maxTransactions = 64
	// transactionTimeout bounds a transaction with its repetitions. It is more than a server keeps
	// a transaction that nobody goes on with: 60 seconds, and up to 30 more until MongoDB notices.
	// When an instance is killed, whoever waits for what it was writing gets it then, instead of
	// giving up shortly before.
	transactionTimeout = 60*time.Second + 30*time.Second + 10*time.Second
	// purgeLease is how long whoever purges may be silent before another takes over.
	purgeLease = 2 * time.Minute
	// giveUpTimeout bounds telling others that they need not wait so long.
	giveUpTimeout = 2 * time.Second
	// deleteWait is how long DeleteMailbox waits for its messages to be removed.
	deleteWait = 10 * time.Second
	// pageMarked is how many marked documents are read at a time.
	pageMarked = 500
	// keepErrors is how many errors of a series are told of.
	keepErrors = 10
	// maxSpaceEntries is how many contents and blobs Space remembers at a time; a user whose mail
	// needs more than maxSpacePasses passes (500 million entries) is looked at with more memory.
	maxSpaceEntries = 1 << 19
	maxSpacePasses  = 1 << 10
	// spaceBatch is of how many messages Space loads the contents at a time.
	spaceBatch = 500
	// pageUsers is how many users are read at a time.
	pageUsers = 500
	// callTimeout bounds a database call outside of a transaction, made for somebody who has gone.
	callTimeout = 30 * time.Second
	// maxRangesPerFind and maxUIDGap say how a set of UIDs is cut into queries: see keyFilters.
	maxRangesPerFind = 1000
	maxUIDGap        = 512
	// maxVanished is how many expunged UIDs Changes returns; with more the answer is incomplete.
	maxVanished = 1 << 20
	// journalRetention is how long expunged UIDs are remembered.
	journalRetention = 60 * 24 * time.Hour
	// casAttempts is how often an optimistic recount is tried against live traffic.
	casAttempts = 20
)
