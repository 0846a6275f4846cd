package mailstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
)

func setEntry(name, value string) MetadataEntry {
	return MetadataEntry{Name: name, Value: []byte(value)}
}

// metadataOf returns what an actor sees of a mailbox, as name=value.
func (e *env) metadataOf(t reporter, box mailkey.Mailbox, actor *User) (list []string) {
	t.Helper()
	entries, err := e.MailboxMetadata(t.Context(), box, actor.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Mailbox != box.Number() {
			t.Errorf("%s is of mailbox %d", e.Name, e.Mailbox)
		}
		list = append(list, e.Name+"="+string(e.Value))
	}
	return list
}

func (e *env) setMetadata(t reporter, box mailkey.Mailbox, actor *User, entries ...MetadataEntry) int64 {
	t.Helper()
	change, err := e.SetMetadata(t.Context(), box, actor.ID, entries)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// Private entries are those of one actor, shared ones of all; both go with the mailbox and with
// their user.
func TestMetadataBelongsToSomebody(t *testing.T) {
	e := newEnv(t)
	ada, bob := e.user(t), e.user(t)
	inbox, server := e.box(t, ada, "INBOX").Key, ada.ID.Mailbox(0)
	e.create(t, ada, "Lists")
	lists := e.box(t, ada, "Lists").Key
	e.setMetadata(t, inbox, ada, setEntry("/private/comment", "ada's"), setEntry("/shared/comment", "all"))
	e.setMetadata(t, inbox, bob, setEntry("/private/comment", "bob's"), setEntry("/shared/color", ""))
	e.setMetadata(t, lists, bob, setEntry("/private/comment", "bob's, too"))
	e.setMetadata(t, lists, ada, setEntry("/shared/comment", "lists"))
	e.setMetadata(t, server, ada, setEntry("/private/vendor/a/b", "server"))
	for _, tt := range []struct {
		box   mailkey.Mailbox
		actor *User
		want  []string
	}{
		{inbox, ada, []string{"/private/comment=ada's", "/shared/color=", "/shared/comment=all"}},
		{inbox, bob, []string{"/private/comment=bob's", "/shared/color=", "/shared/comment=all"}},
		{lists, ada, []string{"/shared/comment=lists"}},
		{server, ada, []string{"/private/vendor/a/b=server"}},
		{server, bob, nil},
	} {
		if diff := cmp.Diff(tt.want, e.metadataOf(t, tt.box, tt.actor)); diff != "" {
			t.Errorf("%v for %s: %s", tt.box, tt.actor.Username, diff)
		}
	}
	all, err := e.UserMetadata(t.Context(), ada.ID, bob.ID, []string{"/private/comment", "/shared/comment"})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, e := range all {
		values = append(values, fmt.Sprintf("%d %s", e.Mailbox, e.Value))
	}
	n := lists.Number()
	if diff := cmp.Diff([]string{"1 bob's", "1 all", fmt.Sprintf("%d bob's, too", n), fmt.Sprintf("%d lists", n)},
		values); diff != "" {
		t.Error(diff)
	}

	if err := e.DeleteMailbox(t.Context(), ada.ID, "Lists"); err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: true}}}}); n != 5 {
		t.Errorf("%d entries are left, want 5: those of the deleted mailbox are gone", n)
	}
	_, err = e.SetMetadata(t.Context(), lists, ada.ID, []MetadataEntry{setEntry("/shared/a", "x")})
	if !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("metadata of a mailbox that is gone: %v", err)
	}
	if err := e.DeleteUser(t.Context(), bob.ID); err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, bson.D{{Key: metadataActor, Value: bob.ID.Binary()}}); n != 0 {
		t.Errorf("a user who is gone has %d entries", n)
	}
	if err := e.DeleteUser(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, bson.D{}); n != 0 {
		t.Errorf("%d entries of nobody", n)
	}
}

// count counts documents of metadata.
func (e *env) count(t reporter, filter bson.D) int64 {
	t.Helper()
	n, err := e.metadata.CountDocuments(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMetadataLimits(t *testing.T) {
	e := newEnv(t)
	ada, bob := e.user(t), e.user(t)
	inbox := e.box(t, ada, "INBOX").Key
	many := make([]MetadataEntry, MaxMetadataEntries)
	for i := range many {
		many[i] = setEntry(fmt.Sprint("/shared/n", i), "x")
	}
	e.setMetadata(t, inbox, ada, many...)
	refused := func(box mailkey.Mailbox, actor *User, entries ...MetadataEntry) {
		t.Helper()
		before := e.metadataOf(t, box, actor)
		_, err := e.SetMetadata(t.Context(), box, actor.ID, entries)
		if !errors.Is(err, ErrTooManyEntries) {
			t.Errorf("set %d entries: %v", len(entries), err)
		}
		if diff := cmp.Diff(before, e.metadataOf(t, box, actor)); diff != "" {
			t.Errorf("a refused change changed something: %s", diff)
		}
	}
	refused(inbox, ada, setEntry("/shared/n1", "y"), setEntry("/shared/more", "x"))
	// Removing makes room, in the same command, too.
	e.setMetadata(t, inbox, ada, MetadataEntry{Name: "/shared/n0"}, setEntry("/shared/more", "x"))
	e.setMetadata(t, inbox, ada, setEntry("/private/n", "x"))

	large := strings.Repeat("x", MaxMetadataValue)
	drafts := e.box(t, ada, "Drafts").Key
	for i := range maxOthersMetadataBytes/MaxMetadataValue - 1 {
		e.setMetadata(t, drafts, bob, setEntry(fmt.Sprint("/private/n", i), large))
	}
	refused(drafts, bob, setEntry("/private/more", large))
	// Others do not take the room of the user, and it is all mailboxes' together.
	room := MaxMetadataBytes/(MaxMetadataValue+metadataOverhead) - 1
	for i := range room {
		e.setMetadata(t, drafts, ada, setEntry(fmt.Sprint("/private/n", i), large))
	}
	refused(e.box(t, ada, "Sent").Key, ada, setEntry("/private/more", large))
	e.setMetadata(t, drafts, ada, setEntry("/private/n0", "smaller"))
	e.setMetadata(t, e.box(t, ada, "Sent").Key, ada, setEntry("/private/more", large))
}

// What others have on the mailboxes of a user costs the user's changes nothing.
func TestMetadataOfOthersIsNotRead(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnv(t, db)
	ada := e.user(t)
	inbox := e.box(t, ada, "INBOX").Key
	e.setMetadata(t, inbox, ada, setEntry("/private/a", "x"))
	for range 5 {
		e.setMetadata(t, inbox, e.user(t), setEntry("/private/a", "x"), setEntry("/private/b", "x"))
	}
	commands.Reset()
	e.setMetadata(t, inbox, ada, setEntry("/private/a", "y"))
	if n := commands.Documents(collMetadata); n != 1 {
		t.Errorf("%d entries were read, want that of the user", n)
	}
	plan := dbtest.Explain(t, e.metadata, bson.D{{Key: metadataUser, Value: ada.ID.Binary()},
		{Key: metadataActor, Value: bson.D{{Key: "$in", Value: bson.A{nil}}}}}, nil, nil)
	if plan.DocsExamined != 1 {
		t.Errorf("documents examined: %v", plan)
	}
}

// Removed entries are forgotten when there are many of them, the oldest first.
func TestRemovedMetadataIsForgotten(t *testing.T) {
	e := newEnv(t)
	ada := e.user(t)
	inbox := e.box(t, ada, "INBOX").Key
	batch := make([]MetadataEntry, MaxMetadataEntries)
	for n := range maxRemovedMetadata/len(batch) + 2 {
		for i := range batch {
			batch[i] = setEntry(fmt.Sprintf("/private/n%d-%d", n, i), "x")
		}
		e.setMetadata(t, inbox, ada, batch...)
		for i := range batch {
			batch[i].Value = nil
		}
		e.setMetadata(t, inbox, ada, batch...)
	}
	e.setMetadata(t, inbox, ada, setEntry("/private/last", "x"))
	if n := e.count(t, bson.D{}); n > maxRemovedMetadata {
		t.Errorf("%d removed entries are remembered", n)
	}
	changed, _, err := e.MetadataChanges(t.Context(), ada.ID, ada.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("/private/n%d-", maxRemovedMetadata/len(batch)+1)
	if n := len(changed); n < 2 || changed[n-1].Name != "/private/last" ||
		!strings.HasPrefix(changed[n-2].Name, before) {
		t.Errorf("the latest changes are not known: %v", changed)
	}
}

// Whatever is set and removed, a reader that follows the changes knows the names of all entries, and
// the entries are those of a model.
func TestMetadataModel(t *testing.T) {
	e := newEnv(t)
	rapid.Check(t, func(r *rapid.T) {
		ada, bob := e.user(t), e.user(t)
		boxes := []mailkey.Mailbox{e.box(t, ada, "INBOX").Key, e.box(t, ada, "Sent").Key, ada.ID.Mailbox(0)}
		model := make(map[string]string) // by mailbox, and name that is there for ada
		known := make(map[string]bool)
		var since int64
		follow := func() {
			for {
				changed, last, err := e.MetadataChanges(r.Context(), ada.ID, ada.ID, since)
				if err != nil {
					r.Fatal(err)
				}
				if last == since {
					return
				}
				for _, c := range changed {
					known[fmt.Sprint(c.Mailbox, c.Name)] = true
				}
				since = last
			}
		}
		touched := make(map[string]bool)
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			box := rapid.SampledFrom(boxes).Draw(r, "box")
			actor := rapid.SampledFrom([]*User{ada, ada, bob}).Draw(r, "actor")
			var entries []MetadataEntry
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
				"/private/a", "/private/b", "/shared/a", "/shared/a/b"}), 1, 3, rapid.ID).Draw(r, "names") {
				value := []byte(nil)
				if rapid.Bool().Draw(r, "set") {
					value = []byte(rapid.StringN(0, 5, 20).Draw(r, "value"))
				}
				entries = append(entries, MetadataEntry{Name: name, Value: value})
				if actor == bob && strings.HasPrefix(name, PrivateMetadata) {
					continue
				}
				key := fmt.Sprint(box.Number(), name)
				if _, there := model[key]; there || value != nil {
					touched[key] = true
				}
				delete(model, key)
				if value != nil {
					model[key] = string(value)
				}
			}
			e.setMetadata(r, box, actor, entries...)
			if rapid.Bool().Draw(r, "follow") {
				follow()
				if diff := cmp.Diff(touched, known); diff != "" {
					r.Fatalf("changes (-want +got): %s", diff)
				}
				clear(touched)
				clear(known)
			}
		}
		got := make(map[string]string)
		for _, box := range boxes {
			for _, one := range e.metadataOf(r, box, ada) {
				name, value, _ := strings.Cut(one, "=")
				got[fmt.Sprint(box.Number(), name)] = value
			}
		}
		if diff := cmp.Diff(model, got); diff != "" {
			r.Fatal(diff)
		}
	})
}
