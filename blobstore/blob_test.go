package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os/exec"
	"sync"
	"testing"

	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"
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
				for _, r := range [][2]int{{0, 1}, {size / 2, 100}, {size - 1, 1}, {FrameSize - 1, 2}, {size, 0}, {1, size - 2}} {
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
	if cmds.Total() != 1 || cmds.Count("update", FilesCollection) != 1 {
		t.Errorf("a known small blob: want one update:\n%v", cmds)
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

// Blobs with common beginnings: each is stored, and holds just its own references.
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

// assertNoOrphans fails if there are chunks that do not belong to a blob, or missing ones.
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

// A collector may remove a blob at any time when nobody refers to it.
func TestBlobVanishes(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	data := random(7, 6*FrameSize)
	first := put(t, s, data, 1<<20)
	if err := s.refs.Remove(t.Context(), first.Hash, first.Magic); err != nil {
		t.Fatal(err)
	}
	quarantine := bson.D{{Key: "$set", Value: bson.D{{Key: "metadata.quarantined", Value: bson.NewDateTimeFromTime(fileOf(t, s, first.Hash).UploadDate)}}}}
	unused := bson.D{{Key: "metadata.refs", Value: int64(0)}, {Key: "metadata.magic", Value: int64(0)}}
	if res, err := s.files.UpdateOne(t.Context(), unused, quarantine); err != nil || res.ModifiedCount != 1 {
		t.Fatal("quarantine:", res, err)
	}
	quarantined := append(bson.D{{Key: "metadata.quarantined", Value: bson.D{{Key: "$exists", Value: true}}}}, unused...)

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

func TestNotFoundAndRanges(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	if _, err := s.Open(t.Context(), dedupe.Sum([]byte("x"))); !errors.Is(err, ErrNotFound) {
		t.Error("Open of nothing:", err)
	}
	stored := put(t, s, []byte("twelve bytes"), 5)
	b, err := s.Open(t.Context(), stored.Hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 13}, {13, 0}, {5, -1}, {5, 1 << 62}} {
		if err := b.ReadRange(t.Context(), r[0], r[1], io.Discard); !errors.Is(err, ErrRange) {
			t.Errorf("range %d+%d: %v", r[0], r[1], err)
		}
	}
}

func TestDamage(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	stored := put(t, s, text(8, 10*FrameSize), 1<<20)
	b, err := s.Open(t.Context(), stored.Hash)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bson.D{{Key: "n", Value: 1}}
	set := func(data []byte) {
		t.Helper()
		if _, err := s.chunks.UpdateOne(t.Context(), chunk, bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: data}}}}); err != nil {
			t.Fatal(err)
		}
	}
	set(random(1, 100))
	if err := b.ReadRange(t.Context(), 0, b.Size(), io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Error("chunk of a wrong size:", err)
	}
	set(random(1, ChunkSize))
	if err := b.ReadRange(t.Context(), 0, b.Size(), io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Error("chunk of other bytes:", err)
	}
	if _, err := s.chunks.DeleteOne(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	if err := b.ReadRange(t.Context(), 0, b.Size(), io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Error("missing chunk:", err)
	}
	if _, err := s.files.UpdateOne(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "length", Value: int64(5)}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), stored.Hash); !errors.Is(err, ErrCorrupt) {
		t.Error("wrong length:", err)
	}
}

// Any GridFS client reads the stored bytes, and any reader of the seekable format, or of zstd, decodes
// them.
func TestFormats(t *testing.T) {
	db := dbtest.Database(t)
	s := newStore(t, db)
	for name, data := range map[string][]byte{
		"zstd": text(1, 7*FrameSize+5), "zstd, one frame": text(2, 3000), "raw": random(1, 7*FrameSize+5),
		"empty": nil, "tiny frames": zeros(0, 20*FrameSize),
	} {
		t.Run(name, func(t *testing.T) {
			doc := fileOf(t, s, put(t, s, data, 1<<20).Hash)
			var file bytes.Buffer
			n, err := db.GridFSBucket(options.GridFSBucket().SetName("blobs")).DownloadToStream(t.Context(), doc.ID, &file)
			if err != nil || n != doc.Length {
				t.Fatal("download with the driver's bucket:", n, err)
			}
			if doc.Metadata.Codec == codecRaw {
				if !bytes.Equal(file.Bytes(), data) {
					t.Fatal("the stored file is not the blob")
				}
				return
			}
			dec, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer dec.Close()
			if got, err := dec.DecodeAll(file.Bytes(), nil); err != nil || !bytes.Equal(got, data) {
				t.Fatal("decode as a stream:", err)
			}
			r, err := seekable.NewReader(bytes.NewReader(file.Bytes()), dec)
			if err != nil {
				t.Fatal("open as seekable:", err)
			}
			defer r.Close()
			got := make([]byte, len(data)/2)
			if _, err := r.ReadAt(got, int64(len(data)/3)); err != nil || !bytes.Equal(got, data[len(data)/3:][:len(got)]) {
				t.Fatal("read within the seekable stream:", err)
			}
			if program, err := exec.LookPath("zstd"); err == nil {
				cmd := exec.Command(program, "-dc")
				cmd.Stdin = &file
				if out, err := cmd.Output(); err != nil || !bytes.Equal(out, data) {
					t.Error("zstd -dc:", err)
				}
			}
		})
	}
}

func TestReadsOnlyWhatIsNeeded(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	for name, data := range map[string][]byte{"raw": random(1, 6_000_000), "zstd": text(1, 6_000_000)} {
		t.Run(name, func(t *testing.T) {
			cached := s.WithCache(NewFrameCache(DefaultCacheBytes))
			b, err := cached.Open(t.Context(), put(t, s, data, 1<<20).Hash)
			if err != nil {
				t.Fatal(err)
			}
			for _, off := range []int{0, FrameSize - 1, 100 * FrameSize / 3, 5_500_000, 6_000_000 - 4096} {
				cmds.Reset()
				var out bytes.Buffer
				if err := b.ReadRange(t.Context(), int64(off), 4096, &out); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(out.Bytes(), data[off:off+4096]) {
					t.Fatalf("4096 bytes at %d differ", off)
				}
				if n := cmds.Documents(ChunksCollection); n > 2 || cmds.Reads("") > 1 {
					t.Errorf("4096 bytes at %d:\n%v", off, cmds)
				}
			}
			// In slices, as telephones do.
			cmds.Reset()
			const slices, slice = 100, 10_000
			for i := range slices {
				off := 4_000_000 + i*slice
				var out bytes.Buffer
				if err := b.ReadRange(t.Context(), int64(off), slice, &out); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(out.Bytes(), data[off:off+slice]) {
					t.Fatalf("slice at %d differs", off)
				}
			}
			if n := cmds.Reads(""); n > slices*slice/FrameSize+2 {
				t.Errorf("%d reads for %d slices of %d frames", n, slices, slices*slice/FrameSize)
			}
			// As a whole, in bounded queries.
			cmds.Reset()
			if err := b.ReadRange(t.Context(), 0, b.Size(), io.Discard); err != nil {
				t.Fatal(err)
			}
			if n := cmds.Documents(ChunksCollection); n > len(data)/ChunkSize*4/3+1 {
				t.Errorf("%d chunks read of %d", n, len(data)/ChunkSize)
			}
		})
	}
	cmds.Reset()
	plan := dbtest.Explain(t, s.files, bson.D{{Key: "metadata.hash", Value: dedupe.Sum(nil).Binary()}}, nil, nil)
	if plan.Stage != "IXSCAN" || plan.Index != "hash" {
		t.Errorf("look-up by hash: %v", plan)
	}
	plan = dbtest.Explain(t, s.files, bson.D{{Key: "metadata.head", Value: dedupe.Sum(nil).Binary()}}, nil, nil)
	if plan.Stage != "IXSCAN" || plan.Index != "head" {
		t.Errorf("look-up by head: %v", plan)
	}
	plan = dbtest.Explain(t, s.chunks,
		bson.D{{Key: "files_id", Value: newFileID()}, {Key: "n", Value: bson.D{{Key: "$gte", Value: 1}, {Key: "$lte", Value: 2}}}},
		bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}}, nil)
	if plan.Stage != "IXSCAN" || plan.Sorts() {
		t.Errorf("look-up of chunks: %v", plan)
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

func BenchmarkRead(b *testing.B) {
	for name, make := range map[string]func(int64, int) []byte{"random": random, "text": text} {
		b.Run(name, func(b *testing.B) {
			s := newStore(b, dbtest.Database(b))
			data := make(1, 20_000_000)
			blob, err := s.Open(b.Context(), put(b, s, data, 1<<16).Hash)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := blob.ReadRange(b.Context(), 0, blob.Size(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
