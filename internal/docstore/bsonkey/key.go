package bsonkey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// Tags of encoded values. 0 ends objects and arrays, so it is no tag.
const (
	tagMinKey        = 0x04
	tagUndefined     = 0x08
	tagNull          = 0x0c
	tagNaN           = 0x10
	tagNegative      = 0x11
	tagZero          = 0x12
	tagPositive      = 0x13
	tagString        = 0x18
	tagObject        = 0x1c
	tagArray         = 0x20
	tagBinary        = 0x24 // up to tagBinary+2*len(bareSizes)
	tagObjectID      = 0x30
	tagBool          = 0x34
	tagDate          = 0x38
	tagTimestamp     = 0x3c
	tagRegex         = 0x40
	tagDBPointer     = 0x44
	tagCode          = 0x48
	tagCodeWithScope = 0x4c
	tagMaxKey        = 0x7c
)

// bareSizes are the lengths of generic binaries that are written bare: tagBinary+1 for those of the
// first length, tagBinary+3 for the second, and so on. All others take the even tag in whose gap
// they sort.
var bareSizes = [...]int{12, 16, 32}

// ErrMalformed is returned (wrapped) by [Skip] for bytes that are no encoded value.
var ErrMalformed = errors.New("malformed key")

// Append appends the ascending encoding of v to dst; a missing value is encoded as null.
func Append(dst []byte, v bson.RawValue) []byte {
	k := KindOf(v.Type)
	switch k {
	case KindNumber:
		return appendNumber(dst, v)
	case KindBinary:
		return appendBinary(dst, v)
	}
	return appendPayload(append(dst, tagOf(k)), k, v)
}

// AppendDesc appends the descending encoding of v to dst.
func AppendDesc(dst []byte, v bson.RawValue) []byte {
	n := len(dst)
	dst = Append(dst, v)
	invert(dst[n:])
	return dst
}

// AppendMissing appends the ascending encoding of a missing field, which is that of null.
func AppendMissing(dst []byte) []byte { return append(dst, tagNull) }

func invert(b []byte) {
	for i := range b {
		b[i] ^= 0xff
	}
}

func tagOf(k Kind) byte {
	switch k {
	case KindMinKey:
		return tagMinKey
	case KindUndefined:
		return tagUndefined
	case KindString:
		return tagString
	case KindObject:
		return tagObject
	case KindArray:
		return tagArray
	case KindObjectID:
		return tagObjectID
	case KindBool:
		return tagBool
	case KindDate:
		return tagDate
	case KindTimestamp:
		return tagTimestamp
	case KindRegex:
		return tagRegex
	case KindDBPointer:
		return tagDBPointer
	case KindCode:
		return tagCode
	case KindCodeWithScope:
		return tagCodeWithScope
	case KindMaxKey:
		return tagMaxKey
	}
	return tagNull
}

// appendPayload writes what follows the tag of a value that is neither number nor binary.
func appendPayload(dst []byte, k Kind, v bson.RawValue) []byte {
	switch k {
	case KindString, KindCode:
		return appendEscaped(dst, rawdoc.String(v))
	case KindObject:
		return appendDoc(dst, v.Value)
	case KindArray:
		it := rawdoc.Over(v.Value)
		for it.Next() {
			dst = Append(dst, it.Value())
		}
		return append(dst, 0)
	case KindObjectID:
		return append(dst, v.Value...)
	case KindBool:
		return append(dst, v.Value[0])
	case KindDate:
		return binary.BigEndian.AppendUint64(dst, uint64(rawdoc.Int64(v))^1<<63)
	case KindTimestamp:
		return binary.BigEndian.AppendUint64(dst, uint64(rawdoc.Int64(v)))
	case KindRegex:
		return append(dst, v.Value...) // two zero-terminated strings
	case KindDBPointer:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Value)))
		return append(dst, v.Value...)
	case KindCodeWithScope:
		code, scope := rawdoc.CodeWithScope(v)
		return appendDoc(appendEscaped(dst, code), scope)
	}
	return dst
}

// appendDoc writes kind, name and value of each element: kinds compare before names, so that the
// name stands between the tag and the payload of the value. The tag of a number or binary would
// reveal more than its kind before the name, so it comes after the name, and the kind's lowest tag
// before.
func appendDoc(dst, doc []byte) []byte {
	it := rawdoc.Over(doc)
	for it.Next() {
		v := it.Value()
		k := KindOf(v.Type)
		switch k {
		case KindNumber:
			dst = append(dst, tagNaN)
		case KindBinary:
			dst = append(dst, tagBinary)
		default:
			dst = append(dst, tagOf(k))
		}
		dst = append(append(dst, it.Key()...), 0)
		switch k {
		case KindNumber:
			dst = appendNumber(dst, v)
		case KindBinary:
			dst = appendBinary(dst, v)
		default:
			dst = appendPayload(dst, k, v)
		}
	}
	return append(dst, 0)
}

func appendEscaped(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, s[:i]...), 0, 0xff)
		s = s[i+1:]
	}
	return append(append(dst, s...), 0, 1)
}

func appendBinary(dst []byte, v bson.RawValue) []byte {
	subtype, data := rawdoc.Binary(v)
	tag := byte(tagBinary)
	for _, size := range bareSizes {
		if len(data) == size && subtype == 0 {
			return append(append(dst, tag+1), data...)
		}
		if len(data) < size {
			break
		}
		tag += 2
	}
	dst = appendLength(append(dst, tag), len(data))
	return append(append(dst, subtype), data...)
}

// maxShort is the largest length written in one byte; beyond it the first byte is maxShort plus the
// number of big-endian bytes that follow.
const maxShort = 0xff - 4

func appendLength(dst []byte, n int) []byte {
	switch {
	case n <= maxShort:
		return append(dst, byte(n))
	case n < 1<<8:
		return append(dst, maxShort+1, byte(n))
	case n < 1<<16:
		return append(dst, maxShort+2, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(dst, maxShort+3, byte(n>>16), byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, maxShort+4), uint32(n))
}

// Value returns the value of an ascending key that is a generic binary of a length written bare, an
// ObjectID or a string: what an _id mostly is. Of others it returns false.
func Value(key []byte) (v bson.RawValue, ok bool) {
	if len(key) == 0 {
		return v, false
	}
	tag, data := key[0], key[1:]
	for i, size := range bareSizes {
		if tag == tagBinary+1+byte(2*i) && len(data) == size {
			value := binary.LittleEndian.AppendUint32(nil, uint32(size))
			return bson.RawValue{Type: bson.TypeBinary, Value: append(append(value,
				bson.TypeBinaryGeneric), data...)}, true
		}
	}
	switch {
	case tag == tagObjectID && len(data) == len(bson.ObjectID{}):
		return bson.RawValue{Type: bson.TypeObjectID, Value: bytes.Clone(data)}, true
	case tag == tagString && bytes.HasSuffix(data, []byte{0, 1}) && bytes.IndexByte(data, 0) == len(data)-2:
		value := binary.LittleEndian.AppendUint32(nil, uint32(len(data)-1))
		return bson.RawValue{Type: bson.TypeString, Value: append(append(value, data[:len(data)-2]...), 0)}, true
	}
	return v, false
}

// Skip returns what follows the first encoded value of key, ascending or descending.
func Skip(key []byte) (rest []byte, err error) {
	if len(key) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrMalformed)
	}
	var inv byte
	if key[0] >= 0x80 {
		inv = 0xff
	}
	n := skipValue(key, inv, 0)
	if n < 0 {
		return nil, fmt.Errorf("%w: value of tag %#x", ErrMalformed, key[0]^inv)
	}
	return key[n:], nil
}

// skipValue returns the length of the value at the start of b, or -1. Bytes are to be xored with
// inv.
func skipValue(b []byte, inv byte, depth int) int {
	if len(b) == 0 || depth > rawdoc.MaxDepth+1 {
		return -1
	}
	return add(1, skipPayload(b[0]^inv, b[1:], inv, depth), len(b))
}

// add sums a and b unless b is -1 or the sum is above limit.
func add(a, b, limit int) int {
	if b < 0 || a+b > limit {
		return -1
	}
	return a + b
}

func skipPayload(tag byte, b []byte, inv byte, depth int) int {
	switch tag {
	case tagMinKey, tagUndefined, tagNull, tagNaN, tagZero, tagMaxKey:
		return 0
	case tagNegative:
		return skipMagnitude(b, ^inv)
	case tagPositive:
		return skipMagnitude(b, inv)
	case tagString, tagCode:
		return skipEscaped(b, inv)
	case tagObject:
		return skipDoc(b, inv, depth)
	case tagArray:
		return skipArray(b, inv, depth)
	case tagObjectID:
		return 12
	case tagBool:
		return 1
	case tagDate, tagTimestamp:
		return 8
	case tagRegex:
		n := skipName(b, inv)
		if n < 0 {
			return -1
		}
		return add(n, skipName(b[n:], inv), len(b))
	case tagDBPointer:
		if len(b) < 4 {
			return -1
		}
		return 4 + int(uint32(b[0]^inv)<<24|uint32(b[1]^inv)<<16|uint32(b[2]^inv)<<8|uint32(b[3]^inv))
	case tagCodeWithScope:
		n := skipEscaped(b, inv)
		if n < 0 {
			return -1
		}
		return add(n, skipDoc(b[n:], inv, depth), len(b))
	}
	if tag >= tagBinary && tag <= tagBinary+2*byte(len(bareSizes)) {
		return skipBinary(int(tag-tagBinary), b, inv)
	}
	return -1
}

func skipBinary(form int, b []byte, inv byte) int {
	if form%2 == 1 {
		return bareSizes[form/2]
	}
	if len(b) == 0 {
		return -1
	}
	first := int(b[0] ^ inv)
	if first <= maxShort {
		return 1 + 1 + first
	}
	more := first - maxShort
	if len(b) < 1+more {
		return -1
	}
	n := 0
	for _, c := range b[1 : 1+more] {
		n = n<<8 | int(c^inv)
	}
	return 1 + more + 1 + n
}

func skipName(b []byte, inv byte) int {
	i := bytes.IndexByte(b, inv)
	if i < 0 {
		return -1
	}
	return i + 1
}

func skipEscaped(b []byte, inv byte) int {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], inv)
		if j < 0 || i+j+1 >= len(b) {
			return -1
		}
		i += j + 2
		if b[i-1]^inv == 1 {
			return i
		}
	}
}

func skipArray(b []byte, inv byte, depth int) int {
	for i := 0; i < len(b); {
		if b[i] == inv {
			return i + 1
		}
		n := skipValue(b[i:], inv, depth+1)
		if n < 0 {
			return -1
		}
		i += n
	}
	return -1
}

func skipDoc(b []byte, inv byte, depth int) int {
	if depth > rawdoc.MaxDepth+1 {
		return -1
	}
	for i := 0; i < len(b); {
		tag := b[i] ^ inv
		i++
		if tag == 0 {
			return i
		}
		n := skipName(b[i:], inv)
		if n < 0 {
			return -1
		}
		i += n
		switch tag {
		case tagNaN, tagBinary: // the value's own tag follows
			n = skipValue(b[i:], inv, depth+1)
		default:
			n = skipPayload(tag, b[i:], inv, depth+1)
		}
		if n < 0 || i+n > len(b) {
			return -1
		}
		i += n
	}
	return -1
}
