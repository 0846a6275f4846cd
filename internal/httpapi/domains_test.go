package httpapi

import (
	"testing"
)

// Domains over HTTP: set, listed page by page, used, and forgotten.
func TestDomains(t *testing.T) {
	a := newAPI(t)
	a.User(t, "ada@example.com")
	var d Domain
	a.call(t, "PATCH", "/domains/Example.com",
		`{"quota":{"storage":"1MiB"},"catchAll":"ada@example.com"}`, 200, &d)
	if d.Domain != "example.com" || d.Users != 1 || d.CatchAll != "ada@example.com" || d.AliasOf != "" ||
		d.Quota.Storage == nil || *d.Quota.Storage != 1<<20 || d.Quota.Messages != nil {
		t.Errorf("changed: %+v", d)
	}
	d = Domain{}
	a.call(t, "PATCH", "/domains/alias.example", `{"aliasOf":"example.com"}`, 200, &d)
	if d.AliasOf != "example.com" || d.Users != 0 {
		t.Errorf("an alias: %+v", d)
	}
	var user User
	a.call(t, "GET", "/users/ada@example.com", "", 200, &user)
	if user.Quota.Storage.Limit == nil || *user.Quota.Storage.Limit != 1<<20 {
		t.Errorf("the user has %+v", user.Quota)
	}
	var page domainPage
	a.call(t, "GET", "/domains?limit=1", "", 200, &page)
	if len(page.Domains) != 1 || page.Domains[0].Domain != "alias.example" || page.Next != "alias.example" {
		t.Errorf("a page: %+v", page)
	}
	page = domainPage{}
	a.call(t, "GET", "/domains?after=alias.example", "", 200, &page)
	if len(page.Domains) != 1 || page.Domains[0].Domain != "example.com" || page.Next != "" {
		t.Errorf("the next page: %+v", page)
	}
	d = Domain{}
	a.call(t, "PATCH", "/domains/example.com", `{"catchAll":null,"quota":null}`, 200, &d)
	if d.CatchAll != "" {
		t.Errorf("without catchAll: %+v", d)
	}
	a.call(t, "GET", "/domains/example.com", "", 200, &d)
	a.call(t, "DELETE", "/domains/alias.example", "", 204, nil)
	a.refused(t, "GET", "/domains/alias.example", "", 404, "NoSuchDomain")
	a.refused(t, "DELETE", "/domains/alias.example", "", 404, "NoSuchDomain")
	a.refused(t, "PATCH", "/domains/alias.example", `{"aliasOf":"alias.example"}`, 400, "InvalidField")
	a.refused(t, "PATCH", "/domains/alias.example", `{"aliasOf":7}`, 400, "InvalidField")
	a.refused(t, "PATCH", "/domains/alias.example", `{"catchAll":"bob@example.com"}`, 404, "NoSuchUser")
	a.refused(t, "PATCH", "/domains/a%20b", `{"catchAll":"ada@example.com"}`, 400, "InvalidAddress")
	if _, err := a.ResolveAddress(t.Context(), "ada@alias.example"); err == nil {
		t.Error("the forgotten alias leads to somebody")
	}
}
