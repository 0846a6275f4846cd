package account

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// newLogins is accounts with a log, and ada, bob, root, who is a master user, and carol, who is
// suspended.
func newLogins(t *testing.T) (*Accounts, *storetest.Store) {
	t.Helper()
	st := storetest.Open(t, storetest.Options{})
	r := logins.NewRecorder(logins.RecorderOptions{Write: st.WriteLogins})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts, err := New(Options{Store: st.Store, Bus: st.Bus, Recorder: r, Masters: []string{"Root@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "bob", "root", "carol"} {
		user := st.User(t, name+"@example.com")
		if name == "carol" {
			if err := st.Suspend(t.Context(), user.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return accounts, st
}

// logged returns the log of a user, or of failures if the name is nobody's.
func logged(t *testing.T, s *Accounts, st *storetest.Store, username string) []mailstore.LoginEvent {
	t.Helper()
	if err := s.Recorded(t.Context()); err != nil {
		t.Fatal(err)
	}
	var q mailstore.LoginQuery
	if user, err := st.UserByName(t.Context(), username); err == nil {
		q.User = &user.ID
	}
	list, _, err := st.LoginPage(t.Context(), q)
	if err != nil || len(list) == 0 {
		t.Fatalf("the log of %s: %v", username, err)
	}
	return list
}

// Each login is in the log of its user, with how it ended.
func TestLoginsAreRecorded(t *testing.T) {
	s, st := newLogins(t)
	ada, err := st.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	_, phone, err := st.AddAppPassword(t.Context(), ada.ID, "phone", mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	const right = storetest.Password
	for _, tt := range []struct {
		protocol                         mailstore.Scope
		username, actFor, password, user string // whose account it becomes
		actor                            string
		err                              error
		log                              string // whose log has it; "" for failures of nobody
		result                           mailstore.LoginResult
		by                               string
	}{
		{mailstore.ScopeIMAP, "ada@example.com", "", right, "ada@example.com", "", nil, "ada@example.com",
			mailstore.LoginOK, "password"},
		{mailstore.ScopeIMAP, "ADA@example.com", "ada@EXAMPLE.com", right, "ada@example.com", "", nil,
			"ada@example.com", mailstore.LoginOK, "password"},
		{mailstore.ScopeIMAP, "ada@example.com", "", phone, "ada@example.com", "", nil, "ada@example.com",
			mailstore.LoginOK, "app password phone"},
		{mailstore.ScopeHTTP, "ada@example.com", "", phone, "", "", mailstore.ErrAuthFailed, "ada@example.com",
			mailstore.LoginWrongScope, "app password phone"},
		{mailstore.ScopeSMTP, "ada@example.com", "", "wrong", "", "", mailstore.ErrAuthFailed, "ada@example.com",
			mailstore.LoginWrongPassword, ""},
		{mailstore.ScopeIMAP, "carol@example.com", "", right, "", "", mailstore.ErrSuspended, "carol@example.com",
			mailstore.LoginSuspended, "password"},
		{mailstore.ScopeIMAP, "carol@example.com", "", "wrong", "", "", mailstore.ErrAuthFailed, "carol@example.com",
			mailstore.LoginWrongPassword, ""},
		{mailstore.ScopeIMAP, "nobody@example.com", "", right, "", "", mailstore.ErrAuthFailed, "",
			mailstore.LoginNoSuchUser, ""},
		// Master users, and others who are none.
		{mailstore.ScopeIMAP, "ada@example.com*root@example.com", "", right, "ada@example.com", "root@example.com",
			nil, "ada@example.com", mailstore.LoginOK, "password"},
		{mailstore.ScopeIMAP, "root@example.com", "bob@example.com", right, "bob@example.com", "root@example.com",
			nil, "bob@example.com", mailstore.LoginOK, "password"},
		{mailstore.ScopeIMAP, "root@example.com", "", right, "root@example.com", "", nil, "root@example.com",
			mailstore.LoginOK, "password"},
		{mailstore.ScopeIMAP, "root@example.com", "carol@example.com", right, "", "", mailstore.ErrSuspended,
			"root@example.com", mailstore.LoginSuspended, "password"},
		{mailstore.ScopeIMAP, "root@example.com", "nobody@example.com", right, "", "", ErrNotAuthorized,
			"root@example.com", mailstore.LoginNotAllowed, "password"},
		{mailstore.ScopeIMAP, "ada@example.com*root@example.com", "", "wrong", "", "", mailstore.ErrAuthFailed,
			"root@example.com", mailstore.LoginWrongPassword, ""},
		{mailstore.ScopeIMAP, "bob@example.com", "ada@example.com", right, "", "", ErrNotAuthorized,
			"bob@example.com", mailstore.LoginNotAllowed, "password"},
		{mailstore.ScopeIMAP, "ada@example.com*bob@example.com", "", right, "", "", mailstore.ErrAuthFailed, "",
			mailstore.LoginNoSuchUser, ""},
	} {
		account, err := s.Login(t.Context(), nil, Attempt{Scope: tt.protocol, Method: "PLAIN", Address: "192.0.2.1",
			Username: tt.username, As: tt.actFor}, s.ByPassword(tt.password))
		if !errors.Is(err, tt.err) || (err == nil) != (tt.user != "") {
			t.Errorf("%s for %q: %v, want %v", tt.username, tt.actFor, err, tt.err)
			continue
		}
		if err == nil {
			if actor := max(tt.actor, tt.user); account.Username() != tt.user || account.Actor() != actor {
				t.Errorf("%s for %q: %s acts for %s", tt.username, tt.actFor, account.Actor(), account.Username())
			}
		}
		list := logged(t, s, st, tt.log)
		if !slices.ContainsFunc(list, func(e mailstore.LoginEvent) bool {
			return e.Result == tt.result && e.By == tt.by && e.Actor == tt.actor && e.Mechanism == "PLAIN" &&
				e.Remote == "192.0.2.1" && e.Protocol == tt.protocol.Names()[0] && e.Known() == (tt.log != "")
		}) {
			t.Errorf("%s for %q: %s by %q of %q is not in the log: %+v", tt.username, tt.actFor, tt.result, tt.by,
				tt.actor, list)
		}
	}
}

// A password that was typed as a name gets into no log.
func TestNamesThatAreNoneAreNotRecorded(t *testing.T) {
	s, st := newLogins(t)
	for range 2 {
		_, err := s.Login(t.Context(), nil, Attempt{Scope: mailstore.ScopeIMAP, Username: "correct horse"},
			s.ByPassword("ada"))
		if !errors.Is(err, mailstore.ErrAuthFailed) {
			t.Fatal(err)
		}
	}
	if e := logged(t, s, st, "")[0]; e.Username != "" || e.Remote != "" || e.Count != 2 {
		t.Errorf("the log has %+v", e)
	}
}

// What a client shows may be something else than a password.
func TestLoginByOtherMeans(t *testing.T) {
	s, st := newLogins(t)
	ada, err := st.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	attempt := Attempt{Scope: mailstore.ScopeIMAP, Method: "OAUTHBEARER", Username: "ada@example.com"}
	_, err = s.Login(t.Context(), nil, attempt, func(context.Context, *Attempt) (*mailstore.User, error) {
		return nil, &mailstore.AuthError{Err: mailstore.ErrAuthFailed, User: ada.ID,
			Result: mailstore.LoginWrongPassword}
	})
	if e := logged(t, s, st, "ada@example.com")[0]; !errors.Is(err, mailstore.ErrAuthFailed) ||
		e.Result != mailstore.LoginWrongPassword || e.Mechanism != "OAUTHBEARER" {
		t.Errorf("%v, in the log %+v", err, e)
	}
	attempt.Username = ""
	a, err := s.Login(t.Context(), nil, attempt, func(_ context.Context, a *Attempt) (*mailstore.User, error) {
		a.By = "oauth"
		return ada, nil
	})
	if err != nil || a.UserID() != ada.ID {
		t.Errorf("by another means: %v", err)
	}
	before := logged(t, s, st, "ada@example.com")
	if len(before) != 2 || !slices.ContainsFunc(before, func(e mailstore.LoginEvent) bool { return e.By == "oauth" }) {
		t.Errorf("in the log %+v", before)
	}
	// Trouble of the server is nobody's failure.
	_, err = s.Login(t.Context(), nil, attempt, func(context.Context, *Attempt) (*mailstore.User, error) {
		return nil, context.DeadlineExceeded
	})
	if after := logged(t, s, st, "ada@example.com"); err != context.DeadlineExceeded || !slices.Equal(before, after) {
		t.Errorf("%v, in the log %+v", err, after)
	}
}

// What refuses a client without the store, such as an authenticator, knows no user; the log of the user
// whose name it was has the attempt all the same.
func TestRefusalsOfOthersAreInTheUsersLog(t *testing.T) {
	s, st := newLogins(t)
	for err, want := range map[error]mailstore.LoginResult{
		mailstore.ErrAuthFailed: mailstore.LoginWrongPassword, logins.ErrTooMany: mailstore.LoginTooMany,
		mailstore.ErrSuspended: mailstore.LoginSuspended,
	} {
		for _, name := range []string{"Ada@example.com", "nobody@example.com"} {
			_, got := s.Login(t.Context(), nil, Attempt{Scope: mailstore.ScopeIMAP, Method: "PLAIN", Username: name},
				s.ByProof(func(context.Context, *Attempt) (string, error) { return "", err }))
			if !errors.Is(got, err) {
				t.Errorf("%v became %v", err, got)
			}
		}
		for _, of := range []string{"ada@example.com", "nobody@example.com"} {
			has := func(e mailstore.LoginEvent) bool { return e.Result == want && e.Username == of && e.Count == 1 }
			if list := logged(t, s, st, of); !slices.ContainsFunc(list, has) {
				t.Errorf("%v: the log of %s has %+v", err, of, list)
			}
		}
	}
}
