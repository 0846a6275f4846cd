package httpapi

import (
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

// A master user opens the mail of another user by HTTP Basic, but makes no passwords and tokens of that
// user. The user's log has it. Others do not get in.
func TestMasterUserOverHTTP(t *testing.T) {
	const root = "root@example.com"
	a := newLoginAPI(t, time.Millisecond, func(o *Options) {
		st := o.Users.(*storetest.Store)
		st.User(t, root)
		recorder := logins.NewRecorder(logins.RecorderOptions{Write: st.WriteLogins})
		t.Cleanup(func() {
			if err := recorder.Close(); err != nil {
				t.Error(err)
			}
		})
		accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Recorder: recorder,
			Masters: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		o.Accounts, o.Authenticator = accounts, sasl.New(sasl.Options{Accounts: accounts,
			Logins: account.NewGate(logins.Options{Delay: time.Millisecond})})
	})
	const me, bob = "/users/ada@example.com", "/users/bob@example.com"
	star := as("ada@example.com*"+root, storetest.Password)
	a.expect(t, "GET", me+"/mailboxes", "", 200, "", star)
	a.expect(t, "GET", me, "", 200, "", star)
	a.expect(t, "GET", bob+"/mailboxes", "", 404, "NoSuchUser", star)
	a.expect(t, "POST", me+"/tokens", `{"name":"x","scopes":["mail"]}`, 403, "InsufficientScope", star)
	a.expect(t, "PATCH", me, `{"password":"another horse"}`, 403, "InsufficientScope", star)
	a.expect(t, "GET", me+"/mailboxes", "", 401, "Unauthorized", as("ada@example.com*"+root, "wrong"))
	a.expect(t, "GET", me+"/mailboxes", "", 401, "Unauthorized",
		as("ada@example.com*bob@example.com", storetest.Password))
	got, answer, _ := request(t, "GET", a.url+me+"/authlog", "", "Authorization: Bearer 0123456789abcdef")
	if got != 200 || !strings.Contains(string(answer), `"actor":"`+root+`"`) {
		t.Errorf("the log is %d %s", got, answer)
	}
}
