package mailstore

import (
	"errors"
	"testing"

	"gadwall/internal/dbtest"
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
	var n names
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
