// Package rawgen draws random BSON values and documents for property tests. Values come from small,
// deliberately awkward sets (neighbours of powers of two, zero bytes, equal numbers of different
// types), so that equalities and near misses are frequent.
package rawgen

import (
	"fmt"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/docstore/rawdoc"
)

// Of turns a Go value into a BSON value; it panics on what BSON cannot hold.
func Of(v any) bson.RawValue {
	switch v := v.(type) {
	case bson.RawValue:
		return v
	case nil:
		return rawdoc.Null
	}
	t, b, err := bson.MarshalValue(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return bson.RawValue{Type: t, Value: b}
}

// Value draws a value of any type, nested at most depth deep.
func Value(depth int) *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		kinds := 6
		if depth > 0 {
			kinds = 8
		}
		switch rapid.IntRange(0, kinds).Draw(t, "kind") {
		case 0, 1, 2:
			return Number().Draw(t, "number")
		case 3:
			return Of(Text().Draw(t, "text"))
		case 4:
			return Binary().Draw(t, "binary")
		case 5:
			return rare().Draw(t, "rare")
		case 6:
			return Of(rapid.SampledFrom([]any{nil, true, false, bson.MinKey{}, bson.MaxKey{}}).Draw(t, "constant"))
		case 7:
			return rawdoc.OfArray(Array(depth-1).Draw(t, "array"))
		default:
			return rawdoc.OfDoc(Doc(depth-1).Draw(t, "doc"))
		}
	})
}

// Doc draws a document of up to four fields with short names; names may repeat.
func Doc(depth int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		buf, start := rawdoc.Begin(nil)
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "aa", "0", "1", ""}).Draw(t, "name")
			buf = rawdoc.AppendElem(buf, name, Value(depth).Draw(t, "value"))
		}
		return rawdoc.End(buf, start)
	})
}

// Array draws the document of an array.
func Array(depth int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		buf, start := rawdoc.Begin(nil)
		for i := range rapid.IntRange(0, 3).Draw(t, "items") {
			buf = rawdoc.AppendElem(buf, strconv.Itoa(i), Value(depth).Draw(t, "item"))
		}
		return rawdoc.End(buf, start)
	})
}

// Number draws numbers of all types, close to each other.
func Number() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		switch rapid.IntRange(0, 5).Draw(t, "type") {
		case 0:
			return rawdoc.OfInt32(rapid.OneOf(rapid.Int32(), rapid.Int32Range(-3, 3)).Draw(t, "int32"))
		case 1:
			return rawdoc.OfInt64(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 3), nearPower()).Draw(t, "int64"))
		case 2:
			return rawdoc.OfDouble(rapid.OneOf(rapid.Float64(), rapid.Float64Range(-3, 3)).Draw(t, "double"))
		case 3:
			f := float64(nearPower().Draw(t, "near"))
			return rawdoc.OfDouble(rapid.SampledFrom([]float64{f, f / 8, math.Nextafter(f, 0),
				math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.MaxFloat64,
				math.SmallestNonzeroFloat64}).Draw(t, "awkward"))
		case 4:
			return decimalOf(strconv.FormatInt(nearPower().Draw(t, "near"), 10) +
				rapid.SampledFrom([]string{"", ".0", ".5", ".125", "1", "e1", "e-1", ".1"}).Draw(t, "tail"))
		default:
			coef := rapid.Int64().Draw(t, "coef")
			exp := rapid.OneOf(rapid.IntRange(-40, 40), rapid.IntRange(-345, 320),
				rapid.IntRange(-6100, 6000)).Draw(t, "exp")
			return decimalOf(fmt.Sprintf("%de%d", coef, exp))
		}
	})
}

func decimalOf(s string) bson.RawValue {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		panic(err)
	}
	return Of(d)
}

func nearPower() *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		n := int64(1)<<rapid.IntRange(0, 62).Draw(t, "power") + rapid.Int64Range(-2, 2).Draw(t, "off")
		if rapid.Bool().Draw(t, "negative") {
			return -n
		}
		return n
	})
}

// Text draws short strings, zero bytes and 0xff included.
func Text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "ab", "a\x00", "a\x00b", "a\x01", "\x00", "\x00\xff", "\xff", "b"}),
		rapid.StringN(0, 8, 16))
}

// Binary draws binaries around the lengths that are encoded specially.
func Binary() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		n := rapid.SampledFrom([]int{0, 1, 11, 12, 13, 15, 16, 17, 31, 32, 33, 251, 252, 255, 256,
			70000}).Draw(t, "len")
		sub := rapid.SampledFrom([]byte{0, 4, 128}).Draw(t, "subtype")
		data := make([]byte, n)
		if n > 0 {
			data[n-1] = rapid.Byte().Draw(t, "last")
			data[0] = rapid.SampledFrom([]byte{0, 1, 0xff}).Draw(t, "first")
		}
		return Of(bson.Binary{Subtype: sub, Data: data})
	})
}

func rare() *rapid.Generator[bson.RawValue] {
	return rapid.Custom(func(t *rapid.T) bson.RawValue {
		n := rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64}).Draw(t, "n")
		s := rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "s")
		id := bson.ObjectID{0: byte(n), 11: 1}
		return Of(rapid.SampledFrom([]any{
			id, bson.DateTime(n), bson.Timestamp{T: uint32(n), I: 1}, bson.Regex{Pattern: s, Options: "i"},
			bson.Symbol(s), bson.JavaScript(s), bson.Undefined{}, bson.DBPointer{DB: s, Pointer: id},
			bson.CodeWithScope{Code: bson.JavaScript(s), Scope: bson.D{{Key: "a", Value: n}}},
		}).Draw(t, "rare"))
	})
}
