package blobstore

import (
	"bytes"
	"context"
	"math/rand"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
)

// random returns n bytes that do not compress.
func random(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// text returns n bytes that compress to about a third.
func text(seed int64, n int) []byte {
	b := random(seed, n)
	for i := range b {
		b[i] = "etaoin shrdlu"[b[i]%13]
	}
	return b
}

// zeros returns n bytes that compress to nothing.
func zeros(_ int64, n int) []byte { return make([]byte, n) }

func newStore(t testing.TB, db *mongo.Database) *Store {
	t.Helper()
	s, err := New(db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// put stores data, written in pieces.
func put(t testing.TB, s *Store, data []byte, piece int) *Stored {
	t.Helper()
	stored, err := tryPut(t.Context(), s, data, piece)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Hash != dedupe.Sum(data) || stored.Size != int64(len(data)) {
		t.Fatalf("stored %v of %d bytes, want %v of %d", stored.Hash, stored.Size, dedupe.Sum(data), len(data))
	}
	return stored
}

func tryPut(ctx context.Context, s *Store, data []byte, piece int) (*Stored, error) {
	w := s.NewWriter(ctx)
	defer w.Abort(context.WithoutCancel(ctx))
	for len(data) > 0 {
		n := min(piece, len(data))
		if _, err := w.Write(data[:n]); err != nil {
			return nil, err
		}
		data = data[n:]
	}
	return w.Finish(ctx)
}

func get(t testing.TB, s *Store, hash dedupe.Hash, off, n int64) []byte {
	t.Helper()
	b, err := s.Open(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.ReadRange(t.Context(), off, n, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fileOf reads the files document of a blob.
func fileOf(t testing.TB, s *Store, hash dedupe.Hash) filesDoc {
	t.Helper()
	var doc filesDoc
	err := s.files.FindOne(t.Context(), bson.D{{Key: "metadata.hash", Value: hash.Binary()}}).Decode(&doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func count(t testing.TB, coll *mongo.Collection) int64 {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	return int64(len(docs))
}

var sizes = []int{0, 1, 1000, FrameSize - 1, FrameSize, FrameSize + 1, 2*FrameSize - 1, 2 * FrameSize,
	2*FrameSize + 1, 5*FrameSize + 77, 10 * FrameSize}

func TestRoundTrip(t *testing.T) {
	for name, make := range map[string]func(int64, int) []byte{"random": random, "text": text, "zeros": zeros} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, dbtest.Database(t))
			for i, size := range sizes {
				data := make(int64(i), size)
				stored := put(t, s, data, 10_000+i)
				if stored.Shared {
					t.Errorf("%d bytes: reported as shared", size)
				}
				if got := get(t, s, stored.Hash, 0, int64(size)); !bytes.Equal(got, data) {
					t.Fatalf("%d bytes: read back something else", size)
				}
				for _, r := range [][2]int{{0, 1}, {size / 2, 100}, {size - 1, 1},
					{FrameSize - 1, 2}, {size, 0}, {1, size - 2}} {
					off, n := r[0], r[1]
					if off < 0 || n < 0 || off+n > size {
						continue
					}
					if got := get(t, s, stored.Hash, int64(off), int64(n)); !bytes.Equal(got, data[off:off+n]) {
						t.Fatalf("%d bytes: range %d+%d differs", size, off, n)
					}
				}
				doc := fileOf(t, s, stored.Hash)
				if doc.Metadata.Refs != 1 || doc.Metadata.Magic != int64(stored.Magic) {
					t.Errorf("%d bytes: refs %d, magic %d", size, doc.Metadata.Refs, doc.Metadata.Magic)
				}
			}
		})
	}
}
