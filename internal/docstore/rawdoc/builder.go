package rawdoc

import (
	"encoding/binary"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Empty is the document without fields.
var Empty = []byte{5, 0, 0, 0, 0}

// Begin starts a document at the end of dst and returns the place to hand to [End].
func Begin(dst []byte) (buf []byte, start int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// End closes the document that [Begin] started.
func End(dst []byte, start int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// AppendElem appends one element. K is the field name, without zero bytes.
func AppendElem[K string | []byte](dst []byte, key K, v bson.RawValue) []byte {
	return append(AppendHead(dst, v.Type, key), v.Value...)
}

// AppendHead appends the type and the name of an element whose value follows.
func AppendHead[K string | []byte](dst []byte, t bson.Type, key K) []byte {
	dst = append(dst, byte(t))
	dst = append(dst, key...)
	return append(dst, 0)
}

// AppendItem appends an element of an array at position i.
func AppendItem(dst []byte, i int, v bson.RawValue) []byte {
	dst = append(dst, byte(v.Type))
	dst = strconv.AppendInt(dst, int64(i), 10)
	dst = append(dst, 0)
	return append(dst, v.Value...)
}
