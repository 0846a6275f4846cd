package account

import "time"

const (
	// MaxImport is how many messages one Import takes (mailstore.ErrTooMany).
	MaxImport = 1000
	// copyBuffer is how much of a message Import.Add reads at once.
	copyBuffer = 32 << 10
	// discardTimeout bounds the release of references after the client has gone.
	discardTimeout = 30 * time.Second
)
