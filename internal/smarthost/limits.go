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
	// reclaimInterval is how often who waits looks for clients that dawdle. A client dawdles that is
	// silent for commandLull before DATA, and for dataLull after it; or that has sent less than minRate
	// octets a second in fairTime or more.
	reclaimInterval = time.Second
	commandLull     = 2 * time.Second
	dataLull        = 15 * time.Second
	fairTime        = 20 * time.Second
	minRate         = 8 << 10
	// maxResumes bounds how often a transaction says its recipients again.
	maxResumes = 3
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
