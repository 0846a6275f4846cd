package ingest

import "time"

const (
	// DefaultMaxMessageSize is the largest body taken (552 5.3.4).
	DefaultMaxMessageSize = 512 << 20
	// DefaultMaxConnections bounds the open connections of trusted MTAs, and those of all others
	// (421 4.3.2).
	DefaultMaxConnections = 1000
	// DefaultMaxConnectionsPerAddress bounds the open connections of one IPv4 address or one /64
	// of IPv6 (421 4.7.0).
	DefaultMaxConnectionsPerAddress = 100
	// ipv6Client is the length of the prefix that belongs to one client.
	ipv6Client = 64
	// maxTurnedAway is how many connections are told at a time that there is no room; more are
	// closed without a word.
	maxTurnedAway = 100
	// maxNetworks bounds for how many networks of clients the server remembers refusals.
	maxNetworks = 10_000

	// maxRecipients bounds one transaction (452 4.5.3). RFC 5321 section 4.5.3.1.8 asks for 100 at
	// least.
	maxRecipients = 1000
	// maxCommandLine bounds a command with its line end (500 5.5.2). RFC 5321 section 4.5.3.1.4
	// says 512, the extensions add some hundreds.
	maxCommandLine = 4 << 10
	// maxOverlongLine bounds what is read to find the end of a longer line before the connection
	// is closed.
	maxOverlongLine = 1 << 20
	// maxAuthLine bounds a line within AUTH (RFC 4954 section 4).
	maxAuthLine = 12288
	// maxMistakes is how many commands without sense a client may send between two messages
	// (421 4.7.0).
	maxMistakes = 10
	// maxIdleCommands is how many commands a client may send between two messages that do nothing
	// for one (421 4.7.0). A client that reuses connections sends RSET before each message.
	maxIdleCommands = 100
	// maxRefused is how many recipients of one connection may be unknown (421 4.7.0).
	maxRefused = 100
	// freeRefusals is how many unknown recipients of a network are answered at once. From then on
	// each makes the reply wait refusalDelay longer, up to maxRefusalDelay. One is forgotten every
	// refusalMemory.
	freeRefusals    = 20
	refusalDelay    = 100 * time.Millisecond
	maxRefusalDelay = 5 * time.Second
	refusalMemory   = time.Second
	// maxHelo bounds the argument of HELO, EHLO and LHLO (RFC 5321 section 4.5.3.1.2).
	maxHelo = 255
	// maxParameters bounds the parameters of MAIL and RCPT (501 5.5.4).
	maxParameters = 20
	// maxEnvelopeID bounds ENVID (RFC 3461 section 4.4).
	maxEnvelopeID = 100
	// maxHead is how much of a body is searched for the client's queue id.
	maxHead = 4 << 10
	// maxLogID bounds an id of the client's in log lines.
	maxLogID = 200
	// maxEmptyReads is how often in a row a socket may have nothing and no error either.
	maxEmptyReads = 100
	// maxLinger bounds what is read from a client that was told that the connection ends.
	maxLinger = 1 << 20

	// commandBuffer is the buffer of a waiting connection; a command line must fit.
	commandBuffer = maxCommandLine
	// bodyBuffer is the buffer of a connection that receives a body; a line of AUTH must fit.
	bodyBuffer = 32 << 10
	// copyBuffer is how much of a body is handed on at a time.
	copyBuffer = 64 << 10
	// writeBuffer is how many octets of replies wait at most for further ones.
	writeBuffer = 4 << 10

	// commandTimeout is how long to wait for a command, and within a body for its next octets
	// (RFC 5321 section 4.5.3.2.7).
	commandTimeout = 5 * time.Minute
	// greetingTimeout is how long a client may take from connecting, or from STARTTLS, to its
	// greeting.
	greetingTimeout = time.Minute
	// bodyTimeout bounds the transfer of a whole body.
	bodyTimeout = time.Hour
	// writeTimeout bounds how long a client may take to read our replies.
	writeTimeout = time.Minute
	// lingerTimeout bounds how long a client is listened to that was told that the connection ends.
	lingerTimeout = time.Second
	// handshakeTimeout bounds a TLS handshake.
	handshakeTimeout = 30 * time.Second
	// authTimeout bounds an exchange of AUTH.
	authTimeout = 5 * time.Minute
	// lookupTimeout bounds the database queries for one RCPT.
	lookupTimeout = 30 * time.Second
	// deliverTimeout bounds making a body that has arrived durable.
	deliverTimeout = 5 * time.Minute
	// abortTimeout bounds the release of what an aborted body had stored.
	abortTimeout = 30 * time.Second
)
