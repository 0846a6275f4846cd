package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
)

func free(context.Context) error { return nil }

// env is an index with mails whose texts are known.
type env struct {
	*Index
	turner *Turner
	user   mailkey.UserID
	texts  map[uint64]string
}

func newEnv(t testing.TB) *env {
	t.Helper()
	db := dbtest.Database(t)
	x, err := Open(t.Context(), db, false)
	if err != nil {
		t.Fatal(err)
	}
	return &env{
		Index: x, turner: NewTurner(x, &lease.Task{Name: "text-index", Database: db}, nil),
		user: mailkey.NewUserID(), texts: make(map[uint64]string),
	}
}

type fataler interface {
	Helper()
	Fatal(...any)
}

// add indexes mails of these texts, numbered from first on.
func (e *env) add(t fataler, ctx context.Context, first uint64, texts ...string) {
	t.Helper()
	docs := make([]any, len(texts))
	for i, text := range texts {
		g := new(Grams)
		g.Begin()
		g.Add([]byte(text))
		docs[i] = g.document(e.user, first+uint64(i))
		e.texts[first+uint64(i)] = text
	}
	if _, err := e.rows.InsertMany(ctx, docs); err != nil {
		t.Fatal(err)
	}
}

// check looks a text up and compares with the texts: what holds it must not be excluded. It returns
// how many mails are excluded.
func (e *env) check(t fataler, ctx context.Context, q Query, match func(text string) bool, wanted []uint64) int {
	t.Helper()
	excluded, err := e.Exclude(ctx, e.user, &q, wanted)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for number, text := range e.texts {
		if !excluded.Has(number) {
			continue
		}
		n++
		if match(text) {
			t.Fatal(fmt.Sprintf("%d is excluded, and holds it: %q", number, text))
		}
	}
	return n
}

func contains(s string) func(string) bool {
	return func(text string) bool { return strings.Contains(text, s) }
}

// words are some that no other holds.
var words = []string{"alpha", "bravo", "charlie", "delta", "echoes", "foxtrot", "golfing", "hotel"}

// some returns texts of a few words each; each text has words i and i+1 of them.
func some(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = words[i%len(words)] + " " + words[(i+1)%len(words)]
	}
	return list
}

// Rows and blocks exclude what does not hold the text, and nothing else, whatever part of them is
// asked for.
func TestExclude(t *testing.T) {
	e := newEnv(t)
	const turned, rows = 4*turnRows + 76, 100
	e.add(t, t.Context(), 10, some(turned)...)
	if err := e.turner.Turn(t.Context(), e.user, free); err != nil {
		t.Fatal(err)
	}
	e.add(t, t.Context(), 1<<40, some(rows)...)
	if n, err := e.rows.CountDocuments(t.Context(), bson.D{}); err != nil || n != rows {
		t.Fatal(n, err)
	}
	all := turned + rows
	holds := func(text string) Query { return Holds(Text, text) }
	for _, tt := range []struct {
		name     string
		q        Query
		match    func(string) bool
		excluded int // of all mails, in eighths
	}{
		{"one word", holds("charlie"), contains("charlie"), 6},
		{"part of a word", holds("foxtr"), contains("foxtr"), 6},
		{"absent", holds("invoice"), contains("invoice"), 8},
		{"all", All(holds("alpha"), holds("bravo")), contains("alpha bravo"), 7},
		{"any", Any(holds("alpha"), holds("charlie")),
			func(s string) bool { return strings.Contains(s, "alpha") || strings.Contains(s, "charlie") }, 4},
		{"too short in any", Any(holds("al"), holds("charlie")), contains("al"), 0},
		{"too short in all", All(holds("al"), holds("charlie")), contains("charlie"), 6},
	} {
		n := e.check(t, t.Context(), tt.q, tt.match, nil)
		if want := all * tt.excluded / 8; n < want-4 || n > want+4 {
			t.Errorf("%s: %d excluded of %d, want %d", tt.name, n, all, want)
		}
	}
	q := holds("invoice")
	for _, wanted := range [][]uint64{{}, {10, 11, 12}, {1 << 40, 1<<40 + 5}, {10, 1<<40 + 5}, {1, 2, 3}} {
		excluded, err := e.Exclude(t.Context(), e.user, &q, wanted)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range wanted {
			if n >= 10 && !excluded.Has(n) {
				t.Errorf("%v: %d is not excluded", wanted, n)
			}
		}
	}
	// Others have nothing of it.
	if excluded, err := e.Exclude(t.Context(), mailkey.NewUserID(), &q, nil); err != nil || excluded.Len() > 0 {
		t.Error(excluded.Len(), err)
	}
}

// Small blocks stay as they are until there are mergeBlocks. Then they become one.
func TestTurnMerges(t *testing.T) {
	e := newEnv(t)
	const rows = 8
	e.turner.SetTurnRows(rows)
	for i := range mergeBlocks + 2 {
		e.add(t, t.Context(), uint64(1+i*rows), some(rows)...)
		if err := e.turner.Turn(t.Context(), e.user, free); err != nil {
			t.Fatal(err)
		}
		var want []int
		blocks, bad, err := e.readBlocks(t.Context(), e.user)
		if err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		var counts []int
		for _, b := range blocks {
			counts = append(counts, b.count)
		}
		slices.SortFunc(counts, func(a, b int) int { return b - a })
		if i < mergeBlocks-1 {
			want = slices.Repeat([]int{rows}, i+1)
		} else {
			want = append([]int{mergeBlocks * rows}, slices.Repeat([]int{rows}, i+1-mergeBlocks)...)
		}
		if !slices.Equal(counts, want) {
			t.Fatalf("after %d turns: blocks of %v mails, want %v", i+1, counts, want)
		}
		columns, err := e.columns.CountDocuments(t.Context(), bson.D{})
		if err != nil || columns != int64(len(want)*groupCount) {
			t.Errorf("%d documents of columns, %v", columns, err)
		}
		if n := e.check(t, t.Context(), Holds(Text, "invoice"), contains("invoice"), nil); n != (i+1)*rows {
			t.Errorf("%d excluded", n)
		}
	}
}

// What would make a block too large is left alone.
func TestToMerge(t *testing.T) {
	sized := func(counts ...int) (list []*block) {
		for _, n := range counts {
			list = append(list, &block{count: n})
		}
		return list
	}
	large := []int{blockRows, blockRows / 2}
	few := append(large, slices.Repeat([]int{200}, mergeBlocks-2)...)
	if got := toMerge(sized(few...), turnRows); got != nil {
		t.Errorf("merges %d of %d blocks", len(got), len(few))
	}
	sum := turnRows
	for _, b := range toMerge(sized(append(few, 100, 1900, 500)...), turnRows) {
		sum += b.count
	}
	if want := turnRows + 100 + (mergeBlocks-2)*200 + 500; sum != want {
		t.Errorf("a block of %d mails, want %d", sum, want)
	}
}

// Whatever becomes of the index, it never excludes a mail that holds the text.
func TestDamageExcludesNothing(t *testing.T) {
	e := newEnv(t)
	e.add(t, t.Context(), 1, some(turnRows)...)
	if err := e.turner.Turn(t.Context(), e.user, free); err != nil {
		t.Fatal(err)
	}
	next := uint64(turnRows + 1)
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		switch coll := rapid.SampledFrom([]*mongo.Collection{e.rows, e.blocks, e.columns}).Draw(t, "where"); rapid.
			SampledFrom([]string{"add", "add", "delete", "cut", "flip", "swap", "rules", "half",
				"turn"}).Draw(t, "what") {
		case "add":
			n := rapid.IntRange(1, 200).Draw(t, "count")
			e.add(t, ctx, next, some(n)...)
			next += uint64(n)
		case "delete":
			damage(t, coll, func(_, _ bson.Raw) bson.D { return nil })
		case "cut":
			damage(t, coll, func(a, _ bson.Raw) bson.D {
				return withData(a, func(b []byte) []byte { return b[:len(b)*2/3] })
			})
		case "flip":
			bit := rapid.IntRange(0, 1<<20).Draw(t, "bit")
			damage(t, coll, func(a, _ bson.Raw) bson.D {
				return withData(a, func(b []byte) []byte {
					if len(b) > 0 {
						b[bit/8%len(b)] ^= 1 << (bit % 8)
					}
					return b
				})
			})
		case "swap":
			damage(t, coll, func(a, b bson.Raw) bson.D {
				return withData(a, func([]byte) []byte { return dataOf(b) })
			})
		case "rules":
			damage(t, coll, func(a, _ bson.Raw) bson.D {
				doc := slices.DeleteFunc(withData(a, func(b []byte) []byte { return b }),
					func(e bson.E) bool { return e.Key == fieldRules })
				return append(doc, bson.E{Key: fieldRules, Value: rules + 1})
			})
		case "half": // a block is being made, and never finished
			var m matrix
			if _, err := m.addRows(ctx, e.Index, e.user, nil); err != nil {
				t.Fatal(err)
			}
			if len(m.numbers) > 0 {
				stop := fmt.Errorf("killed")
				if err := m.write(ctx, e.Index, e.user, func(context.Context) error { return stop }); err == nil {
					t.Fatal("no error")
				}
			}
		case "turn":
			if err := e.turner.Turn(ctx, e.user, free); err != nil {
				t.Fatal(err)
			}
		}
		word := rapid.SampledFrom(words).Draw(t, "word")
		var wanted []uint64
		if rapid.Bool().Draw(t, "some") {
			for n := range e.texts {
				if n%3 == 0 {
					wanted = append(wanted, n)
				}
			}
			slices.Sort(wanted)
		}
		e.check(t, ctx, Holds(Text, word), contains(word), wanted)
		e.check(t, ctx, All(Holds(Text, word), Holds(Text, "a")), contains(word), wanted)
	})
}

// damage replaces a document of a collection by what f makes of it and another; nil removes it.
func damage(t *rapid.T, coll *mongo.Collection, f func(a, b bson.Raw) bson.D) {
	ctx := context.Background()
	cursor, err := coll.Find(ctx, bson.D{})
	var docs []bson.Raw
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) == 0 {
		return
	}
	a := docs[rapid.IntRange(0, len(docs)-1).Draw(t, "document")]
	b := docs[rapid.IntRange(0, len(docs)-1).Draw(t, "other")]
	doc := f(a, b)
	id := bson.D{{Key: "_id", Value: a.Lookup("_id")}}
	if _, err = coll.DeleteOne(ctx, id); err == nil && doc != nil {
		_, err = coll.InsertOne(ctx, doc)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func dataField(doc bson.Raw) string {
	if _, err := doc.LookupErr(fieldNumbers); err == nil {
		return fieldNumbers
	}
	return fieldBits
}

func dataOf(doc bson.Raw) []byte {
	_, b, _ := doc.Lookup(dataField(doc)).BinaryOK()
	return slices.Clone(b)
}

// withData returns the document with its data changed.
func withData(doc bson.Raw, f func([]byte) []byte) bson.D {
	out := bson.D{{Key: "_id", Value: doc.Lookup("_id")}}
	if v, err := doc.LookupErr(fieldCount); err == nil {
		out = append(out, bson.E{Key: fieldCount, Value: v})
	}
	if v, err := doc.LookupErr(fieldRules); err == nil {
		out = append(out, bson.E{Key: fieldRules, Value: v})
	}
	return append(out, bson.E{Key: dataField(doc), Value: bson.Binary{Data: f(dataOf(doc))}})
}
