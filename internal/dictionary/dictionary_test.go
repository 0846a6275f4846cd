package dictionary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/blobstore/frame"
	"gadwall/internal/dbtest"
)

// samples are short texts with much in common.
func samples(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil,
			"X-Our-Own-Field: always the same value\r\nX-Number: %d\r\nX-Another-Field-Of-Ours: "+
				"%x; policy=strict; zone=%d\r\n", i*7919, i*104729, i%13)
	}
	return list
}

// add trains a dictionary and adds it.
func add(t testing.TB, s *Set, kind Kind, samples [][]byte) *Dictionary {
	t.Helper()
	d, err := Train(kind, NewID(), samples)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), d, samples); err != nil {
		t.Fatal(err)
	}
	return d
}

func mustCompress(t testing.TB, d *Dictionary, src []byte) []byte {
	t.Helper()
	z, err := d.Compress(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// What was compressed with a dictionary, or none, comes back with it, and with no other.
func TestRoundTrip(t *testing.T) {
	trained, err := Train(Headers, NewID(), samples(500))
	if err != nil {
		t.Fatal(err)
	}
	all := []*Dictionary{nil, trained}
	for _, d := range Shipped() {
		all = append(all, d)
	}
	rapid.Check(t, func(t *rapid.T) {
		src := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "src")
		if rapid.Bool().Draw(t, "text") {
			src = bytes.Repeat([]byte("Content-Type: text/html; charset=utf-8\r\n"), 1+len(src)%1000)
		}
		buf := make([]byte, 0, frame.MaxSize)
		for i, d := range all {
			z, err := d.Compress(nil, src)
			if err != nil {
				t.Fatal(err)
			}
			for k, other := range all {
				got, err := other.Decompress(buf, z, len(src))
				switch {
				case i == k && (err != nil || !bytes.Equal(got, src)):
					t.Fatalf("dictionary %d: %v", d.ID(), err)
				case i != k && !errors.Is(err, frame.ErrCorrupt):
					t.Fatalf("made with %d, read with %d: %v", d.ID(), other.ID(), err)
				}
			}
		}
	})
}

func FuzzDecompress(f *testing.F) {
	d := Shipped()[Headers]
	z, err := d.Compress(nil, []byte("Subject: hello\r\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z, 16)
	f.Fuzz(func(t *testing.T, src []byte, size int) {
		out, err := d.Decompress(make([]byte, 0, 4096), src, min(max(size, 0), 4096))
		if err == nil && len(out) != size {
			t.Fatalf("%d bytes, not %d", len(out), size)
		}
	})
}

// A shipped dictionary never changes: stored frames need it.
func TestShippedDictionariesAreFixed(t *testing.T) {
	for kind, frame := range goldenFrames {
		d := Shipped()[kind]
		if d.ID() != ShippedID(kind, 1) {
			t.Fatalf("%v: ID %d", kind, d.ID())
		}
		got, err := d.Decompress(make([]byte, 0, 4096), frame, len(goldenText))
		if err != nil || string(got) != goldenText {
			t.Errorf("%v: %q, %v", kind, got, err)
		}
	}
}

func TestTrainedDictionaryIsUsed(t *testing.T) {
	db := dbtest.Database(t)
	log := slog.New(slog.DiscardHandler)
	first, second := NewSet(db, log), NewSet(db, log)
	ctx := t.Context()
	if got := first.Current(ctx); got != Shipped() {
		t.Fatal("without trained ones, the shipped ones are not current")
	}
	second.Current(ctx)
	d := add(t, first, Headers, samples(400))
	if d.ID() < firstTrained {
		t.Errorf("ID %d", d.ID())
	}
	if got := first.Current(ctx)[Headers]; got != d {
		t.Errorf("current is %d, trained %d", got.ID(), d.ID())
	}
	own := samples(401)[400]
	with, without := mustCompress(t, d, own), mustCompress(t, Shipped()[Headers], own)
	if len(with) >= len(without) {
		t.Errorf("%d bytes with the trained dictionary, %d with the shipped one", len(with), len(without))
	}

	// Another instance has not noticed yet, but reads what this one wrote.
	if got := second.Current(ctx)[Headers]; got.ID() == d.ID() {
		t.Error("noticed before its time")
	}
	loaded, err := second.Get(ctx, d.ID())
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Decompress(make([]byte, 0, 4096), with, len(own))
	if err != nil || !bytes.Equal(got, own) {
		t.Fatalf("%q, %v", got, err)
	}
	second.mu.Lock()
	second.checked = second.checked.Add(-RefreshInterval)
	second.mu.Unlock()
	if got := second.Current(ctx)[Headers]; got.ID() != d.ID() {
		t.Errorf("after %v: current is %d, newest %d", RefreshInterval, got.ID(), d.ID())
	}

	// A newer one replaces it, and it stays.
	newer := add(t, first, Headers, samples(600))
	third := NewSet(db, log)
	if got := third.Current(ctx)[Headers]; got.ID() != newer.ID() {
		t.Errorf("current is %d, newest %d", got.ID(), newer.ID())
	}
	if old, err := third.Get(ctx, d.ID()); err != nil || old.ID() != d.ID() {
		t.Errorf("the older one: %v", err)
	}
	list, err := third.List(ctx)
	if err != nil || len(list) != 2 || list[0].ID != d.ID() || list[0].Samples != 400 || list[1].Kind != Headers {
		t.Errorf("list %+v, %v", list, err)
	}
}

func TestUnknownAndDamaged(t *testing.T) {
	db := dbtest.Database(t)
	s := NewSet(db, slog.New(slog.DiscardHandler))
	if _, err := s.Get(t.Context(), 99_999); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	good := Shipped()[Text].Bytes()
	if err := s.Add(t.Context(), Shipped()[Text], nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("a shipped one added: %v", err)
	}
	for id, doc := range map[int64]bson.D{
		70_001: {{Key: "kind", Value: "headers"}, {Key: "data", Value: []byte("nonsense")}},
		70_002: {{Key: "kind", Value: "smells"}, {Key: "data", Value: good}},
		70_003: {{Key: "kind", Value: "text"}, {Key: "data", Value: good}}, // another ID within
	} {
		if _, err := s.coll.InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, doc...)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), ID(id)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d: %v", id, err)
		}
	}
	if _, err := Train(Text, NewID(), samples(10)); !errors.Is(err, ErrFewSamples) {
		t.Errorf("few samples: %v", err)
	}
}

// While the database cannot be asked, mail is compressed with what is known.
func TestCurrentWithoutDatabase(t *testing.T) {
	s := NewSet(dbtest.Database(t), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Current(ctx); got != Shipped() {
		t.Error("no dictionaries")
	}
}

func TestConcurrentUse(t *testing.T) {
	db := dbtest.Database(t)
	log := slog.New(slog.DiscardHandler)
	d := add(t, NewSet(db, log), Text, samples(300))
	s := NewSet(db, log)
	var users sync.WaitGroup
	for i := range 16 {
		users.Go(func() {
			own := samples(i + 1)[i]
			got, err := s.Get(t.Context(), d.ID())
			if err != nil {
				t.Error(err)
				return
			}
			z, err := got.Compress(nil, own)
			if err != nil {
				t.Error(err)
				return
			}
			back, err := got.Decompress(make([]byte, 0, 4096), z, len(own))
			if err != nil || !bytes.Equal(back, own) {
				t.Errorf("%q, %v", back, err)
			}
			s.Current(t.Context())
		})
	}
	users.Wait()
	if time.Since(s.checked) > time.Hour {
		t.Error("nobody looked")
	}
}

func BenchmarkCompress(b *testing.B) {
	src := bytes.Join(samples(40), nil)
	for kind, d := range Shipped() {
		b.Run(Kind(kind).String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = d.Compress(buf[:0], src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
