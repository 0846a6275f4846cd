package mailstore

import (
	"testing"

	"gadwall/internal/mailkey"
)

// RENAME of INBOX gives its mailbox another path, and another mailbox becomes INBOX. Mail for INBOX
// goes there at once, also from an instance that remembers the one before. Mail for the mailbox as
// such goes to the mailbox, whatever its path.
func TestDeliverToInbox(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	before, err := e.Inbox(t.Context(), u.ID)
	if err != nil || before != e.box(t, u, Inbox).Key {
		t.Fatalf("INBOX is %v, %v", before, err)
	}
	deliver := func(n int, inbox ...bool) []Delivered {
		t.Helper()
		stored := e.content(t, mail(n), len(inbox))
		var to []Delivery
		for i, in := range inbox {
			to = append(to, Delivery{Mailbox: before, Inbox: in, Magic: stored.Magics[i]})
		}
		got, err := e.Deliver(t.Context(), stored, to)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Err != nil {
				t.Fatal(d.Err)
			}
		}
		return got
	}
	deliver(1, true)
	if err := e.RenameMailbox(t.Context(), u.ID, Inbox, "Old"); err != nil {
		t.Fatal(err)
	}
	deliver(2, true)
	deliver(3, true, false, true)
	want := map[string]int{Inbox: 3, "Old": 2}
	for path, n := range want {
		box := e.box(t, u, path)
		if got := len(e.list(t, box.Key, Query{}, 0)); got != n || box.Messages != int64(n) {
			t.Errorf("%s has %d messages and counts %d, want %d", path, got, box.Messages, n)
		}
	}
	if now, err := e.Inbox(t.Context(), u.ID); err != nil || now != e.box(t, u, Inbox).Key {
		t.Errorf("afterwards INBOX is %v, %v", now, err)
	}

	// A mailbox that was INBOX and is deleted.
	if err := e.DeleteMailbox(t.Context(), u.ID, "Old"); err != nil {
		t.Fatal(err)
	}
	deliver(4, true)
	if box := e.box(t, u, Inbox); box.Messages != 4 {
		t.Errorf("INBOX has %d messages, want 4", box.Messages)
	}
	if _, err := e.Inbox(t.Context(), mailkey.NewUserID()); err != ErrNoSuchMailbox {
		t.Errorf("INBOX of nobody: %v", err)
	}
}
