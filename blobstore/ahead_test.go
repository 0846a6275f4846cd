package blobstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
)

// putAll stores blobs of those bytes and opens them.
func putAll(t testing.TB, s *Store, all ...[]byte) []*Blob {
	t.Helper()
	blobs := make([]*Blob, len(all))
	for i, data := range all {
		put(t, s, data, 1<<20)
		var err error
		if blobs[i], err = s.Open(t.Context(), dedupe.Sum(data)); err != nil {
			t.Fatal(err)
		}
	}
	return blobs
}

// Whatever is read ahead, and whatever of it is written, the bytes are those of the blobs.
func TestAheadGivesTheBytes(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	data := [][]byte{
		random(1, 5_000), text(2, 9_000), random(3, FrameSize), text(4, ChunkSize), random(5, ChunkSize+1),
		text(6, 9*FrameSize+5), random(7, 3*ChunkSize), zeros(8, 20*FrameSize), random(9, 40_000), text(10, 40_000),
	}
	blobs := putAll(t, s, data...)
	caches := map[string]*FrameCache{"none": nil, "small": NewFrameCache(FrameSize),
		"usual": NewFrameCache(DefaultCacheBytes)}
	rapid.Check(t, func(t *rapid.T) {
		cache := s.WithCache(caches[rapid.SampledFrom([]string{"none", "small", "usual"}).Draw(t, "cache")])
		index := make(map[dedupe.Hash]int)
		span := rapid.Custom(func(t *rapid.T) Span {
			i := rapid.IntRange(0, len(blobs)-1).Draw(t, "blob")
			b := &Blob{cache, blobs[i].layout}
			index[b.hash] = i
			if rapid.Bool().Draw(t, "whole") {
				return Span{b, 0, b.size}
			}
			off := rapid.Int64Range(0, b.size-1).Draw(t, "off")
			return Span{b, off, rapid.Int64Range(1, b.size-off).Draw(t, "n")}
		})
		spans := rapid.SliceOfN(span, 0, 20).Draw(t, "spans")
		a := cache.ReadAhead(context.Background(), spans)
		defer a.Close()
		check := func(s Span) {
			var out bytes.Buffer
			if err := a.WriteSpan(context.Background(), s, &out); err != nil {
				t.Fatalf("%d bytes at %d of blob %d: %v", s.N, s.Off, index[s.Blob.hash], err)
			}
			if !bytes.Equal(out.Bytes(), data[index[s.Blob.hash]][s.Off:s.Off+s.N]) {
				t.Fatalf("%d bytes at %d of blob %d: other bytes", s.N, s.Off, index[s.Blob.hash])
			}
		}
		for _, s := range spans {
			switch rapid.SampledFrom([]string{"write", "write", "write", "pass over",
				"another first", "end"}).Draw(t, "do") {
			case "pass over":
				continue
			case "another first":
				check(span.Draw(t, "another"))
			case "end":
				a.Close()
			}
			check(s)
		}
	})
}

// A writer that fails in the middle of a span does not disturb those after it.
func TestAheadAfterAWriterThatFails(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	data := [][]byte{random(1, 5*ChunkSize), text(2, 3*ChunkSize), random(3, 10_000)}
	blobs := putAll(t, s, data...)
	var spans []Span
	for _, b := range blobs {
		spans = append(spans, Span{b, 0, b.size})
	}
	a := s.ReadAhead(t.Context(), spans)
	defer a.Close()
	full := errors.New("full")
	if err := a.WriteSpan(t.Context(), spans[0], &limitedWriter{left: 2, err: full}); !errors.Is(err, full) {
		t.Fatal("error of the writer:", err)
	}
	for i, span := range spans[1:] {
		var out bytes.Buffer
		if err := a.WriteSpan(t.Context(), span, &out); err != nil || !bytes.Equal(out.Bytes(), data[i+1]) {
			t.Fatalf("span %d: %d bytes, %v", i+1, out.Len(), err)
		}
	}
}

// limitedWriter fails after some calls.
type limitedWriter struct {
	left int
	err  error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

// Small blobs share queries, a blob that is there twice is read once, a large one is read chunk by
// chunk, and no more than what the spans need.
func TestAheadReadsOnlyWhatIsNeeded(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	var data [][]byte
	for i := range 30 {
		data = append(data, random(int64(i), 40_000))
	}
	blobs := putAll(t, s, append(data, random(100, 4_000_000))...)
	large := blobs[30]
	write := func(spans []Span) {
		t.Helper()
		cmds.Reset()
		a := s.ReadAhead(t.Context(), spans)
		defer a.Close()
		for _, span := range spans {
			if err := a.WriteSpan(t.Context(), span, io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	}
	var spans []Span
	for _, b := range blobs[:30] {
		spans = append(spans, Span{b, 0, b.size}, Span{b, 100, 20_000})
	}
	write(spans)
	if queries, docs := cmds.Reads(ChunksCollection),
		cmds.Documents(ChunksCollection); queries > 30*40_000/groupBytes+1 || docs != 30 {
		t.Errorf("30 blobs of 40,000 bytes, twice each: %d queries, %d chunks", queries, docs)
	}
	write([]Span{{large, 0, large.size}})
	if docs, want := cmds.Documents(ChunksCollection),
		int((large.length+ChunkSize-1)/ChunkSize); docs != want || cmds.Reads("") != want {
		t.Errorf("4,000,000 bytes: %d chunks, not %d\n%v", docs, want, cmds)
	}
	write([]Span{{large, 1_000_000, 4096}, {large, 2_000_000, 10}, {large, 2 * ChunkSize, 1}})
	if docs := cmds.Documents(ChunksCollection); docs > 4 {
		t.Errorf("three slices: %d chunks", docs)
	}

	ids := bson.A{blobs[0].id, blobs[1].id, blobs[2].id}
	plan := dbtest.Explain(t, s.chunks,
		bson.D{{Key: "files_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "n", Value: int32(0)}}, nil, nil)
	if plan.Stage != "IXSCAN" || plan.DocsExamined != 3 {
		t.Errorf("chunks of several blobs: %v", plan)
	}
	hashes := bson.A{blobs[0].hash.Binary(), blobs[1].hash.Binary()}
	plan = dbtest.Explain(t, s.files,
		bson.D{{Key: "metadata.hash", Value: bson.D{{Key: "$in", Value: hashes}}}}, nil, nil)
	if plan.Stage != "IXSCAN" || plan.DocsExamined != 2 {
		t.Errorf("files of several blobs: %v", plan)
	}
}

// What is read but not yet written is bounded, however slow the writer is.
func TestAheadIsBounded(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	blobs := putAll(t, s, random(1, 30*ChunkSize), random(2, 100_000), random(3, 100_000), random(4, 20*ChunkSize))
	var spans []Span
	for range 3 {
		for _, b := range blobs {
			spans = append(spans, Span{b, 0, b.size})
		}
	}
	a := s.ReadAhead(t.Context(), spans)
	defer a.Close()
	cmds.Reset()
	written := 0
	for _, span := range spans {
		err := a.WriteSpan(t.Context(), span, writerFunc(func(p []byte) (int, error) {
			if ahead := cmds.Bytes(ChunksCollection) - written; ahead > 3*(groupBytes+4096) {
				t.Fatalf("after %d bytes, %d more were read", written, ahead)
			}
			written += len(p)
			return len(p), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Damage of one blob is told when that one is written, and only then.
func TestAheadWithDamage(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	var data [][]byte
	for i := range 8 {
		data = append(data, text(int64(i), 30_000+i))
	}
	data = append(data, random(9, 6*ChunkSize))
	blobs := putAll(t, s, data...)
	lost := func(i int, n int32) {
		t.Helper()
		r, err := s.chunks.DeleteOne(t.Context(), bson.D{{Key: "files_id", Value: blobs[i].id}, {Key: "n", Value: n}})
		if err != nil || r.DeletedCount != 1 {
			t.Fatal(r, err)
		}
	}
	lost(2, 0)
	lost(8, 3)
	for i, value := range map[int]any{4: random(1, 30_000), 5: random(1, 20)} {
		_, err := s.chunks.UpdateOne(t.Context(), bson.D{{Key: "files_id", Value: blobs[i].id}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: value}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var spans []Span
	for _, i := range []int{0, 1, 2, 3, 4, 5, 8, 6, 2, 7} {
		spans = append(spans, Span{blobs[i], 0, blobs[i].size})
	}
	a := s.ReadAhead(t.Context(), spans)
	defer a.Close()
	damaged := map[*Blob]bool{blobs[2]: true, blobs[4]: true, blobs[5]: true, blobs[8]: true}
	for i, span := range spans {
		var out bytes.Buffer
		err := a.WriteSpan(t.Context(), span, &out)
		if damaged[span.Blob] {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("span %d: %v", i, err)
			}
			continue
		}
		if err != nil || dedupe.Sum(out.Bytes()) != span.Blob.hash {
			t.Errorf("span %d: %d bytes, %v", i, out.Len(), err)
		}
	}
}

// A context that ends, of the Ahead or of the call, ends waiting.
func TestAheadIsCanceled(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	b := putAll(t, s, random(1, 20*ChunkSize))[0]
	whole := Span{b, 0, b.size}
	for _, own := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		outer := t.Context()
		if !own {
			outer, ctx = ctx, outer
		}
		a := s.ReadAhead(ctx, []Span{whole})
		err := a.WriteSpan(outer, whole, writerFunc(func(p []byte) (int, error) {
			cancel()
			return len(p), nil
		}))
		if !errors.Is(err, context.Canceled) && !errors.Is(err, errStopped) {
			t.Errorf("own %v: %v", own, err)
		}
		a.Close()
	}
	var none *Ahead
	none.Close()
}

func TestOpenAll(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	var data [][]byte
	var hashes []dedupe.Hash
	for i := range 40 {
		data = append(data, random(int64(i), 500+i))
		hashes = append(hashes, dedupe.Sum(data[i]))
	}
	putAll(t, s, data...)
	_, err := s.files.UpdateOne(t.Context(), bson.D{{Key: "metadata.hash", Value: hashes[3].Binary()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "length", Value: int64(5)}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.files.UpdateOne(t.Context(), bson.D{{Key: "metadata.hash", Value: hashes[4].Binary()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "uploadDate", Value: "yesterday"}}}})
	if err != nil {
		t.Fatal(err)
	}
	cmds.Reset()
	blobs, err := s.OpenAll(t.Context(), append(hashes, dedupe.Sum([]byte("not stored"))))
	if err != nil || cmds.Total() != 1 {
		t.Fatalf("%v\n%v", err, cmds)
	}
	for i, h := range hashes {
		if b := blobs[h]; (b != nil) != (i != 3 && i != 4) || b != nil && (b.Size() != int64(500+i) || b.Hash() != h) {
			t.Errorf("blob %d: %v", i, b)
		}
	}
	if len(blobs) != 38 {
		t.Errorf("%d blobs", len(blobs))
	}
}
