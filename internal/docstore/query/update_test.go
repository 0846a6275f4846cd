package query

import (
	"bytes"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/rawdoc/rawgen"
)

func TestUpdate(t *testing.T) {
	for _, c := range cases(t, "update.json") {
		u, err := ParseUpdate(rawdoc.Get(c, "update"), nil)
		if err != nil {
			checkError(t, c, err)
			continue
		}
		doc := bson.Raw(rawdoc.Get(c, "doc").Value)
		if doc == nil {
			t.Errorf("%s: parsed without an error", c)
			continue
		}
		before := bytes.Clone(doc)
		out, modified, err := u.Apply(doc, rawdoc.Truthy(rawdoc.Get(c, "insert")))
		if !bytes.Equal(doc, before) {
			t.Fatalf("%s: the document passed in was changed", c)
		}
		if checkError(t, c, err) {
			continue
		}
		want := bson.Raw(rawdoc.Get(c, "want").Value)
		same := rawdoc.Truthy(rawdoc.Get(c, "same"))
		if same {
			want = doc
		}
		if !bytes.Equal(out, want) || modified == same {
			t.Errorf("%s: %s, modified %v", c, out, modified)
		}
	}
}

func TestUpsert(t *testing.T) {
	for _, c := range cases(t, "upsert.json") {
		f, err := ParseFilter(rawdoc.Get(c, "filter").Value)
		if err != nil {
			t.Fatal(err)
		}
		u, err := ParseUpdate(rawdoc.Get(c, "update"), nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := u.UpsertDocument(f, func() bson.RawValue { return rawgen.Of("new") })
		if checkError(t, c, err) {
			continue
		}
		if want := rawdoc.Get(c, "want").Value; !bytes.Equal(out, want) {
			t.Errorf("%s: %s", c, out)
		}
	}
}

func TestReplacement(t *testing.T) {
	for s, want := range map[string]bool{`{}`: true, `{"a": 1}`: true, `{"$set": {"a": 1}}`: false} {
		u, err := ParseUpdate(rawdoc.OfDoc(parseDoc(t, s)), nil)
		if err != nil || u.IsReplacement() != want {
			t.Errorf("%s: IsReplacement %v, %v", s, !want, err)
		}
	}
}

func TestUpdateTooLarge(t *testing.T) {
	big := rawgen.Of(make([]byte, MaxDocumentSize-100))
	buf, start := rawdoc.Begin(nil)
	doc := rawdoc.End(rawdoc.AppendElem(buf, "a", big), start)
	u, err := ParseUpdate(rawdoc.OfDoc(parseDoc(t, `{"$set": {"b": "`+string(bytes.Repeat([]byte{'x'}, 200))+`"}}`)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := u.Apply(doc, false); err == nil {
		t.Error("a document of more than 16 MiB was made")
	}
}
