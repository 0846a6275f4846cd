package query

import (
	"bytes"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

func TestProjection(t *testing.T) {
	for _, c := range cases(t, "projection.json") {
		p, err := ParseProjection(rawdoc.Get(c, "projection").Value)
		if checkError(t, c, err) {
			continue
		}
		doc := rawdoc.Get(c, "doc").Value
		out := p.Apply(doc)
		if want := rawdoc.Get(c, "want").Value; !bytes.Equal(out, want) {
			t.Errorf("%s: %s", c, out)
		}
		if again := p.AppendTo([]byte("x"), doc); !bytes.Equal(again[1:], out) {
			t.Errorf("%s: AppendTo %s", c, bson.Raw(again[1:]))
		}
	}
}
