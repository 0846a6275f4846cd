package mailstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/mailkey"
)

func (e *env) paths(t testing.TB, u *User) []string {
	t.Helper()
	boxes, err := e.Mailboxes(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, b := range boxes {
		list = append(list, b.Path)
	}
	return list
}

func (e *env) create(t testing.TB, u *User, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := e.CreateMailbox(t.Context(), u.ID, p, CreateOptions{}); err != nil {
			t.Fatalf("create %s: %v", p, err)
		}
	}
}

func TestCreateMailbox(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box, err := e.CreateMailbox(t.Context(), u.ID, "inbox/Entwu\u0308rfe/", CreateOptions{SpecialUse: `\Important`})
	if err != nil {
		t.Fatal(err)
	}
	if box.Path != "INBOX/Entw\u00fcrfe" || box.SpecialUse != `\Important` || box.Subscribed {
		t.Errorf("created %+v", box)
	}
	for _, get := range []func() (*Mailbox, error){
		func() (*Mailbox, error) { return e.MailboxByKey(t.Context(), box.Key) },
		func() (*Mailbox, error) { return e.MailboxByPath(t.Context(), u.ID, "Inbox/Entw\u00fcrfe") },
		func() (*Mailbox, error) { return e.MailboxBySpecialUse(t.Context(), u.ID, `\Important`) },
	} {
		got, err := get()
		if err != nil || got.Key != box.Key || got.UIDValidity != box.UIDValidity || got.Path != box.Path {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	for _, tt := range []struct {
		path, use string
		want      error
	}{
		{"inbox", "", ErrMailboxExists},
		{"Sent/", "", ErrMailboxExists},
		{"a//b", "", ErrInvalidName},
		{"More", `\Important`, ErrSpecialUse},
		{"More", `\Nonsense`, ErrSpecialUse},
	} {
		if got, err := e.CreateMailbox(t.Context(), u.ID, tt.path,
			CreateOptions{SpecialUse: tt.use}); !errors.Is(err, tt.want) {
			t.Errorf("create %q %s: %+v, %v", tt.path, tt.use, got, err)
		}
	}
	if _, err := e.CreateMailbox(t.Context(), mailkey.UserID{}, "a", CreateOptions{}); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("for nobody: %v", err)
	}
	for _, path := range []string{"nowhere", "", "a//b", "\xff"} {
		if got, err := e.MailboxByPath(t.Context(), u.ID, path); !errors.Is(err, ErrNoSuchMailbox) {
			t.Errorf("MailboxByPath(%q) = %+v, %v", path, got, err)
		}
	}
}

func TestUIDValidityIsNeverGivenTwice(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	last := uint32(0)
	for range 5 {
		box, err := e.CreateMailbox(t.Context(), u.ID, "again", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if box.UIDValidity <= last {
			t.Errorf("UIDVALIDITY %d after %d", box.UIDValidity, last)
		}
		last = box.UIDValidity
		if err := e.DeleteMailbox(t.Context(), u.ID, "again"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRenameMailbox(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	e.create(t, u, "a", "a/b", "a/b/c", "a-b", "ab", "x/y/z", "INBOX/k")
	key := e.box(t, u, "a/b").Key
	for _, tt := range []struct {
		from, to string
		want     error
		paths    string
	}{
		{"a", "n", nil, "a-b ab n n/b n/b/c x/y/z"},
		{"x", "w", nil, "a-b ab n n/b n/b/c w/y/z"}, // a name without a mailbox
		{"n", "n/b/d", ErrInvalidName, ""},
		{"n", "n", ErrMailboxExists, ""},
		{"n", "inbox", ErrMailboxExists, ""},
		{"n/b", "ab", ErrMailboxExists, ""},
		{"nowhere", "m", ErrNoSuchMailbox, ""},
		{"n", "m//o", ErrInvalidName, ""},
		{"n", strings.Repeat("x", MaxPathLength), ErrInvalidName, ""}, // too long for what is below
		{"n/b", "n", ErrMailboxExists, ""},
		// Two trees do not become one.
		{"w", "ab", ErrMailboxExists, ""},
		{"w", "n", ErrMailboxExists, ""},
		{"w", "n/b", ErrMailboxExists, ""},
		{"n", "w", ErrMailboxExists, ""},
		{"n", "w/y", ErrMailboxExists, ""},
		{"n/b/c", "w/y", nil, "a-b ab n n/b w/y w/y/z"}, // nothing is below it
		{"w/y", "n/b/c", nil, "a-b ab n n/b n/b/c n/b/c/z"},
	} {
		err := e.RenameMailbox(t.Context(), u.ID, tt.from, tt.to)
		if !errors.Is(err, tt.want) {
			t.Errorf("rename %s to %s: %v, want %v", tt.from, tt.to, err, tt.want)
		}
		if tt.paths != "" {
			got := slices.DeleteFunc(e.paths(t, u), func(p string) bool { return p[0] < 'a' })
			if strings.Join(got, " ") != tt.paths {
				t.Errorf("rename %s to %s: have %q, want %q", tt.from, tt.to, got, tt.paths)
			}
		}
	}
	if got := e.box(t, u, "n/b").Key; got != key {
		t.Errorf("the key %s became %s", key, got)
	}
	// What is below takes the place of its superior.
	if err := e.DeleteMailbox(t.Context(), u.ID, "n"); err != nil {
		t.Fatal(err)
	}
	if err := e.RenameMailbox(t.Context(), u.ID, "n/b", "n"); err != nil {
		t.Fatal(err)
	}
	if e.box(t, u, "n").Key != key {
		t.Error("n is not what n/b was")
	}
	e.box(t, u, "n/c")
	e.box(t, u, "INBOX/k")
}

func TestRenameInboxMovesItsMessages(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	e.create(t, u, "INBOX/below")
	before := e.box(t, u, "INBOX")
	e.deliver(t, before.Key, 1, 0)
	if err := e.RenameMailbox(t.Context(), u.ID, "Inbox", "Old"); err != nil {
		t.Fatal(err)
	}
	old, inbox := e.box(t, u, "Old"), e.box(t, u, "INBOX")
	if old.Key != before.Key || old.Messages != 1 || old.UIDValidity != before.UIDValidity {
		t.Errorf("the old one: %+v", old)
	}
	if inbox.Key == before.Key || inbox.Messages != 0 || inbox.UIDValidity <= before.UIDValidity || !inbox.Subscribed {
		t.Errorf("the new one: %+v", inbox)
	}
	e.box(t, u, "INBOX/below")
	if err := e.RenameMailbox(t.Context(), u.ID, "INBOX", "Old"); !errors.Is(err, ErrMailboxExists) {
		t.Errorf("again: %v", err)
	}
	e.checkConsistent(t, u)
}

// RENAME of INBOX makes a mailbox and copies annotations: the limits of both hold.
func TestRenameInboxWithinLimits(t *testing.T) {
	e := newEnv(t)
	full := e.user(t)
	docs := make([]any, MaxMailboxes-len(e.paths(t, full)))
	for i := range docs {
		docs[i] = newMailboxDoc(&Mailbox{Key: full.ID.Mailbox(uint32(1000 + i)), Path: fmt.Sprint("box", i),
			UIDValidity: 1})
	}
	if _, err := e.mailboxes.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	refused := func(u *User, want error) {
		t.Helper()
		before := e.box(t, u, "INBOX")
		if err := e.RenameMailbox(t.Context(), u.ID, "INBOX", "Old"); !errors.Is(err, want) {
			t.Errorf("rename: %v, want %v", err, want)
		}
		if after := e.box(t, u, "INBOX"); after.Key != before.Key {
			t.Error("a refused RENAME made another INBOX")
		}
	}
	refused(full, ErrTooMany)

	ada, bob := e.user(t), e.user(t)
	inbox := e.box(t, ada, "INBOX").Key
	large := strings.Repeat("x", MaxMetadataValue)
	for i := range MaxMetadataBytes / (MaxMetadataValue + metadataOverhead) {
		e.setMetadata(t, inbox, ada, setEntry(fmt.Sprint("/private/n", i), large))
	}
	refused(ada, ErrTooManyEntries)
	for i := range MaxMetadataBytes / (MaxMetadataValue + metadataOverhead) {
		e.setMetadata(t, inbox, ada, MetadataEntry{Name: fmt.Sprint("/private/n", i)})
	}
	e.setMetadata(t, inbox, ada, setEntry("/private/a", "ada's"), setEntry("/shared/a", "all"))
	e.setMetadata(t, inbox, bob, setEntry("/private/a", "bob's"))
	if err := e.RenameMailbox(t.Context(), ada.ID, "INBOX", "Old"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path  string
		actor *User
		want  []string
	}{
		{"INBOX", ada, []string{"/private/a=ada's", "/shared/a=all"}},
		{"Old", ada, []string{"/private/a=ada's", "/shared/a=all"}},
		{"Old", bob, []string{"/private/a=bob's", "/shared/a=all"}},
		{"INBOX", bob, []string{"/shared/a=all"}}, // which bob cannot use
	} {
		if diff := cmp.Diff(tt.want, e.metadataOf(t, e.box(t, ada, tt.path).Key, tt.actor)); diff != "" {
			t.Errorf("%s for %s: %s", tt.path, tt.actor.Username, diff)
		}
	}
}

func TestDeleteMailboxRefuses(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	e.create(t, u, "a/b/c", "a/b")
	for path, want := range map[string]error{
		"inbox": ErrInboxUndeletable, "a": ErrHasChildren, "nowhere": ErrNoSuchMailbox,
		"": ErrNoSuchMailbox, "a/b": nil,
	} {
		if err := e.DeleteMailbox(t.Context(), u.ID, path); !errors.Is(err, want) {
			t.Errorf("delete %q: %v, want %v", path, err, want)
		}
	}
	e.box(t, u, "a/b/c")
}

func TestSubscriptionsOutliveMailboxes(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	standard, err := e.Subscriptions(t.Context(), u.ID)
	if err != nil || len(standard) != len(standardMailboxes) {
		t.Fatalf("%q, %v", standard, err)
	}
	want := func(more ...string) {
		t.Helper()
		got, err := e.Subscriptions(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		expect := slices.Sorted(slices.Values(slices.Concat(standard, more)))
		if !slices.Equal(got, expect) {
			t.Errorf("subscriptions %q, want %q", got, expect)
		}
	}
	subscribe := func(path string, on bool) {
		t.Helper()
		if err := e.Subscribe(t.Context(), u.ID, path, on); err != nil {
			t.Fatal(err)
		}
	}
	subscribe("future", true)
	subscribe("future", true)
	want("future")
	e.create(t, u, "future")
	want("future")
	if !e.box(t, u, "future").Subscribed {
		t.Error("the new mailbox is not subscribed")
	}
	if err := e.DeleteMailbox(t.Context(), u.ID, "future"); err != nil {
		t.Fatal(err)
	}
	want("future")
	subscribe("future", false)
	subscribe("future", false)
	want()
	e.create(t, u, "future")
	want()
	subscribe("future", true)
	subscribe("later", true)
	if err := e.RenameMailbox(t.Context(), u.ID, "future", "later"); err != nil {
		t.Fatal(err)
	}
	want("later")
	subscribe("later", false)
	want()
	if err := e.Subscribe(t.Context(), u.ID, "a//b", true); !errors.Is(err, ErrInvalidName) {
		t.Errorf("an invalid name: %v", err)
	}
}

func TestMailboxesOfOneNameCreatedConcurrently(t *testing.T) {
	first := newEnv(t)
	stores := []*env{first, openEnv(t, first.db)}
	u := first.user(t)
	var mu sync.Mutex
	created := 0
	keys := make(map[mailkey.Mailbox]bool)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			box, err := stores[i%2].CreateMailbox(t.Context(), u.ID, fmt.Sprintf("box%d", i%3), CreateOptions{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				created++
				keys[box.Key] = true
			case !errors.Is(err, ErrMailboxExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created != 3 || len(keys) != 3 {
		t.Errorf("%d created, with %d keys", created, len(keys))
	}
}
