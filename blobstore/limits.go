package blobstore

import (
	"time"

	"gadwall/dedupe"
)

const (
	// ChunkSize is the size of the data of every chunk document but the last of a file, in bytes:
	// GridFS's default, which keeps a chunk document below 256 KiB.
	ChunkSize = 255 << 10

	// FrameSize is the number of decoded bytes in every frame but the last of a blob. Half a
	// chunk: stored raw, a frame never straddles two chunks; and two neighbouring frames never
	// touch three, unless they are zstd frames of which neither compressed and the first begins
	// in the last two dozen bytes of a chunk. It is far above what zstd needs to compress well.
	FrameSize = ChunkSize / 2

	// trialShare: a blob is compressed if its first frames become shorter by one part in so many.
	// Blocks that do not compress are stored as they are within zstd frames, and cost a reader next
	// to nothing; with 16, PDF files would take 2.5 % more.
	trialShare = 64

	// MaxFrames bounds the frames of one blob (48 GiB decoded), so that its files document stays
	// below 16 MB. Beyond it a write fails with ErrTooLarge.
	MaxFrames = 400_000

	// MaxUploadTime is how long an upload may take from NewWriter to Finish, which fails
	// with ErrTooSlow beyond it: it may hold a reference all the time.
	MaxUploadTime = dedupe.MaxHold

	// OrphanGrace is the age at which chunks that no files document names are garbage: they cannot
	// belong to an upload that is still going on.
	OrphanGrace = 2 * MaxUploadTime

	// auditBatch is the number of files whose chunks are looked at together.
	auditBatch = 500

	// orphanBatch is the number of orphan chunks that are counted at a time.
	orphanBatch = 4

	// deleteBatch is the number of chunks that one command deletes.
	deleteBatch = 500

	// maxCandidates is how many stored blobs with the same first frame an upload is compared with,
	// and candidateBytes how many bytes of sums they may have together (beyond the first one).
	maxCandidates  = 16
	candidateBytes = 512 << 10

	// groupBytes is how many stored bytes one query reads: of small blobs together, or of a range
	// that has no more chunks. Longer ranges are read chunk by chunk, which keeps less in memory
	// and is as fast, since the next chunk is read while one is written.
	groupBytes = 2 * ChunkSize

	// openBatch is the number of files documents, and the greatest number of chunks, that one query
	// reads.
	openBatch = 256

	// cleanupTimeout bounds each attempt to clean up.
	cleanupTimeout = 10 * time.Second

	// maxAttempts bounds how often Finish starts again when a blob of the same hash appears and
	// disappears meanwhile.
	maxAttempts = 5
)
