package httpapi

import "time"

const (
	// maxUserBody bounds the body of a request about one user (413).
	maxUserBody = 64 << 10
	// defaultUsers are the users of a page; mailstore.MaxPage is the most.
	defaultUsers = 100
	// defaultMessages and maxMessages are the messages of a page of a mailbox.
	defaultMessages = 50
	maxMessages     = 500
	// maxThread bounds the messages that are listed of a thread.
	maxThread = 500
	// maxChanged bounds the messages of one change.
	maxChanged = 1000
	// defaultMaxMessageSize bounds an upload, in octets (413).
	defaultMaxMessageSize = 512 << 20
	// maxSubmitRecipients bounds the recipients of a message that is sent, and maxSubmitHeader the
	// header in which they are looked for, in octets.
	maxSubmitRecipients = 1000
	maxSubmitHeader     = 256 << 10
	// defaultFound and maxFound are the messages of a page of a search.
	defaultFound = 20
	maxFound     = 100
	// snippetLength is in characters. maxSnippetText bounds the text of a message in which a hit is
	// looked for to be shown, in octets.
	snippetLength  = 160
	maxSnippetText = 256 << 10
	// defaultLogLines and maxLogLines are the lines of the log that are told at a time.
	defaultLogLines = 100
	maxLogLines     = 500
	// maxStreams and maxStreamsPerUser bound the streams of updates that are open (429).
	maxStreams        = 500
	maxStreamsPerUser = 20
	// maxWatches bounds the open streams of what happens to all users (429).
	maxWatches = 20
	// heartbeat is how often a stream of updates sends something, and looks whether its client may
	// still read. updateWait bounds the time in which a client takes what is sent.
	heartbeat  = 20 * time.Second
	retryAfter = 3 * time.Second // for clients that were cut
	updateWait = 10 * time.Second
	// maxRequestID bounds the id that a client gives to a request, in octets; a longer one is
	// replaced.
	maxRequestID = 64
	// minCompressed is the size from which JSON is worth compressing.
	minCompressed = 1 << 10
	// maxHeader bounds a request's header (431, by net/http).
	maxHeader = 16 << 10

	// defaultMaxConnections bounds open connections. Past it, only /health is answered.
	defaultMaxConnections = 1000
	// defaultMaxConnectionsPerAddress bounds the open connections of one client address.
	defaultMaxConnectionsPerAddress = 200
	// reservedConnections are accepted past these limits, and closed after one request.
	reservedConnections = 64
	// reservedPerAddress bounds how many of those one address may hold.
	reservedPerAddress = 8

	headerTimeout = 10 * time.Second
	// reservedHeaderTimeout is for connections past the limits.
	reservedHeaderTimeout = 2 * time.Second
	// pieceTimeout bounds the time in which a client takes or sends the next octets of a message.
	pieceTimeout = time.Minute
	// submitTimeout bounds the answer to a message that is sent: the smarthost may take its time.
	submitTimeout = 15 * time.Minute
	// maxAgent is how long the name of a program may be that a list of sessions has.
	maxAgent = 256
	// deleteWait bounds the time for which a request waits until a user's mail is removed.
	deleteWait = 10 * time.Second
	// maxGrace bounds how long a deleted user can be brought back.
	maxGrace    = 10 * 365 * 24 * time.Hour
	idleTimeout = 2 * time.Minute
	// routeTimeout bounds one request: reading it, the work, and the answer.
	routeTimeout = 45 * time.Second
	// metricsTimeout bounds gathering and sending what /metrics shows.
	metricsTimeout = 30 * time.Second
	// healthTimeout bounds a request to /health, pingTimeout the answer of the database to it.
	healthTimeout = 10 * time.Second
	pingTimeout   = 3 * time.Second
)
