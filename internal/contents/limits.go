package contents

import "time"

const (
	// BlobThreshold is the size from which on a leaf that is not text, or is text that is attached,
	// becomes a blob: as it came, or for base64 about when decoded.
	BlobThreshold = 4 << 10

	// TextThreshold is the same for other text, which is rarely equal to other text, and is read
	// with the message.
	TextThreshold = 64 << 10

	// DecodeThreshold is the encoded size from which on a small body is stored decoded, and
	// DecodeSaving how much shorter it must become: otherwise the recipe costs more than is gained.
	DecodeThreshold = 128
	DecodeSaving    = 32

	// FrameSize is the greatest number of inline bytes in a frame.
	FrameSize = 64 << 10

	// HeadRest is how many inline bytes must follow the root header for it to get a frame of its
	// own. With fewer, one frame with both is smaller, and as cheap to read.
	HeadRest = 512

	// InlineBudget is the greatest sum of the stored sizes of the frames of one content. Whatever
	// comes after it goes to blobs, structure too.
	InlineBudget = 512 << 10

	// SpillSegments is the number of segments from which on, beyond the InlineBudget, no blobs are
	// made for single parts any more: all the rest is one blob.
	SpillSegments = 256

	// MaxSegments is the number of segments of a content. The last takes all the rest.
	MaxSegments = 4096

	// maxFrames is the number of frames that a segment table may have. Frames that compress extremely well
	// reach it before the InlineBudget; whatever comes after it goes to blobs.
	maxFrames = 256

	// loadBatch is the number of contents that one query loads.
	loadBatch = 256

	// allFrames is how many frames Want.All loads at once: all of nearly every mail. Further ones
	// are loaded when they are read.
	allFrames = 8

	// cacheFrom is the decoded size from which on a frame that was read in part is kept in the
	// FrameCache.
	cacheFrom = 16 << 10

	// cleanupTimeout bounds each attempt to clean up.
	cleanupTimeout = 10 * time.Second

	// maxAttempts bounds how often Finish starts again when a content of the same ID appears and
	// disappears meanwhile.
	maxAttempts = 5
)
