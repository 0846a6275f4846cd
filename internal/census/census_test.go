package census

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// deliver puts one message into the INBOX of each user.
func deliver(t *testing.T, st *storetest.Store, text string, to ...*mailstore.User) {
	t.Helper()
	w := st.Contents.NewWriter(t.Context())
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), len(to))
	if err != nil {
		t.Fatal(err)
	}
	var list []mailstore.Delivery
	for i, u := range to {
		list = append(list, mailstore.Delivery{Mailbox: st.Mailbox(t, u, "INBOX").Key, Magic: stored.Magics[i]})
	}
	results, err := st.Deliver(t.Context(), stored, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// next asks for the census and waits for the one that begins then.
func next(t *testing.T, c *Taker) *Census {
	t.Helper()
	if _, running, err := c.Latest(t.Context()); err != nil || !running {
		t.Fatalf("no census begins: running %v, %v", running, err)
	}
	c.working.Wait()
	latest, running, err := c.Latest(t.Context())
	if err != nil || latest == nil || running {
		t.Fatalf("%+v, running %v, %v", latest, running, err)
	}
	return latest
}

func TestCensus(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	now := time.Now()
	c := New(Options{Database: st.Database, Mail: st.Store, Contents: st.Contents,
		Clock: func() time.Time { return now }})
	defer c.Close()
	if latest, _, err := c.Latest(t.Context()); err != nil || latest != nil {
		t.Fatalf("before the first: %+v, %v", latest, err)
	}
	c.working.Wait()

	ada, bob := st.User(t, "ada@example.com"), st.User(t, "bob@example.com")
	text := "Subject: x\r\n\r\n" + strings.Repeat("some words that compress\r\n", 100)
	deliver(t, st, text, ada, bob)
	deliver(t, st, "Subject: y\r\n\r\nshort\r\n", bob)
	if latest, running, err := c.Latest(t.Context()); err != nil || running || latest.Messages != 0 {
		t.Errorf("a young census is not taken again: %+v, running %v, %v", latest, running, err)
	}
	now = now.Add(least)
	got := next(t, c)

	size := int64(len(text))
	all := 2*size + 21
	if got.Users != 2 || got.Messages != 3 || got.Received != all || got.Mailboxes != 12 {
		t.Errorf("users %d, mailboxes %d, messages %d, received %d (want %d)",
			got.Users, got.Mailboxes, got.Messages, got.Received, all)
	}
	wantUsers := []mailstore.Large{
		{User: bob.ID, Username: "bob@example.com", Messages: 2, Bytes: size + 21},
		{User: ada.ID, Username: "ada@example.com", Messages: 1, Bytes: size},
	}
	if diff := cmp.Diff(wantUsers, got.LargestUsers); diff != "" {
		t.Errorf("largest users: %s", diff)
	}
	if l := got.LargestMailboxes; len(l) != 2 || l[0].Path != "INBOX" || l[0].Username != "bob@example.com" ||
		l[0].Mailbox != st.Mailbox(t, bob, "INBOX").Key.Number() || l[0].Bytes != size+21 {
		t.Errorf("largest mailboxes: %+v", l)
	}
	if got.Contents != 2 || got.Sampled != 2 {
		t.Errorf("%d contents, %d looked at", got.Contents, got.Sampled)
	}
	var received, once, stored int64
	for _, class := range got.Classes {
		received += class.Received
		once += class.Once
		stored += class.Stored
	}
	if received != all || once != size+21 || stored <= 0 || stored > once/4 {
		t.Errorf("by class: received %d of %d, once %d, stored %d", received, all, once, stored)
	}
	found := false
	for _, coll := range got.Collections {
		found = found || coll.Name == "messages" && coll.Documents == 3
	}
	if !found {
		t.Errorf("collections: %+v", got.Collections)
	}
	if !got.Taken.Equal(now.UTC().Truncate(time.Millisecond)) {
		t.Errorf("taken %v, want %v", got.Taken, now)
	}
}

// One instance takes a census; another one that is asked meanwhile, or soon after, has the same.
func TestCensusOfOthers(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	o := Options{Database: st.Database, Mail: st.Store, Contents: st.Contents}
	one, other := New(o), New(o)
	defer one.Close()
	defer other.Close()
	first := next(t, one)
	second, running, err := other.Latest(t.Context())
	if err != nil || running || second == nil || !second.Taken.Equal(first.Taken) {
		t.Errorf("%+v, running %v, %v; want that of %v", second, running, err, first.Taken)
	}
}

// Closing ends what runs, and nothing begins then.
func TestClose(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	c := New(Options{Database: st.Database, Mail: st.Store, Contents: st.Contents})
	if _, running, err := c.Latest(t.Context()); err != nil || !running {
		t.Fatalf("running %v, %v", running, err)
	}
	c.Close()
	if _, running, err := c.Latest(t.Context()); err != nil || running {
		t.Errorf("after Close: running %v, %v", running, err)
	}
}
