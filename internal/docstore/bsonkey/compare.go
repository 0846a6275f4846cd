package bsonkey

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// Kind is the place of a value's type in the order of types; numbers share one, as do string and
// symbol.
type Kind uint8

// The kinds, in order.
const (
	KindMinKey Kind = iota + 1
	KindUndefined
	KindNull
	KindNumber
	KindString
	KindObject
	KindArray
	KindBinary
	KindObjectID
	KindBool
	KindDate
	KindTimestamp
	KindRegex
	KindDBPointer
	KindCode
	KindCodeWithScope
	KindMaxKey
)

// KindOf returns the kind of a type; type 0, a missing field, counts as null.
func KindOf(t bson.Type) Kind {
	switch t {
	case bson.TypeMinKey:
		return KindMinKey
	case bson.TypeUndefined:
		return KindUndefined
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		return KindNumber
	case bson.TypeString, bson.TypeSymbol:
		return KindString
	case bson.TypeEmbeddedDocument:
		return KindObject
	case bson.TypeArray:
		return KindArray
	case bson.TypeBinary:
		return KindBinary
	case bson.TypeObjectID:
		return KindObjectID
	case bson.TypeBoolean:
		return KindBool
	case bson.TypeDateTime:
		return KindDate
	case bson.TypeTimestamp:
		return KindTimestamp
	case bson.TypeRegex:
		return KindRegex
	case bson.TypeDBPointer:
		return KindDBPointer
	case bson.TypeJavaScript:
		return KindCode
	case bson.TypeCodeWithScope:
		return KindCodeWithScope
	case bson.TypeMaxKey:
		return KindMaxKey
	}
	return KindNull
}

// Compare orders two values as MongoDB does: negative when a sorts before b, 0 when they are equal
// (which says nothing of their types: 1 equals 1.0). Both values must be well formed.
func Compare(a, b bson.RawValue) int {
	k := KindOf(a.Type)
	if c := cmp.Compare(k, KindOf(b.Type)); c != 0 {
		return c
	}
	return compareSame(k, a, b)
}

// compareSame compares two values of one kind.
func compareSame(k Kind, a, b bson.RawValue) int {
	switch k {
	case KindNumber:
		return compareNumbers(a, b)
	case KindString, KindCode:
		return bytes.Compare(rawdoc.String(a), rawdoc.String(b))
	case KindObject:
		return compareDocs(a.Value, b.Value, true)
	case KindArray:
		return compareDocs(a.Value, b.Value, false)
	case KindBinary:
		if c := cmp.Compare(len(a.Value), len(b.Value)); c != 0 {
			return c
		}
		return bytes.Compare(a.Value[4:], b.Value[4:])
	case KindObjectID:
		return bytes.Compare(a.Value, b.Value)
	case KindBool:
		return cmp.Compare(a.Value[0], b.Value[0])
	case KindDate:
		return cmp.Compare(rawdoc.Int64(a), rawdoc.Int64(b))
	case KindTimestamp:
		return cmp.Compare(binary.LittleEndian.Uint64(a.Value), binary.LittleEndian.Uint64(b.Value))
	case KindRegex:
		ap, ao := rawdoc.Regex(a)
		bp, bo := rawdoc.Regex(b)
		if c := bytes.Compare(ap, bp); c != 0 {
			return c
		}
		return bytes.Compare(ao, bo)
	case KindDBPointer:
		if c := cmp.Compare(len(a.Value), len(b.Value)); c != 0 {
			return c
		}
		return bytes.Compare(a.Value, b.Value)
	case KindCodeWithScope:
		ac, as := rawdoc.CodeWithScope(a)
		bc, bs := rawdoc.CodeWithScope(b)
		if c := bytes.Compare(ac, bc); c != 0 {
			return c
		}
		return compareDocs(as, bs, true)
	}
	return 0
}

// compareDocs compares element by element; the names of array elements are only their positions.
func compareDocs(a, b []byte, names bool) int {
	x, y := rawdoc.Over(a), rawdoc.Over(b)
	for {
		xn, yn := x.Next(), y.Next()
		switch {
		case !xn && !yn:
			return 0
		case !xn:
			return -1
		case !yn:
			return 1
		}
		k := KindOf(x.Type())
		if c := cmp.Compare(k, KindOf(y.Type())); c != 0 {
			return c
		}
		if names {
			if c := bytes.Compare(x.Key(), y.Key()); c != 0 {
				return c
			}
		}
		if c := compareSame(k, x.Value(), y.Value()); c != 0 {
			return c
		}
	}
}
