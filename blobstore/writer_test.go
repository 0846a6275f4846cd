package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
)

func TestSmallBlobIsOneChunk(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	cmds.Reset()
	put(t, s, random(1, ChunkSize), 1<<20)
	if n := cmds.Count("insert", ""); n != 2 {
		t.Errorf("%d inserts, want a files and a chunk document:\n%v", n, cmds)
	}
	cmds.Reset()
	if stored := put(t, s, text(2, 5000), 1<<20); stored.Shared {
		t.Error("shared")
	}
	if cmds.Total() != 3 {
		t.Errorf("a new small blob: want one look-up and two inserts:\n%v", cmds)
	}
	cmds.Reset()
	if stored := put(t, s, text(2, 5000), 1<<20); !stored.Shared {
		t.Error("not shared")
	}
	if cmds.Total() != 2 || cmds.Count("find", FilesCollection) != 1 || cmds.Count("update", FilesCollection) != 1 {
		t.Errorf("a known small blob: want one look-up and one update:\n%v", cmds)
	}
}

func TestLargeDuplicateWritesNothing(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	data := text(3, 40*FrameSize+5)
	first := put(t, s, data, 1<<20)
	cmds.Reset()
	second := put(t, s, data, 777)
	if !second.Shared {
		t.Error("not shared")
	}
	if cmds.Total() != 2 || cmds.Count("update", FilesCollection) != 1 || cmds.Count("find", FilesCollection) != 1 {
		t.Errorf("want one look-up and one update:\n%v", cmds)
	}
	doc := fileOf(t, s, first.Hash)
	if doc.Metadata.Refs != 2 || doc.Metadata.Magic != int64(first.Magic+second.Magic) {
		t.Errorf("refs %d, magic %d", doc.Metadata.Refs, doc.Metadata.Magic)
	}
}

// Each of several blobs with common beginnings is stored, and holds its own references only.
func TestDeviation(t *testing.T) {
	for name, make := range map[string]func(int64, int) []byte{"random": random, "text": text} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, dbtest.Database(t))
			base := make(9, 8*FrameSize+100)
			change := func(at int) []byte {
				b := bytes.Clone(base)
				b[at] ^= 1
				return b
			}
			blobs := [][]byte{
				base,
				base[:FrameSize], base[:2*FrameSize], base[:2*FrameSize+1], base[:8*FrameSize], base[:len(base)-1],
				append(bytes.Clone(base), 1), append(bytes.Clone(base), random(1, 3*FrameSize)...),
				change(0), change(FrameSize), change(5 * FrameSize), change(5*FrameSize + 1), change(len(base) - 1),
			}
			for round := range 2 {
				for i, data := range blobs {
					if stored := put(t, s, data, 1<<20); stored.Shared != (round == 1) {
						t.Errorf("round %d, blob %d: shared %v", round, i, stored.Shared)
					}
				}
			}
			for i, data := range blobs {
				hash := dedupe.Sum(data)
				if got := get(t, s, hash, 0, int64(len(data))); !bytes.Equal(got, data) {
					t.Errorf("blob %d: read back something else", i)
				}
				if refs := fileOf(t, s, hash).Metadata.Refs; refs != 2 {
					t.Errorf("blob %d has %d references, want 2", i, refs)
				}
			}
			assertNoOrphans(t, s)
		})
	}
}

// assertNoOrphans fails if there are chunks of no blob, or if a blob lacks chunks.
func assertNoOrphans(t testing.TB, s *Store) {
	t.Helper()
	cur, err := s.files.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []filesDoc
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	var want int64
	for _, doc := range docs {
		want += (doc.Length + ChunkSize - 1) / ChunkSize
	}
	if n := count(t, s.chunks); n != want {
		t.Errorf("%d chunks, %d belong to blobs", n, want)
	}
}

func TestAbort(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	base := random(4, 10*FrameSize)
	put(t, s, base, 1<<20)
	for i, data := range [][]byte{
		nil, base[:10], base[:FrameSize], base[:5*FrameSize], random(5, 10*FrameSize),
		append(bytes.Clone(base[:5*FrameSize]), random(6, 3*FrameSize)...),
	} {
		w := s.NewWriter(t.Context())
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		w.Abort(t.Context())
		w.Abort(t.Context())
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("Write after Abort succeeded")
		}
		if _, err := w.Finish(t.Context()); err == nil {
			t.Error("Finish after Abort succeeded")
		}
		if refs := fileOf(t, s, dedupe.Sum(base)).Metadata.Refs; refs != 1 {
			t.Errorf("upload %d: %d references to the other blob, want 1", i, refs)
		}
	}
	if n := count(t, s.files); n != 1 {
		t.Errorf("%d blobs, want 1", n)
	}
	assertNoOrphans(t, s)
}

func TestConcurrentUploads(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	const uploads = 8
	for _, size := range []int{5000, 6*FrameSize + 1} {
		data := random(int64(size), size)
		var group sync.WaitGroup
		errs := make([]error, uploads)
		for i := range uploads {
			group.Go(func() { _, errs[i] = tryPut(t.Context(), s, data, 50_000) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if refs := fileOf(t, s, dedupe.Sum(data)).Metadata.Refs; refs != uploads {
			t.Errorf("%d bytes: %d references, want %d", size, refs, uploads)
		}
		if got := get(t, s, dedupe.Sum(data), 0, int64(size)); !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read back something else", size)
		}
	}
	if n := count(t, s.files); n != 2 {
		t.Errorf("%d blobs, want 2", n)
	}
	assertNoOrphans(t, s)
}

// A collector may remove a blob at any time when no reference to it is counted.
func TestBlobVanishes(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	data := random(7, 6*FrameSize)
	first := put(t, s, data, 1<<20)
	if err := s.refs.Remove(t.Context(), first.Hash, first.Magic); err != nil {
		t.Fatal(err)
	}
	quarantine := bson.D{{Key: "$set",
		Value: bson.D{{Key: "metadata.quarantined", Value: bson.NewDateTimeFromTime(fileOf(t, s,
			first.Hash).UploadDate)}}}}
	unused := bson.D{{Key: "metadata.refs", Value: int64(0)}, {Key: "metadata.magic", Value: int64(0)}}
	if res, err := s.files.UpdateOne(t.Context(), unused, quarantine); err != nil || res.MatchedCount != 1 {
		t.Fatal("quarantine:", res, err)
	}
	quarantined := append(bson.D{{Key: "metadata.quarantined",
		Value: bson.D{{Key: "$exists", Value: true}}}}, unused...)

	// While an upload follows it, it is not to be deleted, and it is out of quarantine.
	w := s.NewWriter(t.Context())
	if _, err := w.Write(data[:3*FrameSize]); err != nil {
		t.Fatal(err)
	}
	if res, err := s.files.DeleteOne(t.Context(), quarantined); err != nil || res.DeletedCount != 0 {
		t.Fatal("delete while it is followed:", res, err)
	}
	w.Abort(t.Context())

	// Deleted in good time, it is stored anew.
	if _, err := s.files.UpdateOne(t.Context(), unused, quarantine); err != nil {
		t.Fatal(err)
	}
	if res, err := s.files.DeleteOne(t.Context(), quarantined); err != nil || res.DeletedCount != 1 {
		t.Fatal("delete:", res, err)
	}
	if stored := put(t, s, data, 1<<20); stored.Shared {
		t.Error("shared with a deleted blob")
	}
	if got := get(t, s, first.Hash, 0, int64(len(data))); !bytes.Equal(got, data) {
		t.Error("read back something else")
	}
}

func TestCanceledContext(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	ctx, cancel := context.WithCancel(t.Context())
	w := s.NewWriter(ctx)
	if _, err := w.Write(random(1, 4*FrameSize)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Write(random(2, 4*FrameSize)); !errors.Is(err, context.Canceled) {
		t.Error("Write:", err)
	}
	if _, err := w.Finish(t.Context()); !errors.Is(err, context.Canceled) {
		t.Error("Finish:", err)
	}
	w.Abort(t.Context())
	assertNoOrphans(t, s)
}

// Several chunks are written at a time, and no more than there are places for. An upload without a
// place still writes one after the other.
func TestChunksAtATime(t *testing.T) {
	var s *Store
	var mu sync.Mutex
	most := 0
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if name, _ := e.Command.Lookup("insert").StringValueOK(); name == ChunksCollection {
			mu.Lock()
			defer mu.Unlock()
			most = max(most, len(s.ahead))
		}
	}}
	client := dbtest.NewClient(t, options.Client().SetMonitor(monitor))
	s = newStore(t, client.Database(dbtest.Database(t).Name()))
	data := random(1, 12*ChunkSize+5)
	stored := put(t, s, data, 1<<20)
	if got := get(t, s, stored.Hash, 0, int64(len(data))); !bytes.Equal(got, data) {
		t.Error("read back something else")
	}
	if most < 2 {
		t.Errorf("at most %d chunks were written at a time", most)
	}
	for range chunksAtATime {
		s.ahead <- struct{}{}
	}
	data[0]++
	stored = put(t, s, data, 1<<20)
	if got := get(t, s, stored.Hash, 0, int64(len(data))); !bytes.Equal(got, data) {
		t.Error("without a place: read back something else")
	}
	if len(s.ahead) != chunksAtATime {
		t.Errorf("%d places taken, want %d", len(s.ahead), chunksAtATime)
	}
	assertNoOrphans(t, s)
}

func BenchmarkWrite(b *testing.B) {
	for name, make := range map[string]func(int64, int) []byte{"random": random, "text": text} {
		b.Run(name, func(b *testing.B) {
			s := newStore(b, dbtest.Database(b))
			data := make(1, 20_000_000)
			b.SetBytes(int64(len(data)))
			for i := 0; b.Loop(); i++ {
				copy(data, fmt.Sprint(i, " "))
				put(b, s, data, 1<<16)
			}
		})
	}
	b.Run("duplicate", func(b *testing.B) {
		s := newStore(b, dbtest.Database(b))
		data := text(1, 20_000_000)
		put(b, s, data, 1<<16)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			put(b, s, data, 1<<16)
		}
	})
}
