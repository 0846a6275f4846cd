package dedupe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
)

// Both ways in which documents are counted: the hash as _id, and everything under a prefix.
var shapes = map[string]struct{ key, prefix string }{
	"by _id":       {"_id", ""},
	"under prefix": {"metadata.hash", "metadata."},
}

func insert(t testing.TB, coll *mongo.Collection, key, prefix string, hash Hash) {
	t.Helper()
	doc := bson.D{{Key: "_id", Value: hash.Binary()}, {Key: FieldRefs, Value: int64(0)},
		{Key: FieldMagic, Value: int64(0)}}
	if prefix != "" {
		doc = bson.D{{Key: "metadata", Value: bson.D{
			{Key: "hash", Value: hash.Binary()}, {Key: FieldRefs, Value: int64(0)},
			{Key: FieldMagic, Value: int64(0)}}}}
		if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{
			Keys: bson.D{{Key: key, Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := coll.InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

type state struct {
	refs, magic int64
	quarantined bool
}

func stateOf(t testing.TB, coll *mongo.Collection, key, prefix string, hash Hash) state {
	t.Helper()
	raw, err := coll.FindOne(context.Background(), bson.D{{Key: key, Value: hash.Binary()}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	doc := raw
	if prefix != "" {
		doc = raw.Lookup("metadata").Document()
	}
	refs, okRefs := doc.Lookup(FieldRefs).Int64OK()
	magic, okMagic := doc.Lookup(FieldMagic).Int64OK()
	if !okRefs || !okMagic {
		t.Fatalf("counts are not 64-bit integers: %v", doc)
	}
	_, err = doc.LookupErr(FieldQuarantined)
	return state{refs, magic, err == nil}
}

func TestAddRemove(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			coll := dbtest.Database(t).Collection("things")
			c := NewCounter(coll, shape.key, shape.prefix)
			a, none := Sum([]byte("a")), Sum([]byte("none"))
			insert(t, coll, shape.key, shape.prefix, a)
			expect := func(want state) {
				t.Helper()
				if got := stateOf(t, coll, shape.key, shape.prefix, a); got != want {
					t.Fatalf("state %+v, want %+v", got, want)
				}
			}
			if ok, err := c.Add(t.Context(), none, 1); ok || err != nil {
				t.Errorf("Add to nothing: %v, %v", ok, err)
			}
			if ok, err := c.Add(t.Context(), a, 1<<32-1, 5); !ok || err != nil {
				t.Fatalf("Add: %v, %v", ok, err)
			}
			expect(state{2, 1<<32 + 4, false})
			if err := c.Remove(t.Context(), a, 5); err != nil {
				t.Fatal(err)
			}
			expect(state{1, 1<<32 - 1, false})
			if err := c.Remove(t.Context(), a, 5, 6); !errors.Is(err, ErrNotHeld) {
				t.Errorf("Remove of more than there are: %v", err)
			}
			if err := c.Remove(t.Context(), none, 5); !errors.Is(err, ErrNotHeld) {
				t.Errorf("Remove from nothing: %v", err)
			}
			expect(state{1, 1<<32 - 1, false})
			// What was released but not held shows in the magic.
			if err := c.Remove(t.Context(), a, 7); err != nil {
				t.Fatal(err)
			}
			expect(state{0, 1<<32 - 8, false})
			// The release of the last references quarantines, and only that of all of them.
			b := Sum([]byte("b"))
			insert(t, coll, shape.key, shape.prefix, b)
			expectB := func(want state) {
				t.Helper()
				if got := stateOf(t, coll, shape.key, shape.prefix, b); got != want {
					t.Fatalf("state %+v, want %+v", got, want)
				}
			}
			if ok, err := c.Add(t.Context(), b, 1, 2, 3); !ok || err != nil {
				t.Fatalf("Add: %v, %v", ok, err)
			}
			if err := c.Remove(t.Context(), b, 2); err != nil {
				t.Fatal(err)
			}
			expectB(state{2, 4, false})
			if err := c.Remove(t.Context(), b, 1, 3); err != nil {
				t.Fatal(err)
			}
			expectB(state{0, 0, true})
			if ok, err := c.Add(t.Context(), b, 9); !ok || err != nil {
				t.Fatalf("Add: %v, %v", ok, err)
			}
			expectB(state{1, 9, false})
			if _, err := c.Add(t.Context(), a); err == nil {
				t.Error("Add of no references succeeded")
			}
		})
	}
}

func TestAddEndsQuarantine(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			coll := dbtest.Database(t).Collection("things")
			c := NewCounter(coll, shape.key, shape.prefix)
			a := Sum([]byte("a"))
			insert(t, coll, shape.key, shape.prefix, a)
			unused := bson.D{{Key: shape.prefix + FieldRefs, Value: int64(0)},
				{Key: shape.prefix + FieldMagic, Value: int64(0)}}
			mark := bson.D{{Key: "$set", Value: bson.D{{Key: shape.prefix +
				FieldQuarantined, Value: bson.NewDateTimeFromTime(time.Unix(1, 0))}}}}
			if _, err := coll.UpdateOne(t.Context(), unused, mark); err != nil {
				t.Fatal(err)
			}
			if got := stateOf(t, coll, shape.key, shape.prefix, a); !got.quarantined {
				t.Fatal("not quarantined")
			}
			if err := c.AddMany(t.Context(), []Ref{{a, 3}}); err != nil {
				t.Fatal(err)
			}
			if got := stateOf(t, coll, shape.key, shape.prefix, a); got != (state{1, 3, false}) {
				t.Errorf("after AddMany: %+v", got)
			}
		})
	}
}

func TestManyMatchesAModel(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			coll := dbtest.Database(t).Collection("things")
			c := NewCounter(coll, shape.key, shape.prefix)
			hashes := make([]Hash, 6) // the last does not exist
			model := make([]state, len(hashes))
			used := make([]bool, len(hashes)) // had a reference once
			for i := range hashes {
				hashes[i] = Sum(fmt.Append(nil, i))
				if i < len(hashes)-1 {
					insert(t, coll, shape.key, shape.prefix, hashes[i])
				}
			}
			var held []Ref
			ctx := t.Context()
			rapid.Check(t, func(rt *rapid.T) {
				if rapid.Bool().Draw(rt, "add") {
					var refs []Ref
					missing := false
					for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(hashes)-1), 0, 8).Draw(rt, "documents") {
						missing = missing || i == len(hashes)-1
						refs = append(refs, Ref{hashes[i], NewMagic()})
						used[i] = true
					}
					err := c.AddMany(ctx, refs)
					if missing != errors.Is(err, ErrMissing) || !missing && err != nil {
						rt.Fatalf("AddMany, missing %v: %v", missing, err)
					}
					if err == nil {
						held = append(held, refs...)
					}
				} else {
					n := rapid.IntRange(0, min(8, len(held))).Draw(rt, "remove")
					if err := c.RemoveMany(ctx, held[:n]); err != nil {
						rt.Fatal(err)
					}
					held = held[n:]
				}
				clear(model)
				for _, r := range held {
					for i, h := range hashes {
						if h == r.Hash {
							model[i].refs++
							model[i].magic += int64(r.Magic)
						}
					}
				}
				for i, h := range hashes[:len(hashes)-1] {
					model[i].quarantined = used[i] && model[i].refs == 0
					if got := stateOf(t, coll, shape.key, shape.prefix, h); got != model[i] {
						rt.Fatalf("document %d: %+v, want %+v", i, got, model[i])
					}
				}
			})
		})
	}
}

func TestConcurrentCounting(t *testing.T) {
	coll := dbtest.Database(t).Collection("things")
	c := NewCounter(coll, "_id", "")
	a := Sum([]byte("a"))
	insert(t, coll, "_id", "", a)
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() {
			for range 20 {
				m := NewMagic()
				ok, err := c.Add(t.Context(), a, m)
				if err == nil && ok {
					err = c.Remove(t.Context(), a, m)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(t, coll, "_id", "", a); got.refs != 0 || got.magic != 0 {
		t.Errorf("after as many removals as additions: %+v", got)
	}
}

func TestBatches(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	coll := db.Collection("things")
	c := NewCounter(coll, "_id", "")
	refs := make([]Ref, maxBatch+10)
	docs := make([]any, len(refs))
	for i := range refs {
		refs[i] = Ref{Sum(fmt.Append(nil, i)), NewMagic()}
		docs[i] = bson.D{{Key: "_id", Value: refs[i].Hash.Binary()},
			{Key: FieldRefs, Value: int64(0)}, {Key: FieldMagic, Value: int64(0)}}
	}
	if _, err := coll.InsertMany(t.Context(), docs[1:]); err != nil {
		t.Fatal(err)
	}
	cmds.Reset()
	if err := c.AddMany(t.Context(), refs[1:]); err != nil {
		t.Fatal(err)
	}
	if n := cmds.Count("update", "things"); n != 2 {
		t.Errorf("%d updates, want 2", n)
	}
	var missing *MissingError
	if err := c.AddMany(t.Context(), refs); !errors.As(err, &missing) || len(missing.Hashes) != 1 ||
		missing.Hashes[0] != refs[0].Hash {
		t.Errorf("with one missing: %v", err)
	}
	for _, r := range refs[1:] {
		if got := stateOf(t, coll, "_id", "", r.Hash); got != (state{1, int64(r.Magic), false}) {
			t.Fatalf("%v: %+v", r.Hash, got)
		}
	}
}

func TestHash(t *testing.T) {
	h := Sum([]byte("x"))
	if back, err := HashFromBytes(h.Binary().Data); err != nil || back != h {
		t.Errorf("HashFromBytes: %v, %v", back, err)
	}
	if _, err := HashFromBytes(h[1:]); err == nil {
		t.Error("HashFromBytes of 31 bytes succeeded")
	}
	seen := make(map[Magic]bool)
	for _, m := range NewMagics(100) {
		if m <= 0 || m > 1<<32-1 || seen[m] {
			t.Errorf("magic %d", m)
		}
		seen[m] = true
	}
}
