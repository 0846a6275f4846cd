package httpapi

import (
	"testing"
	"time"

	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// A token that ends makes none that lasts longer: one whose end is not given ends with it.
func TestTokensMakeNoLongerTokens(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, nil)
	ada, err := a.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	at := func(d time.Duration) string { return `,"expires":"` + ends.Add(d).Format(time.RFC3339) + `"` }
	for path, maker := range map[string]mailstore.Token{
		"/tokens":                       {Name: "x", Scopes: []string{"tokens", "mail"}, Expires: ends},
		"/users/ada@example.com/tokens": {Name: "x", Scopes: []string{"self", "mail"}, Expires: ends, User: ada.ID},
	} {
		_, secret, err := a.CreateToken(t.Context(), maker)
		if err != nil {
			t.Fatal(err)
		}
		header := "Authorization: Bearer " + secret
		for expires, want := range map[string]time.Time{
			"": ends, at(0): ends, at(-time.Minute): ends.Add(-time.Minute),
		} {
			var made Token
			a.call(t, "POST", path, `{"name":"y","scopes":["mail"]`+expires+`}`, 201, &made, header)
			if !made.Expires.Equal(want) {
				t.Errorf("%s with %q: it ends at %v, not at %v", path, expires, made.Expires, want)
			}
		}
		a.expect(t, "POST", path, `{"name":"y","scopes":["mail"]`+at(time.Second)+`}`, 403, "InsufficientScope", header)
	}
	// One without an end makes any.
	var made Token
	a.call(t, "POST", "/users/ada@example.com/tokens", `{"name":"y","scopes":["mail"]}`, 201, &made,
		as(ada.Username, storetest.Password))
	if !made.Expires.IsZero() {
		t.Errorf("a password's token ends at %v", made.Expires)
	}
}

// A user's token that ends, or is not for mail, gives the user passwords only with the user's password.
func TestTokensMakeNoPasswords(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, nil)
	const me = "/users/ada@example.com"
	ada, err := a.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	_, app, err := a.AddAppPassword(t.Context(), ada.ID, "web", mailstore.ScopeAll)
	if err != nil {
		t.Fatal(err)
	}
	const right = `,"currentPassword":"` + storetest.Password + `"`
	for name, tt := range map[string]struct {
		token mailstore.Token
		free  bool
	}{
		"that ends":    {mailstore.Token{Scopes: []string{"self", "mail"}, Expires: time.Now().Add(time.Hour)}, false},
		"not for mail": {mailstore.Token{Scopes: []string{"self", "mail:read"}}, false},
		"for all":      {mailstore.Token{Scopes: []string{"self", "mail"}}, true},
	} {
		tt.token.Name, tt.token.User = name, ada.ID
		_, secret, err := a.CreateToken(t.Context(), tt.token)
		if err != nil {
			t.Fatal(err)
		}
		header := "Authorization: Bearer " + secret
		for _, with := range []struct {
			current string
			may     bool
		}{
			{"", tt.free}, {`,"currentPassword":"wrong horse"`, tt.free},
			{`,"currentPassword":"` + app + `"`, tt.free}, {right, true},
		} {
			status, made, code := 403, 403, "PasswordRequired"
			if with.may {
				status, made, code = 200, 201, ""
			}
			a.expect(t, "POST", me+"/app-passwords", `{"name":"x","scopes":["imap"]`+with.current+`}`, made, code, header)
			a.expect(t, "PATCH", me, `{"password":"`+storetest.Password+`"`+with.current+`}`, status, code, header)
		}
		a.expect(t, "PATCH", me, `{"name":"Ada"}`, 200, "", header)
	}
	_, operators, err := a.CreateToken(t.Context(), mailstore.Token{Name: "x", Scopes: []string{"users"},
		Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	header := "Authorization: Bearer " + operators
	a.expect(t, "PATCH", me, `{"password":"another horse"}`, 200, "", header)
	const appPassword = `{"name":"x","scopes":["imap"]`
	for _, current := range []string{"", `,"currentPassword":"another horse"`} {
		a.expect(t, "POST", me+"/app-passwords", appPassword+current+"}", 403, "InsufficientScope", header)
	}
	_, operators, err = a.CreateToken(t.Context(), mailstore.Token{Name: "x", Scopes: []string{"users"}})
	if err != nil {
		t.Fatal(err)
	}
	a.expect(t, "POST", me+"/app-passwords", appPassword+"}", 201, "", "Authorization: Bearer "+operators)
}
