package httpapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gadwall/internal/logtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

// api is a server with a store.
type api struct {
	*storetest.Store
	url string
}

func newAPI(t *testing.T) *api {
	st := storetest.Open(t, storetest.Options{})
	return &api{Store: st, url: start(t, Options{Users: st})}
}

// call sends a request, compares the status, and reads the answer into v unless that is nil.
func (a *api) call(t *testing.T, method, path, body string, status int, v any, header ...string) {
	t.Helper()
	got, answer, _ := request(t, method, a.url+path, body, header...)
	if got != status {
		t.Fatalf("%s %s %s: %d %s", method, path, body, got, answer)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), v); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}

// refused sends a request that fails with a code.
func (a *api) refused(t *testing.T, method, path, body string, status int, want string) {
	t.Helper()
	var p Problem
	a.call(t, method, path, body, status, &p)
	if p.Code != want || p.Status != status {
		t.Errorf("%s %s %s: %+v", method, path, body, p)
	}
}

func TestCreateUserWithTheNamesOfOthers(t *testing.T) {
	a := newAPI(t)
	const hash = "{SHA512-CRYPT}$6$aCci/unApBuTSdV7$HMmgVYKuhxJJ8yi7igbreBWkEpO2wzvOsVS4skC3TlmJU55lg" +
		"Hc9FlUv6UAqvfvhAnD5wnfcddCQRvmI0IJCA0" // of storetest.Password
	a.call(t, "POST", "/user/create", `{"address":"ada@example.com","hashedPassword":"`+hash+
		`","name":"Ada Lovelace","quota":1048576,"metadata":{"plan":"gold"}}`, 200, nil)
	var u User
	a.call(t, "GET", "/users/ada@example.com", "", 200, &u)
	if u.Name != "Ada Lovelace" || *u.Quota.Storage.Limit != 1<<20 || u.Quota.Messages.Limit != nil ||
		string(u.Metadata) != `{"plan":"gold"}` || u.State != "active" {
		t.Errorf("%+v", u)
	}
	if _, err := a.Authenticate(t.Context(), "ada@example.com", storetest.Password, mailstore.ScopeIMAP); err != nil {
		t.Errorf("login by the imported hash: %v", err)
	}
	for body, want := range map[string]string{
		`{"address":"b@example.com","username":"c@example.com","password":"correct horse"}`:       "InvalidField",
		`{"address":"b@example.com","password":"correct horse","hashedPassword":"` + hash + `"}`:  "InvalidField",
		`{"address":"b@example.com","hashedPassword":"{UNKNOWN}xyz"}`:                             "WeakPassword",
		`{"address":"b@example.com","password":"correct horse","quota":{"octets":1}}`:             "UnknownField",
		`{"address":"b@example.com","hashedPassword":true}`:                                       "WeakPassword",
		`{"address":"b@example.com","password":"correct horse","hashedPassword":true}`:            "WeakPassword",
		`{"address":"b@example.com","password":"correct horse","hashedPassword":7}`:               "InvalidField",
		`{"address":"b@example.com","password":"correct horse","quota":0.5}`:                      "InvalidField",
		`{"address":"b@example.com","password":"correct horse","Quota":5}`:                        "UnknownField",
		`{"address":"b@example.com","password":"correct horse","password":"another horse"}`:       "InvalidJSON",
		`{"address":"b@example.com","password":"correct horse","metadata":{"a":[{"b":1,"b":2}]}}`: "InvalidJSON",
		"{\"address\":\"b@example.com\",\"password\":\"correct h\xf6rse\"}":                       "InvalidJSON",
		`{"address":"b@example.com","password":"correct horse","name":"a\u0000b"}`:                "InvalidField",
		`{"address":"b@example.com","password":"correct horse","metadata":"` + long(5000) + `"}`:  "InvalidField",
		`{"address":"b@example.com","password":"correct horse","quota":[1]}`:                      "InvalidField",
		`{"address":"b@example.com","password":"correct horse","quota":"much","name":"B","x":[]}`: "InvalidField",
	} {
		a.refused(t, "POST", "/users", body, 400, want)
	}
	a.refused(t, "POST", "/users", `{"address":"ada@example.com","password":"correct horse"}`, 409, "UserExists")
}

// Clients that were written for WildDuck send a hash as the password, and numbers as they like.
func TestCreateUserAsWildDuck(t *testing.T) {
	var logged logtest.Buffer
	st := storetest.Open(t, storetest.Options{})
	a := &api{Store: st, url: start(t, Options{Users: st, Logger: logged.Logger()})}
	const hash = "$1$gjjfeGkt$o2SKkA3XzjAVkGPmvQ8qV1" // MD5-CRYPT
	a.call(t, "POST", "/users", `{"address":"ada@example.com","password":"`+hash+`","hashedPassword":true,"quota":1e9}`,
		201, nil)
	a.call(t, "POST", "/users", `{"address":"bob@example.com","password":"correct horse","hashedPassword":false,
		"quota":0}`, 201, nil)
	for name, want := range map[string]quota.Limits{"ada": {Bytes: 1e9}, "bob": {}} {
		u, err := st.UserByName(t.Context(), name+"@example.com")
		if err != nil || u.Own != want {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if _, err := st.Authenticate(t.Context(), "bob@example.com", "correct horse", mailstore.ScopeIMAP); err != nil {
		t.Error(err)
	}
	if text := logged.String(); !strings.Contains(text, "weak hash") || strings.Contains(text, hash) {
		t.Errorf("the log says: %s", text)
	}
	// The same for a change.
	a.call(t, "PATCH", "/users/ada@example.com", `{"quota":2000.0}`, 200, nil)
	a.call(t, "PATCH", "/users/ada@example.com", `{"quota":{"storage":3e3}}`, 200, nil)
	a.call(t, "PATCH", "/users/bob@example.com", `{"password":"`+hash+`","hashedPassword":true}`, 200, nil)
	a.refused(t, "PATCH", "/users/bob@example.com", `{"password":"correct horse","hashedPassword":"`+hash+`"}`, 400,
		"InvalidField")
	if _, err := st.Authenticate(t.Context(), "bob@example.com", "correct horse", mailstore.ScopeIMAP); err == nil {
		t.Error("the old password is still right")
	}
	u, err := st.UserByName(t.Context(), "ada@example.com")
	if err != nil || u.Own != (quota.Limits{Bytes: 3000}) {
		t.Errorf("%+v, %v", u, err)
	}
}

// A refusal names the field.
func TestRefusalsNameTheField(t *testing.T) {
	a := newAPI(t)
	a.User(t, "ada@example.com")
	for _, tt := range [][]string{
		{"PATCH", "/users/ada@example.com", `{"quota":{"storage":"much"}}`, "quota: "},
		{"POST", "/tokens", `{"name":"x","scopes":["mail"],"expires":"720h"}`, "expires must be a time of RFC 3339"},
		{"POST", "/tokens", `{"name":"x","scopes":["mail"],"expires":7}`, "expires must be a time of RFC 3339"},
		{"POST", "/tokens", `{"name":"x","scopes":[]}`, "token or application password cannot be made: a token has"},
		{"POST", "/users/ada@example.com/app-passwords", `{"name":"","scopes":["imap"]}`, "cannot be made: the name"},
	} {
		var p Problem
		a.call(t, tt[0], tt[1], tt[2], 400, &p)
		if !strings.Contains(p.Detail, tt[3]) {
			t.Errorf("%s: %s", tt[2], p.Detail)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestListUsers(t *testing.T) {
	a := newAPI(t)
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("u%d@%s.example", i, []string{"a", "b"}[i%2])
		a.call(t, "POST", "/users", `{"username":"`+name+`","password":"correct horse"}`, 201, nil)
		want = append(want, name)
	}
	slices.Sort(want)
	list := func(query string) (names []string, pages int) {
		after := ""
		for {
			var page userPage
			a.call(t, "GET", "/users?limit=2&after="+url.QueryEscape(after)+query, "", 200, &page)
			if len(page.Users) > 2 || page.Next != "" && len(page.Users) < 2 {
				t.Errorf("a page of %d", len(page.Users))
			}
			for _, u := range page.Users {
				names = append(names, u.Username)
			}
			if pages++; page.Next == "" {
				return names, pages
			}
			after = page.Next
		}
	}
	if names, pages := list(""); !slices.Equal(names, want) || pages != 4 {
		t.Errorf("%v in %d pages", names, pages)
	}
	if names, _ := list("&domain=B.example"); len(names) != 3 || names[0] != "u1@b.example" {
		t.Errorf("of a domain: %v", names)
	}
	if names, _ := list("&prefix=u6"); !slices.Equal(names, []string{"u6@a.example"}) {
		t.Errorf("with a prefix: %v", names)
	}
	a.call(t, "POST", "/users", `{"username":"u@bücher.example","password":"correct horse"}`, 201, nil)
	for query, want := range map[string]int{
		"domain=xn--bcher-kva.example": 1, "domain=B%C3%9CCHER.example": 1, "domain=%40": 0, "prefix=%00": 0,
		"prefix=%ff": 0, "after=%ff": 0, "prefix=u.": 0,
	} {
		var page userPage
		a.call(t, "GET", "/users?"+query, "", 200, &page)
		if len(page.Users) != want {
			t.Errorf("%s: %+v", query, page.Users)
		}
	}
	for _, name := range []string{"ada", "%00", "%ff@example.com", "a@b@example.com"} {
		a.refused(t, "GET", "/users/"+name, "", 404, "NoSuchUser")
	}
	for _, limit := range []string{"0", "-1", "x", "1001"} {
		a.refused(t, "GET", "/users?limit="+limit, "", 400, "InvalidField")
	}
}

func TestChangeUser(t *testing.T) {
	a := newAPI(t)
	ctx := t.Context()
	user := a.User(t, "ada@example.com")
	path := "/users/" + user.ID.String()
	var u User
	a.call(t, "PATCH", path, `{"name":"Ada","password":"another horse","quota":{"messages":10},"metadata":[1]}`, 200, &u)
	if u.Name != "Ada" || u.Quota.Storage.Limit != nil || *u.Quota.Messages.Limit != 10 || string(u.Metadata) != "[1]" {
		t.Errorf("%+v", u)
	}
	if _, err := a.Authenticate(ctx, user.Username, "another horse", mailstore.ScopeIMAP); err != nil {
		t.Errorf("login by the new password: %v", err)
	}
	// What is not named stays.
	a.call(t, "PATCH", path, `{"quota":2048}`, 200, &u)
	if u.Name != "Ada" || *u.Quota.Storage.Limit != 2048 || *u.Quota.Messages.Limit != 10 {
		t.Errorf("%+v", u)
	}
	var q Quota
	a.call(t, "GET", path+"/quota", "", 200, &q)
	if *q.Storage.Limit != 2048 || q.Storage.Used != 0 || *q.Messages.Limit != 10 {
		t.Errorf("%+v", q)
	}
	// A change that is wrong in one place changes nothing.
	for body, code := range map[string]string{
		`{"name":"Eve","password":"short"}`:                                      "WeakPassword",
		`{"name":"Eve","hashedPassword":"x"}`:                                    "WeakPassword",
		`{"name":"Eve","state":"deleted"}`:                                       "InvalidField",
		`{"name":"Eve","quota":"-5"}`:                                            "InvalidField",
		`{"name":"Eve","metadata":"` + long(5000) + `"}`:                         "InvalidField",
		`{"name":"Eve","password":"correct horse","hashedPassword":"{SSHA}abc"}`: "InvalidField",
	} {
		a.refused(t, "PATCH", path, body, 400, code)
	}
	u = User{}
	a.call(t, "GET", path, "", 200, &u)
	if u.Name != "Ada" {
		t.Errorf("a refused change was made: %+v", u)
	}
	u = User{}
	a.call(t, "PATCH", path, `{"name":"","metadata":null}`, 200, &u)
	if u.Name != "" || u.Metadata != nil {
		t.Errorf("%+v", u)
	}
	a.refused(t, "PATCH", "/users/0123456789abcdef", `{"name":"x"}`, 404, "NoSuchUser")
}

func TestStatesOfUsers(t *testing.T) {
	a := newAPI(t)
	ctx := t.Context()
	user := a.User(t, "ada@example.com")
	path := "/users/" + user.ID.String()
	login := func() error {
		_, err := a.Authenticate(ctx, user.Username, storetest.Password, mailstore.ScopeIMAP)
		return err
	}
	var u User
	a.call(t, "PATCH", path, `{"state":"suspended"}`, 200, &u)
	if err := login(); u.State != "suspended" || err == nil {
		t.Errorf("suspended: %+v, login %v", u, err)
	}
	a.call(t, "PATCH", path, `{"state":"active"}`, 200, &u)
	if err := login(); u.State != "active" || err != nil {
		t.Errorf("resumed: %+v, login %v", u, err)
	}
	a.call(t, "DELETE", path+"?grace=24h", "", 204, nil)
	a.call(t, "GET", path, "", 200, &u)
	if err := login(); u.State != "deleted" || u.DeleteAfter.IsZero() || err == nil {
		t.Errorf("deleted: %+v, login %v", u, err)
	}
	a.refused(t, "PATCH", path, `{"name":"x"}`, 404, "NoSuchUser")
	a.refused(t, "GET", path+"/quota", "", 404, "NoSuchUser")
	u = User{}
	a.call(t, "POST", path+"/undelete", "", 200, &u)
	if err := login(); u.State != "active" || !u.DeleteAfter.IsZero() || err != nil {
		t.Errorf("brought back: %+v, login %v", u, err)
	}
	a.refused(t, "POST", path+"/undelete", "", 409, "NotDeleted")
	a.refused(t, "POST", "/users/nobody@example.com/undelete", "", 404, "NoSuchUser")
	for _, grace := range []string{"x", "-1h", "1000000h"} {
		a.refused(t, "DELETE", path+"?grace="+grace, "", 400, "InvalidField")
	}
	a.call(t, "DELETE", path, "", 204, nil)
	a.refused(t, "GET", path, "", 404, "NoSuchUser")
	a.refused(t, "DELETE", path, "", 404, "NoSuchUser")
}

func TestAddresses(t *testing.T) {
	a := newAPI(t)
	user := a.User(t, "ada@example.com")
	a.User(t, "bob@example.com")
	path := "/users/ada@example.com"
	var list addressList
	a.call(t, "POST", path+"/addresses", `{"address":"Countess@Example.com"}`, 201, &list)
	a.call(t, "GET", path+"/addresses", "", 200, &list)
	if want := []string{"ada@example.com", "countess@example.com"}; !slices.Equal(list.Addresses, want) {
		t.Errorf("addresses %v", list.Addresses)
	}
	a.refused(t, "POST", path+"/addresses", `{"address":"bob@example.com"}`, 409, "UserExists")
	a.refused(t, "POST", path+"/addresses", `{"address":"nothing"}`, 400, "InvalidAddress")
	a.refused(t, "DELETE", path+"/addresses/ada@example.com", "", 404, "NoSuchAddress")
	a.call(t, "DELETE", path+"/addresses/countess@example.com", "", 204, nil)
	a.refused(t, "DELETE", path+"/addresses/countess@example.com", "", 404, "NoSuchAddress")

	var u User
	a.call(t, "POST", path+"/rename", `{"username":"countess@example.com","keepAlias":true}`, 200, &u)
	if u.Username != "countess@example.com" || u.ID != user.ID.String() {
		t.Errorf("renamed: %+v", u)
	}
	a.call(t, "GET", "/users/"+u.ID+"/addresses", "", 200, &list)
	if len(list.Addresses) != 2 {
		t.Errorf("the old name is no alias: %v", list.Addresses)
	}
	a.refused(t, "POST", "/users/"+u.ID+"/rename", `{"username":"bob@example.com"}`, 409, "UserExists")
}

func TestAppPasswords(t *testing.T) {
	a := newAPI(t)
	user := a.User(t, "ada@example.com")
	path := "/users/" + user.ID.String() + "/app-passwords"
	var made AppPassword
	a.call(t, "POST", path, `{"name":"phone","scopes":["imap"]}`, 201, &made)
	if _, err := a.Authenticate(t.Context(), user.Username, made.Password, mailstore.ScopeIMAP); err != nil {
		t.Errorf("login: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), user.Username, made.Password, mailstore.ScopeSMTP); err == nil {
		t.Error("the password is for more than it was made for")
	}
	var list appPasswordList
	a.call(t, "GET", path, "", 200, &list)
	if len(list.AppPasswords) != 1 || list.AppPasswords[0].ID != made.ID || list.AppPasswords[0].Password != "" ||
		list.AppPasswords[0].Used.IsZero() || !slices.Equal(list.AppPasswords[0].Scopes, []string{"imap"}) {
		t.Errorf("%+v", list)
	}
	a.refused(t, "POST", path, `{"name":"phone","scopes":["pop3"]}`, 400, "InvalidField")
	a.refused(t, "POST", path, `{"name":"phone","scopes":[]}`, 400, "InvalidField")
	a.refused(t, "POST", path, `{"scopes":["imap"]}`, 400, "InvalidField")
	a.call(t, "DELETE", path+"/"+made.ID, "", 204, nil)
	a.refused(t, "DELETE", path+"/"+made.ID, "", 404, "NoSuchPassword")
	a.refused(t, "DELETE", path+"/x.y", "", 404, "NoSuchPassword")
	if _, err := a.Authenticate(t.Context(), user.Username, made.Password, mailstore.ScopeIMAP); err == nil {
		t.Error("a revoked password is right")
	}
}
