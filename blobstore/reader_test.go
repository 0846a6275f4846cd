package blobstore

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"

	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
)

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
		if _, err := s.chunks.UpdateOne(t.Context(), chunk,
			bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: data}}}}); err != nil {
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
	if _, err := s.files.UpdateOne(t.Context(), bson.D{},
		bson.D{{Key: "$set", Value: bson.D{{Key: "length", Value: int64(5)}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), stored.Hash); !errors.Is(err, ErrCorrupt) {
		t.Error("wrong length:", err)
	}
}

// Any GridFS client reads the stored bytes. Any reader of the seekable format, or of zstd, decodes
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
			n, err := db.GridFSBucket(options.GridFSBucket().SetName("blobs")).
				DownloadToStream(t.Context(), doc.ID, &file)
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
			if _, err := r.ReadAt(got, int64(len(data)/3)); err != nil ||
				!bytes.Equal(got, data[len(data)/3:][:len(got)]) {
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
			if n := cmds.Reads(""); n > slices*slice/ChunkSize+3 {
				t.Errorf("%d reads for %d slices of %d chunks", n, slices, slices*slice/ChunkSize)
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
		bson.D{{Key: "files_id", Value: newFileID()},
			{Key: "n", Value: bson.D{{Key: "$gte", Value: 1}, {Key: "$lte", Value: 2}}}},
		bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}}, nil)
	if plan.Stage != "IXSCAN" || plan.Sorts() {
		t.Errorf("look-up of chunks: %v", plan)
	}
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
