package maintenance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
)

// BenchmarkCollect collects 50,000 contents that nobody uses, which have no blobs, or one each that
// ten of them share (so 5,000 blobs of a chunk each are collected with them).
func BenchmarkCollect(b *testing.B) {
	const n, sharing = 50_000, 10
	for _, blobs := range []int{0, n / sharing} {
		b.Run(fmt.Sprintf("contents=%d/blobs=%d", n, blobs), func(b *testing.B) {
			s := openStore(b, dbtest.OnDisk(b), time.Now)
			for b.Loop() {
				b.StopTimer()
				s.plantUnused(b, n, blobs)
				b.StartTimer()
				done, err := Collect(b.Context(), s.Store, CollectOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if done.Contents.Deleted.Documents != n || done.Blobs.Deleted.Documents != int64(blobs) {
					b.Fatalf("collected %+v", done)
				}
			}
		})
	}
}

// plantUnused stores one content, and copies of its documents under other hashes.
func (s *store) plantUnused(b *testing.B, n, blobs int) {
	b.Helper()
	ctx := b.Context()
	text := mailgen.Simple("unused")
	if blobs > 0 {
		text = mailgen.Simple("unused", attachment(1, 20_000))
	}
	if _, err := write(ctx, s.Store, text, 1); err != nil {
		b.Fatal(err)
	}
	contents, files, chunks := s.db.Collection("contents"), s.db.Collection("blobs.files"),
		s.db.Collection("blobs.chunks")
	content := s.take(b, contents)
	segs := field(content, "segs").(bson.Binary).Data
	var file, chunk bson.D
	var hash []byte
	var magic int64
	if blobs > 0 {
		file, chunk = s.take(b, files), s.take(b, chunks)
		meta := field(file, "metadata").(bson.D)
		hash, magic = field(meta, "hash").(bson.Binary).Data, field(meta, "magic").(int64)
	}
	insertAll(b, contents, n, func(i int) bson.D {
		doc := with(content, "_id", bson.Binary{Data: numbered(i)}, "refs", int64(0), "magic", int64(0))
		if blobs > 0 {
			doc = with(doc, "segs", bson.Binary{Data: bytes.Replace(segs, hash, numbered(i%blobs), 1)})
		}
		return doc
	})
	if blobs == 0 {
		return
	}
	each := int64(n / blobs)
	id := func(i int) bson.ObjectID { return bson.ObjectID(numbered(i)[20:]) }
	insertAll(b, files, blobs, func(i int) bson.D {
		meta := with(field(file, "metadata").(bson.D), "hash", bson.Binary{Data: numbered(i)},
			"refs", each, "magic", each*magic)
		return with(file, "_id", id(i), "metadata", meta)
	})
	insertAll(b, chunks, blobs, func(i int) bson.D { return with(chunk, "_id", id(i), "files_id", id(i)) })
}

// numbered is a hash.
func numbered(i int) []byte {
	return binary.BigEndian.AppendUint64(bytes.Repeat([]byte{0}, 24), uint64(i))
}

// take removes the only document of a collection.
func (s *store) take(b *testing.B, c *mongo.Collection) (doc bson.D) {
	b.Helper()
	if err := c.FindOneAndDelete(b.Context(), bson.D{}).Decode(&doc); err != nil {
		b.Fatal(err)
	}
	return doc
}

func insertAll(b *testing.B, c *mongo.Collection, n int, doc func(i int) bson.D) {
	b.Helper()
	const batch = 1000
	for first := 0; first < n; first += batch {
		var docs []any
		for i := first; i < min(first+batch, n); i++ {
			docs = append(docs, doc(i))
		}
		if _, err := c.InsertMany(context.WithoutCancel(b.Context()), docs); err != nil {
			b.Fatal(err)
		}
	}
}

func field(doc bson.D, key string) any {
	for _, e := range doc {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// with returns the document with other values of some fields.
func with(doc bson.D, pairs ...any) bson.D {
	other := d(pairs...)
	out := bson.D{}
	for _, e := range doc {
		if v := field(other, e.Key); v != nil {
			e.Value = v
		}
		out = append(out, e)
	}
	return out
}
