package blobstore

import (
	"time"

	"gadwall/dedupe"
)

const (
	// ChunkSize is the size of the data of every chunk document but the last of a file, in bytes:
	// GridFS's default, which keeps a chunk document below 256 KiB.
	ChunkSize = 255 << 10

	// FrameSize is the number of decoded bytes in every frame but the last of a blob. Half a chunk:
	// stored raw, a frame never straddles two chunks; and two neighbouring frames never touch
	// three, unless they are zstd frames of which neither compressed and the first begins in the
	// last two dozen bytes of a chunk. It is far above what zstd needs to compress well.
	FrameSize = ChunkSize / 2

	// trialShare is the saving that makes a Writer compress a blob: its first frames must become
	// shorter by one part in trialShare. zstd stores blocks that do not compress as they are, so
	// they cost a reader next to nothing.
	trialShare = 64

	// chunksAtATime is the number of chunks that are written beside their uploads, of all uploads of
	// a Store together. With the last one, which the upload writes itself, these are the chunks of
	// 1 MB. Without a place an upload writes its chunk itself and waits. So many uploads at once
	// need little more memory than a chunk each. A chunk being written takes about three times
	// ChunkSize: the buffer, the document and the command.
	chunksAtATime = 3

	// MaxFrames bounds the frames of one blob (48 GiB decoded), so that its files document stays
	// below 16 MB. Beyond it a write fails with ErrTooLarge.
	MaxFrames = 400_000

	// MaxUploadTime is how long an upload may take from NewWriter to Finish, which fails with
	// ErrTooSlow beyond it: it may hold a reference all the time.
	MaxUploadTime = dedupe.MaxHold

	// OrphanGrace is the age at which chunks that no files document names are garbage: they cannot
	// belong to an upload that is still going on.
	OrphanGrace = 2 * MaxUploadTime

	// auditBatch is the number of files whose chunks a check reads together.
	auditBatch = 500

	// orphanBatch is the number of orphan chunks that a check counts at a time.
	orphanBatch = 4

	// deleteBatch is the number of chunks that one command deletes.
	deleteBatch = 500

	// maxCandidates is the greatest number of stored blobs with the same first frame with which a
	// Writer compares an upload, and candidateBytes the bytes of sums that they may have together
	// (beyond the first blob).
	maxCandidates  = 16
	candidateBytes = 512 << 10

	// groupBytes is the number of stored bytes that one query reads, of several small blobs or of a
	// range of as many chunks. An Ahead reads longer ranges chunk by chunk. That keeps less in
	// memory and is as fast, since it reads the next chunk while the caller writes one.
	groupBytes = 2 * ChunkSize

	// AheadBytes is the number of stored bytes that an Ahead has in memory at most.
	AheadBytes = 3 * groupBytes

	// keepFrames is the number of frames behind a slice that are kept, if the chunk has them, for a
	// client that reads slice by slice.
	keepFrames = 2

	// openBatch is the number of files documents, and the greatest number of chunks, that one query
	// reads.
	openBatch = 256

	// cleanupTimeout bounds each attempt to clean up, and a write of a chunk whose caller has gone.
	cleanupTimeout = 10 * time.Second

	// maxAttempts bounds the attempts of Finish while a blob of the same hash appears and
	// disappears.
	maxAttempts = 5
)
