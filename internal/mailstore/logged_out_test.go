package mailstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gadwall/internal/mailkey"
)

// Another password, suspension and deletion end a user's sessions; a change of the profile does not. The
// end of an application password or a token ends those that were opened with it.
func TestLoggedOut(t *testing.T) {
	var ended []LoggedOut
	e := openEnvWith(t, newEnv(t).db, Options{LoggedOut: func(_ context.Context, who LoggedOut) error {
		ended = append(ended, who)
		return nil
	}})
	user := e.userNamed(t, "ada@example.com").ID
	_, secret, err := e.AddAppPassword(t.Context(), user, "phone", ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	app, err := e.Authenticate(t.Context(), "ada@example.com", secret, ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := e.AppPasswords(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []*Token
	for _, of := range []mailkey.UserID{user, user, {}} {
		token, _, err := e.CreateToken(t.Context(), Token{Name: "x", Scopes: []string{"mail"}, User: of})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	for _, step := range []struct {
		name string
		do   func() error
		ends LoggedOut
	}{
		{"application password", func() error { return e.RevokeAppPassword(t.Context(), user, apps[0].ID) },
			LoggedOut{user, app.Credential}},
		{"token", func() error { return e.RevokeToken(t.Context(), tokens[0].ID) },
			LoggedOut{user, tokens[0].Credential()}},
		{"own token", func() error { return e.RevokeTokenOf(t.Context(), user, tokens[1].ID) },
			LoggedOut{user, tokens[1].Credential()}},
		{"operator's token", func() error { return e.RevokeToken(t.Context(), tokens[2].ID) },
			LoggedOut{mailkey.UserID{}, tokens[2].Credential()}},
	} {
		ended = nil
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if !slices.Equal(ended, []LoggedOut{step.ends}) || step.ends.Credential == "" {
			t.Errorf("%s: it ended %+v, not %+v", step.name, ended, step.ends)
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
		ends bool
	}{
		{"password", func() error { return e.SetPassword(t.Context(), user, "another horse") }, true},
		{"hash", func() error {
			return e.SetHashedPassword(t.Context(), user, "{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd")
		}, true},
		{"login that makes the hash anew", func() error {
			_, err := e.Authenticate(t.Context(), "ada@example.com", "correct horse", ScopeIMAP)
			return err
		}, false},
		{"profile", func() error {
			return e.ChangeProfile(t.Context(), user, UserChange{DisplayName: ptr("Ada")})
		}, false},
		{"profile with a password", func() error {
			return e.ChangeProfile(t.Context(), user, UserChange{Password: ptr("correct horse")})
		}, true},
		{"suspend", func() error { return e.Suspend(t.Context(), user) }, true},
		{"resume", func() error { return e.Resume(t.Context(), user) }, false},
		{"delete later", func() error { return e.DeleteUserAfter(t.Context(), user, time.Now().Add(time.Hour)) }, true},
		{"undelete", func() error { return e.Undelete(t.Context(), user) }, false},
		{"delete", func() error { return e.DeleteUser(t.Context(), user) }, true},
	} {
		ended = nil
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.ends != slices.Equal(ended, []LoggedOut{{User: user}}) {
			t.Errorf("%s: it ended the sessions of %v", step.name, ended)
		}
	}
}

// Sessions that cannot be ended now are ended later.
func TestLoggedOutLater(t *testing.T) {
	tries, n := make(chan LoggedOut, 2), 0
	e := openEnvWith(t, newEnv(t).db, Options{logOutEvery: time.Millisecond,
		LoggedOut: func(_ context.Context, who LoggedOut) error {
			tries <- who
			if n++; n < 2 {
				return errors.New("not now")
			}
			return nil
		}})
	user := e.userNamed(t, "ada@example.com").ID
	if err := e.Suspend(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if who := <-tries; who != (LoggedOut{User: user}) {
			t.Errorf("it ended %+v", who)
		}
	}
}
