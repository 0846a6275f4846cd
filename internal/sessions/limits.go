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
	// orderExpires is when replies end, and how long a list is worth an answer.
	orderExpires = time.Minute
	// orderKept is how long orders can be read. An instance that cannot look for them for longer ends
	// all its sessions. orderLate is how much later than its time an order may come to be read: writes
	// take time, and the clocks of the servers of one database differ.
	orderKept = time.Hour
	orderLate = time.Minute
	// orderPage is how many orders are read by one query.
	orderPage = 2_000
	// maxSeen bounds the orders that an instance knows to have done. It must be more than those of two
	// times orderLate, which each look reads; others are read again only if the database's clock goes
	// back.
	maxSeen = 100_000
	// loginTakes is how long a login takes at most, from what it shows to its session.
	loginTakes = 5 * time.Minute
	// maxEnded bounds what is remembered of ended sessions. Past that, all logins under way end.
	// maxEndedOfUser bounds what is remembered of one user's, who can make many by taking back what
	// opens sessions. Past that, all logins of this user that are under way end.
	maxEnded       = 10_000
	maxEndedOfUser = 100
	// maxListed bounds the sessions that one instance tells of; further ones are left out.
	// chunkSessions are in one document.
	maxListed     = 20_000
	chunkSessions = 2_000
	// maxDocuments bounds the peers, and the replies to one order.
	maxDocuments = 1_000
	// callTimeout bounds one call of the database.
	callTimeout = 10 * time.Second
)
