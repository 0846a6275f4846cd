package mailstore

import (
	"errors"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
)

// What a store remembers of names is right although another process renames users, gives names to
// others, and deletes users.
func TestNamesOfAnotherProcess(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnvWith(t, db, Options{})
	other := openEnvWith(t, db, Options{})
	ctx := t.Context()
	create := func(name string) *User {
		t.Helper()
		u, err := other.CreateUser(ctx, NewUser{Username: name, Password: "correct horse battery"})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	// want expects that a name leads to a user, nil for none, also as a recipient.
	want := func(name string, user *User) {
		t.Helper()
		found, err := e.UserByName(ctx, name)
		rcpt, resolved := e.ResolveAddress(ctx, name)
		switch {
		case user == nil:
			if !errors.Is(err, ErrNoSuchUser) || !errors.Is(resolved, ErrNoSuchAddress) {
				t.Errorf("%s: %v, %v, %v", name, found, err, resolved)
			}
		case err != nil || resolved != nil || found.ID != user.ID || rcpt.User.ID != user.ID:
			t.Errorf("%s: %v %v, %v %v; want %v", name, found, err, rcpt, resolved, user.ID)
		}
	}
	ada := create("ada@example.com")
	want("ada@example.com", ada)
	commands.Reset()
	want("ada@example.com", ada)
	if commands.Count("find", collAddresses) != 0 || commands.Count("find", collUsers) != 2 {
		t.Errorf("of a user who is known: %s", commands.Sequence())
	}
	if err := other.RenameUser(ctx, ada.ID, "lovelace@example.com", false); err != nil {
		t.Fatal(err)
	}
	want("ada@example.com", nil)
	want("lovelace@example.com", ada)
	second := create("ada@example.com")
	want("ada@example.com", second)
	if err := other.RenameUser(ctx, second.ID, "second@example.com", true); err != nil {
		t.Fatal(err)
	}
	// An alias gets mail, and nobody logs in with it.
	if u, err := e.UserByName(ctx, "ada@example.com"); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("an alias names %v, %v", u, err)
	}
	if r, err := e.ResolveAddress(ctx, "ada@example.com"); err != nil || r.User.ID != second.ID {
		t.Errorf("an alias leads to %v, %v", r, err)
	}
	if err := other.DeleteUser(ctx, ada.ID); err != nil {
		t.Fatal(err)
	}
	want("lovelace@example.com", nil)
}

// The store bounds what it remembers of names.
func TestNamesAreBounded(t *testing.T) {
	var n remembered[mailkey.UserID]
	id := [8]byte{1}
	name := []byte("0000")
	for i := range 4 * maxNames {
		for j, m := 0, i; j < len(name); j, m = j+1, m/26 {
			name[j] = byte('a' + m%26)
		}
		n.set(string(name), id)
	}
	if len(n.list) != maxNames {
		t.Errorf("%d names", len(n.list))
	}
	if got, ok := n.get(string(name)); !ok || got != id {
		t.Error("the latest name was forgotten")
	}
}

// What a store remembers of paths is right although another process renames mailboxes, gives their
// paths to others, and deletes them.
func TestPathsOfAnotherProcess(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnvWith(t, db, Options{})
	other := openEnvWith(t, db, Options{})
	ctx := t.Context()
	u, second := e.user(t), e.user(t)
	want := func(u *User, path string, box *Mailbox) {
		t.Helper()
		found, err := e.MailboxByPath(ctx, u.ID, path)
		switch {
		case box == nil && !errors.Is(err, ErrNoSuchMailbox):
			t.Errorf("%s: %v, %v; want none", path, found, err)
		case box != nil && (err != nil || found.Key != box.Key || found.Path != path):
			t.Errorf("%s: %+v, %v; want %+v", path, found, err, box)
		}
	}
	other.create(t, u, "a", "b")
	other.create(t, second, "a")
	a, b, theirs := other.box(t, u, "a"), other.box(t, u, "b"), other.box(t, second, "a")
	want(u, "a", a)
	want(u, "b", b)
	want(second, "a", theirs)
	commands.Reset()
	want(u, "a", a)
	want(second, "a", theirs)
	if n := commands.Count("find", collMailboxes); n != 2 || commands.Total() != 2 {
		t.Errorf("of two mailboxes that are known: %s", commands.Sequence())
	}
	for _, step := range [][2]string{{"a", "c"}, {"b", "a"}} {
		if err := other.RenameMailbox(ctx, u.ID, step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
	want(u, "a", b)
	want(u, "b", nil)
	want(u, "c", a)
	want(second, "a", theirs)
	if err := other.DeleteMailbox(ctx, u.ID, "a"); err != nil {
		t.Fatal(err)
	}
	want(u, "a", nil)
	other.create(t, u, "a")
	want(u, "a", other.box(t, u, "a"))
}
