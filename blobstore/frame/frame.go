// Package frame compresses and decompresses frames. A frame is a bounded number of bytes,
// compressed as one zstd frame, so that a reader can decode any frame without the others.
//
// One encoder and one decoder, for as many calls at a time as there are processors, serve the whole
// process: an encoder keeps about 4.5 MiB of tables, which would otherwise be the greatest part of
// the memory of a delivery. Their window is no larger than a frame.
//
// The level is "better". docs/measured.md compares the levels.
package frame

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxSize is the greatest number of decoded bytes of a frame.
const MaxSize = 128 << 10

// MaxStored is the greatest size of a compressed frame: bytes that do not compress gain a frame
// header and block headers.
const MaxStored = MaxSize + 64

// ErrCorrupt reports stored bytes that are not the expected frame.
var ErrCorrupt = errors.New("stored frame is damaged")

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(MaxSize),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
})

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxSize),
		zstd.WithDecodeAllCapLimit(true))
})

// Compress appends the compressed form of src, at most MaxSize bytes, to dst.
func Compress(dst, src []byte) ([]byte, error) {
	if len(src) > MaxSize {
		return dst, fmt.Errorf("compress a frame of %d bytes, at most %d", len(src), MaxSize)
	}
	enc, err := encoder()
	if err != nil {
		return dst, fmt.Errorf("zstd encoder: %w", err)
	}
	return enc.EncodeAll(src, dst), nil
}

// Decompress decodes a compressed frame of exactly size bytes into dst, which needs that capacity,
// and returns them. It never makes more bytes, whatever src holds.
func Decompress(dst, src []byte, size int) ([]byte, error) {
	if size > MaxSize || size > cap(dst) {
		return nil, fmt.Errorf("decompress a frame of %d bytes into %d", size, cap(dst))
	}
	dec, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	out, err := dec.DecodeAll(src, Room(dst, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrCorrupt, len(out), size)
	}
	return out, nil
}

// Room returns dst, empty, with the capacity that a decoder gets for a frame of size bytes. It is a
// little larger than size if dst has the room, because a decoder then copies in longer steps. The
// caller checks that the decoder made size bytes.
func Room(dst []byte, size int) []byte {
	const slack = 16
	return dst[:0:min(size+slack, cap(dst))]
}

// buffers holds byte slices of capacity MaxStored.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, MaxStored); return &b }}

// Buffer returns an empty buffer that holds any frame, decoded or stored. Give it back with
// Release.
func Buffer() *[]byte { return buffers.Get().(*[]byte) }

// Release gives back a buffer, which the caller must not use any more. nil is ignored.
func Release(b *[]byte) {
	if b == nil || cap(*b) < MaxStored {
		return
	}
	*b = (*b)[:0]
	buffers.Put(b)
}
