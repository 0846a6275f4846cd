package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/dbtest"
	"gadwall/internal/ranges"
)

// program is a version of a program whose documents are letters with keys of two octets. Its second
// version counts the letters of each text.
type program struct {
	db      *mongo.Database
	version int
	// onBatch is called before each range of the migration.
	onBatch func(g *ranges.Range) error
}

func (p *program) letters() *mongo.Collection { return p.db.Collection("letters") }

func (p *program) registry() Registry {
	r := Registry{Indexes: []database.Indexes{{Collection: p.letters(), Models: []mongo.IndexModel{
		{Keys: bson.D{{Key: "text", Value: 1}}, Options: options.Index().SetName("text")}}}}}
	if p.version >= 2 {
		r.Migrations = append(r.Migrations, Migration{Version: 2, Name: "count", About: "counts letters",
			Collection: "letters", KeySize: 2, Apply: p.count})
	}
	if p.version >= 3 {
		r.Migrations = append(r.Migrations, Migration{Version: 3, Name: "form", About: "is another form"})
		r.Indexes[0].Models = append(r.Indexes[0].Models, mongo.IndexModel{
			Keys: bson.D{{Key: "length", Value: 1}}, Options: options.Index().SetName("length")})
	}
	return r
}

func (p *program) count(ctx context.Context, g *ranges.Range) error {
	if p.onBatch != nil {
		if err := p.onBatch(g); err != nil {
			return err
		}
	}
	scan := database.Scan{Collection: p.letters(), Key: database.Key{Size: 2}, From: g.From(), To: g.Last(), Page: 3}
	err := scan.Run(ctx, func(doc bson.Raw) error {
		_, key, _ := doc.Lookup("_id").BinaryOK()
		_, err := p.letters().UpdateOne(ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")},
			{Key: "length", Value: nil}}, bson.D{{Key: "$inc", Value: bson.D{
			{Key: "length", Value: len(doc.Lookup("text").StringValue())}, {Key: "times", Value: 1}}}})
		if err != nil {
			return err
		}
		return g.Save(ctx, key, 1, nil)
	}, func(database.Gap) error { return nil })
	if err != nil {
		return err
	}
	return g.Finish(ctx, 0, nil)
}

// write stores a letter as this version does.
func (p *program) write(t *testing.T, key [2]byte, text string) {
	t.Helper()
	doc := bson.D{{Key: "_id", Value: bson.Binary{Data: key[:]}}, {Key: "text", Value: text}}
	if p.version >= 2 {
		doc = append(doc, bson.E{Key: "length", Value: len(text)}, bson.E{Key: "times", Value: 1})
	}
	if _, err := p.letters().InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

func (p *program) options() Options {
	return Options{Database: p.db, Registry: p.registry(), Program: fmt.Sprintf("v%d", p.version),
		Log: slog.New(slog.DiscardHandler), PerRange: 1,
		Wait: func(ctx context.Context, d time.Duration) error {
			if d < DefaultHeartbeat { // between two looks at the progress
				<-ctx.Done()
			}
			return ctx.Err()
		}}
}

func (p *program) open(t *testing.T) *Schema {
	t.Helper()
	s, err := Open(t.Context(), p.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func apply(t *testing.T, s *Schema) {
	t.Helper()
	if err := s.Apply(t.Context(), ApplyOptions{Workers: 2, Progress: func(Progress) {}}); err != nil {
		t.Fatal(err)
	}
}

// counted fails unless every letter was counted once.
func (p *program) counted(t *testing.T, n int) {
	t.Helper()
	var docs []struct {
		Text          string
		Length, Times int
	}
	cur, err := p.letters().Find(t.Context(), bson.D{})
	if err == nil {
		err = cur.All(t.Context(), &docs)
	}
	if err != nil || len(docs) != n {
		t.Fatalf("%d letters, %v; want %d", len(docs), err, n)
	}
	for _, d := range docs {
		if d.Length != len(d.Text) || d.Times != 1 {
			t.Errorf("letter %+v", d)
		}
	}
}

// A new database has the version of the program that makes it; one from before there were versions
// has the first.
func TestVersionOfDatabase(t *testing.T) {
	fresh := &program{db: dbtest.Database(t), version: 3}
	if s := fresh.open(t); s.Version() != 3 || len(s.Pending()) > 0 || !s.Applied(3) || s.Applied(4) {
		t.Errorf("a new database has version %d", s.Version())
	}
	old := &program{db: dbtest.Database(t), version: 1}
	old.write(t, [2]byte{1, 2}, "hello")
	old.version = 3
	s := old.open(t)
	if s.Version() != 1 || len(s.Pending()) != 2 || s.Applied(2) {
		t.Errorf("an old database has version %d", s.Version())
	}
	if _, err := Open(t.Context(), (&program{db: fresh.db, version: 2}).options()); !errors.Is(err, ErrNewer) ||
		!strings.Contains(err.Error(), "schema 3") || !strings.Contains(err.Error(), "up to 2") {
		t.Errorf("an old program: %v", err)
	}
	if n, err := fresh.db.Collection(collInstances).CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d instances are noted, %v", n, err)
	}
	if !(*Schema)(nil).Applied(7) {
		t.Error("a store without versions lacks one")
	}
}

// Instances of two versions use one database. Migrations wait for the end of the older ones, and no
// other begins then. What the older ones wrote until the end is migrated.
func TestRollingUpgrade(t *testing.T) {
	db := dbtest.Database(t)
	v1, v2 := &program{db: db, version: 1}, &program{db: db, version: 2}
	one := v1.open(t)
	apply(t, one)
	v1.write(t, [2]byte{1, 1}, "first")
	two := v2.open(t)
	v2.write(t, [2]byte{200, 1}, "second")
	v1.write(t, [2]byte{1, 2}, "third")

	// It beats while the apply looks twice.
	beats := two.o.Wait
	two.o.Wait = func(ctx context.Context, d time.Duration) error {
		if err := one.beat(ctx); err != nil {
			t.Error(err)
		}
		return beats(ctx, d)
	}
	err := two.Apply(t.Context(), ApplyOptions{Progress: func(Progress) {}})
	if !errors.Is(err, ErrOlder) || !strings.Contains(err.Error(), "version v1, schema 1") {
		t.Errorf("beside an older instance: %v", err)
	}
	if err := one.beat(t.Context()); err != nil || two.Applied(2) {
		t.Errorf("the older instance after that: %v", err)
	}
	status, err := two.Status(t.Context())
	if err != nil || status.Version != 1 || status.Least != 1 || len(status.Instances) != 2 || status.Complete() {
		t.Errorf("status %+v, %v", status, err)
	}
	two.o.Wait = beats
	v1.write(t, [2]byte{9, 9}, "fourth")
	one.Close(t.Context())

	v2.onBatch = func(*ranges.Range) error {
		if _, err := Open(t.Context(), v1.options()); !errors.Is(err, ErrNewer) {
			t.Errorf("an older program opened the database during the migration: %v", err)
		}
		return nil
	}
	other := v2.open(t)
	apply(t, two)
	v2.counted(t, 4)
	if other.Applied(2) {
		t.Error("an instance knows what nobody told it")
	}
	if err := other.beat(t.Context()); err != nil || !other.Applied(2) {
		t.Errorf("after a heartbeat: version %d, %v", other.Version(), err)
	}
	if err := one.beat(t.Context()); !errors.Is(err, ErrNewer) {
		t.Errorf("an older instance that was overlooked: %v", err)
	}
	if err := one.Watch(t.Context()); !errors.Is(err, ErrNewer) {
		t.Errorf("and goes on: %v", err)
	}
}

// What a killed instance left does not keep a migration from beginning.
func TestKilledInstanceIsForgotten(t *testing.T) {
	db := dbtest.Database(t)
	v1, v2 := &program{db: db, version: 1}, &program{db: db, version: 2}
	v1.write(t, [2]byte{1, 1}, "first")
	v1.open(t) // and is killed
	two := v2.open(t)
	apply(t, two)
	v2.counted(t, 1)
	status, err := two.Status(t.Context())
	if err != nil || len(status.Instances) != 1 || status.Instances[0].Program != "v2" || !status.Complete() {
		t.Errorf("status %+v, %v", status, err)
	}
}

// Every heartbeat tells the figures of the instance.
func TestHeartbeatTellsFigures(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 1}
	s := p.open(t)
	s.Report = func() map[string]float64 { return map[string]float64{"connections": 3} }
	if err := s.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := s.Instances(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != s.Self() || list[0].Figures["connections"] != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A migration that was killed goes on where it was, and two processes share it.
func TestMigrationGoesOn(t *testing.T) {
	db := dbtest.Database(t)
	v1, v3 := &program{db: db, version: 1}, &program{db: db, version: 3}
	const letters = 200
	for i := range letters {
		v1.write(t, [2]byte{byte(i), byte(i)}, strings.Repeat("x", i))
	}
	killed := errors.New("killed")
	left := 5
	v3.onBatch = func(*ranges.Range) error {
		if left--; left < 0 {
			return killed
		}
		return nil
	}
	s := v3.open(t)
	if err := s.Apply(t.Context(), ApplyOptions{Progress: func(Progress) {}}); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	status, err := s.Status(t.Context())
	if err != nil || len(status.Indexes) != 0 || len(status.Migrations) != 2 ||
		status.Migrations[0].RangesDone != 5 ||
		status.Migrations[0].Done == 0 || status.Migrations[0].Begun == nil ||
		status.Least != 2 || status.Version != 1 {
		t.Fatalf("status %+v, %v", status, err)
	}
	var mu sync.Mutex
	var seen []int
	v3.onBatch = func(g *ranges.Range) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, g.Index())
		return nil
	}
	var both sync.WaitGroup
	for range 2 {
		other := v3.open(t)
		both.Go(func() { apply(t, other) })
	}
	both.Wait()
	v3.counted(t, letters)
	slices.Sort(seen)
	if n := len(seen); n != status.Migrations[0].Ranges-5 || len(slices.Compact(seen)) != n {
		t.Errorf("ranges %v were done in the end", seen)
	}
	if n, err := db.Collection("rounds").EstimatedDocumentCount(t.Context()); err != nil || n != 0 {
		t.Errorf("%d documents of rounds are left, %v", n, err)
	}
}

// Indexes of collections with documents are told of, and built by apply alone.
func TestIndexesAreBuiltByApply(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 3}
	p.write(t, [2]byte{1, 1}, "first")
	s := p.open(t)
	missing, err := s.Missing(t.Context())
	want := []IndexStatus{{Collection: "letters", Index: "text", Documents: 1},
		{Collection: "letters", Index: "length", Documents: 1}}
	if err != nil || !slices.Equal(missing, want) || len(Needed(missing)) != 2 {
		t.Errorf("missing %+v, %v", missing, err)
	}
	var steps []string
	if err := s.Apply(t.Context(), ApplyOptions{Progress: func(p Progress) {
		if len(steps) == 0 || steps[len(steps)-1] != p.Step {
			steps = append(steps, p.Step)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, ", "); got != "index letters.text, index letters.length, count, form" {
		t.Errorf("steps %s", got)
	}
	if missing, err = s.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("then %+v, %v", missing, err)
	}
	// Another index of that name is the operator's.
	indexes := p.letters().Indexes()
	if err := indexes.DropOne(t.Context(), "text"); err != nil {
		t.Fatal(err)
	}
	if _, err := indexes.CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "other", Value: 1}},
		Options: options.Index().SetName("text")}); err != nil {
		t.Fatal(err)
	}
	err = s.Apply(t.Context(), ApplyOptions{Progress: func(Progress) {}})
	if err == nil || !strings.Contains(err.Error(), "letters.text") {
		t.Errorf("with a wrong index: %v", err)
	}
	if missing, err = s.Missing(t.Context()); err != nil || len(missing) != 1 || !missing[0].Wrong {
		t.Errorf("then %+v, %v", missing, err)
	}
}

// One who only looks writes nothing.
func TestReadOnly(t *testing.T) {
	p := &program{db: dbtest.Database(t), version: 3}
	o := p.options()
	o.ReadOnly = true
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
	if names, err := p.db.ListCollectionNames(t.Context(), bson.D{}); err != nil || len(names) > 0 {
		t.Errorf("collections %v, %v", names, err)
	}
}
