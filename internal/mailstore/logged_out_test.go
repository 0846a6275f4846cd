package mailstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/faultnet"
	"gadwall/internal/mailkey"
)

// noting adds what a Store says to a list.
func noting(list *[]LoggedOut) func(LoggedOut) func(context.Context) error {
	return func(who LoggedOut) func(context.Context) error {
		*list = append(*list, who)
		return func(context.Context) error { return nil }
	}
}

// Another password, suspension and deletion end a user's sessions; a change of the profile does not. The
// end of an application password or a token ends those that were opened with it.
func TestLoggedOut(t *testing.T) {
	var ended []LoggedOut
	e := openEnvWith(t, newEnv(t).db, Options{LoggedOut: noting(&ended)})
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
			LoggedOut{User: user, Credential: app.Credential}},
		{"token", func() error { return e.RevokeToken(t.Context(), tokens[0].ID) },
			LoggedOut{Credential: tokens[0].Credential()}},
		{"own token", func() error { return e.RevokeTokenOf(t.Context(), user, tokens[1].ID) },
			LoggedOut{User: user, Credential: tokens[1].Credential()}},
		{"operator's token", func() error { return e.RevokeToken(t.Context(), tokens[2].ID) },
			LoggedOut{Credential: tokens[2].Credential()}},
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

// Sessions of other instances that cannot be ended now are ended later, those of this instance once.
func TestLoggedOutLater(t *testing.T) {
	var ended []LoggedOut
	tries, n := make(chan struct{}, 2), 0
	e := openEnvWith(t, newEnv(t).db, Options{logOutEvery: time.Millisecond,
		LoggedOut: func(who LoggedOut) func(context.Context) error {
			ended = append(ended, who)
			return func(context.Context) error {
				tries <- struct{}{}
				if n++; n < 2 {
					return errors.New("not now")
				}
				return nil
			}
		}})
	user := e.userNamed(t, "ada@example.com").ID
	if err := e.Suspend(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		<-tries
	}
	if !slices.Equal(ended, []LoggedOut{{User: user}}) {
		t.Errorf("it ended %+v", ended)
	}
}

// However many revocations find nothing, or find no database, other instances are told of some users and
// credentials alone, each once.
func TestLoggedOutIsBounded(t *testing.T) {
	var told []LoggedOut
	failed := errors.New("not now")
	e := openEnvWith(t, newEnv(t).db, Options{logOutEvery: time.Hour,
		LoggedOut: func(who LoggedOut) func(context.Context) error {
			return func(context.Context) error {
				if failed == nil {
					told = append(told, who)
				}
				return failed
			}
		}})
	user := e.userNamed(t, "ada@example.com").ID
	revoke := func(i int) LoggedOut {
		t.Helper()
		id := fmt.Sprintf("%0*x", 2*tokenID, i)
		if err := e.RevokeTokenOf(t.Context(), user, id); !errors.Is(err, ErrNoSuchToken) {
			t.Fatal(err)
		}
		return LoggedOut{User: user, Credential: (&Token{ID: id}).Credential()}
	}
	var want []LoggedOut
	for i := range 3 {
		want = append(want, revoke(i))
		revoke(i)
	}
	tellAll := func() []LoggedOut {
		t.Helper()
		told = nil
		if none := e.tellAll(t.Context()); none != (failed == nil) {
			t.Errorf("nothing is left: %v", none)
		}
		slices.SortFunc(told, func(a, b LoggedOut) int {
			return cmp.Or(bytes.Compare(a.User[:], b.User[:]), cmp.Compare(a.Credential, b.Credential))
		})
		return told
	}
	if got := tellAll(); len(got) > 0 { // the database is away: all wait on
		t.Errorf("told %v", got)
	}
	failed = nil
	if got := tellAll(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if got := tellAll(); len(got) > 0 {
		t.Errorf("told %v again", got)
	}

	// All sessions of the user are those of the credentials, too.
	failed = errors.New("not now")
	for i := range 3 {
		revoke(i)
	}
	if err := e.Suspend(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	revoke(4)
	tellAll()
	failed = nil
	if got := tellAll(); !slices.Equal(got, []LoggedOut{{User: user}}) {
		t.Errorf("of all sessions of a user it told %v", got)
	}

	for i := range maxUntoldOfUser + 5 {
		revoke(i)
	}
	if got := tellAll(); !slices.Equal(got, []LoggedOut{{User: user}}) {
		t.Errorf("of too many of one user it told %v", got)
	}
	tell := func(context.Context) error { return nil }
	for i := range maxUntold + 5 {
		e.tellLater(LoggedOut{User: mailkey.UserID{1, byte(i >> 8), byte(i)}}, tell)
	}
	if got := tellAll(); !slices.Equal(got, []LoggedOut{{Everybody: true}}) {
		t.Errorf("of too many it told %d", len(got))
	}
}

// A change of which nobody knows whether it was made ends sessions, and so does a caller who tries again.
// A caller who goes away amid a change stops it nowhere; what cannot be a change ends nothing.
func TestLoggedOutIfTheOutcomeIsUnknown(t *testing.T) {
	var ended []LoggedOut
	server := newFaultyServer(t)
	opts := dbtest.ClientOptions(t)
	if server.embedded != nil {
		opts = server.embedded.ClientOptions()
	}
	verdict, leave := faultnet.Pass, func() {}
	var armed atomic.Bool
	faultnet.Use(opts, func(c faultnet.Command) faultnet.Verdict {
		if (c.Name == "update" || c.Name == "delete" || c.Name == "findAndModify") && armed.Swap(false) {
			leave()
			return verdict
		}
		return faultnet.Pass
	})
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(context.WithoutCancel(t.Context()))
	e := openEnvWith(t, client.Database(dbtest.Database(t).Name()), Options{LoggedOut: noting(&ended)})
	user := e.userNamed(t, "ada@example.com").ID
	app := func() string {
		p, _, err := e.AddAppPassword(t.Context(), user, "phone", ScopeIMAP)
		if err != nil {
			t.Fatal(err)
		}
		return p.ID
	}
	token := func() string {
		p, _, err := e.CreateToken(t.Context(), Token{Name: "x", Scopes: []string{"mail"}, User: user})
		if err != nil {
			t.Fatal(err)
		}
		return p.ID
	}
	hash := "{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd"
	none := func() string { return "" }
	for _, step := range []struct {
		name  string
		make  func() string
		do    func(ctx context.Context, id string) error
		who   func(id string) LoggedOut
		again error // of the same call after it
	}{
		{"application password", app, func(ctx context.Context, id string) error {
			return e.RevokeAppPassword(ctx, user, id)
		}, func(id string) LoggedOut {
			return LoggedOut{User: user, Credential: Credential("app/" + id)}
		}, ErrNoSuchPassword},
		{"own token", token, func(ctx context.Context, id string) error {
			return e.RevokeTokenOf(ctx, user, id)
		}, func(id string) LoggedOut {
			return LoggedOut{User: user, Credential: Credential("token/" + id)}
		}, ErrNoSuchToken},
		{"token", token, func(ctx context.Context, id string) error {
			return e.RevokeToken(ctx, id)
		}, func(id string) LoggedOut { return LoggedOut{Credential: Credential("token/" + id)} }, ErrNoSuchToken},
		{"password", none, func(ctx context.Context, _ string) error {
			return e.SetHashedPassword(ctx, user, hash)
		}, nil, nil},
		{"profile", none, func(ctx context.Context, _ string) error {
			return e.ChangeProfile(ctx, user, UserChange{HashedPassword: &hash})
		}, nil, nil},
		{"suspend", none, func(ctx context.Context, _ string) error { return e.Suspend(ctx, user) }, nil, nil},
		{"delete later", none, func(ctx context.Context, _ string) error {
			return e.DeleteUserAfter(ctx, user, time.Now().Add(time.Hour))
		}, nil, nil},
		{"suspend who is gone", none, func(ctx context.Context, _ string) error {
			if err := e.Suspend(ctx, user); !errors.Is(err, ErrNoSuchUser) {
				return err
			}
			return nil
		}, nil, nil},
		{"delete", none, func(ctx context.Context, _ string) error { return e.DeleteUser(ctx, user) },
			nil, nil},
	} {
		id := step.make()
		want := []LoggedOut{{User: user}}
		if step.who != nil {
			want = []LoggedOut{step.who(id)}
		}
		ended = nil
		verdict, leave = faultnet.DoAndRefuse, func() {}
		armed.Store(true)
		if err := step.do(t.Context(), id); err == nil || !slices.Equal(ended, want) {
			t.Errorf("%s of unknown outcome: %v, ended %v", step.name, err, ended)
		}
		if step.name != "delete" {
			ended = nil
			if err := step.do(t.Context(), id); !errors.Is(err, step.again) || !slices.Equal(ended, want) {
				t.Errorf("%s again: %v, ended %v", step.name, err, ended)
			}
			id = step.make()
			if step.who != nil {
				want = []LoggedOut{step.who(id)}
			}
		}
		ended = nil
		ctx, cancel := context.WithCancel(t.Context())
		verdict, leave = faultnet.Pass, cancel
		armed.Store(true)
		err := step.do(ctx, id)
		if (err != nil && !(step.name == "delete" && errors.Is(err, context.Canceled))) || !slices.Equal(ended, want) {
			t.Errorf("%s of a caller who goes: %v, ended %v", step.name, err, ended)
		}
		ended = nil
		if err := step.do(ctx, id); !errors.Is(err, context.Canceled) || len(ended) > 0 {
			t.Errorf("%s of a caller who has gone: %v, ended %v", step.name, err, ended)
		}
	}
	ended = nil
	for name, err := range map[string]error{
		"application password": e.RevokeAppPassword(t.Context(), user, "x"),
		"token":                e.RevokeToken(t.Context(), "x"), "own token": e.RevokeTokenOf(t.Context(), user, "x"),
		"password": e.SetPassword(t.Context(), user, ""), "hash": e.SetHashedPassword(t.Context(), user, "x"),
	} {
		if err == nil || len(ended) > 0 {
			t.Errorf("%s that cannot be: %v, ended %v", name, err, ended)
		}
	}
}
