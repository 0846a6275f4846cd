package database

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
)

// broken is a collection of which intervals of keys cannot be read, whatever is in them: a query
// that comes to one fails.
type broken struct {
	keys    [][]byte // ascending
	bad     []Gap
	to      []byte
	queries int
}

var errBroken = mongo.CommandError{Code: int32(DataCorruptionDetected), Message: "broken"}

func (b *broken) find(_ context.Context, from bson.E, limit int, f func(bson.Raw) error) (int, error) {
	docs, err := b.query(from, limit)
	for i, doc := range docs {
		if err := f(doc); err != nil {
			return i + 1, err
		}
	}
	return len(docs), err
}

func (b *broken) query(from bson.E, limit int) ([]bson.Raw, error) {
	b.queries++
	at := []byte{0, 0}
	switch v := from.Value.(type) {
	case bson.Binary:
		at = v.Data
	case bson.RawValue:
		_, at, _ = v.BinaryOK()
	}
	var docs []bson.Raw
	walked := at
	if from.Key == "$gt" {
		walked, _ = Key{Size: 2}.successor(at)
	}
	walk := func(until []byte) bool { // whether all from walked to until can be read
		return !slices.ContainsFunc(b.bad, func(g Gap) bool {
			return bytes.Compare(g.From, until) <= 0 && bytes.Compare(walked, g.To) <= 0
		})
	}
	for _, key := range b.keys {
		if bytes.Compare(key, walked) < 0 || bytes.Compare(key, b.to) > 0 {
			continue
		}
		if len(docs) == limit {
			return docs, nil
		}
		if !walk(key) {
			return nil, errBroken
		}
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: bson.Binary{Data: key}}})
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	if len(docs) < limit && !walk(b.to) {
		return nil, errBroken
	}
	return docs, nil
}

func key(t *rapid.T, what string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, what)
}

// Every document is read once or is in a gap that is told of; of one damaged interval, none that
// can be read is in the gap.
func TestScanGoesOnBehindDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &broken{to: []byte{0xff, 0xff}}
		for range rapid.IntRange(0, 40).Draw(t, "documents") {
			b.keys = append(b.keys, key(t, "key"))
		}
		slices.SortFunc(b.keys, bytes.Compare)
		b.keys = slices.CompactFunc(b.keys, bytes.Equal)
		for range rapid.IntRange(0, 3).Draw(t, "damages") {
			g := Gap{From: key(t, "from"), To: key(t, "to")}
			if bytes.Compare(g.From, g.To) > 0 {
				g.From, g.To = g.To, g.From
			}
			b.bad = append(b.bad, g)
		}
		s := Scan{Key: Key{Size: 2}, Page: rapid.IntRange(1, 20).Draw(t, "page")}
		if rapid.Bool().Draw(t, "part") {
			s.From, s.To = key(t, "first"), key(t, "last")
			b.to = s.To
		}
		var read [][]byte
		var gaps []Gap
		err := s.run(context.Background(), b.find, func(doc bson.Raw) error {
			key, _ := s.Key.of(doc.Lookup("_id"))
			read = append(read, bytes.Clone(key))
			return nil
		}, func(g Gap) error {
			if !IsDamaged(g.Err) {
				t.Fatalf("gap because of %v", g.Err)
			}
			gaps = append(gaps, g)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		inGap := func(key []byte) bool {
			return slices.ContainsFunc(gaps, func(g Gap) bool { return g.Contains(key) })
		}
		at := 0
		for _, key := range b.keys {
			if s.From != nil && bytes.Compare(key, s.From) < 0 || bytes.Compare(key, b.to) > 0 {
				continue
			}
			bad := slices.ContainsFunc(b.bad, func(g Gap) bool { return g.Contains(key) })
			if at < len(read) && bytes.Equal(read[at], key) {
				if at++; bad || inGap(key) {
					t.Fatalf("%x was read, bad %t, gaps %v", key, bad, gaps)
				}
				continue
			}
			if !inGap(key) || len(b.bad) < 2 && !bad {
				t.Fatalf("%x is missing; gaps are %v", key, gaps)
			}
		}
		if at != len(read) || b.queries > 1000 {
			t.Fatalf("%d of %d documents, %d queries", at, len(read), b.queries)
		}
	})
}

// Errors other than damage, and those of the caller, end the scan.
func TestScanEnds(t *testing.T) {
	b := &broken{keys: [][]byte{{1, 1}, {2, 2}, {3, 3}}, to: []byte{0xff, 0xff},
		bad: []Gap{{From: []byte{2, 0}, To: []byte{2, 9}}}}
	s := Scan{Key: Key{Size: 2}, Page: 1}
	stop := errors.New("stop")
	pass := func(bson.Raw) error { return nil }
	ignore := func(Gap) error { return nil }
	if err := s.run(t.Context(), b.find, func(bson.Raw) error { return stop }, ignore); !errors.Is(err, stop) {
		t.Errorf("page: %v", err)
	}
	if err := s.run(t.Context(), b.find, pass, func(Gap) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("gap: %v", err)
	}
	fail := func(ctx context.Context, from bson.E, limit int, f func(bson.Raw) error) (int, error) {
		n, err := b.find(ctx, from, limit, f)
		if err != nil && from.Key == "$gte" {
			return 0, stop
		}
		return n, err
	}
	if err := s.run(t.Context(), fail, pass, ignore); !errors.Is(err, stop) {
		t.Errorf("while looking for the end of a gap: %v", err)
	}
}

// On a real database: all documents in order, with bounds, and those whose keys are of another
// type.
func TestScanReadsCollections(t *testing.T) {
	coll := dbtest.Database(t).Collection("c")
	var docs []any
	for i := range byte(10) {
		docs = append(docs, bson.D{{Key: "_id", Value: bson.Binary{Data: []byte{i, i}}}})
	}
	docs = append(docs, bson.D{{Key: "_id", Value: bson.Binary{Data: []byte{1, 2, 3}}}},
		bson.D{{Key: "_id", Value: "text"}})
	if _, err := coll.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from, to []byte
		want     int
	}{{nil, nil, 12}, {[]byte{3, 3}, []byte{6, 0}, 3}, {[]byte{3, 4}, nil, 7}} {
		n := 0
		s := Scan{Collection: coll, Key: Key{Size: 2}, From: tt.from, To: tt.to, Page: 3}
		err := s.Pages(t.Context(), func(docs []bson.Raw) error { n += len(docs); return nil },
			func(g Gap) error { t.Errorf("gap %s", g.String()); return nil })
		if err != nil || n != tt.want {
			t.Errorf("from %x to %x: %d documents, %v", tt.from, tt.to, n, err)
		}
	}
}
