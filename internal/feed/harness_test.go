package feed

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// tester is what testing.TB and rapid.T have in common.
type tester interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// instance is a store with a feed.
type instance struct {
	*storetest.Store
	*Feed
}

func newInstance(t testing.TB, db *mongo.Database, policy quota.Policy) *instance {
	t.Helper()
	st := storetest.Open(t, storetest.Options{Database: db, Quota: policy})
	return &instance{st, New(Options{Store: st.Store, Bus: st.Bus})}
}

var users atomic.Int64

// env is one instance, with a user.
type env struct {
	*instance
	user mailkey.UserID
}

func newEnv(t testing.TB, policy quota.Policy) *env {
	t.Helper()
	i := newInstance(t, dbtest.Database(t), policy)
	return &env{i, i.newUser(t)}
}

// newUser creates a user whom nobody knows by name.
func (i *instance) newUser(t tester) mailkey.UserID {
	t.Helper()
	u, err := i.CreateUser(t.Context(), mailstore.NewUser{Password: storetest.Password,
		Username: fmt.Sprintf("user%d@example.com", users.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func text(n int) string {
	return fmt.Sprintf("From: Ada <ada@example.com>\r\nSubject: Number %d\r\nMessage-ID: <%d@example.com>\r\n\r\n"+
		"This is number %d.\r\n", n, n, n)
}

// delivery makes a content of mail n, and what is to be delivered.
func (i *instance) store(t tester, n int, d mailstore.Delivery) mailstore.Delivered {
	t.Helper()
	w := i.Contents.NewWriter(t.Context())
	if _, err := w.Write([]byte(text(n))); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	d.Magic = stored.Magics[0]
	got, err := i.Deliver(t.Context(), stored, []mailstore.Delivery{d})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// deliver delivers mail n and expects success.
func (i *instance) deliver(t tester, box mailkey.Mailbox, n int) uint32 {
	t.Helper()
	got := i.store(t, n, mailstore.Delivery{Mailbox: box})
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	return got.UID
}

func (i *instance) box(t tester, user mailkey.UserID, path string) mailkey.Mailbox {
	t.Helper()
	box, err := i.MailboxByPath(t.Context(), user, path)
	if err != nil {
		t.Fatal(err)
	}
	return box.Key
}

func (i *instance) now(t tester, user mailkey.UserID) string {
	t.Helper()
	at, err := i.Now(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// all reads to the end, and returns the events and the last position.
func (i *instance) all(t tester, user mailkey.UserID, since string, limit int) ([]Event, string) {
	t.Helper()
	var list []Event
	for {
		page, err := i.Read(t.Context(), user, since, limit)
		if err != nil {
			t.Fatal(err)
		}
		list, since = append(list, page.Events...), page.Next
		if !page.More {
			return list, since
		}
	}
}

func set(uids ...uint32) uidset.Set { return uidset.FromAscending(uids) }

func kinds(list []Event) string {
	s := ""
	for i, e := range list {
		if i > 0 {
			s += " "
		}
		s += string(e.Kind)
	}
	return s
}
