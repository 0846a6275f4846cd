package smarthost

import "time"

const (
	// DefaultConnections bounds the connections, in use and idle.
	DefaultConnections = 20
	// DefaultTimeout bounds each command (RFC 5321 section 4.5.3.2 gives five minutes).
	DefaultTimeout = 5 * time.Minute
	// dialTimeout bounds connecting and the greetings, with TLS and authentication, unless Timeout is
	// less.
	dialTimeout = time.Minute
	// waitTimeout bounds the wait for a free connection.
	waitTimeout = 30 * time.Second
	// userShare is the part of the connections that one user may have: one in so many.
	userShare = 4
	// idleTimeout is how long a connection waits for the next transaction. Smarthosts give more.
	idleTimeout = 30 * time.Second
	// quitTimeout bounds the farewell.
	quitTimeout = 2 * time.Second
	// maxAnswer bounds an answer of the smarthost, with what TLS adds to it, in octets.
	maxAnswer = 256 << 10
	// maxText bounds what is told of the smarthost's answers, in octets.
	maxText = 500
)
