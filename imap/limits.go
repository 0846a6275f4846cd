package imap

import (
	"time"

	"gadwall/internal/mailstore"
)

// Bounds of the server. Those of the syntax are in wire/limits.go, those of
// FETCH and SEARCH beside them.
const (
	// defaultMaxConnections bounds the open connections of a server; one
	// more gets BYE.
	defaultMaxConnections = 20_000
	// defaultMaxConnectionsPerAddress bounds the connections of one client address
	// that is not loopback; one more gets BYE.
	defaultMaxConnectionsPerAddress = 500
	// defaultMaxConnectionsPerUser bounds the connections that are logged in as one
	// user; one more login is refused (NO [LIMIT]).
	defaultMaxConnectionsPerUser = 1000
	// defaultMaxMessageSize bounds a message for APPEND (NO [TOOBIG]).
	defaultMaxMessageSize = 512 << 20

	// maxBadCommands is how many commands in a row may be BAD before the
	// connection is closed; before login it is maxBadUnauthenticated.
	maxBadCommands        = 50
	maxBadUnauthenticated = 10
	// prunedAtOnce is how many users are looked at when one comes, whether they can be forgotten.
	prunedAtOnce = 4
	// maxAuthFailures closes a connection.
	maxAuthFailures = 5
	// maxLoginLine is the longest line and the largest literal before login. The
	// lines of ID and AUTHENTICATE may be as long as one after login, for at most
	// maxLongLines clients at a time.
	maxLoginLine = 8 << 10
	maxLongLines = 500
	// sessionIDLength is how many characters (of 5 bits) a session's id has.
	sessionIDLength = 12
	// maxText bounds the text of status responses, which may quote the client.
	maxText = 300

	// maxAppendMessages bounds the messages of one APPEND.
	maxAppendMessages = 1000
	// maxCatenateParts bounds the parts of all messages of one APPEND (NO [LIMIT]).
	maxCatenateParts = 1000
	// progressOctets is the unit in which APPEND tells how far it is.
	progressOctets = 1 << 10
	// maxListPatterns bounds the patterns of LIST, maxPatternLength the octets of all
	// of them together.
	maxListPatterns  = 50
	maxPatternLength = 4000
	// maxMetadataNames bounds the entries of one GETMETADATA or SETMETADATA.
	maxMetadataNames = mailstore.MaxMetadataEntries
	// maxAnnotationOwners bounds the other users of whose mailboxes a session tells changes of
	// metadata.
	maxAnnotationOwners = 100
	// maxOwnChanges bounds the changes of metadata by itself that a session remembers, so that they
	// are not told.
	maxOwnChanges = 100
	// maxNotifyGroups bounds the groups of events of one NOTIFY, maxNotifyNames the names of mailboxes
	// in all of them.
	maxNotifyGroups = 50
	maxNotifyNames  = 1000
	// maxNotifyMailboxes bounds the mailboxes that a session can watch, maxNotifyOwners the other
	// users among whose they are; more are refused or end all notifications (NOTIFICATIONOVERFLOW).
	maxNotifyMailboxes = 10_000
	maxNotifyOwners    = 100
	// maxNotifyResponses bounds the responses about other mailboxes at a time, and the new messages
	// of which attributes are told; more end all notifications.
	maxNotifyResponses = 5000
	// maxOwnNew bounds the messages that a session remembers to have put into the selected mailbox
	// itself, until the client is told of them.
	maxOwnNew = 50_000
	// maxIDFields, maxIDName and maxIDValue are of RFC 2971 section 3.3;
	// maxIDLogged is how much of a client's ID is logged.
	maxIDFields = 30
	maxIDName   = 30
	maxIDValue  = 1024
	maxIDLogged = 1000
	// maxClientNames bounds the names of client programs that are counted, maxClientName
	// the length of one; other clients count as "other".
	maxClientNames = 200
	maxClientName  = 50
	// maxQuotaResources bounds the resources named by one SETQUOTA.
	maxQuotaResources = 20
	// maxStoreFlags bounds the flags named by one STORE or APPEND.
	maxStoreFlags = 100
	// maxSortCriteria bounds the criteria of one SORT.
	maxSortCriteria = 20
	// maxCompressors bounds the compressors (about 800 KiB each) of all sessions: those that are
	// sending at the moment need one. Without one, a session sends uncompressed blocks.
	maxCompressors = 64
	// maxContexts bounds the searches with UPDATE of a session, maxContextResults the
	// results of all of them but the first; another one is not updated (NO [NOUPDATE]).
	maxContexts       = 16
	maxContextResults = 1 << 20
	// maxSearchSources bounds the names in the sources of ESEARCH.
	maxSearchSources = 1000
	// maxAnnounced bounds the keywords that FLAGS lists.
	maxAnnounced = 1000
	// maxVanishedRanges bounds the ranges of one VANISHED response, so that its line
	// stays below 8,192 octets or not much above (RFC 7162 section 4).
	maxVanishedRanges = 500
)

// restBurst is after how many new sessions the server collects what they have left behind;
// stackHalvings is how many collections that takes beside the last one, for a stack of 16 KiB. Where a
// collection takes long, since much is in memory, restShare times as long passes until the next ones.
const (
	restBurst     = 200
	restShare     = 100
	stackHalvings = 2
)

// Times.
const (
	// greetTimeout bounds the TLS handshake; loginTimeout the time from
	// connecting to a successful login.
	greetTimeout = 30 * time.Second
	loginTimeout = time.Minute
	// autologout is how long a client may be silent (RFC 3501 section 5.4:
	// at least 30 minutes).
	autologout = 30*time.Minute + 10*time.Second
	// readTimeout bounds one read inside a command. writeTimeout is how long a write
	// may make no progress, in pieces of writeChunk octets, or of a record of TLS.
	readTimeout  = 5 * time.Minute
	writeTimeout = 2 * time.Minute
	writeChunk   = 64 << 10
	tlsRecord    = 16 << 10
	// quietAfter is how long a client is silent until its session gives up
	// what it keeps for speed.
	quietAfter = 20 * time.Second
	// restPause is how long after restBurst new sessions have begun to wait the server gives back
	// what they have left behind.
	restPause = 5 * time.Second
	// watchAfter is how long a command runs before the connection is watched
	// for the client's leaving.
	watchAfter = 250 * time.Millisecond
	// shutdownNotice is how often Shutdown logs what it waits for.
	shutdownNotice = 3 * time.Second
	// notifyPause is the time between two looks at other mailboxes for a client that sends nothing:
	// what happens meanwhile is told at once.
	notifyPause = 500 * time.Millisecond
	// notifyPatience is how much longer a client may take to read what it is told between commands
	// than it takes at leastReadRate, in octets a second; one that takes longer is told no more
	// (NOTIFICATIONOVERFLOW).
	notifyPatience = 30 * time.Second
	leastReadRate  = 64 << 10
	// progressInterval is how often a long command tells the client how far it is.
	progressInterval = 10 * time.Second
	// pollInterval is how old a view may get before it is compared with the
	// database although no event came, where events of other instances do not
	// arrive. Where they do, it is trustedPollInterval to twice that.
	pollInterval        = 30 * time.Second
	trustedPollInterval = 5 * time.Minute
	// lookAgainMin is after how long a session in IDLE looks again whose look at the database failed,
	// or showed less than an event told of. It waits twice as long each time, up to lookAgainMax.
	lookAgainMin = 250 * time.Millisecond
	lookAgainMax = 30 * time.Second
	// trustEvents is for how long a session looks again and again for what an event told of. Then it
	// takes the event for wrong.
	trustEvents = time.Minute
)
