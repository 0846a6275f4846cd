package blobstore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore/frame"
	"gadwall/dedupe"
)

// codec is how the frames of a blob are stored.
type codec string

const (
	codecZstd codec = "zstd"
	codecRaw  codec = "raw"
)

// filesDoc is a document of blobs.files.
type filesDoc struct {
	ID         bson.ObjectID `bson:"_id"`
	Length     int64         `bson:"length"` // stored bytes
	ChunkSize  int32         `bson:"chunkSize"`
	UploadDate time.Time     `bson:"uploadDate"`
	Metadata   metadata      `bson:"metadata"`
}

type metadata struct {
	Hash    bson.Binary `bson:"hash"`
	Size    int64       `bson:"size"` // decoded bytes
	Refs    int64       `bson:"refs"`
	Magic   int64       `bson:"magic"`
	Touched time.Time   `bson:"touched"`
	Codec   codec       `bson:"codec"`

	// Frames has the stored size of every frame as an unsigned varint. Codec zstd only; raw
	// frames are stored in their own size.
	Frames []byte `bson:"frames,omitempty"`

	// Head and Sums (32 bytes per frame) are set if there is more than one frame.
	Head *bson.Binary `bson:"head,omitempty"`
	Sums []byte       `bson:"sums,omitempty"`
}

// layout says where the frames of a blob are.
type layout struct {
	id     bson.ObjectID
	hash   dedupe.Hash
	size   int64 // decoded
	length int64 // stored
	codec  codec
	ends   []int64 // codec zstd: where each frame ends in the stored bytes
}

// frameCount returns the number of frames of a blob of that size.
func frameCount(size int64) int { return int((size + FrameSize - 1) / FrameSize) }

// frameLen returns the decoded size of a frame.
func (l *layout) frameLen(k int) int {
	return int(min(FrameSize, l.size-int64(k)*FrameSize))
}

// stored returns where frame k is in the stored bytes.
func (l *layout) stored(k int) (from, to int64) {
	if l.codec == codecRaw {
		from = int64(k) * FrameSize
		return from, from + int64(l.frameLen(k))
	}
	if k > 0 {
		from = l.ends[k-1]
	}
	return from, l.ends[k]
}

// newLayout checks a files document as read (sums and head not needed) and returns its layout.
func newLayout(doc *filesDoc) (*layout, error) {
	l := &layout{id: doc.ID, size: doc.Metadata.Size, length: doc.Length, codec: doc.Metadata.Codec}
	var err error
	if l.hash, err = dedupe.HashFromBytes(doc.Metadata.Hash.Data); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	bad := func(what string) error {
		return fmt.Errorf("%w: %v: %s", ErrCorrupt, l.hash, what)
	}
	if doc.ChunkSize != ChunkSize {
		return nil, bad(fmt.Sprintf("chunk size %d", doc.ChunkSize))
	}
	if l.size < 0 || l.size > MaxFrames*FrameSize {
		return nil, bad(fmt.Sprintf("size %d", l.size))
	}
	switch l.codec {
	case codecRaw:
		if l.length != l.size {
			return nil, bad("size and length differ")
		}
		return l, nil
	case codecZstd:
	default:
		return nil, bad(fmt.Sprintf("codec %q", l.codec))
	}
	frames, end := frameCount(l.size), int64(0)
	l.ends = make([]int64, 0, frames)
	table := doc.Metadata.Frames
	for len(table) > 0 {
		v, n := binary.Uvarint(table)
		if n <= 0 || v > frame.MaxStored {
			return nil, bad("frame table")
		}
		table = table[n:]
		end += int64(v)
		l.ends = append(l.ends, end)
	}
	if len(l.ends) != frames || end+seekTableSize(frames) != l.length {
		return nil, bad("frame table")
	}
	return l, nil
}

// newFileID returns a random file id.
func newFileID() bson.ObjectID {
	var id bson.ObjectID
	rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// The seek table of the zstd seekable format: a skippable frame at the end of the stored bytes that
// has, for every frame, its stored and its decoded size (32 bits each, little endian), then a
// footer.
const (
	skippableMagic = 0x184D2A5E
	seekableMagic  = 0x8F92EAB1
	seekHeaderSize = 8
	seekEntrySize  = 8
	seekFooterSize = 9
)

func seekTableSize(frames int) int64 {
	return seekHeaderSize + int64(frames)*seekEntrySize + seekFooterSize
}

// seekTable returns the seek table of a blob of that decoded size whose frames have the given
// stored sizes.
func seekTable(sizes []uint32, size int64) []byte {
	n := len(sizes)
	t := make([]byte, 0, seekTableSize(n))
	t = binary.LittleEndian.AppendUint32(t, skippableMagic)
	t = binary.LittleEndian.AppendUint32(t, uint32(n*seekEntrySize+seekFooterSize))
	for _, s := range sizes {
		t = binary.LittleEndian.AppendUint32(t, s)
		t = binary.LittleEndian.AppendUint32(t, uint32(min(size, FrameSize)))
		size -= FrameSize
	}
	t = binary.LittleEndian.AppendUint32(t, uint32(n))
	t = append(t, 0) // descriptor: no checksums, the frames have sums
	return binary.LittleEndian.AppendUint32(t, seekableMagic)
}
