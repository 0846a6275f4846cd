package doctor

import "time"

const (
	// lookTimeout bounds each look, databaseTimeout all of those of the database.
	lookTimeout     = 20 * time.Second
	databaseTimeout = 45 * time.Second
	// askTimeout bounds one question to a name server, a Redis or a smarthost.
	askTimeout = 5 * time.Second

	// Of disks: less than lowDisk free octets, or less than a share of lowShare, is a warning; less
	// than fullDisk stops mail.
	lowDisk  = 2 << 30
	lowShare = 0.1
	fullDisk = 64 << 20

	// skewWarning is how much clocks may differ without a word.
	skewWarning = 2 * time.Second
	// lagWarning is how far a member of a replica set may be behind.
	lagWarning = time.Minute
	// keepFiles is how many files a server opens beside its connections.
	keepFiles = 1500
	// imapConnections, httpConnections are what the servers take at most.
	imapConnections = 20_000
	httpConnections = 1000

	// maxGreeting bounds the first line of a server.
	maxGreeting = 1000
	// maxAddresses bounds the addresses of a name at which is looked.
	maxAddresses = 8

	leastRedis = 6 // the oldest major version that is maintained by anybody
)
