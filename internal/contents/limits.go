package contents

import "time"

const (
	// A leaf that is not text, or is attached text, becomes a blob from BlobThreshold bytes on. The
	// size is that as it came; for base64, about the decoded size.
	BlobThreshold = 4 << 10

	// TextThreshold is the threshold for other text. Few mails share such text, and clients read it
	// with the message.
	TextThreshold = 64 << 10

	// A small body is stored decoded from DecodeThreshold encoded bytes on, if that makes it
	// shorter by DecodeSaving: otherwise the recipe costs more than it gains.
	DecodeThreshold = 128
	DecodeSaving    = 32

	// FrameSize is the greatest number of inline bytes in a frame.
	FrameSize = 64 << 10

	// The root header gets a frame of its own if at least HeadRest inline bytes follow it. With
	// fewer, one frame with both is smaller, and as cheap to read.
	HeadRest = 512

	// InlineBudget is the greatest sum of the stored sizes of the frames of one content. All later
	// bytes go to blobs, structure too.
	InlineBudget = 512 << 10

	// Beyond the InlineBudget, the Writer makes no blobs for single parts from SpillSegments
	// segments on: all the rest is one blob.
	SpillSegments = 256

	// MaxSegments is the number of segments of a content. The last takes all the rest.
	MaxSegments = 4096

	// maxFrames is the number of frames that a segment table may have. Frames that compress
	// extremely well reach it before the InlineBudget. All later bytes go to blobs.
	maxFrames = 256

	// loadBatch is the number of contents that one query loads.
	loadBatch = 256

	// allFrames is the number of frames that Want.All loads at once: all of nearly every mail.
	// Further frames are loaded when they are read.
	allFrames = 8

	// maxFirst is how many bytes a Writer holds to make the short header of them, and minFirst how
	// much room it makes at first. Of a larger header it is made when a client asks for it.
	maxFirst = 16 << 10
	minFirst = 4 << 10

	// The FrameCache keeps a frame that was read in part if its decoded size is at least cacheFrom.
	cacheFrom = 16 << 10

	// cleanupTimeout bounds each attempt to clean up.
	cleanupTimeout = 10 * time.Second

	// maxAttempts bounds the attempts of Finish while a content of the same ID appears and
	// disappears.
	maxAttempts = 5
)
