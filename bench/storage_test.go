package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/dbtest"
)

func collection(name string, documents, octets, stored, indexes int64) database.CollectionSpace {
	return database.CollectionSpace{Name: name, Documents: documents, Bytes: octets, Stored: stored, Indexes: indexes}
}

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
	list, err := database.MeasureCollections(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "a" || list[0].Documents != 0 || list[1].Name != "b" ||
		list[1].Documents != 50 || list[1].Bytes != bytesOf {
		t.Errorf("%+v, want 50 documents of %d bytes in b", list, bytesOf)
	}
}

// A directory without files has settled, too.
func TestSettled(t *testing.T) {
	dir := t.TempDir()
	if size, err := Settled(t.Context(), dir, time.Millisecond); err != nil || size < 0 {
		t.Errorf("%d bytes of nothing, %v", size, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if size, err := Settled(t.Context(), dir, time.Millisecond); err != nil || size < 1<<20 {
		t.Errorf("%d bytes, %v", size, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Settled(ctx, dir, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// A footprint since an earlier one has what was added, and a value for all that is known.
func TestFootprintSince(t *testing.T) {
	space := func(n int64) *Space {
		s := newSpace()
		s.Logical[PDF], s.Decoded[PDF], s.Unique[PDF], s.Stored[PDF] = 8*n, 6*n, float64(4*n), float64(2*n)
		return s
	}
	before := &Footprint{Space: space(1), Directory: 100, Collections: []database.CollectionSpace{
		collection("a", 1, 10, 5, 2)}}
	now := &Footprint{Space: space(3), Directory: 160, Oplog: 7,
		Collections: []database.CollectionSpace{collection("a", 4, 50, 15, 3), collection("b", 1, 2, 3, 4)}}
	got := now.Since(before).Values(40)
	want := map[string]float64{"received-bytes": 40, "directory-bytes": 60, "oplog-bytes": 7, "pdf-logical-bytes": 16,
		"pdf-decoded-bytes": 12, "pdf-unique-bytes": 8, "pdf-stored-bytes": 4, "collection-a-documents": 3,
		"collection-a-document-bytes": 40, "collection-a-table-bytes": 10, "collection-a-index-bytes": 1,
		"collection-b-documents": 1, "collection-b-document-bytes": 2, "collection-b-table-bytes": 3,
		"collection-b-index-bytes": 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	only := new(Footprint).Since(new(Footprint)).Values(3)
	if diff := cmp.Diff(map[string]float64{"received-bytes": 3}, only); diff != "" {
		t.Error(diff)
	}
}

func TestWriteCollections(t *testing.T) {
	var out bytes.Buffer
	err := WriteCollections(&out, []database.CollectionSpace{collection("contents", 3, 1000, 900, 20),
		collection("messages", 4, 500, 100, 30)}, 1200)
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
