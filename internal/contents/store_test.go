package contents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/mimestream"
)

func TestRoundTrip(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	for name, message := range sampleMessages() {
		t.Run(name, func(t *testing.T) {
			stored := mustPut(t, s, []byte(message))
			if stored.ID != ID(dedupe.Sum([]byte(message))) || stored.Size != int64(len(message)) ||
				len(stored.Magics) != 1 {
				t.Fatalf("stored %+v", stored)
			}
			c := load(t, s, stored.ID, Want{Parts: true})
			if got := read(t, c, 0, c.Size); string(got) != message {
				t.Fatalf("read back %d bytes that differ from %d", len(got), len(message))
			}
			root := mimestream.Parse([]byte(message))
			if diff := diffParts(stripParts(root, nil), c.Root()); diff != "" {
				t.Fatalf("parts (-want +got):\n%s", diff)
			}
			if c.HeaderSize() != root.HeaderSize {
				t.Errorf("HeaderSize = %d, want %d", c.HeaderSize(), root.HeaderSize)
			}
			size := c.Size
			for _, r := range [][2]int64{{0, size / 3}, {size / 3, size / 3},
				{size - size/3, size / 3}, {size, 0}, {size / 2, min(1, size)}} {
				if got := read(t, c, r[0], r[1]); string(got) != message[r[0]:r[0]+r[1]] {
					t.Fatalf("range %d+%d differs", r[0], r[1])
				}
			}
		})
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

func TestAnyMail(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		message := drawMail(t)
		stored, err := put(ctx, s, message, rapid.SampledFrom([]int{1000, 4096, 77_777, 1 << 20}).Draw(t, "piece"))
		if err != nil {
			t.Fatal(err)
		}
		contents, err := s.Load(ctx, []ID{stored.ID}, Want{All: rapid.Bool().Draw(t, "all")})
		if err != nil {
			t.Fatal(err)
		}
		c := contents[stored.ID]
		if got := read(t, c, 0, c.Size); !bytes.Equal(got, message) {
			t.Fatal("read back something else")
		}
		for range 5 {
			off := rapid.IntRange(0, len(message)).Draw(t, "off")
			n := rapid.IntRange(0, len(message)-off).Draw(t, "n")
			if got := read(t, c, int64(off), int64(n)); !bytes.Equal(got, message[off:off+n]) {
				t.Fatalf("range %d+%d differs", off, n)
			}
		}
	})
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

func TestWhatBecomesABlob(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	samples := sampleMessages()
	for name, want := range map[string]string{
		"empty":           "",
		"short":           "inline",
		"medium text":     "inline",
		"many parts":      "inline",
		"tiny base64":     "inline",
		"long text":       "inline blob",
		"small base64":    "inline inline/decoded inline",
		"attachment":      "inline blob/decoded inline",
		"attachment LF":   "inline blob/decoded inline",
		"one line":        "inline blob/decoded inline",
		"final line ends": "inline blob/decoded inline",
		"late deviation":  "inline blob/decoded blob inline",
		"small tail":      "inline blob/decoded inline",
		"early deviation": "inline blob inline",
		"binary":          "inline blob inline",
		"nested":          "inline blob/decoded inline",
		"two attachments": "inline blob/decoded inline blob/decoded inline",
	} {
		if got := segmentsOf(t, s, samples[name]); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The same attachment in mails with other line lengths and file names is one blob.

func TestAttachmentIsStoredOnce(t *testing.T) {
	db := dbtest.Database(t)
	s := newStore(t, db)
	pdf := random(42, 500_000)
	var ids []ID
	for i := range 20 {
		header := strings.ReplaceAll(base64Header, "a.pdf", fmt.Sprintf("report-%d.pdf", i))
		eol := []string{"\r\n", "\n"}[i%2]
		ids = append(ids, mustPut(t, s, []byte(multipart(textHeader+fmt.Sprint("Mail ", i), header+
			encode(pdf, 60+4*(i%5), eol)))).ID)
	}
	blobs := all[rawBlob](t, db.Collection(blobstore.FilesCollection))
	if len(blobs) != 1 || blobs[0].Metadata.Refs != 20 || blobs[0].Length > 520_000 {
		t.Fatalf("blobs: %+v", blobs)
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
	contents, err := s.Load(t.Context(), ids, Want{})
	if err != nil || len(contents) != 20 {
		t.Fatal(len(contents), err)
	}
}

func TestSharedContent(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	message := []byte(multipart(textHeader+"Hi.", base64Header+encode(random(1, 200_000), 76, "\r\n")))
	first := mustPut(t, s, message)
	if first.Shared {
		t.Error("first: shared")
	}
	w := s.NewWriter(t.Context())
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	second, err := w.Finish(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Shared || second.ID != first.ID || len(second.Magics) != 3 {
		t.Errorf("second: %+v", second)
	}
	w.Abort(t.Context()) // safe, and of no effect
	docs := all[rawContent](t, s.coll)
	magic := int64(first.Magics[0] + second.Magics[0] + second.Magics[1] + second.Magics[2])
	if len(docs) != 1 || docs[0].Refs != 4 || docs[0].Magic != magic {
		t.Fatalf("%d documents, %d references", len(docs), docs[0].Refs)
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

func TestConcurrentDeliveries(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	attachment := random(5, 400_000)
	const senders = 8
	errs := make([]error, senders)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			message := multipart(fmt.Sprintf("%sMail %d", textHeader, i/2), base64Header+encode(attachment, 76, "\r\n"))
			_, errs[i] = put(t.Context(), s, []byte(message), 50_000)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	docs := all[rawContent](t, s.coll)
	if len(docs) != senders/2 {
		t.Errorf("%d contents, want %d", len(docs), senders/2)
	}
	for _, doc := range docs {
		if doc.Refs != 2 {
			t.Errorf("%d references, want 2", doc.Refs)
		}
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

func TestReferences(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	a, b := mustPut(t, s, []byte("A: a\r\n\r\na")), mustPut(t, s, []byte("B: b\r\n\r\nb"))
	refs := []Ref{{a.ID, dedupe.NewMagic()}, {b.ID, dedupe.NewMagic()}, {a.ID, dedupe.NewMagic()}}
	if err := s.AddRefs(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	counts := func() (out [2]int64) {
		for _, doc := range all[rawContent](t, s.coll) {
			i := 0
			if bytes.Equal(doc.ID.Data, b.ID[:]) {
				i = 1
			}
			out[i] = doc.Refs
		}
		return out
	}
	if got := counts(); got != [2]int64{3, 2} {
		t.Errorf("references after adding: %v", got)
	}
	// All or nothing.
	none := ID(dedupe.Sum([]byte("none")))
	err := s.AddRefs(t.Context(), append([]Ref{{none, dedupe.NewMagic()}}, refs...))
	var missing *dedupe.MissingError
	if !errors.Is(err, dedupe.ErrMissing) || !errors.As(err, &missing) ||
		len(missing.Hashes) != 1 || ID(missing.Hashes[0]) != none {
		t.Errorf("a missing content: %v", err)
	}
	if got := counts(); got != [2]int64{3, 2} {
		t.Errorf("references after failing to add: %v", got)
	}
	if err := s.ReleaseRefs(t.Context(), append(refs, Ref{a.ID, a.Magics[0]}, Ref{b.ID, b.Magics[0]})); err != nil {
		t.Fatal(err)
	}
	for _, doc := range all[rawContent](t, s.coll) {
		if doc.Refs != 0 || doc.Magic != 0 {
			t.Errorf("after releasing all: refs %d, magic %d", doc.Refs, doc.Magic)
		}
	}
	if err := s.ReleaseRefs(t.Context(), refs[:1]); !errors.Is(err, dedupe.ErrNotHeld) {
		t.Errorf("releasing once more: %v", err)
	}
}

func TestInlineBudget(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	// More small parts that do not compress than the document takes, then text between attachments.
	var parts []string
	for i := range 900 {
		switch {
		case i > 500 && i%2 == 0:
			parts = append(parts, base64Header+encode(random(int64(i), 6000), 76, "\r\n"))
		default:
			parts = append(parts, binaryHeader+string(random(int64(i), 4000)))
		}
	}
	message := []byte(multipart(parts...))
	c := load(t, s, mustPut(t, s, message).ID, Want{All: true})
	if got := read(t, c, 0, c.Size); !bytes.Equal(got, message) {
		t.Fatal("read back something else")
	}
	if n := len(c.table.segments); n > SpillSegments+segmentsPerLeaf {
		t.Errorf("%d segments", n)
	}
	doc := all[rawContent](t, s.coll)[0]
	stored := 0
	for _, f := range doc.F {
		stored += len(f.Data)
	}
	if stored > InlineBudget+2*FrameSize || stored < InlineBudget-FrameSize {
		t.Errorf("%d inline bytes stored", stored)
	}
	if extra := audit(t, s); extra != 0 {
		t.Errorf("%d references or chunks too many", extra)
	}
}

// Bytes that compress to next to nothing reach the bound on the number of frames.

func TestFrameBound(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	message := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat("preamble\r\n", 2_000_000) + "--b--\r\n")
	c := load(t, s, mustPut(t, s, message).ID, Want{})
	if got := read(t, c, 0, c.Size); !bytes.Equal(got, message) {
		t.Fatal("read back something else")
	}
	if len(c.table.frames) > maxFrames {
		t.Errorf("%d frames", len(c.table.frames))
	}
}

func TestAbort(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	message := []byte(multipart(textHeader+"Hi.", base64Header+encode(random(1, 400_000), 76,
		"\r\n"), base64Header+encode(random(2, 9000), 76, "\r\n")))
	for _, n := range []int{0, 100, 1000, 100_000, 500_000, 545_000, len(message)} {
		w := s.NewWriter(t.Context())
		if _, err := w.Write(message[:n]); err != nil {
			t.Fatal(err)
		}
		w.Abort(t.Context())
		w.Abort(t.Context())
		if _, err := w.Finish(t.Context(), 1); err == nil {
			t.Error("Finish after Abort succeeded")
		}
		for _, doc := range all[rawBlob](t, s.coll.Database().Collection(blobstore.FilesCollection)) {
			if doc.Metadata.Refs != 0 || doc.Metadata.Magic != 0 {
				t.Errorf("aborted after %d bytes: refs %d, magic %d", n, doc.Metadata.Refs, doc.Metadata.Magic)
			}
		}
		if extra := audit(t, s); extra != 0 {
			t.Errorf("aborted after %d bytes: %d references or chunks too many", n, extra)
		}
	}
	if n := len(all[rawContent](t, s.coll)); n != 0 {
		t.Errorf("%d contents", n)
	}
}

func TestErrors(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	none := ID(dedupe.Sum([]byte("none")))
	contents, err := s.Load(t.Context(), []ID{none}, Want{})
	if err != nil || len(contents) != 0 {
		t.Errorf("Load of nothing: %v, %v", contents, err)
	}
	c := load(t, s, mustPut(t, s, []byte("A: a\r\n\r\nabc")).ID, Want{})
	for _, r := range [][2]int64{{-1, 1}, {0, c.Size + 1}, {c.Size + 1, 0}, {1, -1}, {1, 1<<63 - 1}} {
		if err := c.WriteRange(t.Context(), io.Discard, r[0], r[1]); !errors.Is(err, ErrRange) {
			t.Errorf("range %d+%d: %v", r[0], r[1], err)
		}
	}
	for _, change := range []bson.D{
		{{Key: "f.0", Value: bson.Binary{Data: []byte("x")}}},
		{{Key: "f", Value: bson.D{}}},
		{{Key: "segs", Value: bson.Binary{Data: []byte("x")}}},
		{{Key: "segs", Value: "x"}},
	} {
		if _, err := s.coll.UpdateOne(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: change}}); err != nil {
			t.Fatal(err)
		}
		contents, err := s.Load(t.Context(), []ID{c.ID}, Want{})
		if err == nil {
			err = contents[c.ID].WriteRange(t.Context(), io.Discard, 0, c.Size)
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("damaged by %v: %v", change, err)
		}
	}
	c = load(t, s, mustPut(t, s, []byte(multipart(base64Header+encode(random(1, 9000), 76, "\r\n")))).ID, Want{})
	if _, err := s.coll.Database().Collection(blobstore.FilesCollection).DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteRange(t.Context(), io.Discard, 0, c.Size); !errors.Is(err, ErrCorrupt) ||
		!errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("without its blob: %v", err)
	}
	w := s.NewWriter(t.Context())
	defer w.Abort(t.Context())
	if _, err := w.Finish(t.Context(), 0); err == nil {
		t.Error("Finish without references succeeded")
	}
}
