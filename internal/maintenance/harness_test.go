package maintenance

import (
	"bytes"
	"context"
	"math/rand"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// store is a mail store on a database of a test.
type store struct {
	*mailstore.Store
	db *mongo.Database
}

func newStore(t testing.TB) *store {
	t.Helper()
	return openStore(t, dbtest.Database(t), time.Now)
}

func openStore(t testing.TB, db *mongo.Database, clock func() time.Time) *store {
	t.Helper()
	return &store{storetest.Open(t, storetest.Options{Database: db, Clock: clock}).Store, db}
}

func (s *store) user(t testing.TB, name string) *mailstore.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), mailstore.NewUser{Username: name, Password: storetest.Password})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (s *store) box(t testing.TB, u *mailstore.User, path string) mailkey.Mailbox {
	t.Helper()
	m, err := s.MailboxByPath(t.Context(), u.ID, path)
	if err != nil {
		t.Fatal(err)
	}
	return m.Key
}

// write stores a content.
func write(ctx context.Context, s *mailstore.Store, text []byte, refs int) (*contents.Stored, error) {
	w := s.Contents().NewWriter(ctx)
	defer w.Abort(context.WithoutCancel(ctx))
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	return w.Finish(ctx, refs)
}

func (s *store) deliver(t testing.TB, text []byte, flags mailstore.Flags, keywords []string, to ...mailkey.Mailbox) {
	t.Helper()
	stored, err := write(t.Context(), s.Store, text, len(to))
	if err != nil {
		t.Fatal(err)
	}
	var list []mailstore.Delivery
	for i, box := range to {
		list = append(list,
			mailstore.Delivery{Mailbox: box, Flags: flags, Keywords: keywords, Magic: stored.Magics[i]})
	}
	results, err := s.Deliver(t.Context(), stored, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// attachment returns bytes that do not compress.
func attachment(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// read returns the bytes of a content.
func read(ctx context.Context, s *mailstore.Store, id contents.ID) ([]byte, error) {
	loaded, err := s.Contents().Load(ctx, []contents.ID{id}, contents.Want{All: true})
	if err != nil {
		return nil, err
	}
	c := loaded[id]
	if c == nil {
		return nil, contents.ErrNotFound
	}
	var b bytes.Buffer
	err = c.WriteRange(ctx, &b, 0, c.Size)
	return b.Bytes(), err
}

// check runs a check when nothing else uses the store.
func (s *store) check(t testing.TB, repair, deep bool) (*Checked, []Finding) {
	t.Helper()
	var list []Finding
	sum, err := Check(t.Context(), s.Store, CheckOptions{Repair: repair, Deep: deep, Offline: true,
		Found: func(f Finding) { list = append(list, f) }})
	if err != nil {
		t.Fatal(err)
	}
	return sum, list
}

// collect collects everything that is unused now.
func (s *store) collect(t testing.TB) Collected {
	t.Helper()
	done, err := Collect(t.Context(), s.Store, CollectOptions{Orphans: true, OrphanGrace: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	return done
}
