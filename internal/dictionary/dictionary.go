package dictionary

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"gadwall/blobstore/frame"
)

// ID names a dictionary.
type ID uint32

// Kind is the sort of bytes that a dictionary compresses.
type Kind uint8

const (
	Headers Kind = iota
	Text
	HTML
	Kinds = iota
)

var kindNames = [Kinds]string{"headers", "text", "html"}

func (k Kind) String() string { return kindNames[k] }

// parseKind reads what String wrote.
func parseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("%w: kind %q", ErrMalformed, name)
}

const (
	// MaxSize bounds a dictionary in bytes. Larger ones gain next to nothing.
	MaxSize = 128 << 10

	// firstTrained is the first ID of trained dictionaries. Those of shipped ones begin where the
	// IDs begin that zstd does not reserve (RFC 8878 section 5).
	firstShipped = 32768
	firstTrained = 65536
	lastTrained  = 1<<31 - 1

	// largeFrame is the size from which on frames with HTML are compressed by the level "better"
	// instead of "fastest". For smaller ones, copying the tables of the dictionary takes longer
	// than compressing; see docs/measured.md.
	largeFrame = 8 << 10

	// maxLarge bounds the number of these frames that are compressed at a time: each takes about 8
	// MiB.
	maxLarge = 2

	// maxParallel bounds the number of frames that are compressed, and decompressed, at a time with
	// one dictionary: each takes about 1 MiB.
	maxParallel = 8
)

var (
	// ErrMalformed reports bytes that are no dictionary.
	ErrMalformed = errors.New("malformed dictionary")

	// ErrUnknown reports an ID of which there is no dictionary.
	ErrUnknown = errors.New("unknown dictionary")
)

// A Dictionary compresses and decompresses frames. It is safe for concurrent use. A nil Dictionary
// makes and reads frames without a dictionary.
type Dictionary struct {
	id           ID
	kind         Kind
	data         []byte
	small, large func() (*zstd.Encoder, error)
	decoder      func() (*zstd.Decoder, error)
}

// New returns the Dictionary of those bytes, in zstd's format.
func New(kind Kind, data []byte) (*Dictionary, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	info, err := zstd.InspectDictionary(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	d := &Dictionary{id: ID(info.ID()), kind: kind, data: data}
	d.small = encoder(data, zstd.SpeedFastest, parallel())
	d.large = d.small
	if kind == HTML {
		d.large = encoder(data, zstd.SpeedBetterCompression, min(parallel(), maxLarge))
	}
	d.decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil,
			zstd.WithDecoderDicts(data),
			zstd.WithDecoderConcurrency(parallel()),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(frame.MaxSize),
			zstd.WithDecodeAllCapLimit(true))
	})
	return d, nil
}

// encoder returns a function that makes an encoder, once.
func encoder(dictionary []byte, level zstd.EncoderLevel, parallel int) func() (*zstd.Encoder, error) {
	return sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil,
			zstd.WithEncoderDict(dictionary),
			zstd.WithEncoderConcurrency(parallel),
			zstd.WithEncoderLevel(level),
			zstd.WithWindowSize(frame.MaxSize),
			zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false))
	})
}

func parallel() int { return min(runtime.GOMAXPROCS(0), maxParallel) }

// ID returns the ID of d, 0 for nil.
func (d *Dictionary) ID() ID {
	if d == nil {
		return 0
	}
	return d.id
}

// Kind returns the kind of d.
func (d *Dictionary) Kind() Kind { return d.kind }

// Compress appends the compressed form of src, at most frame.MaxSize bytes, to dst.
func (d *Dictionary) Compress(dst, src []byte) ([]byte, error) {
	if d == nil {
		return frame.Compress(dst, src)
	}
	if len(src) > frame.MaxSize {
		return dst, fmt.Errorf("compress a frame of %d bytes, at most %d", len(src), frame.MaxSize)
	}
	encoder := d.small
	if len(src) >= largeFrame {
		encoder = d.large
	}
	enc, err := encoder()
	if err != nil {
		return dst, fmt.Errorf("zstd encoder with dictionary %d: %w", d.id, err)
	}
	return enc.EncodeAll(src, dst), nil
}

// Decompress decodes a frame of exactly size bytes as frame.Decompress does. A frame that was made
// without a dictionary or with another one is frame.ErrCorrupt.
func (d *Dictionary) Decompress(dst, src []byte, size int) ([]byte, error) {
	if d == nil {
		return frame.Decompress(dst, src, size)
	}
	if size > frame.MaxSize || size > cap(dst) {
		return nil, fmt.Errorf("decompress a frame of %d bytes into %d", size, cap(dst))
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil || h.DictionaryID != uint32(d.id) {
		return nil, fmt.Errorf("%w: not made with dictionary %d", frame.ErrCorrupt, d.id)
	}
	dec, err := d.decoder()
	if err != nil {
		return nil, fmt.Errorf("zstd decoder with dictionary %d: %w", d.id, err)
	}
	out, err := dec.DecodeAll(src, frame.Room(dst, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", frame.ErrCorrupt, err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", frame.ErrCorrupt, len(out), size)
	}
	return out, nil
}

// Bytes returns d in zstd's format. The caller must not change them.
func (d *Dictionary) Bytes() []byte { return d.data }
