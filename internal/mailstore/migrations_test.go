package mailstore

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/schema"
)

// The numbers ascend, and names and words are there: they are what operators and databases know.
func TestMigrationsAreListed(t *testing.T) {
	last := 1
	seen := make(map[string]bool)
	for _, m := range Migrations(nil) {
		if m.Version != last+1 || m.Name == "" || seen[m.Name] || m.About == "" ||
			(m.Collection == "") != (m.Apply == nil) {
			t.Errorf("migration %d after %d: %+v", m.Version, last, m)
		}
		seen[m.Name], last = true, m.Version
	}
}

// migrate makes the database one of version 1, and does all migrations.
func (e *env) migrate(t *testing.T) {
	t.Helper()
	// The version before those of the program.
	if _, err := e.db.Collection("state").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "schema"}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: 1}, {Key: "least", Value: 1}}}},
		options.UpdateOne().SetUpsert(true)); err != nil {
		t.Fatal(err)
	}
	s, err := schema.Open(t.Context(), schema.Options{Database: e.db, PerRange: 1,
		Registry: schema.Registry{Indexes: Indexes(e.db), Migrations: Migrations(e.Store)},
		Log:      slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	if len(s.Pending()) == 0 {
		t.Fatal("nothing to migrate")
	}
	if err := s.Apply(t.Context(), schema.ApplyOptions{Workers: 2, Progress: func(schema.Progress) {}}); err != nil {
		t.Fatal(err)
	}
	if left := s.Pending(); len(left) > 0 {
		t.Errorf("left to do: %+v", left)
	}
}

func (e *env) documents(t *testing.T) (docs []bson.M) {
	t.Helper()
	cur, err := e.messages.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err == nil {
		err = cur.All(t.Context(), &docs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// Messages of a version before the search fields were whole get the texts that a delivery gives them
// now. A text that was cut stays cut, and a content that is missing keeps no other message from it.
func TestMigrateTexts(t *testing.T) {
	e := newEnv(t)
	for range 3 {
		box := e.box(t, e.user(t), "INBOX").Key
		for n := range 4 {
			e.deliver(t, box, n, 0)
		}
	}
	box := e.box(t, e.user(t), "INBOX").Key
	for _, text := range []string{"Subject: none else\r\n\r\nHello.\r\n",
		"To: " + strings.Repeat("someone@example.com, ", 5000) + "last@example.com\r\n\r\nHello.\r\n"} {
		stored := e.content(t, text, 1)
		if _, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: box, Magic: stored.Magics[0]}}); err != nil {
			t.Fatal(err)
		}
	}
	want := e.documents(t)
	whole := 0
	for _, doc := range want {
		if doc[DocTextRules] != nil {
			whole++
		}
	}
	if whole != len(want)-1 {
		t.Fatalf("%d of %d messages have whole texts", whole, len(want))
	}
	if _, err := e.messages.UpdateMany(t.Context(), bson.D{{Key: DocTextRules, Value: int32(TextRules)}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: DocSubject, Value: "cut"}, {Key: DocBcc, Value: "stale"}}},
		{Key: "$unset", Value: bson.D{{Key: DocTextRules, Value: ""}, {Key: DocFrom, Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	e.migrate(t)
	if diff := cmp.Diff(want, e.documents(t)); diff != "" {
		t.Errorf("after the migration (-want +got):\n%s", diff)
	}

	if _, err := e.messages.UpdateMany(t.Context(), bson.D{},
		bson.D{{Key: "$unset", Value: bson.D{{Key: DocTextRules, Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.db.Collection("contents").DeleteOne(t.Context(),
		bson.D{{Key: "_id", Value: want[0][DocContent]}}); err != nil {
		t.Fatal(err)
	}
	e.migrate(t)
	for i, doc := range e.documents(t) {
		gone := cmp.Equal(doc[DocContent], want[0][DocContent])
		if (doc[DocTextRules] == nil) != (gone || want[i][DocTextRules] == nil) {
			t.Errorf("message %d: rules %v, content gone: %v", i, doc[DocTextRules], gone)
		}
	}
}

// Subscriptions of a version before get ids of one length. Until the migration is through, this
// version reads, removes and writes those of before; afterwards it writes the new ones, and what an
// instance wrote meanwhile is one subscription all the same.
func TestMigrateSubscriptions(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	var users []*User
	for range 5 {
		users = append(users, e.user(t))
	}
	version := func(n int) {
		t.Helper()
		if _, err := e.db.Collection("state").UpdateOne(ctx, bson.D{{Key: "_id", Value: "schema"}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: n}, {Key: "least", Value: n}}}},
			options.UpdateOne().SetUpsert(true)); err != nil {
			t.Fatal(err)
		}
		s, err := schema.Open(ctx, schema.Options{Database: e.db, ReadOnly: true,
			Registry: schema.Registry{Migrations: Migrations(e.Store)}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close(context.Background()) })
		e.schema = s
	}
	sizes := func() (sizes []int) {
		t.Helper()
		for _, u := range users {
			docs, err := e.findSubscriptions(ctx, u.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				sizes = append(sizes, len(d.ID.Data))
			}
		}
		slices.Sort(sizes)
		return sizes
	}
	subscribe := func(u *User, path string, on bool) {
		t.Helper()
		if err := e.Subscribe(ctx, u.ID, path, on); err != nil {
			t.Fatal(err)
		}
	}
	want := func(u *User, paths ...string) {
		t.Helper()
		names, err := e.Subscriptions(ctx, u.ID)
		names = slices.DeleteFunc(names, func(n string) bool {
			return n == Inbox || slices.Contains([]string{"Sent", "Drafts", "Junk", "Trash", "Archive"}, n)
		})
		if err != nil || !slices.Equal(names, paths) {
			t.Errorf("subscribed to %q, %v; want %q", names, err, paths)
		}
	}

	version(versionSubscriptions - 1)
	for _, u := range users {
		subscribe(u, "a", true)
		subscribe(u, "b/much longer than that", true)
		subscribe(u, "gone", true)
		subscribe(u, "gone", false)
		want(u, "a", "b/much longer than that")
	}
	if got := sizes(); got[0] != 9 || got[len(got)-1] != 31 || len(got) != 10 {
		t.Errorf("lengths of ids before the migration: %v", got)
	}
	e.schema = nil // as in an instance that knows of the migration
	subscribe(users[0], "a", true)
	want(users[0], "a", "b/much longer than that")
	subscribe(users[1], "a", true)
	subscribe(users[1], "a", false)
	want(users[1], "b/much longer than that")
	if err := e.DeleteUser(ctx, users[2].ID); err != nil {
		t.Fatal(err)
	}
	e.migrate(t)
	if got := sizes(); len(got) != 7 || got[0] != 24 || got[6] != 24 {
		t.Errorf("lengths of ids after the migration: %v", got)
	}
	want(users[0], "a", "b/much longer than that")
	want(users[1], "b/much longer than that")
	subscribe(users[0], "a", false)
	want(users[0], "b/much longer than that")
	if _, err := e.CreateMailbox(ctx, users[0].ID, "b/much longer than that", CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := sizes(); len(got) != 5 {
		t.Errorf("a mailbox did not take its subscription: %v", got)
	}
	want(users[0], "b/much longer than that")
}
