package docstore_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
	"gadwall/internal/docstore/engine"
	"gadwall/internal/logtest"
)

// damages are ways in which a file can be damaged.
var damages = []struct {
	name string
	do   func(path string) error
	// logged is what opening the database says of the file.
	logged string
}{
	{"missing", os.Remove, "it is missing"},
	{"cut", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()-1000)
	}, "bytes instead of"},
	{"zeros near the end", func(path string) error { return overwrite(path, 20, make([]byte, 4)) }, "footer|checksum"},
	{"end", func(path string) error { return overwrite(path, 8, []byte("no magic")) }, "footer|invalid table"},
}

// overwrite writes p so many bytes before the end of a file.
func overwrite(path string, before int64, p []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(p, info.Size()-before)
	}
	return errors.Join(err, f.Close())
}

// chunk is a document whose value is stored in a file of values.
func chunk(n int) bson.D {
	data := make([]byte, 40<<10)
	source := rand.NewChaCha8([32]byte{byte(n)})
	source.Read(data)
	return d("_id", n, "data", data)
}

// filesOf lists the files of a database with that ending.
func filesOf(t *testing.T, dir, ending string) []string {
	t.Helper()
	return must(filepath.Glob(filepath.Join(dir, "*"+ending)))(t)
}

// twoFiles makes a database of two collections, each in a table of its own, and with large in a
// file of values of its own. It returns the files of the second.
func twoFiles(t *testing.T, dir string, large bool) (table, values string) {
	t.Helper()
	s := must(docstore.Open(docstore.Options{Dir: dir, LogsIdle: 1e15, Logger: slog.New(slog.DiscardHandler)}))(t)
	c := must(mongo.Connect(s.ClientOptions().SetRetryWrites(false)))(t)
	defer closeAll(t, s, c)
	ctx := context.Background()
	db := c.Database("db")
	for _, name := range []string{"good", "bad"} {
		must(db.Collection(name).InsertOne(ctx, d("_id", "first")))(t)
	}
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range []string{"good", "bad"} {
		for _, ending := range []string{".sst", ".blob"} {
			for _, path := range filesOf(t, dir, ending) {
				known[path] = true
			}
		}
		for n := range 8 {
			doc := d("_id", n, "data", strings.Repeat("x", 2000))
			if large {
				doc = chunk(n)
			}
			must(db.Collection(name).InsertOne(ctx, doc))(t)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range filesOf(t, dir, ".sst") {
		if !known[path] {
			table = path
		}
	}
	for _, path := range filesOf(t, dir, ".blob") {
		if !known[path] {
			values = path
		}
	}
	if table == "" || large && values == "" {
		t.Fatalf("table %q, values %q", table, values)
	}
	return table, values
}

// A damaged or missing file makes the reads that need it fail, and nothing else.
func TestDamagedFile(t *testing.T) {
	for _, ending := range []string{".blob", ".sst"} {
		for _, damage := range damages {
			t.Run(ending+" "+damage.name, func(t *testing.T) {
				dir := t.TempDir()
				table, values := twoFiles(t, dir, ending == ".blob")
				path := table
				if ending == ".blob" {
					path = values
				}
				if err := damage.do(path); err != nil {
					t.Fatal(err)
				}
				var log logtest.Buffer
				s := must(docstore.Open(docstore.Options{Dir: dir, Logger: log.Logger()}))(t)
				c := must(mongo.Connect(s.ClientOptions()))(t)
				defer closeAll(t, s, c)
				s.AwaitFileCheck()
				if text := log.String(); !strings.Contains(text, filepath.Base(path)) ||
					!regexp.MustCompile(damage.logged).MatchString(text) {
					t.Errorf("opening says nothing of %s: %s", path, text)
				}
				checkDamaged(t, c.Database("db"))
				report := must(s.Check(context.Background(), nil))(t)
				if report.Clean() {
					t.Error("the check finds nothing")
				}
				for _, r := range report.Collections {
					if (r.Name == "bad") != (r.Count() > 0) {
						t.Errorf("%s: %v", r.Name, r.Texts())
					}
				}
			})
		}
	}
}

// checkDamaged reads and writes both collections, the second of which cannot be read.
func checkDamaged(t *testing.T, db *mongo.Database) {
	t.Helper()
	ctx := context.Background()
	good, bad := db.Collection("good"), db.Collection("bad")
	for range 3 { // the server goes on after each failure
		for n := range 8 {
			wantCode(t, bad.FindOne(ctx, d("_id", n)).Err(), 298)
			if err := good.FindOne(ctx, d("_id", n)).Err(); err != nil {
				t.Errorf("good document %d: %v", n, err)
			}
		}
		wantCode(t, func() error {
			cur, err := bad.Find(ctx, d())
			if err != nil {
				return err
			}
			return cur.All(ctx, &[]bson.Raw{})
		}(), 298)
		_, err := bad.UpdateOne(ctx, d("_id", 1), d("$set", d("a", 1)))
		wantCode(t, err, 298)
		_, err = good.UpdateOne(ctx, d("_id", 1), d("$inc", d("a", 1)))
		if err != nil {
			t.Errorf("update: %v", err)
		}
	}
	// The next change of a damaged document is not locked out by those that failed.
	sess := must(db.Client().StartSession())(t)
	defer sess.EndSession(ctx)
	_, err := sess.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if _, err := good.UpdateOne(ctx, d("_id", 2), d("$inc", d("a", 1))); err != nil {
			return nil, err
		}
		return nil, bad.FindOne(ctx, d("_id", 2)).Err()
	})
	wantCode(t, err, 298)
	if _, err := good.UpdateOne(ctx, d("_id", 2), d("$inc", d("a", 1))); err != nil {
		t.Errorf("update after a failed transaction: %v", err)
	}
	if n := must(good.CountDocuments(ctx, d("a", 3)))(t); n != 1 {
		t.Errorf("%d documents were changed three times", n)
	}
	if _, err := db.Collection("new").InsertOne(ctx, chunk(100)); err != nil {
		t.Errorf("insert: %v", err)
	}
}

// A block in the middle of a file of values that cannot be read is an error of its documents only.
func TestDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	_, values := twoFiles(t, dir, true)
	info := must(os.Stat(values))(t)
	if err := overwrite(values, info.Size()/2, []byte("damage")); err != nil {
		t.Fatal(err)
	}
	var log logtest.Buffer
	s := must(docstore.Open(docstore.Options{Dir: dir, Logger: log.Logger()}))(t)
	c := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, c)
	lost := 0
	for n := range 8 {
		switch err := c.Database("db").Collection("bad").FindOne(context.Background(), d("_id", n)).Err(); {
		case err == nil:
		case mongo.IsDuplicateKeyError(err):
		default:
			wantCode(t, err, 298)
			lost++
		}
	}
	if lost == 0 || lost > 4 {
		t.Errorf("%d of 8 documents cannot be read", lost)
	}
	if text := log.String(); !strings.Contains(text, filepath.Base(values)) {
		t.Errorf("the log does not name the file: %s", text)
	}
	report := must(s.Check(context.Background(), nil))(t)
	found := 0
	for _, r := range report.Collections {
		for _, p := range r.List {
			if p.Kind != engine.Unreadable || r.Name != "bad" {
				t.Errorf("%s: %s", r.Name, p)
			}
			found++
		}
	}
	if found != lost {
		t.Errorf("%d documents cannot be read, the check found %d", lost, found)
	}
}
