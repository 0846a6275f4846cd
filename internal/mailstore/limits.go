package mailstore

import "time"

// Limits on what comes from outside; past them a call fails with the error named.
const (
	// MaxKeywords bounds the keywords of one message (ErrInvalidKeyword).
	MaxKeywords = 64
	// MaxMailboxKeywords bounds the different keywords that one mailbox has seen
	// (ErrInvalidKeyword).
	MaxMailboxKeywords = 1000
	// MaxKeywordLength is in octets (ErrInvalidKeyword).
	MaxKeywordLength = 128
	// MaxPathLength is a mailbox path's length in octets (ErrInvalidName).
	MaxPathLength = 1000
	// MaxPathDepth bounds the names in a mailbox path (ErrInvalidName).
	MaxPathDepth = 32
	// MaxMailboxes bounds the mailboxes of a user (ErrTooMany).
	MaxMailboxes = 5000
	// MaxSubscriptions bounds a user's subscriptions to names without a mailbox (ErrTooMany).
	MaxSubscriptions = 1000
	// MaxMetadataName and MaxMetadataValue are the octets of an entry of metadata; callers check them.
	MaxMetadataName  = 255
	MaxMetadataValue = 64 << 10
	// MaxMetadataEntries bounds the shared entries of a mailbox, and the private ones of each user
	// (ErrTooManyEntries).
	MaxMetadataEntries = 100
	// MaxMetadataBytes bounds what the metadata of a user's mailboxes takes: the values, and
	// metadataOverhead for each (ErrTooManyEntries). maxOthersMetadataBytes is the bound of what
	// each other user has there.
	MaxMetadataBytes       = 4 << 20
	maxOthersMetadataBytes = 256 << 10
	metadataOverhead       = 512
	// MaxAliases bounds the further addresses of a user (ErrTooMany).
	MaxAliases = 100
	// MinPasswordLength and MaxPasswordLength are in octets (ErrWeakPassword).
	MinPasswordLength = 8
	MaxPasswordLength = 1024
	// MaxDisplayName and MaxMetadata are in octets (ErrInvalidProfile).
	MaxDisplayName = 200
	MaxMetadata    = 4 << 10
	// MaxACLEntries bounds the entries of a mailbox's access control list (ErrTooMany).
	MaxACLEntries = 200
	// maxSeenRanges bounds the ranges of UIDs that a user has seen in a mailbox of another user
	// (ErrTooMany).
	maxSeenRanges = 500_000
	// MaxShared bounds the mailboxes of others that one user is told of.
	MaxShared = 5000
	// MaxGroups bounds the groups of a user (ErrTooMany), MaxGroupName the octets of a name
	// (ErrInvalidName).
	MaxGroups    = 100
	MaxGroupName = 100
	// MaxAppPasswords bounds the application passwords of a user (ErrTooMany).
	MaxAppPasswords = 50
	// MaxDomains bounds the domains that have settings (ErrTooMany).
	MaxDomains = 10_000
	// MaxDomainPage bounds the domains of one page, and MaxDomainUsers the users that are counted of
	// each.
	MaxDomainPage  = 100
	MaxDomainUsers = 1000
	// MaxTokens bounds the tokens of the HTTP API that are nobody's, and MaxUserTokens those of one user
	// (ErrTooMany).
	MaxTokens     = 10_000
	MaxUserTokens = 50
	// MaxPage bounds the users of one page.
	MaxPage = 1000
	// MaxAddressLength is in octets of UTF-8 (RFC 5321 section 4.5.3.1.3, less the angle brackets;
	// ErrInvalidAddress).
	MaxAddressLength = 254
	// MaxPrefixLength bounds the trace lines of one delivery, in octets.
	MaxPrefixLength = 16 << 10
	// MaxRecipients bounds the deliveries of one call of Deliver.
	MaxRecipients = 1000
	// MaxAppendBytes bounds the size of the message documents of one Append, which one transaction
	// writes (ErrTooMany). A thousand ordinary messages take far less.
	MaxAppendBytes = 16 << 20
)

// Bounds on the store's own work.
const (
	// maxVerified bounds the right passwords that the store remembers; each takes about a hundred
	// octets.
	maxVerified = 20_000
	// maxNames bounds the users, and the mailboxes, whose keys the store remembers; each takes about a
	// hundred octets.
	maxNames = 20_000
	// maxHeads bounds the mailboxes whose latest state the store remembers; each takes about a
	// hundred octets.
	maxHeads = 20_000
	// maxBatch bounds the messages that one transaction inserts, changes or removes.
	maxBatch = 1000
	// modSeqBatch bounds the mailboxes of which one query reads the mod-sequences.
	modSeqBatch = 1000
	// purgeBatch bounds the messages of a deleted mailbox that one transaction removes. It is
	// smaller than maxBatch, because nobody waits for a purge, and others work in between.
	purgeBatch = 250
	// maxRest bounds the rest of a long operation between two batches.
	maxRest = time.Second
	// maxBatchBytes bounds the documents that one transaction copies or moves (it always takes
	// one).
	maxBatchBytes = 8 << 20
	// maxGroup bounds the waiting deliveries that share one transaction, and maxGroupBytes the size
	// of their documents (it always takes one more).
	maxGroup      = 128
	maxGroupBytes = 4 << 20
	// maxTransactions bounds the transactions that an instance runs at a time.
	maxTransactions = 64
	// transactionTimeout bounds a transaction with its repetitions. MongoDB keeps an abandoned
	// transaction for 60 seconds, and notices up to 30 seconds later. The bound is longer, so that
	// an operation that waits for documents of a killed instance gets them, instead of giving up
	// shortly before.
	transactionTimeout = 60*time.Second + 30*time.Second + 10*time.Second
	// attemptTimeout bounds one attempt of a transaction up to its commit, commitTimeout the commit
	// with its repetitions, abortTimeout the end of a failed one. A commit is not given up when its
	// caller goes, and its outcome is unknown when the time is over.
	attemptTimeout = 30 * time.Second
	commitTimeout  = 25 * time.Second
	abortTimeout   = 5 * time.Second
	// outagePatience is for how long a transaction is begun again after the database was first out
	// of reach. Another primary takes 10 to 12 seconds.
	outagePatience = 15 * time.Second
	// firstPause and maxPause bound the pause before a transaction that met with another is begun
	// again.
	firstPause = 5 * time.Millisecond
	maxPause   = 500 * time.Millisecond
	// deliveryWait bounds the time for which Deliver and Append wait for messages to be stored. What
	// was not begun by then is not stored.
	deliveryWait = 75 * time.Second
	// transactionEnd is the time after which no transaction is open any more, so that no commit that was
	// on its way does anything: a MongoDB aborts what is older than its transactionLifetimeLimitSeconds,
	// 60 by default, and looks for it twice in that time.
	transactionEnd = 95 * time.Second
	// settlePause is how long after a transaction of unknown outcome sessions are told to look again,
	// settleFactor by how much later each time until transactionEnd. While the database does not answer,
	// the store asks at pauses of up to maxSettlePause. maxUnsettled bounds the users.
	settlePause    = time.Second
	settleFactor   = 4
	maxSettlePause = 30 * time.Second
	maxUnsettled   = 10_000
	// purgeLease is the time after which another process takes over a purge that made no progress.
	purgeLease = 2 * time.Minute
	// giveUpTimeout bounds the call that gives a lease up, so that others need not wait for its
	// end.
	giveUpTimeout = 2 * time.Second
	// deleteWait bounds the time for which DeleteMailbox waits for the removal of its messages.
	deleteWait = 10 * time.Second
	// maxExpireDays bounds days of expiry: a hundred years.
	maxExpireDays = 36_500
	// pageMarked is the number of marked documents that are read at a time.
	pageMarked = 500
	// maxDeletionsCounted bounds what Deletions counts.
	maxDeletionsCounted = 100_000
	// keepErrors is the number of errors of a series that are reported.
	keepErrors = 10
	// maxSpaceEntries bounds the contents and blobs that Space remembers at a time. If a user's
	// mail needs more than maxSpacePasses passes (500 million entries), Space uses more memory.
	maxSpaceEntries = 1 << 19
	maxSpacePasses  = 1 << 10
	// spaceBatch is the number of messages whose contents Space loads at a time.
	spaceBatch = 500
	// surveyBatch is the number of mailboxes whose counters Survey reads at a time.
	surveyBatch = 5000
	// pageUsers is the number of users that are read at a time.
	pageUsers = 500
	// logOutEvery is how often the store tries again to end sessions.
	logOutEvery = 5 * time.Second
	// maxUntold bounds the users and credentials whose sessions other instances could not be told to end
	// yet, and maxUntoldOfUser the credentials of one user. Past that, all sessions end.
	maxUntold       = 10_000
	maxUntoldOfUser = 20
	// callTimeout bounds a call of the database outside of a transaction for a caller that has
	// gone.
	callTimeout = 30 * time.Second
	// maxRangesPerFind and maxUIDGap decide how keyFilters cuts a set of UIDs into queries.
	maxRangesPerFind = 1000
	maxUIDGap        = 512
	// DefaultMinRoll is how many messages a mailbox has at least that has a roll, without
	// Options.MinRoll. maxRollBytes bounds the octets of one. That is enough for half a million ranges
	// of UIDs; beyond, the mailbox has no roll.
	DefaultMinRoll = 1000
	maxRollBytes   = 1 << 20
	// A roll is written anew when so many UIDs have come or gone since: rollChanges (or
	// Options.MinRoll, if that is less), or one for each rollOctets of the roll. To read the changes
	// then costs about as much as to read the roll.
	rollChanges = 100
	rollOctets  = 32
	// maxRollMarks bounds the rolls of which the store remembers which are stored; each takes about a
	// hundred octets. rollTimeout bounds the writing of one, for which somebody waits.
	maxRollMarks = 20_000
	rollTimeout  = 2 * time.Second
	// maxVanished bounds the expunged UIDs that Changes returns; with more the answer is
	// incomplete.
	maxVanished = 1 << 20
	// DefaultJournalKept is the time for which the journal keeps expunged UIDs, without
	// Options.JournalKept.
	DefaultJournalKept = 90 * 24 * time.Hour
	// maxBaseOctets bounds what the bases of a user take, and so for how many changes a reader may be
	// away. A base is made after 128 mailboxes have changed, or more. It has 7 octets or so for each
	// mailbox of the user. So there is room for the bases of some 700,000 changes if the user has 200
	// mailboxes, of 150,000 if the user has 1,000, and of 30,000 if the user has MaxMailboxes. What
	// those changes themselves wrote is longer. minBases are kept however long they are.
	maxBaseOctets = 8 << 20
	minBases      = 100
	// freshBase says for how long a base is fresh: this part of the time for which the journal keeps
	// entries.
	freshBase = 10
	// sendingWindow is the time for which limits of sending are, and sendingSlot its precision.
	sendingWindow = time.Hour
	sendingSlot   = 5 * time.Minute
	sendingSlots  = int64(sendingWindow / sendingSlot)
	// onceWindow is how long after a message another one can be the same (Once). A client may be
	// slow to upload its own copy of a large message, and submission tries its copy for an hour.
	onceWindow = 90 * time.Minute
	// DefaultAuthlogKept is the time for which the authentication log keeps entries, without
	// Options.AuthlogKept.
	DefaultAuthlogKept = 30 * 24 * time.Hour
	// domainsEvery is how often an instance looks for settings of domains that others changed.
	domainsEvery = 10 * time.Second
	// maxMetadataChanges bounds the changes that MetadataChanges reads.
	maxMetadataChanges = 1000
	// removedMetadataKept is for how long removed metadata is known by name, maxRemovedMetadata how
	// many of them there are before the older half is forgotten.
	removedMetadataKept = 7 * 24 * time.Hour
	maxRemovedMetadata  = 1000
	// casAttempts bounds the attempts of an optimistic recount beside live traffic.
	casAttempts = 20
)
