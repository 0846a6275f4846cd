package mailstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
)

// env is a Store on a fresh database.
type env struct {
	*Store
	db  *mongo.Database
	bus events.Bus
}

func newEnv(t testing.TB) *env {
	t.Helper()
	return openEnv(t, dbtest.Database(t))
}

// openEnv opens another instance on a database.
func openEnv(t testing.TB, db *mongo.Database) *env {
	t.Helper()
	return openEnvWith(t, db, Options{})
}

// openEnvWith opens one with further options.
func openEnvWith(t testing.TB, db *mongo.Database, o Options) *env {
	t.Helper()
	blobs, err := blobstore.New(db, blobstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := contents.New(db, blobs, contents.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	bus := events.NewLocal()
	o.Database, o.Contents, o.Bus = db, c, bus
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	return &env{Store: s, db: db, bus: bus}
}

var userCount atomic.Int64

// user creates a user without the cost of hashing a password.
func (e *env) user(t testing.TB) *User {
	t.Helper()
	return e.userNamed(t, fmt.Sprintf("user%d@example.com", userCount.Add(1)))
}

// userNamed is user with a name that matters.
func (e *env) userNamed(t testing.TB, name string) *User {
	t.Helper()
	u, err := e.createUser(t.Context(), NewUser{Username: name}, newHash().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (e *env) box(t testing.TB, u *User, path string) *Mailbox {
	t.Helper()
	m, err := e.MailboxByPath(t.Context(), u.ID, path)
	if err != nil {
		t.Fatalf("mailbox %s: %v", path, err)
	}
	return m
}

// reporter is what testing.TB and rapid.T have in common.
type reporter interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// content stores a message with refs references.
func (e *env) content(t reporter, text string, refs int) *contents.Stored {
	t.Helper()
	w := e.contents.NewWriter(t.Context())
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func mail(n int) string {
	return fmt.Sprintf("From: Alice <alice@example.com>\r\nTo: bob@example.org\r\nSubject: Re: Number %d\r\n"+
		"Date: Tue, 1 Apr 2025 23:30:00 -0500\r\nMessage-ID: <%d@example.com>\r\n\r\nThis is number %d.\r\n", n, n, n)
}

// deliver delivers one new message and expects success.
func (e *env) deliver(t testing.TB, box mailkey.Mailbox, n int, flags Flags, keywords ...string) Delivered {
	t.Helper()
	stored := e.content(t, mail(n), 1)
	got, err := e.Deliver(t.Context(), stored,
		[]Delivery{{Mailbox: box, Flags: flags, Keywords: keywords, Magic: stored.Magics[0]}})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	return got[0]
}

// list reads a mailbox.
func (e *env) list(t reporter, box mailkey.Mailbox, q Query, fields Fields) []*Message {
	t.Helper()
	var list []*Message
	for m, err := range e.Messages(t.Context(), box, q, fields) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// references returns refs and magic of all contents.
func (e *env) references(t reporter) map[contents.ID][2]int64 {
	t.Helper()
	cursor, err := e.db.Collection("contents").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID    bson.Binary `bson:"_id"`
		Refs  int64       `bson:"refs"`
		Magic int64       `bson:"magic"`
	}
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	refs := make(map[contents.ID][2]int64)
	for _, d := range docs {
		refs[contents.ID(d.ID.Data)] = [2]int64{d.Refs, d.Magic}
	}
	return refs
}

// checkConsistent verifies everything that always holds for these users, who have all the mail
// there is: counters, quota, references.
func (e *env) checkConsistent(t reporter, users ...*User) {
	t.Helper()
	want := e.checkCounters(t, users...)
	if got := e.references(t); !equalRefs(got, want) {
		t.Errorf("references (count, magic): have %v, want %v", got, want)
	}
}

// checkCounters verifies counters and quota of these users, and returns the references that their
// messages hold.
func (e *env) checkCounters(t reporter, users ...*User) map[contents.ID][2]int64 {
	t.Helper()
	want := make(map[contents.ID][2]int64)
	for id := range e.references(t) {
		want[id] = [2]int64{}
	}
	for _, u := range users {
		boxes, err := e.Mailboxes(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		var messages, size int64
		for _, box := range boxes {
			actual, recorded, err := e.Recount(t.Context(), box.Key, false)
			if err != nil {
				t.Fatal(err)
			}
			if actual != recorded {
				t.Errorf("%s: %+v recorded, %+v there", box.Path, recorded, actual)
			}
			messages += actual.Messages
			size += actual.Size
			for _, m := range e.list(t, box.Key, Query{}, FieldContent|FieldFlags) {
				r := want[m.Content]
				want[m.Content] = [2]int64{r[0] + 1, r[1] + int64(m.Magic)}
				if m.ModSeq > box.HighestModSeq {
					t.Errorf("%s: UID %d has mod-sequence %d above %d", box.Path, m.UID, m.ModSeq, box.HighestModSeq)
				}
				if m.UID >= box.UIDNext {
					t.Errorf("%s: UID %d, UIDNEXT %d", box.Path, m.UID, box.UIDNext)
				}
			}
		}
		_, usage, err := e.Quota(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		if usage.Messages != messages || usage.Bytes != size {
			t.Errorf("%s: usage %+v, want %d messages of %d octets", u.Username, usage, messages, size)
		}
	}
	return want
}

// nothingMarked is an error as long as something is being deleted.
func (e *env) nothingMarked(t reporter) error {
	t.Helper()
	for coll, mark := range map[*mongo.Collection]string{e.mailboxes: boxDeleting, e.users: userDeleting} {
		n, err := coll.CountDocuments(t.Context(), bson.D{{Key: mark, Value: true}})
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return fmt.Errorf("%d documents in %s are marked", n, coll.Name())
		}
	}
	return nil
}

func equalRefs(a, b map[contents.ID][2]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for id, r := range a {
		if b[id] != r {
			return false
		}
	}
	return true
}

// fill delivers n messages of one content.
func (e *env) fill(t testing.TB, box mailkey.Mailbox, n int, flags func(i int) Flags) {
	t.Helper()
	for start := 0; start < n; start += MaxRecipients {
		count := min(n-start, MaxRecipients)
		stored := e.content(t, mail(1), count)
		list := make([]Delivery, count)
		for i := range list {
			list[i] = Delivery{Mailbox: box, Magic: stored.Magics[i]}
			if flags != nil {
				list[i].Flags = flags(start + i)
			}
		}
		got, err := e.Deliver(t.Context(), stored, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Err != nil {
				t.Fatal(d.Err)
			}
		}
	}
}
