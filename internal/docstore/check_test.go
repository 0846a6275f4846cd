package docstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
	"gadwall/internal/docstore/engine"
)

// checkable is a collection with each kind of index and 50 documents.
func checkable(t *testing.T, client *mongo.Client) *mongo.Collection {
	t.Helper()
	c := client.Database("d").Collection("c")
	createIndex(t, c, d("n", 1), options.Index().SetName("n"))
	createIndex(t, c, d("tags", 1, "n", -1), options.Index().SetName("tags"))
	createIndex(t, c, d("u", 1), options.Index().SetName("u").SetUnique(true))
	createIndex(t, c, d("even", 1), options.Index().SetName("even").
		SetPartialFilterExpression(d("even", d("$eq", true))))
	for i := range 50 {
		insertAll(t, c, d("_id", i, "n", i%7, "tags", A{i, i + 1}, "u", i, "even", i%2 == 0))
	}
	return c
}

func raw(t *testing.T, doc any) bson.Raw { return must(bson.Marshal(doc))(t) }

func TestCheckFindsDamage(t *testing.T) {
	doc7 := d("_id", 7, "n", 0, "tags", A{7, 8}, "u", 7, "even", false)
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, s *docstore.Server) error
		kinds  map[engine.ProblemKind]int
		index  string // that is not valid any more
	}{
		{"none", func(*testing.T, *docstore.Server) error { return nil }, nil, ""},
		{"entry gone", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "n", raw(t, doc7), true)
		}, map[engine.ProblemKind]int{engine.MissingEntry: 1}, "n"},
		{"one of two entries gone", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "tags", raw(t, d("_id", 7, "n", 0, "tags", 8)), true)
		}, map[engine.ProblemKind]int{engine.MissingEntry: 1}, "tags"},
		{"entry too many", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "n", raw(t, d("_id", 7, "n", 99)), false)
		}, map[engine.ProblemKind]int{engine.ExtraEntry: 1}, "n"},
		{"entry moved, as many as before", func(t *testing.T, s *docstore.Server) error {
			if err := s.DamageEntry("d.c", "n", raw(t, doc7), true); err != nil {
				return err
			}
			return s.DamageEntry("d.c", "n", raw(t, d("_id", 7, "n", 99)), false)
		}, map[engine.ProblemKind]int{engine.ExtraEntry: 1, engine.MissingEntry: 1}, "n"},
		{"entry of no document", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "even", raw(t, d("_id", 1000, "even", true)), false)
		}, map[engine.ProblemKind]int{engine.ExtraEntry: 1}, "even"},
		{"entry outside of a partial index", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "even", raw(t, d("_id", 8, "even", true)), true)
		}, map[engine.ProblemKind]int{engine.MissingEntry: 1}, "even"},
		{"document gone", func(t *testing.T, s *docstore.Server) error {
			return s.DamageDocument("d.c", bson.RawValue{Type: bson.TypeInt32, Value: []byte{7, 0, 0, 0}}, nil)
		}, map[engine.ProblemKind]int{engine.ExtraEntry: 4}, "u"},
		{"document of other values", func(t *testing.T, s *docstore.Server) error {
			return s.DamageDocument("d.c", bson.RawValue{Type: bson.TypeInt32, Value: []byte{7, 0, 0, 0}},
				raw(t, d("_id", 7, "n", 5, "tags", A{7, 8}, "u", 7)))
		}, map[engine.ProblemKind]int{engine.ExtraEntry: 3, engine.MissingEntry: 3}, "n"},
		{"document of another _id", func(t *testing.T, s *docstore.Server) error {
			return s.DamageDocument("d.c", bson.RawValue{Type: bson.TypeInt32, Value: []byte{7, 0, 0, 0}},
				raw(t, d("_id", "x", "n", 0, "tags", A{7, 8}, "u", 7)))
		}, map[engine.ProblemKind]int{engine.WrongID: 1}, "_id_"},
		{"document without _id", func(t *testing.T, s *docstore.Server) error {
			return s.DamageDocument("d.c", bson.RawValue{Type: bson.TypeInt32, Value: []byte{7, 0, 0, 0}},
				raw(t, d("n", 0, "tags", A{7, 8}, "u", 7)))
		}, map[engine.ProblemKind]int{engine.WrongID: 1}, "_id_"},
		{"document cut short", func(t *testing.T, s *docstore.Server) error {
			doc := raw(t, doc7)
			return s.DamageDocument("d.c", bson.RawValue{Type: bson.TypeInt32, Value: []byte{7, 0,
				0, 0}}, doc[:len(doc)-3])
		}, map[engine.ProblemKind]int{engine.BadDocument: 1}, ""},
		{"unique key twice", func(t *testing.T, s *docstore.Server) error {
			return s.DamageEntry("d.c", "u", raw(t, d("_id", 8, "u", 7)), false)
		}, map[engine.ProblemKind]int{engine.DuplicateKey: 1, engine.ExtraEntry: 1}, "u"},
		{"not multikey", func(t *testing.T, s *docstore.Server) error {
			return s.DamageMultikey("d.c", "tags")
		}, map[engine.ProblemKind]int{engine.NotMultikey: 1}, "tags"},
		{"key that is none", func(t *testing.T, s *docstore.Server) error {
			return s.DamageKey(append(s.IndexPrefix("d.c", "n"), 0xfe))
		}, map[engine.ProblemKind]int{engine.BadEntry: 1}, "n"},
		{"catalogue record", func(t *testing.T, s *docstore.Server) error {
			return s.DamageKey([]byte{2, 0, 0, 1, 0})
		}, map[engine.ProblemKind]int{engine.BadCatalogue: 1}, ""},
		{"counter gone", func(t *testing.T, s *docstore.Server) error {
			return s.DamageKey([]byte("\x01numbers"))
		}, map[engine.ProblemKind]int{engine.BadCatalogue: 6}, ""},
		{"session", func(t *testing.T, s *docstore.Server) error {
			return s.DamageKey([]byte("\x05sixteen bytes id"))
		}, map[engine.ProblemKind]int{engine.BadSession: 1}, ""},
		{"unknown key", func(t *testing.T, s *docstore.Server) error {
			return s.DamageKey([]byte("\x09x"))
		}, map[engine.ProblemKind]int{engine.UnknownKey: 1}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			s, client := open(t, vfs.NewMem())
			defer closeAll(t, s, client)
			c := checkable(t, client)
			must(0, test.damage(t, s))(t)

			report := must(s.Check(ctx, nil))(t)
			got := map[engine.ProblemKind]int{}
			inCollection := 0
			for _, p := range report.List {
				got[p.Kind]++
			}
			for _, cr := range report.Collections {
				for _, p := range cr.List {
					t.Logf("%s: %v", cr.Name, p)
					got[p.Kind]++
					inCollection++
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(test.kinds) {
				t.Errorf("found %v, want %v", got, test.kinds)
			}
			if report.Clean() != (len(test.kinds) == 0) {
				t.Errorf("clean: %v", report.Clean())
			}

			var reply struct {
				Valid        bool
				NRecords     int64            `bson:"nrecords"`
				NIndexes     int              `bson:"nIndexes"`
				KeysPerIndex map[string]int64 `bson:"keysPerIndex"`
				IndexDetails map[string]struct{ Valid bool }
				Errors       []string
			}
			must(0, c.Database().RunCommand(ctx, d("validate", "c", "full", true)).Decode(&reply))(t)
			if reply.Valid != (inCollection == 0) || len(reply.Errors) != inCollection || reply.NIndexes != 5 {
				t.Errorf("validate: %+v", reply)
			}
			if test.index != "" && reply.IndexDetails[test.index].Valid {
				t.Errorf("index %s is called valid", test.index)
			}
			if test.name == "none" &&
				fmt.Sprint(reply.NRecords, reply.KeysPerIndex) != "50 map[_id_:50 even:25 n:50 tags:100 u:50]" {
				t.Errorf("validate counts %+v", reply)
			}
		})
	}
}

func TestValidateArguments(t *testing.T) {
	ctx := testContext(t)
	s, client := open(t, vfs.NewMem())
	defer closeAll(t, s, client)
	db := client.Database("d")
	wantCode(t, db.RunCommand(ctx, d("validate", "none")).Err(), 26)
	insertAll(t, db.Collection("c"), d("_id", 1))
	wantCode(t, db.RunCommand(ctx, d("validate", "c", "full", true, "background", true)).Err(), 72)
	wantCode(t, db.RunCommand(ctx, d("validate", "c", "repair", true)).Err(), 238)
	wantCode(t, db.RunCommand(ctx, d("validate", "c", "nonsense", true)).Err(), 40415)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Check(canceled, nil); err == nil {
		t.Error("a check went on without its caller")
	}
}

// A check beside writers finds nothing: it sees one state of everything.
func TestCheckUnderLoad(t *testing.T) {
	s, client := open(t, vfs.NewMem())
	defer closeAll(t, s, client)
	checkable(t, client)
	ctx, stop := context.WithCancel(testContext(t))
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	for w := range 3 {
		c := client.Database("d").Collection("c")
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := 1000*w + i%100
				_, err := c.UpdateOne(ctx, d("_id", id),
					d("$set", d("n", i, "tags", A{i, i * 3}, "u", id+100000)), options.UpdateOne().SetUpsert(true))
				if err == nil && i%3 == 0 {
					_, err = c.DeleteOne(ctx, d("_id", id))
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			other := client.Database("d").Collection(fmt.Sprint("other", i%3))
			if _, err := other.Indexes().CreateOne(ctx,
				mongo.IndexModel{Keys: d("a", 1)}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if err := other.Drop(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		report := must(s.Check(testContext(t), nil))(t)
		if !report.Clean() {
			t.Fatalf("found %+v", report)
		}
	}
}

// A file that went bad on the disk is a problem of the collections in it; the server goes on.
func TestCheckUnreadable(t *testing.T) {
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	checkable(t, client)
	large := client.Database("d").Collection("large")
	createIndex(t, large, d("n", 1), nil)
	insertAll(t, large, d("_id", 1, "n", 1, "data", make([]byte, 100<<10)))
	must(0, s.Flush())(t)
	insertAll(t, large, d("_id", 2, "n", 2))
	closeAll(t, s, client)

	damaged := 0
	for _, name := range must(filepath.Glob(filepath.Join(dir, "*.blob")))(t) {
		data := must(os.ReadFile(name))(t)
		data[len(data)/4] ^= 0xff
		must(0, os.WriteFile(name, data, 0o600))(t)
		damaged++
	}
	if damaged == 0 {
		t.Fatal("there are no files")
	}
	s, err := docstore.Open(docstore.Options{Dir: dir})
	if err != nil {
		t.Fatalf("a damaged database does not open: %v", err)
	}
	defer s.Close()
	report := must(s.Check(testContext(t), nil))(t)
	for _, c := range report.Collections {
		for _, p := range c.List {
			t.Log(c.Name, p)
		}
		if c.Name == "large" && c.Documents != 2 {
			t.Errorf("%d documents of 2: one that cannot be read hides those behind it", c.Documents)
		}
		unreadable := len(c.List) == 1 && c.List[0].Kind == engine.Unreadable
		if unreadable != (c.Name == "large") {
			t.Errorf("%s: %v", c.Name, c.List)
		}
	}
}

// A check goes on behind blocks that cannot be read, and says between which documents they lie.
func TestCheckGoesOnPastDamage(t *testing.T) {
	const docs = 6000
	id := func(n int) bson.Binary { return bson.Binary{Data: fmt.Appendf(nil, "user%08dmail", n)} }
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	coll := client.Database("d").Collection("c")
	createIndex(t, coll, d("n", 1), nil)
	random := rand.NewChaCha8([32]byte{})
	for first := 0; first < docs; first += 1000 {
		var batch []any
		for n := first; n < first+1000; n++ {
			noise := make([]byte, 200)
			random.Read(noise)
			batch = append(batch, d("_id", id(n), "n", n, "noise", noise))
		}
		insertAll(t, coll, batch...)
	}
	insertAll(t, client.Database("d").Collection("other"), d("_id", 1))
	must(0, s.Compact())(t)
	closeAll(t, s, client)

	tables := filesOf(t, dir, ".sst")
	if len(tables) != 1 {
		t.Fatalf("tables: %v", tables)
	}
	info := must(os.Stat(tables[0]))(t)
	for _, part := range []int64{2, 4} { // sevenths, counted from the end: all within the documents
		if err := overwrite(tables[0], info.Size()*part/7, []byte("damage")); err != nil {
			t.Fatal(err)
		}
	}
	s = must(docstore.Open(docstore.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}))(t)
	client = must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	coll = client.Database("d").Collection("c")
	var told []engine.Problem
	report := must(s.CheckEach(testContext(t), nil, func(ns string, p engine.Problem) {
		if ns != "d.c" {
			t.Errorf("%s: %s", ns, p)
		}
		told = append(told, p)
	}))(t)
	if report.Clean() || len(told) != 2 {
		t.Fatalf("the check found %v", told)
	}
	lost := 0
	for _, p := range told {
		if p.Kind != engine.Unreadable || !p.Range || p.ID.Type == 0 || p.NextID.Type == 0 {
			t.Fatalf("%+v", p)
		}
		from, to := number(t, p.ID), number(t, p.NextID)
		if to-from < 10 || to-from > 400 {
			t.Errorf("%s: %d documents", p, to-from-1)
		}
		lost += to - from - 1
		for n := from; n <= to; n++ {
			err := coll.FindOne(testContext(t), d("_id", id(n))).Err()
			if n == from || n == to {
				must(0, err)(t)
			} else {
				wantCode(t, err, 298)
			}
		}
	}
	for _, c := range report.Collections {
		if c.Name == "c" && c.Documents != int64(docs-lost) {
			t.Errorf("%d of %d documents were checked, %d cannot be read", c.Documents, docs, lost)
		}
	}
}

// number is the one in an id of TestCheckGoesOnPastDamage.
func number(t *testing.T, id bson.RawValue) int {
	t.Helper()
	_, data := id.Binary()
	return must(strconv.Atoi(strings.TrimLeft(string(data[4:11])+string(data[11:12]), "0")))(t)
}
