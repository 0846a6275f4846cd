package contents

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore"
)

func newStore(t testing.TB, db *mongo.Database) *Store {
	t.Helper()
	blobs, err := blobstore.New(db, blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(db, blobs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// put stores a message, written in parts of the given size, with one reference.
func put(ctx context.Context, s *Store, message []byte, piece int) (*Stored, error) {
	w := s.NewWriter(ctx)
	defer w.Abort(context.WithoutCancel(ctx))
	for p := message; len(p) > 0; {
		n := min(piece, len(p))
		if _, err := w.Write(p[:n]); err != nil {
			return nil, err
		}
		p = p[n:]
	}
	return w.Finish(ctx, 1)
}

func mustPut(t testing.TB, s *Store, message []byte) *Stored {
	t.Helper()
	stored, err := put(t.Context(), s, message, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func load(t testing.TB, s *Store, id ID, want Want) *Content {
	t.Helper()
	contents, err := s.Load(t.Context(), []ID{id}, want)
	if err != nil {
		t.Fatal(err)
	}
	if contents[id] == nil {
		t.Fatalf("content %v does not exist", id)
	}
	return contents[id]
}

func read(t interface{ Fatal(...any) }, c *Content, off, n int64) []byte {
	var out bytes.Buffer
	if err := c.WriteRange(context.Background(), &out, off, n); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rawContent is a stored content document.
type rawContent struct {
	ID    bson.Binary            `bson:"_id"`
	Refs  int64                  `bson:"refs"`
	Magic int64                  `bson:"magic"`
	Size  int64                  `bson:"size"`
	Segs  bson.Binary            `bson:"segs"`
	Parts bson.Binary            `bson:"parts"`
	F     map[string]bson.Binary `bson:"f"`
}

type rawBlob struct {
	Length   int64 `bson:"length"`
	Metadata struct {
		Hash  bson.Binary `bson:"hash"`
		Refs  int64       `bson:"refs"`
		Magic int64       `bson:"magic"`
	} `bson:"metadata"`
}

func all[T any](t testing.TB, coll *mongo.Collection) []T {
	t.Helper()
	cur, err := coll.Find(context.Background(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []T
	if err := cur.All(context.Background(), &docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

// audit recounts the references to blobs and looks for missing documents. It returns the number of
// references that nobody holds. Fewer references than held are an error.
func audit(t testing.TB, s *Store) (extra int64) {
	t.Helper()
	db := s.coll.Database()
	type held struct{ refs, magic int64 }
	want := make(map[string]held)
	for _, doc := range all[rawContent](t, s.coll) {
		l, err := readTable(doc.Segs.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range l.blobRefs() {
			h := want[string(ref.Hash[:])]
			h.refs++
			h.magic += int64(ref.Magic)
			want[string(ref.Hash[:])] = h
		}
	}
	var chunks int64
	for _, doc := range all[rawBlob](t, db.Collection(blobstore.FilesCollection)) {
		h := want[string(doc.Metadata.Hash.Data)]
		delete(want, string(doc.Metadata.Hash.Data))
		if doc.Metadata.Refs < h.refs || doc.Metadata.Refs == h.refs && doc.Metadata.Magic != h.magic {
			t.Errorf("blob %x: %d references (magic %d) counted, %d (magic %d) held",
				doc.Metadata.Hash.Data, doc.Metadata.Refs, doc.Metadata.Magic, h.refs, h.magic)
		}
		extra += doc.Metadata.Refs - h.refs
		chunks += (doc.Length + blobstore.ChunkSize - 1) / blobstore.ChunkSize
	}
	for hash := range want {
		t.Errorf("blob %x does not exist", hash)
	}
	cur, err := db.Collection(blobstore.ChunksCollection).Find(context.Background(), bson.D{},
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var found []bson.Raw
	if err := cur.All(context.Background(), &found); err != nil {
		t.Fatal(err)
	}
	if int64(len(found)) < chunks {
		t.Errorf("%d chunks, %d belong to blobs", len(found), chunks)
	}
	return extra + int64(len(found)) - chunks
}

// segmentsOf describes how a message is stored.
func segmentsOf(t testing.TB, s *Store, message string) string {
	t.Helper()
	c := load(t, s, mustPut(t, s, []byte(message)).ID, Want{})
	var out []string
	for _, seg := range c.table.segments {
		kind := "inline"
		if seg.blob {
			kind = "blob"
		}
		if !seg.recipe.Identity {
			kind += "/decoded"
		}
		out = append(out, kind)
	}
	return strings.Join(out, " ")
}
