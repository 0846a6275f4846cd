package query

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// messageKey is a key of 16 bytes such as mail messages have.
func messageKey(n int) bson.Binary {
	return bson.Binary{Data: binary.BigEndian.AppendUint32([]byte("user-id!mbox"), uint32(n))}
}

// message is a document of about a kilobyte, shaped like a stored message.
func message(t testing.TB, n int) bson.Raw {
	t.Helper()
	sig := bytes.Repeat([]byte{byte(n), 0x55, byte(n >> 8), 0x0f}, 100)
	doc, err := bson.Marshal(bson.D{
		{Key: "_id", Value: messageKey(n)}, {Key: "modseq", Value: int64(n)}, {Key: "flags", Value: int32(n % 8)},
		{Key: "date", Value: bson.DateTime(int64(n) * 1000)}, {Key: "saved", Value: bson.DateTime(int64(n) * 1000)},
		{Key: "size", Value: int64(4000 + n)}, {Key: "content", Value: bson.Binary{Data: make([]byte, 32)}},
		{Key: "prefix", Value: bson.Binary{Data: make([]byte, 200)}},
		{Key: "keywords", Value: bson.A{"$label1", "work"}}, {Key: "subject", Value: fmt.Sprintf("re: message %d", n)},
		{Key: "from", Value: bson.A{bson.D{{Key: "name", Value: "someone"},
			{Key: "addr", Value: "someone@example.com"}}}},
		{Key: "sig", Value: bson.Binary{Data: sig}}, {Key: "envelope", Value: bson.Binary{Data: make([]byte, 300)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func filterOf(t testing.TB, v any) *Filter {
	t.Helper()
	raw, err := bson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFilter(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

type field = bson.D

var benchFilters = []struct {
	name   string
	filter any
}{
	{"IDRange", field{{Key: "_id", Value: field{{Key: "$gte", Value: messageKey(0)},
		{Key: "$lte", Value: messageKey(1 << 30)}}}}},
	{"IDRangeModseq", field{{Key: "_id", Value: field{{Key: "$gte", Value: messageKey(0)},
		{Key: "$lte", Value: messageKey(1 << 30)}}},
		{Key: "modseq", Value: field{{Key: "$gt", Value: int64(5)}}}}},
	{"FlagBits", field{{Key: "flags", Value: field{{Key: "$bitsAllSet", Value: 1}, {Key: "$bitsAllClear", Value: 8}}}}},
	{"Signature", field{{Key: "_id", Value: field{{Key: "$gte", Value: messageKey(0)},
		{Key: "$lte", Value: messageKey(1 << 30)}}},
		{Key: "sig", Value: field{{Key: "$bitsAllSet",
			Value: bson.Binary{Data: bytes.Repeat([]byte{0, 0x11, 0, 1}, 100)}}}}}},
	{"InArray", field{{Key: "keywords", Value: field{{Key: "$in", Value: bson.A{"a", "b", "work"}}}}}},
	{"Nested", field{{Key: "from.addr", Value: "someone@example.com"}}},
	{"OrNot", field{{Key: "$or", Value: bson.A{field{{Key: "size", Value: field{{Key: "$lt", Value: 100}}}},
		field{{Key: "subject", Value: field{{Key: "$not", Value: field{{Key: "$eq", Value: "x"}}}}}}}}}},
	{"RegexPrefix", field{{Key: "subject", Value: bson.Regex{Pattern: "^re: "}}}},
	{"Regex", field{{Key: "subject", Value: bson.Regex{Pattern: "message [0-9]+$"}}}},
}

// TestMatchDoesNotAllocate guards the promise of the package for everything but regular
// expressions.
func TestMatchDoesNotAllocate(t *testing.T) {
	doc := message(t, 7)
	for _, b := range benchFilters {
		f := filterOf(t, b.filter)
		if !f.Match(doc) {
			t.Errorf("%s does not match", b.name)
		}
		if b.name == "Regex" {
			continue
		}
		if n := testing.AllocsPerRun(100, func() { f.Match(doc) }); n != 0 {
			t.Errorf("%s: %v allocations for each match", b.name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	doc := message(b, 7)
	for _, bf := range benchFilters {
		f := filterOf(b, bf.filter)
		b.Run(bf.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Match(doc)
			}
		})
	}
}

func BenchmarkProjection(b *testing.B) {
	doc := message(b, 7)
	for _, s := range []string{`{"flags": 1}`, `{"flags": 1, "envelope": 1}`,
		`{"sig": 0, "prefix": 0}`, `{"from.addr": 1}`} {
		p, err := ParseProjection(parseDoc(b, s))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = p.AppendTo(buf[:0], doc)
			}
		})
	}
}

func BenchmarkIndexKeys(b *testing.B) {
	doc := message(b, 7)
	fields := []SortField{{Path: "content"}, {Path: "date", Desc: true}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := IndexKeys(doc, fields, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	doc := message(b, 7)
	for _, s := range []string{`{"$set": {"flags": 3}, "$inc": {"modseq": 1}}`, `{"$addToSet": {"keywords": "new"}}`} {
		u, err := ParseUpdate(rawdoc.OfDoc(parseDoc(b, s)), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := u.Apply(doc, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	x, y := rawdoc.Get(message(b, 1), "_id"), rawdoc.Get(message(b, 2), "_id")
	for b.Loop() {
		bsonkey.Compare(x, y)
	}
}
