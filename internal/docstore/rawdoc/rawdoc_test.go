package rawdoc_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/rawdoc/rawgen"
)

func marshal(t testing.TB, d any) []byte {
	t.Helper()
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGetAndIterate(t *testing.T) {
	doc := marshal(t, bson.D{{Key: "ab", Value: 1}, {Key: "a", Value: "x"}, {Key: "", Value: true},
		{Key: "a", Value: 2}})
	if v := rawdoc.Get(doc, "a"); v.Type != bson.TypeString || string(rawdoc.String(v)) != "x" {
		t.Errorf("a is %v", v)
	}
	if v := rawdoc.Get(doc, "ab"); rawdoc.Int32(v) != 1 {
		t.Errorf("ab is %v", v)
	}
	if v := rawdoc.Get(doc, ""); v.Type != bson.TypeBoolean {
		t.Errorf("the empty name is %v", v)
	}
	if v := rawdoc.Get(doc, "abc"); !rawdoc.IsMissing(v) {
		t.Errorf("abc is %v", v)
	}
	again, start := rawdoc.Begin(nil)
	it := rawdoc.Over(doc)
	for it.Next() {
		again = append(again, it.Elem()...)
	}
	if again = rawdoc.End(again, start); it.Bad() || !bytes.Equal(again, doc) {
		t.Errorf("elements put together again are %x, want %x", again, doc)
	}
}

// TestMalformed: what is cut short or damaged is refused by Validate, and walked without a panic.
func TestMalformed(t *testing.T) {
	doc := marshal(t, bson.D{{Key: "s", Value: "text"}, {Key: "d", Value: bson.D{{Key: "x", Value: 1.5}}},
		{Key: "b", Value: bson.Binary{Data: []byte("data")}}, {Key: "r", Value: bson.Regex{Pattern: "p", Options: "i"}},
		{Key: "c", Value: bson.CodeWithScope{Code: "c", Scope: bson.D{{Key: "y", Value: 1}}}}, {Key: "t", Value: true}})
	if err := rawdoc.Validate(doc); err != nil {
		t.Fatal(err)
	}
	walk := func(b []byte) {
		for it := rawdoc.Over(b); it.Next(); {
			if it.Type() == bson.TypeEmbeddedDocument {
				rawdoc.Get(it.Value().Value, "x")
			}
		}
		rawdoc.Get(b, "nothing")
	}
	for n := range doc {
		walk(doc[:n])
		if err := rawdoc.Validate(doc[:n]); !errors.Is(err, rawdoc.ErrInvalid) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	for i := range doc {
		for _, c := range []byte{0, 1, 0x7f, 0xff} {
			bad := bytes.Clone(doc)
			bad[i] = c
			walk(bad)
			if rawdoc.Validate(bad) == nil && bson.Raw(bad).Validate() != nil {
				t.Errorf("byte %d as %#x passes", i, c)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	doc := rawdoc.Empty
	for range rawdoc.MaxDepth - 1 {
		buf, start := rawdoc.Begin(nil)
		doc = rawdoc.End(rawdoc.AppendElem(buf, "a", rawdoc.OfDoc(doc)), start)
	}
	if err := rawdoc.Validate(doc); err != nil {
		t.Error(err)
	}
	buf, start := rawdoc.Begin(nil)
	if err := rawdoc.Validate(rawdoc.End(rawdoc.AppendElem(buf, "a", rawdoc.OfArray(doc)), start)); err == nil {
		t.Errorf("a document of depth %d passes", rawdoc.MaxDepth+1)
	}
}

func TestValidateProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := rawgen.Doc(3).Draw(t, "doc")
		if err := rawdoc.Validate(doc); err != nil {
			t.Fatal(err)
		}
		if err := bson.Raw(doc).Validate(); err != nil {
			t.Fatalf("the driver refuses a document of the generator: %v", err)
		}
	})
}

func TestInteger(t *testing.T) {
	dec := func(s string) bson.Decimal128 {
		d, err := bson.ParseDecimal128(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct {
		v    any
		want int64
		ok   bool
	}{
		{int32(-3), -3, true}, {int64(math.MinInt64), math.MinInt64, true}, {5.0, 5, true}, {5.5, 0, false},
		{math.NaN(), 0, false}, {math.Inf(1), 0, false}, {float64(1 << 63), 0, false},
		{-float64(1 << 63), math.MinInt64, true},
		{dec("12"), 12, true}, {dec("1.20E+1"), 12, true}, {dec("12.0"), 12, true},
		{dec("12.5"), 0, false}, {dec("1e19"), 0, false},
		{dec("-9223372036854775808"), math.MinInt64, true}, {dec("0e6000"), 0, true},
		{dec("NaN"), 0, false}, {"5", 0, false}, {true, 0, false},
	}
	for _, tt := range tests {
		if n, ok := rawdoc.Integer(rawgen.Of(tt.v)); n != tt.want || ok != tt.ok {
			t.Errorf("Integer(%v) = %d, %v", tt.v, n, ok)
		}
	}
}

func TestTruthy(t *testing.T) {
	zero, _ := bson.ParseDecimal128("0.00")
	for _, v := range []any{nil, false, int32(0), int64(0), 0.0, bson.Undefined{}, zero} {
		if rawdoc.Truthy(rawgen.Of(v)) {
			t.Errorf("%v is true", v)
		}
	}
	for _, v := range []any{true, int32(-1), 0.5, math.NaN(), "", "no", bson.A{}, bson.D{}, bson.MinKey{}} {
		if !rawdoc.Truthy(rawgen.Of(v)) {
			t.Errorf("%v is false", v)
		}
	}
	if rawdoc.Truthy(rawdoc.Missing) {
		t.Error("a missing value is true")
	}
}

func FuzzValidate(f *testing.F) {
	f.Add(marshal(f, bson.D{{Key: "a", Value: bson.A{1, "x", bson.D{}}}, {Key: "b", Value: bson.Timestamp{T: 1}}}))
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := rawdoc.Validate(doc)
		if err == nil {
			if err := bson.Raw(doc).Validate(); err != nil {
				t.Errorf("passes, but the driver says %v", err)
			}
		}
		n := 0
		for it := rawdoc.Over(doc); it.Next(); n++ {
			if rawdoc.IsMissing(rawdoc.Get(doc, string(it.Key()))) {
				t.Fatalf("Get does not find %q", it.Key())
			}
		}
	})
}
