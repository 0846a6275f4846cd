package account

import "time"

const (
	// MaxImport is how many messages one Import takes (mailstore.ErrTooMany).
	MaxImport = 1000
	// MaxIdentifier is in octets (ErrInvalidIdentifier).
	MaxIdentifier = 300
	// copyBuffer is how much of a message Import.Add reads at once.
	copyBuffer = 32 << 10
	// maxOrderBytes bounds the orders of mailboxes that an instance keeps for the next sort: about
	// those of 1,000,000 messages by subject. minOrder is from how many messages on one is kept.
	maxOrderBytes = 64 << 20
	minOrder      = 500
	// groupsKept is for how long a user who was in no group is taken for one who is in none. Who is in
	// a group is looked up each time.
	groupsKept = 2 * time.Second
	// discardTimeout bounds the release of references after the client has gone.
	discardTimeout = 30 * time.Second
)
