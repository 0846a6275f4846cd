package imap

import "gadwall/blobstore"

// Limits of FETCH. What goes beyond one of the first four is a syntax error
// (BAD); the others only divide the work.
const (
	// maxFetchItems bounds the data items of one FETCH.
	maxFetchItems = 256
	// maxHeaderNames bounds the field names of one HEADER.FIELDS list.
	maxHeaderNames = 512
	// maxHeaderName bounds the octets of one field name (RFC 5322 section 2.1.1 allows
	// 998 for a whole line).
	maxHeaderName = 998
	// maxSectionDepth bounds the numbers of a section part.
	maxSectionDepth = 256

	// fetchBatch is how many messages share one read of contents and one
	// change of \Seen, and fetchBatchBytes the size of messages that are read
	// before the first of them is written.
	fetchBatch      = 256
	fetchBatchBytes = 512 << 10
	// maxBatchMemory is what one batch has in memory at most: its messages, or
	// what is read ahead of the blobs of a large one.
	maxBatchMemory = fetchBatchBytes + blobstore.AheadBytes
	// defaultFetchMemory is the budget of a server for all batches; one user's
	// sessions have at most one part in fetchShares of it. A FETCH that finds too little waits.
	defaultFetchMemory = 128 << 20
	fetchShares        = 4
	// describeMemory is what a description has in memory, about: a header block
	// (mimestream.MaxHeaderBytes) and what it says of a part, and the part table.
	// describingMemory is the budget of a server for all descriptions, of which one
	// user's sessions have at most one part in fetchShares.
	describeMemory   = 3 << 20
	describingMemory = 48 << 20
	// headerEstimate is what the root header of a message needs, about.
	headerEstimate = 8 << 10
	// shortEstimate is what a short header needs, about.
	shortEstimate = 2 << 10
	// fetchBuffer is the size up to which a section is read before its literal
	// is begun, so that an error still costs only this message.
	fetchBuffer = 64 << 10
	// maxUnreadable is how many messages may turn out to be unreadable before
	// the command is given up.
	maxUnreadable = 20
	// fetchKeep is how large a buffer may be that is kept for the next message.
	fetchKeep = 256 << 10
)
