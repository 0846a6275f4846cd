package query

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// cases reads a file of test cases: an array of documents in extended JSON.
func cases(t testing.TB, file string) []bson.Raw {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	doc := parseDoc(t, `{"cases": `+string(text)+`}`)
	var out []bson.Raw
	for _, v := range items(rawdoc.Get(doc, "cases")) {
		out = append(out, v.Value)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no cases", file)
	}
	return out
}

func parseDoc(t testing.TB, s string) bson.Raw {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(s), false, &d); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(c bson.Raw, field string) string {
	v := rawdoc.Get(c, field)
	if v.Type != bson.TypeString {
		return ""
	}
	return string(rawdoc.String(v))
}

// checkError compares err with the fields error and message of a case; true if it expects an error.
func checkError(t *testing.T, c bson.Raw, err error) bool {
	t.Helper()
	code, expected := rawdoc.Integer(rawdoc.Get(c, "error"))
	if !expected {
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		return false
	}
	var e *mongoerr.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: error %v, want code %d", c, err, code)
	}
	if int64(e.Code) != code || !strings.Contains(e.Message, text(c, "message")) {
		t.Errorf("%s: error %d %s", c, e.Code, e.Message)
	}
	return true
}

func TestFilter(t *testing.T) {
	for _, c := range cases(t, "filter.json") {
		filter := rawdoc.Get(c, "filter").Value
		f, err := ParseFilter(filter)
		if checkError(t, c, err) {
			continue
		}
		for _, doc := range items(rawdoc.Get(c, "match")) {
			if !f.Match(doc.Value) {
				t.Errorf("%s: %s does not match %s", text(c, "name"), bson.Raw(filter), doc)
			}
			checkIntervals(t, f, doc.Value)
		}
		for _, doc := range items(rawdoc.Get(c, "reject")) {
			if f.Match(doc.Value) {
				t.Errorf("%s: %s matches %s", text(c, "name"), bson.Raw(filter), doc)
			}
		}
	}
}
