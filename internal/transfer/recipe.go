package transfer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A Recipe describes how to make encoded bytes from decoded ones. The zero Recipe describes a body
// of no bytes.
type Recipe struct {
	// Identity: the encoded bytes are the decoded ones. Of the other fields only DecodedSize counts
	// then.
	Identity bool

	// Quoted: the encoding is quoted-printable, else base64.
	Quoted bool

	// LineLength is the number of base64 characters of every line but the last, a multiple of 4.
	// The last line has at least 4 and no more than these. 0: there is a single line. Quoted: the
	// most characters of a line, with the "=" of a soft line end.
	LineLength int64

	// BareLF: lines end with LF instead of CRLF.
	BareLF bool

	// FinalEOL: the last line ends with a line end, too. Quoted: only if Binary, else it is
	// decoded.
	FinalEOL bool

	// Full (Quoted): a line that ends with a line end of the text may have LineLength characters,
	// else one less: the "=" would have had room.
	Full bool

	// Binary (Quoted): line ends in the decoded bytes are written as =0D and =0A, else as
	// themselves.
	Binary bool

	// EncodedSize (Quoted) is the number of encoded bytes.
	EncodedSize int64

	// Marks (Quoted) are places from which encoded bytes can be made, in stored form: for each the
	// number of encoded and of decoded bytes since the mark before, as unsigned varints.
	Marks string

	// DecodedSize is the number of decoded bytes.
	DecodedSize int64
}

// IdentityOf returns the recipe of n bytes that are kept as they are.
func IdentityOf(n int64) Recipe { return Recipe{Identity: true, DecodedSize: n} }

// maxSize bounds the decoded size in a stored recipe, so that no computation on it overflows.
const maxSize = math.MaxInt64 / 16

// errRecipe reports a stored recipe that no Decoder makes.
var errRecipe = errors.New("malformed transfer recipe")

func (r Recipe) eolLen() int64 {
	if r.BareLF {
		return 1
	}
	return 2
}

func (r Recipe) eol() string {
	if r.BareLF {
		return "\n"
	}
	return "\r\n"
}

// chars returns the number of base64 characters, without line ends.
func (r Recipe) chars() int64 { return (r.DecodedSize + 2) / 3 * 4 }

// EncodedLen returns the number of encoded bytes.
func (r Recipe) EncodedLen() int64 {
	if r.Identity || r.DecodedSize == 0 {
		return r.DecodedSize
	}
	if r.Quoted {
		return r.EncodedSize
	}
	chars, lines := r.chars(), int64(1)
	if r.LineLength > 0 {
		lines = (chars + r.LineLength - 1) / r.LineLength
	}
	if !r.FinalEOL {
		lines--
	}
	return chars + lines*r.eolLen()
}

// charsBefore returns how many base64 characters are in the first off encoded bytes.
func (r Recipe) charsBefore(off int64) int64 {
	if r.LineLength == 0 {
		return min(off, r.chars())
	}
	full := r.LineLength + r.eolLen()
	return min(off/full*r.LineLength+min(off%full, r.LineLength), r.chars())
}

// Map returns the decoded bytes that are needed to make the n encoded bytes at off: those of whole
// base64 groups, except for the last group of all. n is 0 if the range is a line end only. Quoted:
// those from the mark before to the one behind. The range must be within [0, EncodedLen()].
func (r Recipe) Map(off, n int64) (decodedOff, decodedN int64) {
	if r.Identity {
		return off, n
	}
	if r.Quoted {
		return r.mapQuoted(off, n)
	}
	start := r.charsBefore(off) / 4 * 3
	end := min((r.charsBefore(off+n)+3)/4*3, r.DecodedSize)
	if start >= end {
		return min(start, r.DecodedSize), 0
	}
	return start, end - start
}

const (
	recipeIdentity = 1 << iota
	recipeBareLF
	recipeFinalEOL
	recipeQuoted
	recipeFull
	recipeBinary
	recipeFlags = iota
)

// Append appends the stored form of r: a byte of flags, then LineLength (unless identity) and
// DecodedSize as unsigned varints; for quoted-printable then by how much EncodedSize is more, and
// the length of Marks, and Marks.
func (r Recipe) Append(dst []byte) []byte {
	if r.Identity {
		return binary.AppendUvarint(append(dst, recipeIdentity), uint64(r.DecodedSize))
	}
	var flags byte
	for i, set := range []bool{false, r.BareLF, r.FinalEOL, r.Quoted, r.Full, r.Binary} {
		if set {
			flags |= 1 << i
		}
	}
	dst = binary.AppendUvarint(append(dst, flags), uint64(r.LineLength))
	dst = binary.AppendUvarint(dst, uint64(r.DecodedSize))
	if r.Quoted {
		dst = binary.AppendUvarint(dst, uint64(r.EncodedSize-r.DecodedSize))
		dst = binary.AppendUvarint(dst, uint64(len(r.Marks)))
		dst = append(dst, r.Marks...)
	}
	return dst
}

// ReadRecipe reads a stored recipe from the start of src and returns what follows it.
func ReadRecipe(src []byte) (r Recipe, rest []byte, err error) {
	if len(src) == 0 || src[0] >= 1<<recipeFlags {
		return r, nil, fmt.Errorf("%w: flags", errRecipe)
	}
	flags := src[0]
	src = src[1:]
	r = Recipe{
		Identity: flags&recipeIdentity != 0, BareLF: flags&recipeBareLF != 0, FinalEOL: flags&recipeFinalEOL != 0,
		Quoted: flags&recipeQuoted != 0, Full: flags&recipeFull != 0, Binary: flags&recipeBinary != 0,
	}
	if r.Identity && flags != recipeIdentity || !r.Quoted && (r.Full || r.Binary) {
		return r, nil, fmt.Errorf("%w: flags", errRecipe)
	}
	if !r.Identity {
		if r.LineLength, src, err = readSize(src); err != nil {
			return r, nil, err
		}
		if r.LineLength%4 != 0 && !r.Quoted {
			return r, nil, fmt.Errorf("%w: line length %d", errRecipe, r.LineLength)
		}
	}
	if r.DecodedSize, src, err = readSize(src); err != nil {
		return r, nil, err
	}
	if !r.Quoted {
		return r, src, nil
	}
	more, src, err := readSize(src)
	if err != nil {
		return r, nil, err
	}
	r.EncodedSize = r.DecodedSize + more
	size, src, err := readSize(src)
	if err != nil || size > int64(len(src)) {
		return r, nil, fmt.Errorf("%w: marks", errRecipe)
	}
	r.Marks, src = string(src[:size]), src[size:]
	return r, src, r.checkQuoted()
}

func readSize(src []byte) (int64, []byte, error) {
	v, n := binary.Uvarint(src)
	if n <= 0 || v > maxSize {
		return 0, nil, fmt.Errorf("%w: size", errRecipe)
	}
	return int64(v), src[n:], nil
}

// strict refuses pad bits that are not zero, which the encoder would not have written. It skips
// line ends within its input, so callers compare the length of the result.
var strict = base64.StdEncoding.Strict()
