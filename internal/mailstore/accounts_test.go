package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// TestForeignPassword: a user comes with a hash of another system, logs in, and has one of ours
// then.
func TestForeignPassword(t *testing.T) {
	e := newEnv(t)
	const ssha = "{SSHA}pJEBnjMXD3KVGxW3Fmid9HbXwOFt/NZd" // of "correct horse"
	u, err := e.CreateUser(t.Context(), NewUser{Username: "ada@example.com", HashedPassword: ssha})
	if err != nil {
		t.Fatal(err)
	}
	hash := func() string {
		doc, err := e.findUser(t.Context(), byID(u.ID.Binary()))
		if err != nil {
			t.Fatal(err)
		}
		return doc.Hash
	}
	if _, err := e.Authenticate(t.Context(), u.Username, "wrong horse", ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("a wrong password: %v", err)
	}
	if hash() != ssha {
		t.Errorf("the hash became %s without the password", hash())
	}
	for range 2 {
		if _, err := e.Authenticate(t.Context(), u.Username, "correct horse", ScopeIMAP); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hash(), "$argon2id$") {
			t.Errorf("the hash is %s after the login", hash())
		}
	}
	if err := e.SetHashedPassword(t.Context(), u.ID, "secret"); !errors.Is(err, ErrWeakPassword) {
		t.Errorf("no hash: %v", err)
	}
	_, err = e.CreateUser(t.Context(), NewUser{Username: "b@example.com", HashedPassword: "x"})
	if !errors.Is(err, ErrWeakPassword) {
		t.Errorf("created with no hash: %v", err)
	}
}

func TestAppPasswords(t *testing.T) {
	e := newEnv(t)
	u := e.userNamed(t, "ada@example.com").ID
	phone, secret, err := e.AddAppPassword(t.Context(), u, "phone", ScopeIMAP|ScopeSMTP)
	if err != nil {
		t.Fatal(err)
	}
	login := func(password string, scope Scope) error {
		_, err := e.Authenticate(t.Context(), "ada@example.com", password, scope)
		return err
	}
	for _, typed := range []string{secret, strings.ToUpper(secret), strings.ReplaceAll(secret, "-", ""),
		strings.ReplaceAll(secret, "-", " ")} {
		if err := login(typed, ScopeIMAP); err != nil {
			t.Errorf("%s: %v", typed, err)
		}
	}
	if err := login(secret, ScopeHTTP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("for another scope: %v", err)
	}
	other := newAppPassword()
	if err := login(other, ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("of nobody: %v", err)
	}
	list, err := e.AppPasswords(t.Context(), u)
	if err != nil || len(list) != 1 || list[0].Used.IsZero() || list[0].Name != "phone" ||
		list[0].Scopes != ScopeIMAP|ScopeSMTP {
		t.Errorf("%+v, %v", list, err)
	}
	for i := 1; i < MaxAppPasswords; i++ {
		if _, _, err := e.AddAppPassword(t.Context(), u, fmt.Sprint(i), ScopeAll); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.AddAppPassword(t.Context(), u, "more", ScopeAll); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	if err := e.RevokeAppPassword(t.Context(), u, phone.ID); err != nil {
		t.Error(err)
	}
	if err := e.RevokeAppPassword(t.Context(), u, phone.ID); !errors.Is(err, ErrNoSuchPassword) {
		t.Errorf("twice: %v", err)
	}
	if err := login(secret, ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := e.AddAppPassword(t.Context(), u, "", ScopeAll); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("no name: %v", err)
	}
	if _, _, err := e.AddAppPassword(t.Context(), u, "x", 0); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("no scope: %v", err)
	}
	if _, _, err := e.AddAppPassword(t.Context(), mailkey.NewUserID(), "x", ScopeAll); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestStates(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	created, err := e.CreateUser(ctx, NewUser{Username: "ada@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	u := created.ID
	login := func(password string) error {
		_, err := e.Authenticate(ctx, "ada@example.com", password, ScopeIMAP)
		return err
	}
	if err := e.Suspend(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := login("correct horse"); !errors.Is(err, ErrSuspended) {
		t.Errorf("suspended: %v", err)
	}
	if err := login("wrong horse"); !errors.Is(err, ErrAuthFailed) || errors.Is(err, ErrSuspended) {
		t.Errorf("a wrong password tells: %v", err)
	}
	if r, err := e.ResolveAddress(ctx, "ada@example.com"); err != nil || r.User.State != UserSuspended {
		t.Errorf("mail for a suspended user: %+v, %v", r, err)
	}
	if err := e.Resume(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := login("correct horse"); err != nil {
		t.Errorf("resumed: %v", err)
	}

	if err := e.DeleteUserAfter(ctx, u, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"login": login("correct horse"), "suspend": e.Suspend(ctx, u), "resume": e.Resume(ctx, u),
	} {
		if !errors.Is(err, ErrAuthFailed) && !errors.Is(err, ErrNoSuchUser) {
			t.Errorf("%s of a deleted user: %v", what, err)
		}
	}
	if _, err := e.ResolveAddress(ctx, "ada@example.com"); !errors.Is(err, ErrNoSuchAddress) {
		t.Errorf("mail for a deleted user: %v", err)
	}
	_, err = e.CreateUser(ctx, NewUser{Username: "ada@example.com", Password: "correct horse"})
	if !errors.Is(err, ErrUserExists) {
		t.Errorf("the name is free too early: %v", err)
	}
	if n, err := e.DeleteDue(ctx); n != 0 || err != nil {
		t.Errorf("deleted %d before the time, %v", n, err)
	}
	if err := e.Undelete(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := login("correct horse"); err != nil {
		t.Errorf("undeleted: %v", err)
	}
	if err := e.Undelete(ctx, u); !errors.Is(err, ErrNotDeleted) {
		t.Errorf("undeleted twice: %v", err)
	}

	if err := e.DeleteUserAfter(ctx, u, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := e.DeleteDue(ctx); n != 1 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if _, err := e.UserByID(ctx, u); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("gone: %v", err)
	}
	if _, err := e.CreateUser(ctx, NewUser{Username: "ada@example.com", Password: "correct horse"}); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
}

func TestRenameUser(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	u, other := e.userNamed(t, "ada@example.com").ID, e.userNamed(t, "bob@example.com").ID
	if err := e.AddAlias(ctx, u, "info@example.com"); err != nil {
		t.Fatal(err)
	}
	check := func(name string, addresses ...string) {
		t.Helper()
		got, err := e.UserByID(ctx, u)
		if err != nil || got.Username != name {
			t.Errorf("%+v, %v", got, err)
		}
		list, err := e.Addresses(ctx, u)
		if err != nil || !slices.Equal(list, addresses) {
			t.Errorf("addresses %q, %v", list, err)
		}
		for _, a := range addresses {
			if r, err := e.ResolveAddress(ctx, a); err != nil || r.User.ID != u {
				t.Errorf("%s: %+v, %v", a, r, err)
			}
			// The name cannot be taken away, an alias can.
			if a == name {
				if err := e.RemoveAlias(ctx, u, a); !errors.Is(err, ErrNoSuchAddress) {
					t.Errorf("the name was taken away: %v", err)
				}
			}
		}
	}
	for _, name := range []string{"bob@example.com", "BOB@example.com"} {
		if err := e.RenameUser(ctx, u, name, true); !errors.Is(err, ErrUserExists) {
			t.Errorf("the name of another: %v", err)
		}
	}
	if err := e.RenameUser(ctx, u, "nobody", true); !errors.Is(err, ErrInvalidAddress) {
		t.Errorf("no address: %v", err)
	}
	check("ada@example.com", "ada@example.com", "info@example.com")
	if err := e.RenameUser(ctx, u, "countess@example.org", true); err != nil {
		t.Fatal(err)
	}
	check("countess@example.org", "ada@example.com", "countess@example.org", "info@example.com")
	if err := e.RenameUser(ctx, u, "info@example.com", false); err != nil {
		t.Fatal(err)
	}
	check("info@example.com", "ada@example.com", "info@example.com")
	if err := e.RenameUser(ctx, u, "info@example.com", false); err != nil {
		t.Errorf("to the same name: %v", err)
	}
	check("info@example.com", "ada@example.com", "info@example.com")
	if err := e.RenameUser(ctx, mailkey.NewUserID(), "x@example.com", false); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("nobody: %v", err)
	}
	if r, err := e.ResolveAddress(ctx, "bob@example.com"); err != nil || r.User.ID != other {
		t.Errorf("the other: %+v, %v", r, err)
	}
}

func TestUserPage(t *testing.T) {
	e := newEnv(t)
	for i := range 7 {
		e.userNamed(t, fmt.Sprintf("u%d@example.com", i))
	}
	e.userNamed(t, "u1@example.org")
	e.userNamed(t, "x.y@example.org")
	all := func(q UserQuery) (names []string) {
		t.Helper()
		for {
			page, more, err := e.UserPage(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				names = append(names, u.Username)
				q.After = u.Username
			}
			if len(page) > q.Limit || more && len(page) < q.Limit {
				t.Errorf("a page of %d, more %v", len(page), more)
			}
			if !more {
				return names
			}
		}
	}
	for _, tt := range []struct {
		q    UserQuery
		want string
	}{
		{UserQuery{Limit: 3, Domain: "example.com"}, "u0 u1 u2 u3 u4 u5 u6"},
		{UserQuery{Limit: 7, Domain: "Example.COM"}, "u0 u1 u2 u3 u4 u5 u6"},
		{UserQuery{Limit: 1, Prefix: "u1"}, "u1 u1"},
		{UserQuery{Limit: 2, Prefix: "X.", Domain: "example.org"}, "x.y"},
		{UserQuery{Limit: 2, Prefix: "xy"}, ""},
		{UserQuery{Limit: 2, After: "u5@example.com", Domain: "example.com"}, "u6"},
		{UserQuery{Limit: 9}, "u0 u1 u1 u2 u3 u4 u5 u6 x.y"},
	} {
		var got []string
		for _, name := range all(tt.q) {
			local, _, _ := strings.Cut(name, "@")
			got = append(got, local)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %q", tt.q, got)
		}
	}
}

func TestChangeProfile(t *testing.T) {
	e := newEnv(t)
	ctx := context.Background()
	u := e.userNamed(t, "ada@example.com").ID
	text := func(s string) *string { return &s }
	change := UserChange{DisplayName: text("Ada Lovelace"), Metadata: text(`{"plan":"gold"}`)}
	if err := e.ChangeProfile(ctx, u, change); err != nil {
		t.Fatal(err)
	}
	got, err := e.UserByID(ctx, u)
	if err != nil || got.DisplayName != "Ada Lovelace" || got.Metadata != `{"plan":"gold"}` {
		t.Errorf("%+v, %v", got, err)
	}
	if err := e.ChangeProfile(ctx, u, UserChange{DisplayName: text("")}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.UserByID(ctx, u); err != nil || got.DisplayName != "" || got.Metadata == "" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []UserChange{
		{DisplayName: text(strings.Repeat("x", MaxDisplayName+1))}, {DisplayName: text("a\nb")},
		{Metadata: text("{")}, {Metadata: text(`"` + strings.Repeat("x", MaxMetadata) + `"`)},
	} {
		if err := e.ChangeProfile(ctx, u, c); !errors.Is(err, ErrInvalidProfile) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	var raw bson.M
	if err := e.users.FindOne(ctx, byID(u.Binary())).Decode(&raw); err != nil || raw[userDisplayName] != nil {
		t.Errorf("%v, %v", raw, err)
	}
}
