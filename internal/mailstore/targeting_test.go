package mailstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// shardKeys are the fields by which a sharded cluster finds the shard of a user's documents.
var shardKeys = map[string]string{
	collUsers: "_id", collAddresses: "_id", collMailboxes: boxUser, collMessages: "_id",
	collJournal: "_id", collSubscriptions: subscriptionUser,
}

// targeting looks at the filter of each command on the collections that lie by user.
type targeting struct {
	mu    sync.Mutex
	seen  map[string]int
	wrong []string
}

func (g *targeting) started(_ context.Context, e *event.CommandStartedEvent) {
	name, _ := e.Command.Lookup(e.CommandName).StringValueOK()
	key, ok := shardKeys[name]
	if !ok {
		return
	}
	var filters []bson.RawValue
	switch e.CommandName {
	case "find":
		filters = []bson.RawValue{e.Command.Lookup("filter")}
	case "findAndModify":
		filters = []bson.RawValue{e.Command.Lookup("query")}
	case "update", "delete":
		statements, _ := e.Command.Lookup(e.CommandName + "s").ArrayOK()
		values, _ := statements.Values()
		for _, s := range values {
			filters = append(filters, s.Document().Lookup("q"))
		}
	case "aggregate":
		filters = []bson.RawValue{e.Command.Lookup("pipeline", "0", "$match")}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range filters {
		g.seen[name+" "+e.CommandName]++
		if !targets(f, key) {
			g.wrong = append(g.wrong, name+" "+e.CommandName+" "+f.String())
		}
	}
}

// targets reports whether a filter binds the key by a value, a list, or a range with both ends.
func targets(filter bson.RawValue, key string) bool {
	doc, ok := filter.DocumentOK()
	if !ok {
		return false
	}
	v := doc.Lookup(key)
	if v.Type == bson.TypeBinary || v.Type == bson.TypeString {
		return true
	}
	if bounds, ok := v.DocumentOK(); ok {
		has := func(names ...string) bool {
			return slices.ContainsFunc(names, func(n string) bool {
				_, err := bounds.LookupErr(n)
				return err == nil
			})
		}
		if has("$in", "$eq") || has("$gte", "$gt") && has("$lte", "$lt") {
			return true
		}
	}
	and, ok := doc.Lookup("$and").ArrayOK()
	if !ok {
		return false
	}
	parts, _ := and.Values()
	return slices.ContainsFunc(parts, func(p bson.RawValue) bool { return targets(p, key) })
}

// Every command on documents that lie by user names the user in its filter, so that it goes to one
// shard; users are found by their addresses. Only lists of users and of the addresses of a user ask
// all shards.
func TestCommandsAreTargeted(t *testing.T) {
	g := &targeting{seen: make(map[string]int)}
	db := dbtest.Watched(t, &event.CommandMonitor{Started: g.started})
	e := openEnvWith(t, db, Options{batchSize: 2})
	ctx := t.Context()
	g.wrong = nil // Open asks whether there are any documents
	const password = "correct horse battery"
	u, err := e.CreateUser(ctx, NewUser{Username: "target@example.com", Password: password})
	inbox := e.box(t, u, "INBOX").Key
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, w := range g.wrong {
			t.Errorf("%s: %s", what, w)
		}
		g.wrong = nil
	}
	check("create user", err)
	for range 2 { // the second time the store remembers the user
		_, err = e.UserByName(ctx, "target@example.com")
		check("user by name", err)
		_, err = e.ResolveAddress(ctx, "target+detail@example.com")
		check("resolve", err)
		_, err = e.Authenticate(ctx, "target@example.com", password, ScopeIMAP)
		check("authenticate", err)
		e.names = remembered[mailkey.UserID]{}
	}
	if _, err = e.UserByName(ctx, "nobody@example.com"); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("nobody: %v", err)
	}
	check("nobody", nil)
	check("new password", e.SetPassword(ctx, u.ID, password+"!"))
	_, _, err = e.AddAppPassword(ctx, u.ID, "phone", ScopeIMAP)
	check("application password", err)
	check("limits", e.SetLimits(ctx, u.ID, quota.Limits{Messages: 1000}))
	_, _, err = e.Quota(ctx, u.ID)
	check("quota", err)
	check("suspend", e.Suspend(ctx, u.ID))
	check("resume", e.Resume(ctx, u.ID))
	// The addresses of a user may be on any shard; commands on them are few, and their callers
	// administer users.
	everywhere := func(what string, err error, command string) {
		t.Helper()
		g.mu.Lock()
		g.wrong = slices.DeleteFunc(g.wrong, func(w string) bool { return strings.HasPrefix(w, command) })
		g.mu.Unlock()
		check(what, err)
	}
	everywhere("add alias", e.AddAlias(ctx, u.ID, "alias@example.com"), "addresses find")
	check("remove alias", e.RemoveAlias(ctx, u.ID, "alias@example.com"))
	for n := range 6 {
		e.deliver(t, inbox, n, 0, "$Important")
	}
	other, err := e.CreateMailbox(ctx, u.ID, "Other", CreateOptions{})
	check("create", err)
	_, err = e.StoreFlags(ctx, inbox, uidset.All(), FlagChange{Op: Add, Flags: Seen, Keywords: []string{"x"}})
	check("store", err)
	_, err = e.Copy(ctx, inbox, uidset.All(), other.Key)
	check("copy", err)
	_, err = e.Move(ctx, inbox, uidset.Of(uidset.Range{First: 1, Last: 1}), other.Key)
	check("move", err)
	_, err = e.StoreFlags(ctx, inbox, uidset.Of(uidset.Range{First: 2, Last: 5}),
		FlagChange{Op: Add, Flags: Deleted})
	check("delete messages", err)
	_, _, err = e.Expunge(ctx, inbox, nil)
	check("expunge", err)
	_, err = e.Changes(ctx, inbox, 1)
	check("changes", err)
	_, err = e.HighestModSeqs(ctx, []mailkey.Mailbox{inbox, other.Key})
	check("mod-sequences", err)
	_, err = e.FirstUnseen(ctx, inbox)
	check("first unseen", err)
	e.list(t, inbox, Query{ModSince: 1}, FieldFlags)
	e.list(t, inbox, Query{UIDs: uidset.Of(uidset.Range{First: 3, Last: 6}), Reverse: true}, FieldFlags)
	_, err = e.Count(ctx, inbox, Query{Filter: FlagFilter(Seen, true)})
	check("count", err)
	check("subscribe", e.Subscribe(ctx, u.ID, "Nowhere", true))
	check("unsubscribe", e.Subscribe(ctx, u.ID, "Nowhere", false))
	check("subscribe", e.Subscribe(ctx, u.ID, "Other", true))
	_, err = e.Subscriptions(ctx, u.ID)
	check("subscriptions", err)
	check("rename", e.RenameMailbox(ctx, u.ID, "Other", "Another"))
	check("delete", e.DeleteMailbox(ctx, u.ID, "Another"))
	check("rename user", e.RenameUser(ctx, u.ID, "renamed@example.com", false))
	e.grant(t, inbox, ACLEntry{Identifier: Anyone, Rights: 1})
	_, err = e.SharedWith(ctx, []Identifier{IdentifierOf(u.ID)})
	check("shared with nobody", err)
	_, err = e.CreateMailbox(ctx, u.ID, "INBOX/below", CreateOptions{})
	check("create below", err)
	everywhere("delete user", e.DeleteUser(ctx, u.ID), "addresses delete")
	for _, command := range []string{
		"addresses find", "addresses update", "addresses delete",
		"users find", "users findAndModify", "users update", "users delete",
		"mailboxes find", "mailboxes findAndModify", "mailboxes update", "mailboxes delete",
		"messages find", "messages update", "messages delete", "messages aggregate",
		"journal find", "journal delete", "subscriptions find", "subscriptions update",
		"subscriptions delete",
	} {
		if g.seen[command] == 0 {
			t.Errorf("no %s was seen", command)
		}
	}
}
