package httpapi

import (
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// newGuardedAPI is a server with a configured token, and ada and bob.
func newGuardedAPI(t *testing.T) (a *api, root string) {
	t.Helper()
	st := storetest.Open(t, storetest.Options{})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	const token = "0123456789abcdef"
	a = &api{Store: st, url: start(t, Options{Users: st, Accounts: accounts, Token: token})}
	a.User(t, "ada@example.com")
	a.User(t, "bob@example.com")
	return a, "Authorization: Bearer " + token
}

func (a *api) newToken(t *testing.T, as, body string) (made Token, header string) {
	t.Helper()
	a.call(t, "POST", "/tokens", body, 201, &made, as)
	return made, "Authorization: Bearer " + made.Token
}

// What nobody gave a scope is open to no token but those for everything.
func TestRouteWithoutScope(t *testing.T) {
	r := &route{method: "GET", path: "/new", about: operation{tag: "new"}}
	if scope := r.scope(); scope != "all" {
		t.Errorf("the scope is %q", scope)
	}
}

func TestTokensGrantTheirScopes(t *testing.T) {
	a, root := newGuardedAPI(t)
	const user, mail = "/users/ada@example.com", "/users/ada@example.com/mailboxes"
	requests := []struct{ method, path, body, scope string }{
		{"GET", "/users", "", "users:read"},
		{"GET", user + "/addresses", "", "users:read"},
		{"PATCH", user, `{"name":"Ada"}`, "users"},
		{"GET", mail, "", "mail:read"},
		{"GET", user + "/search?q=x", "", "mail:read"},
		{"PATCH", mail + "/INBOX", `{"subscribed":true}`, "mail"},
		{"GET", "/metrics", "", "metrics"},
		{"GET", "/tokens", "", "tokens"},
		{"GET", "/openapi.json", "", ""},
	}
	for scope, grants := range map[string][]string{
		"all": {"users:read", "users", "mail:read", "mail", "metrics", "tokens"}, "users": {"users:read", "users"},
		"users:read": {"users:read"}, "mail": {"mail:read", "mail"}, "mail:read": {"mail:read"},
		"metrics": {"metrics"}, "tokens": {"tokens"},
	} {
		_, header := a.newToken(t, root, `{"name":"x","scopes":["`+scope+`"]}`)
		for _, r := range requests {
			want := 403
			for _, g := range append(grants, "") {
				if g == r.scope {
					want = 200
				}
			}
			if status, body, _ := request(t, r.method, a.url+r.path, r.body, header); status != want {
				t.Errorf("%s: %s %s: %d %s", scope, r.method, r.path, status, body)
			}
		}
	}
	if status, _, _ := request(t, "GET", a.url+"/users", ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
}

func TestTokenOfAUser(t *testing.T) {
	a, root := newGuardedAPI(t)
	_, header := a.newToken(t, root, `{"name":"webmail","scopes":["mail"],"user":"ada@example.com"}`)
	a.call(t, "GET", "/users/ada@example.com/mailboxes", "", 200, nil, header)
	a.call(t, "POST", "/users/ada@example.com/mailboxes", `{"path":"New"}`, 201, nil, header)
	for path, want := range map[string]int{
		"/users/bob@example.com/mailboxes": 404, "/users/bob@example.com/search?q=x": 404,
		"/users": 403, "/users/ada@example.com": 403, "/tokens": 403, "/metrics": 403,
		"/users/ada@example.com/app-passwords": 403,
	} {
		if status, body, _ := request(t, "GET", a.url+path, "", header); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	a.call(t, "PATCH", "/users/ada@example.com", `{"state":"suspended"}`, 200, nil, root)
	a.call(t, "GET", "/users/ada@example.com/mailboxes", "", 403, nil, header)
	a.call(t, "DELETE", "/users/ada@example.com", "", 204, nil, root)
	a.call(t, "GET", "/users/ada@example.com/mailboxes", "", 401, nil, header)
}

func TestTokensEnd(t *testing.T) {
	a, root := newGuardedAPI(t)
	made, header := a.newToken(t, root, `{"name":"x","scopes":["users"]}`)
	var list tokenList
	a.call(t, "GET", "/tokens", "", 200, &list, root)
	if len(list.Tokens) != 1 || list.Tokens[0].ID != made.ID || list.Tokens[0].Token != "" ||
		list.Tokens[0].Name != "x" {
		t.Errorf("%+v", list)
	}
	// One character makes another token.
	wrong := []byte(header)
	wrong[len(wrong)-1] ^= 1
	const empty = "Authorization: Bearer gdw_"
	for _, h := range []string{string(wrong), header + "x", empty, empty + made.ID, empty + made.ID + "_"} {
		a.call(t, "GET", "/users", "", 401, nil, h)
	}
	a.call(t, "GET", "/users", "", 200, nil, header)
	a.call(t, "DELETE", "/tokens/"+made.ID, "", 204, nil, root)
	a.call(t, "GET", "/users", "", 401, nil, header)
	a.call(t, "DELETE", "/tokens/"+made.ID, "", 404, nil, root)

	short, secret, err := a.CreateToken(t.Context(), mailstore.Token{Name: "short", Scopes: []string{"all"},
		Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	a.call(t, "GET", "/users", "", 200, nil, "Authorization: Bearer "+secret)
	_, err = a.Database.Collection("tokens").UpdateByID(t.Context(), short.ID,
		map[string]any{"$set": map[string]any{"expires": time.Now().Add(-time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	a.call(t, "GET", "/users", "", 401, nil, "Authorization: Bearer "+secret)
}

func TestTokensMakeNoMightierTokens(t *testing.T) {
	a, root := newGuardedAPI(t)
	_, header := a.newToken(t, root, `{"name":"x","scopes":["tokens","mail:read"]}`)
	a.newToken(t, header, `{"name":"y","scopes":["mail:read"]}`)
	for _, scope := range []string{"all", "mail", "users:read"} {
		a.call(t, "POST", "/tokens", `{"name":"y","scopes":["`+scope+`"]}`, 403, nil, header)
	}
	for body, status := range map[string]int{
		`{"name":"","scopes":["all"]}`:                                      400,
		`{"name":"x","scopes":[]}`:                                          400,
		`{"name":"x","scopes":["root"]}`:                                    400,
		`{"name":"x","scopes":["mail","mail"]}`:                             400,
		`{"name":"x","scopes":["users"],"user":"ada@example.com"}`:          400,
		`{"name":"x","scopes":["all"],"expires":"2020-01-01T00:00:00Z"}`:    400,
		`{"name":"x","scopes":["mail"],"user":"nobody@example.com"}`:        404,
		`{"name":"x","scopes":["mail"],"user":"bob@example.com","admin":1}`: 400,
	} {
		a.call(t, "POST", "/tokens", body, status, nil, root)
	}
}

// Tokens are kept as hashes.
func TestTokensAreNotStored(t *testing.T) {
	a, root := newGuardedAPI(t)
	made, _ := a.newToken(t, root, `{"name":"x","scopes":["all"]}`)
	raw, err := a.Database.Collection("tokens").FindOne(t.Context(), map[string]any{"_id": made.ID}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	secret := made.Token[len("gdw_")+len(made.ID)+1:]
	if text := raw.String(); len(secret) < 20 || strings.Contains(text, secret) {
		t.Errorf("%s is in %s", secret, text)
	}
}
