package contents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"gadwall/dedupe"
	"gadwall/internal/dictionary"
	"gadwall/internal/transfer"
)

// tableVersion is the first byte of a segment table.
const tableVersion = 1

// errTable reports a stored segment table that no Writer makes.
var errTable = errors.New("malformed segment table")

// A segmentTable describes how the bytes of a content are stored.
type segmentTable struct {
	size       int64 // of the content
	headerSize int64 // of the root header block
	frames     []frameInfo
	segments   []segment
}

// A frameInfo describes a frame of inline bytes.
type frameInfo struct {
	start int64 // of its inline bytes
	size  int   // number of its inline bytes
	codec frameCodec
	dict  dictionary.ID // zstd: 0 is none
}

type frameCodec byte

const (
	frameRaw  frameCodec = iota // as it is
	frameZstd                   // one zstd frame
)

// A segment describes consecutive bytes of the content.
type segment struct {
	start  int64 // in the content
	recipe transfer.Recipe
	blob   bool

	inline int64 // inline only: where its stored bytes are in the inline bytes

	hash  dedupe.Hash // blobs only
	magic dedupe.Magic
}

func (s *segment) end() int64 { return s.start + s.recipe.EncodedLen() }

// inlineSize is the number of inline bytes.
func (l *segmentTable) inlineSize() int64 {
	if len(l.frames) == 0 {
		return 0
	}
	last := l.frames[len(l.frames)-1]
	return last.start + int64(last.size)
}

// segmentAt returns the index of the segment that has the byte at off, which must be in the
// content.
func (l *segmentTable) segmentAt(off int64) int {
	return sort.Search(len(l.segments), func(i int) bool { return l.segments[i].end() > off })
}

// frameAt returns the number of the frame that has the inline byte at off, which must be one.
func (l *segmentTable) frameAt(off int64) int {
	return sort.Search(len(l.frames), func(i int) bool { return l.frames[i].start+int64(l.frames[i].size) > off })
}

// blobRefs returns the references that the content holds.
func (l *segmentTable) blobRefs() []dedupe.Ref {
	var refs []dedupe.Ref
	for _, s := range l.segments {
		if s.blob {
			refs = append(refs, dedupe.Ref{Hash: s.hash, Magic: s.magic})
		}
	}
	return refs
}

const (
	segmentInline = iota
	segmentBlob
)

// append appends the stored form of l: a version byte; the sizes of content and root header; the
// number of frames, and for each codec, size, and for zstd the dictionary; the number of segments,
// and for each kind, for blobs hash and magic (32 bits, big endian), and recipe.
func (l *segmentTable) append(dst []byte) []byte {
	dst = append(dst, tableVersion)
	dst = binary.AppendUvarint(dst, uint64(l.size))
	dst = binary.AppendUvarint(dst, uint64(l.headerSize))
	dst = binary.AppendUvarint(dst, uint64(len(l.frames)))
	for _, f := range l.frames {
		dst = binary.AppendUvarint(append(dst, byte(f.codec)), uint64(f.size))
		if f.codec == frameZstd {
			dst = binary.AppendUvarint(dst, uint64(f.dict))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.segments)))
	for _, s := range l.segments {
		if s.blob {
			dst = append(append(dst, segmentBlob), s.hash[:]...)
			dst = binary.BigEndian.AppendUint32(dst, uint32(s.magic))
		} else {
			dst = append(dst, segmentInline)
		}
		dst = s.recipe.Append(dst)
	}
	return dst
}

// readTable reads a stored segment table, and checks that the segments cover the content and the
// inline segments the frames.
func readTable(src []byte) (*segmentTable, error) {
	r := tableReader{src: src}
	if v := r.bytes(1); r.err != nil || v[0] != tableVersion {
		return nil, fmt.Errorf("%w: version", errTable)
	}
	l := &segmentTable{}
	l.size = r.number(1 << 56)
	l.headerSize = r.number(l.size)
	r.frames(l)
	r.segments(l)
	if r.err == nil && len(r.src) > 0 {
		r.fail("bytes too many")
	}
	if r.err != nil {
		return nil, r.err
	}
	return l, nil
}

// A tableReader takes a segment table apart. After an error everything it returns is empty.
type tableReader struct {
	src []byte
	err error
}

func (r *tableReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errTable, what)
		r.src = nil
	}
}

func (r *tableReader) bytes(n int) []byte {
	if len(r.src) < n {
		r.fail("too short")
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *tableReader) number(limit int64) int64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || v > uint64(limit) {
		r.fail("number")
		return 0
	}
	r.src = r.src[n:]
	return int64(v)
}

func (r *tableReader) frames(l *segmentTable) {
	n := r.number(maxFrames)
	l.frames = make([]frameInfo, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		f := frameInfo{start: l.inlineSize()}
		if b := r.bytes(1); r.err == nil {
			f.codec = frameCodec(b[0])
		}
		f.size = int(r.number(FrameSize))
		switch {
		case f.codec == frameZstd:
			f.dict = dictionary.ID(r.number(1<<32 - 1))
		case f.codec != frameRaw:
			r.fail("frame codec")
		}
		if f.size == 0 {
			r.fail("empty frame")
		}
		l.frames = append(l.frames, f)
	}
}

func (r *tableReader) segments(l *segmentTable) {
	n := r.number(MaxSegments)
	l.segments = make([]segment, 0, n)
	var start, inline int64
	for ; n > 0 && r.err == nil; n-- {
		s := segment{start: start, inline: inline}
		kind := r.bytes(1)
		if r.err != nil {
			return
		}
		switch kind[0] {
		case segmentInline:
		case segmentBlob:
			s.blob = true
			copy(s.hash[:], r.bytes(dedupe.HashSize))
			if m := r.bytes(4); r.err == nil {
				s.magic = dedupe.Magic(binary.BigEndian.Uint32(m))
			}
		default:
			r.fail("segment kind")
		}
		if r.err != nil {
			return
		}
		var err error
		if s.recipe, r.src, err = transfer.ReadRecipe(r.src); err != nil {
			r.fail(err.Error())
			return
		}
		size := s.recipe.EncodedLen()
		if size == 0 || size > l.size-start {
			r.fail("segment size")
			return
		}
		if !s.blob {
			inline += s.recipe.DecodedSize
		} else {
			s.inline = 0
		}
		start += size
		l.segments = append(l.segments, s)
	}
	if start != l.size || inline != l.inlineSize() {
		r.fail("segments do not cover the content")
	}
}
