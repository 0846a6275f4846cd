package bsonkey

import (
	"bytes"
	"math"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/docstore/rawdoc/rawgen"
)

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// TestOrderOfTypes lists values in MongoDB's order; each is smaller than all that follow.
func TestOrderOfTypes(t *testing.T) {
	dec := func(s string) any {
		d, err := bson.ParseDecimal128(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	bin := func(sub byte, data ...byte) any { return bson.Binary{Subtype: sub, Data: data} }
	ascending := []any{
		bson.MinKey{},
		bson.Undefined{},
		nil,
		math.NaN(),
		math.Inf(-1),
		dec("-1e6000"),
		-math.MaxFloat64,
		int64(math.MinInt64),
		int64(-1<<53 - 1),
		float64(-1 << 53),
		int32(-2),
		-1.5,
		-1.1, // as a double, a little further from zero than the decimal
		dec("-1.1"),
		int32(-1),
		dec("-1e-6000"),
		int32(0),
		dec("1e-6000"),
		math.SmallestNonzeroFloat64,
		dec("0.1"),
		0.1,
		int32(1),
		int64(2),
		2.5,
		float64(1 << 53),
		int64(1<<53 + 1),
		dec("9007199254740993.5"),
		int64(math.MaxInt64),
		float64(1 << 63),
		math.MaxFloat64,
		dec("1e6000"),
		math.Inf(1),
		"",
		"a",
		"a\x00",
		"a\x00b",
		"a\x01",
		"ab",
		"b",
		bson.D{},
		bson.D{{Key: "b", Value: nil}},
		bson.D{{Key: "a", Value: 1}},
		bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 0}},
		bson.D{{Key: "a", Value: 2}},
		bson.D{{Key: "b", Value: 1}},
		bson.D{{Key: "a", Value: "x"}},
		bson.A{},
		bson.A{nil},
		bson.A{1},
		bson.A{1, 1},
		bson.A{2},
		bson.A{"a"},
		bin(0),
		bin(4),
		bin(0, 255),
		bin(0, 0, 0),
		bin(128, make([]byte, 11)...),
		bin(0, make([]byte, 12)...),
		bin(0, append(make([]byte, 11), 1)...),
		bin(1, make([]byte, 12)...),
		bin(0, make([]byte, 13)...),
		bin(0, make([]byte, 16)...),
		bin(4, make([]byte, 16)...),
		bin(0, make([]byte, 31)...),
		bin(0, make([]byte, 32)...),
		bin(0, make([]byte, 33)...),
		bin(0, make([]byte, 251)...),
		bin(0, make([]byte, 252)...),
		bin(0, make([]byte, 256)...),
		bson.ObjectID{},
		bson.ObjectID{11: 1},
		false,
		true,
		bson.DateTime(math.MinInt64),
		bson.DateTime(-1),
		bson.DateTime(0),
		bson.DateTime(math.MaxInt64),
		bson.Timestamp{},
		bson.Timestamp{I: 5},
		bson.Timestamp{T: 1 << 31},
		bson.Regex{Pattern: "a"},
		bson.Regex{Pattern: "a", Options: "i"},
		bson.Regex{Pattern: "ab"},
		bson.DBPointer{DB: "zz"},
		bson.DBPointer{DB: "aaa"},
		bson.JavaScript("x"),
		bson.CodeWithScope{Code: "x", Scope: bson.D{}},
		bson.CodeWithScope{Code: "x", Scope: bson.D{{Key: "a", Value: 1}}},
		bson.MaxKey{},
	}
	for i, x := range ascending {
		for j, y := range ascending {
			a, b := rawgen.Of(x), rawgen.Of(y)
			want := sign(i - j)
			if got := sign(Compare(a, b)); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
			}
			if got := bytes.Compare(Append(nil, a), Append(nil, b)); got != want {
				t.Errorf("keys of %v and %v compare %d, want %d", a, b, got, want)
			}
			if got := bytes.Compare(AppendDesc(nil, a), AppendDesc(nil, b)); got != -want {
				t.Errorf("descending keys of %v and %v compare %d, want %d", a, b, got, -want)
			}
		}
	}
}

func TestEqualAcrossTypes(t *testing.T) {
	d1, _ := bson.ParseDecimal128("1.0")
	big, _ := bson.ParseDecimal128("9007199254740993")
	tests := [][]any{
		{int32(1), int64(1), 1.0, d1},
		{0.0, math.Copysign(0, -1), int32(0)},
		{int64(1<<53 + 1), big},
		{"s", bson.Symbol("s")},
		{bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 1.0}}},
	}
	for _, same := range tests {
		for _, x := range same[1:] {
			a, b := rawgen.Of(same[0]), rawgen.Of(x)
			if Compare(a, b) != 0 || !bytes.Equal(Append(nil, a), Append(nil, b)) {
				t.Errorf("%v and %v differ", a, b)
			}
		}
	}
	if !bytes.Equal(AppendMissing(nil), Append(nil, rawgen.Of(nil))) {
		t.Error("a missing field is not encoded as null")
	}
}

// TestOrderProperty: the order of keys is the order of values, ascending and descending, and no key
// is a proper prefix of another, so that compound keys order by their components.
func TestOrderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rawgen.Value(3).Draw(t, "a"), rawgen.Value(3).Draw(t, "b")
		want := sign(Compare(a, b))
		if back := sign(Compare(b, a)); back != -want {
			t.Fatalf("Compare is %d one way and %d the other", want, back)
		}
		ka, kb := Append(nil, a), Append(nil, b)
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("Compare %d, keys %d: %x %x", want, got, ka, kb)
		}
		if got := bytes.Compare(AppendDesc(nil, a), AppendDesc(nil, b)); got != -want {
			t.Fatalf("Compare %d, descending keys %d", want, got)
		}
		if want != 0 && (bytes.HasPrefix(ka, kb) || bytes.HasPrefix(kb, ka)) {
			t.Fatalf("one key is a prefix of the other: %x %x", ka, kb)
		}
	})
}

func TestSkipProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vals := rapid.SliceOfN(rawgen.Value(3), 1, 4).Draw(t, "values")
		var key []byte
		var ends []int
		for i, v := range vals {
			if i%2 == 0 {
				key = Append(key, v)
			} else {
				key = AppendDesc(key, v)
			}
			ends = append(ends, len(key))
		}
		rest := key
		for i := range vals {
			var err error
			if rest, err = Skip(rest); err != nil {
				t.Fatal(err)
			}
			if got := len(key) - len(rest); got != ends[i] {
				t.Fatalf("value %d ends at %d, want %d", i, got, ends[i])
			}
		}
	})
}

func TestCompactKeys(t *testing.T) {
	tests := []struct {
		v   any
		max int
	}{
		{bson.Binary{Data: make([]byte, 12)}, 13},
		{bson.Binary{Data: make([]byte, 16)}, 17},
		{bson.Binary{Data: make([]byte, 32)}, 33},
		{int32(1), 4},
		{int64(1_000_000), 6},
		{bson.ObjectID{}, 13},
		{true, 2},
	}
	for _, tt := range tests {
		if n := len(Append(nil, rawgen.Of(tt.v))); n > tt.max {
			t.Errorf("key of %v takes %d bytes, want at most %d", tt.v, n, tt.max)
		}
	}
}

func FuzzSkip(f *testing.F) {
	for _, v := range []any{1, int64(1<<60 + 1), "a\x00b",
		bson.D{{Key: "a", Value: bson.A{1, -2.5}}}, bson.Regex{Pattern: "x"},
		bson.Binary{Data: make([]byte, 300)}, bson.CodeWithScope{Code: "x", Scope: bson.D{}}} {
		f.Add(Append(nil, rawgen.Of(v)))
		f.Add(AppendDesc(nil, rawgen.Of(v)))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		rest, err := Skip(key)
		if err == nil && len(rest) >= len(key) {
			t.Fatal("Skip did not advance")
		}
	})
}

func BenchmarkAppendMessageKey(b *testing.B) {
	v := rawgen.Of(bson.Binary{Data: []byte("user-id!mboxuid.")})
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], v)
	}
}

func BenchmarkAppendInt64(b *testing.B) {
	v := rawgen.Of(int64(1234567))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], v)
	}
}

func TestValue(t *testing.T) {
	id := bson.NewObjectID()
	for _, in := range []any{
		bson.Binary{Data: make([]byte, 12)}, bson.Binary{Data: []byte("0123456789abcdef")},
		bson.Binary{Data: make([]byte, 32)},
		id, "", "text",
	} {
		typ, data, err := bson.MarshalValue(in)
		if err != nil {
			t.Fatal(err)
		}
		want := bson.RawValue{Type: typ, Value: data}
		got, ok := Value(Append(nil, want))
		if !ok || got.Type != want.Type || !bytes.Equal(got.Value, want.Value) {
			t.Errorf("%v: got %v", want, got)
		}
	}
	for _, in := range []any{1, bson.Binary{Data: make([]byte, 13)},
		bson.Binary{Subtype: 4, Data: make([]byte, 16)}, "a\x00b", bson.D{}, bson.Null{}} {
		typ, data, err := bson.MarshalValue(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Value(Append(nil, bson.RawValue{Type: typ, Value: data})); ok {
			t.Errorf("%v: got %v", in, got)
		}
	}
	for _, key := range [][]byte{nil, {tagString}, {tagObjectID, 1}, {tagBinary + 1, 1}, {tagString, 'a', 0, 0xff}} {
		if got, ok := Value(key); ok {
			t.Errorf("%x: got %v", key, got)
		}
	}
}
