package index

import "time"

const (
	// groupBits is how many columns a document has.
	groupBits = 64
	// groupCount is how many groups there are.
	groupCount = bitCount / groupBits

	// blockRows bounds the mails of a block. Making one takes bitCount/8 octets for each.
	blockRows = 4096
	// turnRows is how many rows a user has when they are turned.
	turnRows = 512
	// mergeBlocks is how many small blocks become a large one. A search reads that many documents
	// more at most for each bit of its needle. Merging each time that two have the same size takes
	// three times the processor time.
	mergeBlocks = blockRows / turnRows

	// maxQueue bounds the mails that wait for their rows. Those beyond are left to the next Repair.
	maxQueue = 16384
	// batchMails is how many mails get their rows by one write.
	batchMails = 64
	// batchWait is how long a mail waits for others to share the write of its row.
	batchWait = time.Second
	// maxPointReads is how many documents are read by their keys, instead of by ranges.
	maxPointReads = 512
	// callTimeout bounds a write in the background.
	callTimeout = time.Minute
	// turnInterval is the time between two looks for work of other instances.
	turnInterval = 10 * time.Minute
	// repairInterval is the time between two comparisons of the index with the mails.
	repairInterval = time.Hour
	// maxCounted bounds the users whose new rows the Writer counts.
	maxCounted = 1 << 16
)

// rules is the version of what rows and blocks say of a text. It changes with casemap, with the
// texts that a search reads, and with grams.go. Others exclude nothing and are made anew.
const rules = int32(1)
