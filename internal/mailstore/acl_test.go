package mailstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gadwall/internal/mailkey"
)

// grant adds an entry.
func (e *env) grant(t testing.TB, box mailkey.Mailbox, entry ACLEntry) {
	t.Helper()
	_, err := e.ChangeACL(t.Context(), box, func(entries []ACLEntry) ([]ACLEntry, error) {
		return append(entries, entry), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e *env) sharedWith(t testing.TB, identifiers ...Identifier) (paths []string) {
	t.Helper()
	boxes, err := e.SharedWith(t.Context(), identifiers)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		paths = append(paths, b.Path)
	}
	return paths
}

func TestAccessControlListsFollowTheirMailbox(t *testing.T) {
	e := newEnv(t)
	owner, reader := e.user(t), e.user(t)
	e.create(t, owner, "a")
	entry := ACLEntry{Identifier: IdentifierOf(reader.ID), Rights: 3}
	none := ACLEntry{Identifier: GroupIdentifier("team"), Rights: 1, Negative: true}
	a := e.box(t, owner, "a")
	e.grant(t, a.Key, entry)
	e.grant(t, a.Key, none)
	want := []ACLEntry{entry, none}

	e.create(t, owner, "a/b/c", "other")
	if got := e.box(t, owner, "a/b/c").ACL; !slices.Equal(got, want) {
		t.Errorf("a new child has %v, want %v", got, want)
	}
	if got := e.box(t, owner, "other").ACL; got != nil {
		t.Errorf("a mailbox below no other has %v", got)
	}
	if err := e.RenameMailbox(t.Context(), owner.ID, "a", "other/x"); err != nil {
		t.Fatal(err)
	}
	if got := e.box(t, owner, "other/x").ACL; !slices.Equal(got, want) {
		t.Errorf("after RENAME it is %v, want %v", got, want)
	}
	if got := e.sharedWith(t, IdentifierOf(reader.ID)); !slices.Equal(got, []string{"other/x", "other/x/b/c"}) {
		t.Errorf("shared with the user: %q", got)
	}
	if got := e.sharedWith(t, Anyone, IdentifierOf(owner.ID)); got != nil {
		t.Errorf("shared with others: %q", got)
	}
	if err := e.DeleteMailbox(t.Context(), owner.ID, "other/x/b/c"); err != nil {
		t.Fatal(err)
	}
	if got := e.sharedWith(t, GroupIdentifier("team")); !slices.Equal(got, []string{"other/x"}) {
		t.Errorf("after DELETE, shared: %q", got)
	}
	if err := e.DeleteUser(t.Context(), reader.ID); err != nil {
		t.Fatal(err)
	}
	if got := e.box(t, owner, "other/x").ACL; !slices.Equal(got, []ACLEntry{none}) {
		t.Errorf("after the user was deleted it is %v", got)
	}
	if _, err := e.ChangeACL(t.Context(), a.Key, func([]ACLEntry) ([]ACLEntry, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if got := e.sharedWith(t, GroupIdentifier("team")); got != nil {
		t.Errorf("after the last entry went, shared: %q", got)
	}
}

func TestAccessControlListsAreBounded(t *testing.T) {
	e := newEnv(t)
	inbox := e.box(t, e.user(t), Inbox)
	var full []ACLEntry
	for i := range MaxACLEntries {
		full = append(full, ACLEntry{Identifier: GroupIdentifier(fmt.Sprint(i)), Rights: 1})
	}
	set := func(entries []ACLEntry) error {
		_, err := e.ChangeACL(t.Context(), inbox.Key, func([]ACLEntry) ([]ACLEntry, error) { return entries, nil })
		return err
	}
	if err := set(full); err != nil {
		t.Fatal(err)
	}
	if err := set(append(full, ACLEntry{Identifier: Anyone, Rights: 1})); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	refused := errors.New("refused")
	_, err := e.ChangeACL(t.Context(), inbox.Key, func([]ACLEntry) ([]ACLEntry, error) { return nil, refused })
	if !errors.Is(err, refused) || len(e.sharedWith(t, GroupIdentifier("0"))) != 1 {
		t.Errorf("a refused change: %v", err)
	}
}

func TestGroupsOfAUser(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	if err := e.SetGroups(t.Context(), u.ID, []string{"$Team", "b", "team"}); err != nil {
		t.Fatal(err)
	}
	got, err := e.UserByID(t.Context(), u.ID)
	if err != nil || !slices.Equal(got.Groups, []string{"b", "team"}) {
		t.Errorf("groups %q, %v", got.Groups, err)
	}
	for _, bad := range []string{"", "$", "a b", "a\n", string(make([]byte, MaxGroupName+1))} {
		if err := e.SetGroups(t.Context(), u.ID, []string{bad}); !errors.Is(err, ErrInvalidName) {
			t.Errorf("group %q: %v", bad, err)
		}
	}
	if err := e.SetGroups(t.Context(), u.ID, nil); err != nil {
		t.Fatal(err)
	}
	if got, err = e.UserByID(t.Context(), u.ID); err != nil || got.Groups != nil {
		t.Errorf("groups %q, %v", got.Groups, err)
	}
}
