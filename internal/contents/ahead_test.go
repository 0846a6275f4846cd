package contents

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/blobstore"
	"gadwall/internal/dbtest"
)

// Ranges of any mails, read ahead and written in their order or not, are the bytes that came in.
func TestReadAheadGivesTheBytes(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	cached := s.WithCache(blobstore.NewFrameCache(blobstore.DefaultCacheBytes))
	rapid.Check(t, func(t *rapid.T) {
		s := s
		if rapid.Bool().Draw(t, "cached") {
			s = cached
		}
		ctx := context.Background()
		mails := make(map[ID][]byte)
		var ids []ID
		for range rapid.IntRange(1, 4).Draw(t, "mails") {
			mail := drawMail(t)
			stored, err := put(ctx, s, mail, 1<<16)
			if err != nil {
				t.Fatal(err)
			}
			mails[stored.ID] = mail
			ids = append(ids, stored.ID)
		}
		contents, err := s.Load(ctx, ids, Want{All: rapid.Bool().Draw(t, "all")})
		if err != nil {
			t.Fatal(err)
		}
		drawRange := rapid.Custom(func(t *rapid.T) Range {
			c := contents[rapid.SampledFrom(ids).Draw(t, "content")]
			if rapid.Bool().Draw(t, "whole") {
				return Range{c, 0, c.Size}
			}
			off := rapid.Int64Range(0, c.Size).Draw(t, "off")
			return Range{c, off, rapid.Int64Range(0, c.Size-off).Draw(t, "n")}
		})
		ranges := rapid.SliceOfN(drawRange, 1, 10).Draw(t, "ranges")
		ahead, err := s.ReadAhead(ctx, ranges)
		if err != nil {
			t.Fatal(err)
		}
		defer ahead.Close()
		for _, r := range ranges {
			switch rapid.IntRange(0, 5).Draw(t, "do") {
			case 0:
				continue
			case 1:
				r = drawRange.Draw(t, "another")
			case 2:
				if err := r.Content.Prepare(ctx, r.Off, r.N); err != nil {
					t.Fatal(err)
				}
			}
			if got := read(t, r.Content, r.Off, r.N); !bytes.Equal(got, mails[r.Content.ID][r.Off:r.Off+r.N]) {
				t.Fatalf("%d bytes at %d of %d: other bytes", r.N, r.Off, r.Content.Size)
			}
		}
	})
}

// Whole mails with attachments take a query for their documents, one for the blobs, and one for
// several blobs' bytes; what is there twice is read once.
func TestReadAheadQueries(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newStore(t, db)
	file := func(seed int64) string { return base64Header + encode(random(seed, 9000), 76, "\r\n") }
	var ids []ID
	for i := range int64(20) {
		ids = append(ids, mustPut(t, s,
			[]byte(multipart(textHeader+"Hi.", file(i), file(i), file(i/2))+string(rune('a'+i)))).ID)
	}
	cmds.Reset()
	contents, err := s.Load(t.Context(), ids, Want{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var ranges []Range
	for _, id := range ids {
		ranges = append(ranges, Range{contents[id], 0, contents[id].Size})
	}
	ahead, err := s.ReadAhead(t.Context(), ranges)
	if err != nil {
		t.Fatal(err)
	}
	defer ahead.Close()
	for _, r := range ranges {
		if err := r.Content.Prepare(t.Context(), r.Off, r.N); err != nil {
			t.Fatal(err)
		}
		if err := r.Content.WriteRange(t.Context(), io.Discard, r.Off, r.N); err != nil {
			t.Fatal(err)
		}
	}
	if cmds.Total() != 3 || cmds.Documents(blobstore.FilesCollection) != 20 ||
		cmds.Documents(blobstore.ChunksCollection) != 20 {
		t.Errorf("20 mails with 20 different files, three each:\n%v", cmds)
	}

	cmds.Reset()
	if none, err := s.ReadAhead(t.Context(), []Range{{contents[ids[0]], 0, 100},
		{contents[ids[0]], 50, 1 << 40}}); none != nil || err != nil || cmds.Total() != 0 {
		t.Errorf("without any blob: %v, %v\n%v", none, err, cmds)
	}
}

// A blob that is missing or is another one is noticed by Prepare, and costs only its own content.
func TestPrepareNoticesMissingBlobs(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	var ids []ID
	for i := range int64(3) {
		ids = append(ids, mustPut(t, s,
			[]byte(multipart(textHeader+"Hi.", base64Header+encode(random(i, 100_000), 76, "\r\n")))).ID)
	}
	contents, err := s.Load(t.Context(), ids, Want{})
	if err != nil {
		t.Fatal(err)
	}
	hash := func(i int) bson.D {
		return bson.D{{Key: "metadata.hash", Value: contents[ids[i]].table.blobRefs()[0].Hash.Binary()}}
	}
	if r, err := s.blobs.Files().DeleteOne(t.Context(), hash(0)); err != nil || r.DeletedCount != 1 {
		t.Fatal(r, err)
	}
	_, err = s.blobs.Files().UpdateOne(t.Context(), hash(1), bson.D{{Key: "$set",
		Value: bson.D{{Key: "length", Value: int64(99_999)}, {Key: "metadata.size", Value: int64(99_999)}}}})
	if err != nil {
		t.Fatal(err)
	}
	var ranges []Range
	for _, id := range ids {
		ranges = append(ranges, Range{contents[id], 0, contents[id].Size})
	}
	ahead, err := s.ReadAhead(t.Context(), ranges)
	if err != nil {
		t.Fatal(err)
	}
	defer ahead.Close()
	for i, r := range ranges {
		err := r.Content.Prepare(t.Context(), r.Off, r.N)
		if i < 2 {
			if !errors.Is(err, ErrCorrupt) || errors.Is(err, blobstore.ErrNotFound) != (i == 0) {
				t.Errorf("content %d: %v", i, err)
			}
			continue
		}
		if err != nil || int64(len(read(t, r.Content, r.Off, r.N))) != r.Content.Size {
			t.Errorf("content %d: %v", i, err)
		}
	}
	if err := contents[ids[2]].Prepare(t.Context(), 5, 1<<40); !errors.Is(err, ErrRange) {
		t.Error("outside:", err)
	}
}
