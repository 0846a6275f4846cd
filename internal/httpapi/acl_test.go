package httpapi

import (
	"net/url"
	"slices"
	"testing"

	"gadwall/quota"
)

func TestAccessControlLists(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	a.User(t, "bob@example.com")
	const one = ada + "/INBOX/acl"
	owner := grant{"ada@example.com", "lrswipkxtea"}
	var list accessList
	a.call(t, "GET", one, "", 200, &list)
	if !slices.Equal(list.Entries, []grant{owner}) {
		t.Errorf("at first %+v", list)
	}
	want := []grant{owner, {"bob@example.com", "lr"}, {"-$team", "a"}, {"anyone", "l"}}
	a.call(t, "PUT", one, `{"entries":[{"identifier":"bob@example.com","rights":"rl"},
		{"identifier":"-$Team","rights":"a"},{"identifier":"anyone","rights":"l"},
		{"identifier":"ada@example.com","rights":""}]}`, 200, &list)
	if !slices.Equal(list.Entries, want) {
		t.Errorf("set to %+v", list)
	}
	for _, body := range []string{
		`{"entries":[{"identifier":"bob@example.com","rights":"lq"}]}`,
		`{"entries":[{"identifier":"nobody@example.com","rights":"l"}]}`,
		`{"entries":[{"identifier":"-","rights":"l"}]}`,
		`{"entries":[{"identifier":"-ada@example.com","rights":"l"}]}`,
		`{"entries":[{"identifier":"$a","rights":"l"},{"identifier":"$A","rights":"r"}]}`,
	} {
		a.refused(t, "PUT", one, body, 400, "InvalidField")
	}
	a.call(t, "GET", one, "", 200, &list)
	if !slices.Equal(list.Entries, want) {
		t.Errorf("after refusals %+v", list)
	}
	// The mailbox is there for bob.
	var box Mailbox
	theirs := "/users/bob@example.com/mailboxes/" + url.PathEscape("Other Users/ada@example.com/INBOX")
	a.call(t, "GET", theirs, "", 200, &box)
	if box.Path != "Other Users/ada@example.com/INBOX" {
		t.Errorf("bob sees %+v", box)
	}
	a.refused(t, "GET", theirs+"/acl", "", 403, "NoRight")
	a.call(t, "DELETE", one, "", 204, nil)
	a.refused(t, "GET", theirs, "", 404, "NoSuchMailbox")
	a.refused(t, "GET", ada+"/Nothing/acl", "", 404, "NoSuchMailbox")
}

func TestGroups(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	var u User
	a.call(t, "PATCH", "/users/ada@example.com", `{"groups":["Team","office"]}`, 200, &u)
	if !slices.Equal(u.Groups, []string{"office", "team"}) {
		t.Errorf("%+v", u)
	}
	a.refused(t, "PATCH", "/users/ada@example.com", `{"groups":["a b"],"name":"x"}`, 400, "InvalidField")
	a.call(t, "PATCH", "/users/ada@example.com", `{"groups":[]}`, 200, &u)
	u = User{}
	a.call(t, "GET", "/users/ada@example.com", "", 200, &u)
	if u.Groups != nil || u.Name != "" {
		t.Errorf("%+v", u)
	}
}
