package httpapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

// newLoginAPI is a server on which users log in, with ada and bob. change may change its options.
func newLoginAPI(t *testing.T, delay time.Duration, change func(*Options)) *api {
	t.Helper()
	st := storetest.Open(t, storetest.Options{RememberPasswords: time.Minute})
	recorder := logins.NewRecorder(logins.RecorderOptions{Write: st.WriteLogins})
	t.Cleanup(func() {
		if err := recorder.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Recorder: recorder})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Users: st, Accounts: accounts, Token: "0123456789abcdef", Authenticator: sasl.New(sasl.Options{
		Accounts: accounts, Logins: account.NewGate(logins.Options{Delay: delay})})}
	if change != nil {
		change(&o)
	}
	a := &api{Store: st, url: start(t, o)}
	a.User(t, "ada@example.com")
	a.User(t, "bob@example.com")
	return a
}

// as is the header of a user with a password.
func as(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// expect sends a request whose answer has that status and code.
func (a *api) expect(t *testing.T, method, path, body string, status int, want string, header ...string) {
	t.Helper()
	got, answer, h := request(t, method, a.url+path, body, header...)
	if got != status || want != "" && code(t, answer) != want {
		t.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, want)
	}
	if n := len(h.Values("WWW-Authenticate")); (got == 401) != (n == 2) {
		t.Errorf("%s %s: %d has %d challenges", method, path, got, n)
	}
}

// A user with a password reaches the own mail and profile, and nothing else.
func TestUsersLogIn(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, nil)
	ada := as("ada@example.com", storetest.Password)
	const me, bob = "/users/ada@example.com", "/users/bob@example.com"
	var user User
	a.call(t, "GET", me, "", 200, &user, ada)
	if user.Username != "ada@example.com" {
		t.Errorf("the profile is %+v", user)
	}
	for _, path := range []string{"", "/quota", "/addresses", "/app-passwords", "/tokens", "/authlog", "/mailboxes"} {
		a.expect(t, "GET", me+path, "", 200, "", ada)
		a.expect(t, "GET", bob+path, "", 404, "NoSuchUser", ada)
	}
	for _, path := range []string{"/users", "/tokens", "/domains", "/metrics", "/authlog?result=failed"} {
		a.expect(t, "GET", path, "", 403, "InsufficientScope", ada)
	}
	a.expect(t, "DELETE", me, "", 403, "InsufficientScope", ada)
	a.expect(t, "POST", me+"/addresses", `{"address":"x@example.com"}`, 403, "InsufficientScope", ada)
	a.expect(t, "POST", me+"/rename", `{"username":"x@example.com"}`, 403, "InsufficientScope", ada)
	for _, change := range []string{`{"quota":1000}`, `{"state":"active"}`, `{"hashedPassword":"x"}`, `{"groups":["admins"]}`,
		`{"limits":{"sentMessages":"unlimited"}}`} {
		a.expect(t, "PATCH", me, change, 403, "InsufficientScope", ada)
	}
	a.call(t, "PATCH", me, `{"name":"Ada","metadata":{"a":1},"password":"another horse"}`, 200, &user, ada)
	a.expect(t, "GET", me, "", 401, "Unauthorized", ada)
	ada = as("ADA@example.com", "another horse")
	a.call(t, "GET", me, "", 200, &user, ada)
	if user.Name != "Ada" {
		t.Errorf("the name is %q", user.Name)
	}
	for _, header := range []string{as("eve@example.com", "another horse"), as("ada@example.com", ""),
		"Authorization: Basic !", "Authorization: Basic"} {
		a.expect(t, "GET", me, "", 401, "Unauthorized", header)
	}
}

// An application password for HTTP opens the mail, and shows the profile; it makes no passwords and
// tokens. One for IMAP opens nothing.
func TestAppPasswordsOverHTTP(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, nil)
	const me = "/users/ada@example.com"
	var web, phone AppPassword
	ada := as("ada@example.com", storetest.Password)
	a.call(t, "POST", me+"/app-passwords", `{"name":"web","scopes":["http"]}`, 201, &web, ada)
	a.call(t, "POST", me+"/app-passwords", `{"name":"phone","scopes":["imap"]}`, 201, &phone, ada)
	header := as("ada@example.com", web.Password)
	a.expect(t, "GET", me+"/mailboxes", "", 200, "", header)
	a.expect(t, "POST", me+"/mailboxes", `{"path":"Work"}`, 201, "", header)
	a.expect(t, "GET", me, "", 200, "", header)
	a.expect(t, "PATCH", me, `{"password":"stolen horse"}`, 403, "InsufficientScope", header)
	a.expect(t, "POST", me+"/app-passwords", `{"name":"x","scopes":["imap"]}`, 403, "InsufficientScope", header)
	a.expect(t, "POST", me+"/tokens", `{"name":"x","scopes":["mail"]}`, 403, "InsufficientScope", header)
	a.expect(t, "GET", me, "", 401, "Unauthorized", as("ada@example.com", phone.Password))

	var page loginPage
	a.call(t, "GET", me+"/authlog", "", 200, &page, ada)
	results := make(map[string]string)
	for _, l := range page.Logins {
		results[l.By] = l.Result + " " + l.Mechanism + " " + l.Protocol + " " + l.Remote
	}
	for by, want := range map[string]string{"password": "ok", "app password web": "ok",
		"app password phone": "wrong scope"} {
		if results[by] != want+" Basic http 127.0.0.1" {
			t.Errorf("%s is in the log as %q", by, results[by])
		}
	}
}

// A user makes tokens, which end with the user and tell when they were used.
func TestUserTokens(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, nil)
	const me = "/users/ada@example.com"
	ada := as("ada@example.com", storetest.Password)
	made := func(scopes string) (Token, string) {
		var made Token
		a.call(t, "POST", me+"/tokens", `{"name":"x","scopes":`+scopes+`}`, 201, &made, ada)
		return made, "Authorization: Bearer " + made.Token
	}
	self, header := made(`["self"]`)
	a.expect(t, "GET", me, "", 200, "", header)
	a.expect(t, "PATCH", me, `{"name":"Ada"}`, 200, "", header)
	a.expect(t, "GET", me+"/mailboxes", "", 403, "InsufficientScope", header)
	a.expect(t, "GET", "/users/bob@example.com", "", 404, "NoSuchUser", header)
	a.expect(t, "POST", me+"/tokens", `{"name":"x","scopes":["mail"]}`, 403, "InsufficientScope", header)
	read, header := made(`["self:read","mail:read"]`)
	a.expect(t, "GET", me+"/mailboxes", "", 200, "", header)
	a.expect(t, "PATCH", me, `{"name":"Ada"}`, 403, "InsufficientScope", header)
	a.expect(t, "POST", me+"/tokens", `{"name":"x","scopes":["users"]}`, 403, "InsufficientScope", ada)

	var list tokenList
	a.call(t, "GET", me+"/tokens", "", 200, &list, ada)
	if len(list.Tokens) != 2 || list.Tokens[0].Used.IsZero() || list.Tokens[1].Used.IsZero() {
		t.Errorf("the tokens are %+v", list)
	}
	bob := as("bob@example.com", storetest.Password)
	a.expect(t, "DELETE", "/users/bob@example.com/tokens/"+self.ID, "", 404, "NoSuchToken", bob)
	a.expect(t, "DELETE", me+"/tokens/"+self.ID, "", 204, "", ada)
	a.expect(t, "GET", me, "", 401, "Unauthorized", "Authorization: Bearer "+self.Token)

	var page loginPage
	a.call(t, "GET", me+"/authlog", "", 200, &page, ada)
	shown := false
	for _, l := range page.Logins {
		shown = shown || l.By == "token "+read.ID && l.Result == "ok" && l.Count == 2
	}
	if !shown {
		t.Errorf("the log lacks the token: %+v", page)
	}
	user, err := a.UserByName(t.Context(), "ada@example.com")
	if err == nil {
		err = a.DeleteUser(t.Context(), user.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Database.Collection("tokens").CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d tokens outlive the user, %v", n, err)
	}
}

// Passwords are not taken of clients whose connection anybody can read. Requests without a token or a
// password are refused where the API listens for everybody.
func TestPasswordsNeedPrivacy(t *testing.T) {
	a := newLoginAPI(t, time.Millisecond, func(o *Options) {
		o.Token, o.TokenRequired = "", true
		o.PlaintextFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	const me = "/users/ada@example.com"
	a.expect(t, "GET", me, "", 403, "PrivacyRequired", as("ada@example.com", storetest.Password))
	a.expect(t, "GET", me, "", 401, "Unauthorized")
	a.expect(t, "GET", me, "", 401, "Unauthorized", "Authorization: Bearer x")
	if has, err := a.HasAdminToken(t.Context()); has || err != nil {
		t.Errorf("an admin token: %v, %v", has, err)
	}
	_, secret, err := a.CreateToken(t.Context(), mailstore.Token{Name: "admin", Scopes: []string{"all"},
		Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if has, err := a.HasAdminToken(t.Context()); !has || err != nil {
		t.Errorf("no admin token: %v, %v", has, err)
	}
	a.expect(t, "GET", me, "", 200, "", "Authorization: Bearer "+secret)
}

// After a wrong password the next one waits, as in all protocols; too many that wait are refused.
func TestWrongPasswordsAreDelayed(t *testing.T) {
	a := newLoginAPI(t, time.Hour, nil)
	a.expect(t, "GET", "/users/ada@example.com", "", 401, "Unauthorized", as("ada@example.com", "wrong"))
	const guesses, mayWait = 8, 5
	ctx, end := context.WithCancel(t.Context())
	statuses := make(chan int, guesses)
	var guessing sync.WaitGroup
	for i := range guesses {
		guessing.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "GET", a.url+"/users/ada@example.com", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.SetBasicAuth("ada@example.com", fmt.Sprint(i))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return // it waited to the end of the test
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		})
	}
	for range guesses - mayWait {
		if got := <-statuses; got != http.StatusTooManyRequests {
			t.Errorf("a further guess: %d", got)
		}
	}
	a.expect(t, "GET", "/users/bob@example.com", "", 200, "", as("bob@example.com", storetest.Password))
	end()
	guessing.Wait()
	if n := len(statuses); n > 0 {
		t.Errorf("%d guesses did not wait", n)
	}
}
