package listen

import "time"

const (
	// headerTimeout bounds how long a trusted proxy may take to send its header. The connection is
	// closed after that.
	headerTimeout = 5 * time.Second
	// maxHeaders is how many connections may wait for their headers at a time. One more is closed.
	maxHeaders = 1024
	// headerBuffer is the size of reads while the header comes. A header of version 1 has 107
	// octets at most.
	headerBuffer = 256
	// complainEvery is how often refused headers are logged, with their number.
	complainEvery = time.Minute

	// DefaultSocketMode are the permissions of a Unix socket.
	DefaultSocketMode = 0o660
	// probeTimeout bounds how long a process that listens on a Unix socket may take to accept.
	probeTimeout = 2 * time.Second

	// ExpiryWarning is how long before the end of a certificate warnings begin.
	ExpiryWarning = 21 * 24 * time.Hour
)
