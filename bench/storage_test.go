package bench

import (
	"bytes"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

func TestMeasureCollections(t *testing.T) {
	db := dbtest.Database(t)
	var bytesOf int64
	for i := range 50 {
		doc := bson.D{{Key: "_id", Value: i}, {Key: "text", Value: strings.Repeat("x", 100)}}
		raw, err := bson.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		bytesOf += int64(len(raw))
		if _, err := db.Collection("b").InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CreateCollection(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	list, err := MeasureCollections(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "a" || list[0].Documents != 0 || list[1].Name != "b" ||
		list[1].Documents != 50 || list[1].Bytes != bytesOf {
		t.Errorf("%+v, want 50 documents of %d bytes in b", list, bytesOf)
	}
}

func TestWriteCollections(t *testing.T) {
	var out bytes.Buffer
	err := WriteCollections(&out, []CollectionSpace{{"contents", 3, 1000, 900, 20},
		{"messages", 4, 500, 100, 30}}, 1200)
	if err != nil {
		t.Fatal(err)
	}
	want := `
         collection  documents  bytes  stored bytes  indexes
           contents          3   1000           900       20
           messages          4    500           100       30
    all collections          7   1500          1000       50
  logs and all else                             150         
`
	if out.String() != want[1:] {
		t.Errorf("got\n%swant%s", out.String(), want)
	}
}
