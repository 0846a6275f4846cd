package rawdoc

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The readers below take a value whose bytes have passed [Size] for its type.

// Int32 reads the value of an int32.
func Int32(v bson.RawValue) int32 { return int32(binary.LittleEndian.Uint32(v.Value)) }

// Int64 reads the value of an int64, date or (as raw bits) timestamp.
func Int64(v bson.RawValue) int64 { return int64(binary.LittleEndian.Uint64(v.Value)) }

// Double reads the value of a double.
func Double(v bson.RawValue) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(v.Value))
}

// Decimal reads the value of a decimal128.
func Decimal(v bson.RawValue) bson.Decimal128 {
	return bson.NewDecimal128(binary.LittleEndian.Uint64(v.Value[8:]), binary.LittleEndian.Uint64(v.Value))
}

// String returns the bytes of a string, symbol or code without length and terminator.
func String(v bson.RawValue) []byte { return v.Value[4 : len(v.Value)-1] }

// Binary returns subtype and bytes of a binary value, counting the inner length of the old subtype
// 2 as part of the bytes.
func Binary(v bson.RawValue) (subtype byte, data []byte) { return v.Value[4], v.Value[5:] }

// Regex returns pattern and options of a regular expression.
func Regex(v bson.RawValue) (pattern, options []byte) {
	i := bytes.IndexByte(v.Value, 0)
	return v.Value[:i], v.Value[i+1 : len(v.Value)-1]
}

// CodeWithScope returns code and scope document.
func CodeWithScope(v bson.RawValue) (code, scope []byte) {
	n := stringSize(v.Value[4:])
	return v.Value[8 : 4+n-1], v.Value[4+n:]
}

// IsNumber reports whether v is an int32, int64, double or decimal128.
func IsNumber(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return true
	}
	return false
}

// Integer returns the value of a number that is a whole number in the range of int64, whatever its
// type.
func Integer(v bson.RawValue) (n int64, ok bool) {
	switch v.Type {
	case bson.TypeInt32:
		return int64(Int32(v)), true
	case bson.TypeInt64:
		return Int64(v), true
	case bson.TypeDouble:
		return integerOfDouble(Double(v))
	case bson.TypeDecimal128:
		return integerOfDecimal(Decimal(v))
	}
	return 0, false
}

func integerOfDouble(f float64) (int64, bool) {
	if f != math.Trunc(f) || f < -(1<<63) || f >= 1<<63 { // NaN fails the first comparison
		return 0, false
	}
	return int64(f), true
}

func integerOfDecimal(d bson.Decimal128) (int64, bool) {
	coef, exp, err := d.BigInt()
	if err != nil {
		return 0, false
	}
	if coef.Sign() == 0 {
		return 0, true
	}
	// A coefficient has at most 34 digits: anything beyond these exponents is no whole int64.
	if exp < -34 || exp > 19 {
		return 0, false
	}
	s := []byte(coef.String())
	for ; exp > 0; exp-- {
		s = append(s, '0')
	}
	for ; exp < 0; exp++ {
		if len(s) < 2 || s[len(s)-1] != '0' {
			return 0, false
		}
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil {
		return 0, false
	}
	return n, true
}

// Truthy reports what v is as a condition: false for missing, null, undefined, false and every
// zero.
func Truthy(v bson.RawValue) bool {
	switch v.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return false
	case bson.TypeBoolean:
		return v.Value[0] != 0
	case bson.TypeInt32:
		return Int32(v) != 0
	case bson.TypeInt64:
		return Int64(v) != 0
	case bson.TypeDouble:
		return Double(v) != 0
	case bson.TypeDecimal128:
		coef, _, err := Decimal(v).BigInt()
		return err != nil || coef.Sign() != 0 // it fails for NaN and infinities
	}
	return true
}

// OfInt32 makes an int32 value.
func OfInt32(n int32) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt32, Value: binary.LittleEndian.AppendUint32(nil, uint32(n))}
}

// OfInt64 makes an int64 value.
func OfInt64(n int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(n))}
}

// OfDouble makes a double value.
func OfDouble(f float64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeDouble, Value: binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))}
}

// OfBool makes a boolean value.
func OfBool(b bool) bson.RawValue {
	v := bson.RawValue{Type: bson.TypeBoolean, Value: []byte{0}}
	if b {
		v.Value[0] = 1
	}
	return v
}

// OfDoc makes an embedded document of doc's bytes.
func OfDoc(doc []byte) bson.RawValue {
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}
}

// OfArray makes an array of the bytes of a document with the keys "0", "1", ...
func OfArray(arr []byte) bson.RawValue { return bson.RawValue{Type: bson.TypeArray, Value: arr} }

// TypeName is MongoDB's name of a BSON type, as in $type and in error messages.
func TypeName(t bson.Type) string {
	switch t {
	case 0:
		return "missing"
	case bson.TypeDouble:
		return "double"
	case bson.TypeString:
		return "string"
	case bson.TypeEmbeddedDocument:
		return "object"
	case bson.TypeArray:
		return "array"
	case bson.TypeBinary:
		return "binData"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeObjectID:
		return "objectId"
	case bson.TypeBoolean:
		return "bool"
	case bson.TypeDateTime:
		return "date"
	case bson.TypeNull:
		return "null"
	case bson.TypeRegex:
		return "regex"
	case bson.TypeDBPointer:
		return "dbPointer"
	case bson.TypeJavaScript:
		return "javascript"
	case bson.TypeSymbol:
		return "symbol"
	case bson.TypeCodeWithScope:
		return "javascriptWithScope"
	case bson.TypeInt32:
		return "int"
	case bson.TypeTimestamp:
		return "timestamp"
	case bson.TypeInt64:
		return "long"
	case bson.TypeDecimal128:
		return "decimal"
	case bson.TypeMinKey:
		return "minKey"
	case bson.TypeMaxKey:
		return "maxKey"
	}
	return "unknown type " + strconv.Itoa(int(t))
}
