package httpapi

import (
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// The API shows the logins of a user, and all failures, page by page.
func TestAuthlog(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	// At midnight an entry would end.
	clock := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	recorder := logins.NewRecorder(logins.RecorderOptions{Write: st.WriteLogins, Now: func() time.Time {
		clock = clock.Add(time.Second)
		return clock
	}})
	t.Cleanup(func() {
		if err := recorder.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Recorder: recorder})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{Store: st, url: start(t, Options{Users: st, Accounts: accounts})}
	user := a.User(t, "ada@example.com")
	for i, login := range []struct{ name, password string }{
		{"ada@example.com", storetest.Password}, {"ada@example.com", "wrong"}, {"eve@example.com", "wrong"},
		{"ada@example.com", storetest.Password},
	} {
		_, err := accounts.Login(t.Context(), nil, account.Attempt{Scope: mailstore.ScopeIMAP, Method: "PLAIN",
			Address: "192.0.2.1", Username: login.name}, accounts.ByPassword(login.password))
		if (err == nil) != (login.password == storetest.Password) {
			t.Errorf("login %d: %v", i, err)
		}
	}
	var page loginPage
	a.call(t, "GET", "/users/ada@example.com/authlog?limit=1", "", 200, &page)
	if len(page.Logins) != 1 || page.Next == "" {
		t.Fatalf("%+v", page)
	}
	first := page.Logins[0]
	if first.Result != "ok" || first.Count != 2 || first.By != "password" || first.User != user.ID.String() ||
		first.Remote != "192.0.2.1" || first.Last.Before(first.First) {
		t.Errorf("the latest is %+v", first)
	}
	next := page.Next
	page = loginPage{}
	a.call(t, "GET", "/users/ada@example.com/authlog?limit=1&after="+next, "", 200, &page)
	if len(page.Logins) != 1 || page.Next != "" || page.Logins[0].Result != "wrong password" {
		t.Errorf("the next page is %+v", page)
	}
	page = loginPage{}
	a.call(t, "GET", "/authlog?result=failed", "", 200, &page)
	if len(page.Logins) != 2 || page.Logins[0].Username != "eve@example.com" || page.Logins[0].User != "" {
		t.Errorf("the failures are %+v", page)
	}
	a.refused(t, "GET", "/authlog", "", 400, "InvalidField")
	a.refused(t, "GET", "/users/ada@example.com/authlog?after=x", "", 400, "InvalidField")
	a.refused(t, "GET", "/users/eve@example.com/authlog", "", 404, "NoSuchUser")
}
