package query

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/docstore/rawdoc"
)

// One pass over a document gives what the tree of its fields gives.
func TestFlatUpdates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := map[string][]byte{}
		for _, name := range []string{"a", "b", "c", "d"} {
			op := rapid.SampledFrom([]string{"", "$set", "$set", "$unset", "$inc", "$min", "$max", "$push",
				"$addToSet", "$setOnInsert"}).Draw(t, "operator")
			if op == "" {
				continue
			}
			v := operand(t)
			if op == "$inc" {
				v = smallNumber().Draw(t, "by")
			}
			fields[op] = rawdoc.AppendElem(fields[op], name, v)
		}
		buf, start := rawdoc.Begin(nil)
		for op, elems := range fields {
			inner, at := rawdoc.Begin(nil)
			buf = rawdoc.AppendElem(buf, op, rawdoc.OfDoc(rawdoc.End(append(inner, elems...), at)))
		}
		u, err := ParseUpdate(rawdoc.OfDoc(rawdoc.End(buf, start)), nil)
		if err != nil {
			return
		}
		if !u.flat() {
			t.Fatal("not flat")
		}
		doc := []byte(anyDoc(2).Draw(t, "document").Value)
		isInsert := rapid.Bool().Draw(t, "insert")
		want, err := u.operateTree(doc, rawdoc.Missing, isInsert)
		got, ok := u.operateFlat(doc, rawdoc.Missing, isInsert)
		if ok != (err == nil) || ok && !bytes.Equal(got, want) {
			t.Fatalf("%v, %v; want %v, %v", got, ok, want, err)
		}
	})
}

// The first of several fields of one name is changed.
func TestFlatUpdateOfTwins(t *testing.T) {
	buf, start := rawdoc.Begin(nil)
	for n := range int32(3) {
		buf = rawdoc.AppendElem(buf, "a", rawdoc.OfInt32(n))
	}
	doc := rawdoc.End(buf, start)
	for _, update := range []string{`{"$set": {"a": 9}}`, `{"$unset": {"a": 1}}`, `{"$inc": {"a": 1}, "$set": {"b": 1}}`} {
		u, err := ParseUpdate(rawdoc.OfDoc(parseDoc(t, update)), nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := u.operateTree(doc, rawdoc.Missing, false)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := u.operateFlat(doc, rawdoc.Missing, false); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", update, got, ok, want)
		}
	}
}
