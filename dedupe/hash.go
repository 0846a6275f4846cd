package dedupe

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// HashSize is the length of a Hash in bytes.
const HashSize = 32

// Hash is the BLAKE3-256 of some bytes.
type Hash [HashSize]byte

// lastHash is the greatest hash. Binary values sort by length, then subtype, then bytes, so only
// hashes lie between the zero Hash and this one.
var lastHash = Hash(bytes.Repeat([]byte{0xff}, HashSize))

// Sum returns the hash of b.
func Sum(b []byte) Hash { return blake3.Sum256(b) }

// String returns h in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// successor is the hash after h, which is not the last.
func (h Hash) successor() Hash {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i]++; h[i] != 0 {
			break
		}
	}
	return h
}

// Binary returns h as it is stored in documents.
func (h Hash) Binary() bson.Binary { return bson.Binary{Data: h[:]} }

// HashFromBytes reads the bytes of a stored hash.
func HashFromBytes(b []byte) (Hash, error) {
	var h Hash
	if len(b) != HashSize {
		return h, fmt.Errorf("a hash of %d bytes, not %d", len(b), HashSize)
	}
	copy(h[:], b)
	return h, nil
}

// Magic is the random number of one reference: 32 bits, never 0.
type Magic int64

// NewMagic returns the magic for a new reference.
func NewMagic() Magic {
	var b [4]byte
	for {
		rand.Read(b[:]) // never fails (crypto/rand)
		if m := binary.BigEndian.Uint32(b[:]); m != 0 {
			return Magic(m)
		}
	}
}

// NewMagics returns n magics.
func NewMagics(n int) []Magic {
	magics := make([]Magic, n)
	for i := range magics {
		magics[i] = NewMagic()
	}
	return magics
}
