package mailstore

import (
	"context"
	"slices"
	"testing"
	"time"

	"gadwall/internal/mailkey"
)

// Another password, suspension and deletion end a user's sessions; a change of the profile does not.
func TestLoggedOut(t *testing.T) {
	var ended []mailkey.UserID
	e := openEnvWith(t, newEnv(t).db, Options{LoggedOut: func(_ context.Context, user mailkey.UserID) error {
		ended = append(ended, user)
		return nil
	}})
	user := e.userNamed(t, "ada@example.com").ID
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
		if step.ends != slices.Equal(ended, []mailkey.UserID{user}) {
			t.Errorf("%s: it ended the sessions of %v", step.name, ended)
		}
	}
}
