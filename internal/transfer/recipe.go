package transfer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A Recipe says how encoded bytes are made from decoded ones. The zero Recipe describes nothing, encoded and
// decoded.
type Recipe struct {
	// Identity: the encoded bytes are the decoded ones. Of the other fields only DecodedSize
	// counts then.
	Identity bool

	// LineLength is the number of base64 characters of every line but the last, a multiple of 4.
	// The last line has at least 4 and no more than these. 0: there is a single line.
	LineLength int64

	// BareLF: lines end with LF instead of CRLF.
	BareLF bool

	// FinalEOL: the last line ends with a line end, too.
	FinalEOL bool

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

// Map returns the decoded bytes that are needed to make the n encoded bytes at off: those of whole base64
// groups, except for the last group of all. n is 0 if the range is a line end only. The range
// must be within [0, EncodedLen()].
func (r Recipe) Map(off, n int64) (decodedOff, decodedN int64) {
	if r.Identity {
		return off, n
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
)

// Append appends the stored form of r: a byte of flags, then LineLength (unless identity) and
// DecodedSize as unsigned varints.
func (r Recipe) Append(dst []byte) []byte {
	if r.Identity {
		return binary.AppendUvarint(append(dst, recipeIdentity), uint64(r.DecodedSize))
	}
	var flags byte
	if r.BareLF {
		flags |= recipeBareLF
	}
	if r.FinalEOL {
		flags |= recipeFinalEOL
	}
	dst = binary.AppendUvarint(append(dst, flags), uint64(r.LineLength))
	return binary.AppendUvarint(dst, uint64(r.DecodedSize))
}

// ReadRecipe reads a stored recipe from the start of src and returns what follows it.
func ReadRecipe(src []byte) (r Recipe, rest []byte, err error) {
	if len(src) == 0 || src[0] >= recipeFinalEOL<<1 {
		return r, nil, fmt.Errorf("%w: flags", errRecipe)
	}
	flags := src[0]
	src = src[1:]
	r.Identity = flags&recipeIdentity != 0
	r.BareLF = flags&recipeBareLF != 0
	r.FinalEOL = flags&recipeFinalEOL != 0
	if !r.Identity {
		if r.LineLength, src, err = readSize(src); err != nil {
			return r, nil, err
		}
		if r.LineLength%4 != 0 {
			return r, nil, fmt.Errorf("%w: line length %d", errRecipe, r.LineLength)
		}
	} else if flags != recipeIdentity {
		return r, nil, fmt.Errorf("%w: flags", errRecipe)
	}
	if r.DecodedSize, src, err = readSize(src); err != nil {
		return r, nil, err
	}
	return r, src, nil
}

func readSize(src []byte) (int64, []byte, error) {
	v, n := binary.Uvarint(src)
	if n <= 0 || v > maxSize {
		return 0, nil, fmt.Errorf("%w: size", errRecipe)
	}
	return int64(v), src[n:], nil
}

// strict refuses what the encoder would not have written: pad bits that are not zero. It skips line ends
// within its input, so callers compare the length of the result.
var strict = base64.StdEncoding.Strict()
