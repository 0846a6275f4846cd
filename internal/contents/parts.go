package contents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"gadwall/mimestream"
)

// partsVersion is the first byte of a part table.
const partsVersion = 1

// errParts reports a stored part table that no Writer makes.
var errParts = errors.New("malformed part table")

// Bits of the second byte of a part. The first has the kind (two bits) and Degraded (six).
const (
	partHasType = 1 << iota
	partHasNUL
	partHas8bit
	partHasCharset
	partHasEncoding
	partHasDisposition
	partFlags // all above are less
)

// The words that are stored as a number: their index plus one. A word that is not in the list is
// stored as a 0, its length and itself. The lists are part of the format: append only.
var (
	mediaTypes = []string{
		"text/plain", "text/html", "multipart/alternative", "multipart/mixed", "multipart/related",
		"multipart/report", "multipart/signed", "message/rfc822", "message/delivery-status",
		"text/calendar", "application/pdf", "application/octet-stream", "image/jpeg", "image/png",
		"image/gif", "application/pkcs7-signature", "application/x-pkcs7-signature",
		"application/pgp-signature", "application/zip", "application/msword", "application/ics",
		"text/rfc822-headers", "text/csv",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation",
	}
	encodings = []string{"7bit", "8bit", "binary", "quoted-printable", "base64"}
	charsets  = []string{"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252",
		"iso-2022-jp", "gb2312", "koi8-r"}
	dispositions = []string{"inline", "attachment"}
)

// maxWord is the greatest length of a stored word.
const maxWord = 2*mimestream.MaxToken + 1

// appendParts appends the part table of a parsed message.
func appendParts(dst []byte, root *mimestream.Part) []byte {
	return appendPart(append(dst, partsVersion), root, 0)
}

// appendPart appends p and all below it, parents first. Offsets are stored as distances: from is
// where p would start at the earliest.
func appendPart(dst []byte, p *mimestream.Part, from int64) []byte {
	charset := p.Charset()
	if len(charset) > maxWord {
		charset = charset[:maxWord]
	}
	var flags byte
	for _, f := range []struct {
		bit byte
		set bool
	}{
		{partHasType, p.HasContentType}, {partHasNUL, p.HasNUL}, {partHas8bit, p.Has8bit},
		{partHasCharset, charset != ""}, {partHasEncoding, p.Encoding != ""},
		{partHasDisposition, p.Disposition != ""},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	dst = append(dst, byte(p.Kind)|byte(p.Degraded)<<2, flags)
	for _, n := range []int64{p.HeaderOffset - from, p.HeaderSize, p.HeaderLines, p.BodySize, p.Lines} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendVarint(dst, p.BodySize-p.DecodedSize)
	dst = appendWord(dst, mediaTypes, p.MediaType())
	if charset != "" {
		dst = appendWord(dst, charsets, charset)
	}
	if p.Encoding != "" {
		dst = appendWord(dst, encodings, p.Encoding)
	}
	if p.Disposition != "" {
		dst = appendWord(dst, dispositions, p.Disposition)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Children)))
	from = p.BodyOffset
	for _, c := range p.Children {
		dst = appendPart(dst, c, from)
		from = c.End()
	}
	return dst
}

func appendWord(dst []byte, words []string, word string) []byte {
	if i := slices.Index(words, word); i >= 0 {
		return append(dst, byte(i+1))
	}
	dst = binary.AppendUvarint(append(dst, 0), uint64(len(word)))
	return append(dst, word...)
}

// readParts reads the part table of a content of that size.
func readParts(src []byte, size int64) (*mimestream.Part, error) {
	r := partReader{src: src}
	if r.byte() != partsVersion {
		return nil, fmt.Errorf("%w: version", errParts)
	}
	root := r.part(nil, 0, size, 0)
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.src) > 0:
		return nil, fmt.Errorf("%w: %d bytes too many", errParts, len(r.src))
	case root.HeaderOffset != 0 || root.End() != size:
		return nil, fmt.Errorf("%w: it does not cover the content", errParts)
	}
	return root, nil
}

// A partReader takes a part table apart. After an error everything it returns is empty.
type partReader struct {
	src   []byte
	parts int
	err   error
}

func (r *partReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errParts, what)
		r.src = nil
	}
}

func (r *partReader) byte() byte {
	if len(r.src) == 0 {
		r.fail("too short")
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

// number reads a number of at most limit.
func (r *partReader) number(limit int64) int64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || limit < 0 || v > uint64(limit) {
		r.fail("number")
		return 0
	}
	r.src = r.src[n:]
	return int64(v)
}

func (r *partReader) signed(limit int64) int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 || v > limit || v < -limit {
		r.fail("number")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *partReader) word(words []string) string {
	i := int(r.byte())
	if i > len(words) {
		r.fail("word")
		return ""
	}
	if i > 0 {
		return words[i-1]
	}
	n := r.number(maxWord)
	if n > int64(len(r.src)) {
		r.fail("too short")
		return ""
	}
	word := string(r.src[:n])
	r.src = r.src[n:]
	return word
}

// part reads a part that lies between from and end, and all below it.
func (r *partReader) part(parent *mimestream.Part, from, end int64, depth int) *mimestream.Part {
	p := &mimestream.Part{Parent: parent}
	if r.parts++; r.parts > mimestream.MaxParts || depth > mimestream.MaxDepth {
		r.fail("too many parts")
		return p
	}
	if parent != nil {
		parent.Children = append(parent.Children, p)
		p.Path = childPath(parent)
	}
	b, flags := r.byte(), r.byte()
	p.Kind, p.Degraded = mimestream.Kind(b&3), mimestream.Degraded(b>>2)
	if p.Kind > mimestream.Message || flags >= partFlags {
		r.fail("kind or flags")
	}
	p.HasContentType = flags&partHasType != 0
	p.HasNUL = flags&partHasNUL != 0
	p.Has8bit = flags&partHas8bit != 0
	p.HeaderOffset = from + r.number(end-from)
	p.HeaderSize = r.number(end - p.HeaderOffset)
	p.HeaderLines = r.number(p.HeaderSize)
	p.BodyOffset = p.HeaderOffset + p.HeaderSize
	p.BodySize = r.number(end - p.BodyOffset)
	p.Lines = r.number(p.BodySize)
	p.DecodedSize = p.BodySize - r.signed(p.BodySize)
	p.Type, p.Subtype = cutType(r.word(mediaTypes))
	if flags&partHasCharset != 0 {
		charset := r.word(charsets)
		p.Params = []mimestream.Param{{Name: "charset", Value: charset, RawName: "charset", RawValue: charset}}
	}
	if flags&partHasEncoding != 0 {
		p.Encoding = r.word(encodings)
	}
	if flags&partHasDisposition != 0 {
		p.Disposition = r.word(dispositions)
	}
	children := r.number(mimestream.MaxParts)
	if p.Kind == mimestream.Leaf && children > 0 || p.Kind == mimestream.Message && children != 1 {
		r.fail("children")
	}
	from = p.BodyOffset
	for ; children > 0 && r.err == nil; children-- {
		from = r.part(p, from, p.End(), depth+1).End()
	}
	return p
}

// childPath is the section number of the newest child of parent, as mimestream assigns it.
func childPath(parent *mimestream.Part) []int {
	switch {
	case parent.Kind == mimestream.Multipart:
		return append(slices.Clip(parent.Path), len(parent.Children))
	case parent.IsMessage():
		return append(slices.Clip(parent.Path), 1)
	}
	return parent.Path
}

func cutType(mediaType string) (typ, subtype string) {
	for i := range len(mediaType) {
		if mediaType[i] == '/' {
			return mediaType[:i], mediaType[i+1:]
		}
	}
	return mediaType, ""
}
