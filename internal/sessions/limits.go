package sessions

import "time"

const (
	// lookEvery is how often an instance looks for orders.
	lookEvery = time.Second
	// askEvery is how often somebody who asks looks for replies, and patience for how long.
	askEvery = 100 * time.Millisecond
	patience = 4 * time.Second
	// peerEvery is how often an instance says that it is a peer, and peerExpires when that ends.
	peerEvery   = 30 * time.Second
	peerExpires = 90 * time.Second
	// orderExpires is when orders and replies end.
	orderExpires = time.Minute
	// maxListed bounds the sessions that one instance tells of; further ones are left out.
	// chunkSessions are in one document.
	maxListed     = 20_000
	chunkSessions = 2_000
	// maxDocuments bounds the documents of one look.
	maxDocuments = 1_000
	// callTimeout bounds one call of the database.
	callTimeout = 10 * time.Second
)
