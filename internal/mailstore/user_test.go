package mailstore

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"gadwall/internal/mailkey"
	"gadwall/quota"
)

var noLimits quota.Limits

func TestCreateUserAndAuthenticate(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	u, err := e.CreateUser(ctx, NewUser{Username: "Jörg@BÜCHER.example", Password: "correct horse",
		Quota: quota.Limits{Bytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if u.Username != "jörg@bücher.example" || u.Limits.Bytes != 1000 || u.Usage != (quota.Usage{}) {
		t.Errorf("created %+v", u)
	}
	for _, name := range []string{"jörg@bücher.example", "JÖRG@xn--bcher-kva.example"} {
		got, err := e.Authenticate(ctx, name, "correct horse", ScopeIMAP)
		if err != nil || !reflect.DeepEqual(got.User, u) {
			t.Errorf("Authenticate(%q) = %+v, %v; want %+v", name, got, err, u)
		}
	}
	for _, c := range [][2]string{
		{"jörg@bücher.example", "wrong horse"}, {"jörg@bücher.example", ""},
		{"nobody@example.com", "correct horse"}, {"not an address", "correct horse"}, {"", ""},
	} {
		if got, err := e.Authenticate(ctx, c[0], c[1], ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
			t.Errorf("Authenticate(%q, %q) = %v, %v", c[0], c[1], got, err)
		}
	}
	if err := e.SetPassword(ctx, u.ID, "battery staple"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Authenticate(ctx, u.Username, "correct horse", ScopeIMAP); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := e.Authenticate(ctx, u.Username, "battery staple", ScopeIMAP); err != nil {
		t.Errorf("the new password: %v", err)
	}

	boxes, err := e.Mailboxes(ctx, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	validities := make(map[uint32]bool)
	for _, b := range boxes {
		paths = append(paths, b.Path+b.SpecialUse)
		if !b.Subscribed || b.UIDNext != 1 || b.HighestModSeq != 1 || validities[b.UIDValidity] {
			t.Errorf("mailbox %+v", b)
		}
		validities[b.UIDValidity] = true
	}
	if want := []string{`Archive\Archive`, `Drafts\Drafts`, `INBOX`, `Junk\Junk`, `Sent\Sent`,
		`Trash\Trash`}; !slices.Equal(paths, want) {
		t.Errorf("mailboxes %q, want %q", paths, want)
	}
}

func TestCreateUserRefuses(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	for _, tt := range []struct {
		name string
		user NewUser
		want error
	}{
		{"exists", NewUser{Username: u.Username, Password: "password"}, ErrUserExists},
		{"no address", NewUser{Username: "someone", Password: "password"}, ErrInvalidAddress},
		{"short password", NewUser{Username: "new@example.com", Password: "short"}, ErrWeakPassword},
		{"negative limit", NewUser{Username: "new@example.com", Password: "password",
			Quota: quota.Limits{Bytes: -2}}, quota.ErrInvalidLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := e.CreateUser(t.Context(), tt.user); !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	// Past the look before, the index decides.
	got, err := e.createUser(t.Context(), NewUser{Username: u.Username}, newHash().String(), nil)
	if !errors.Is(err, ErrUserExists) {
		t.Errorf("got %v, %v", got, err)
	}
	if boxes, err := e.Mailboxes(t.Context(), u.ID); err != nil || len(boxes) != len(standardMailboxes) {
		t.Errorf("%d mailboxes, %v", len(boxes), err)
	}
}

func TestResolveAddress(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	u, other := e.user(t), e.user(t)
	local, domain, _ := splitAddress(u.Username)
	if err := e.AddAlias(ctx, u.ID, "Alias@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := e.AddAlias(ctx, other.ID, local+"+special@"+domain); err != nil {
		t.Fatal(err)
	}
	if err := e.AddAlias(ctx, other.ID, "*@All.example"); err != nil {
		t.Fatal(err)
	}
	if err := e.AddAlias(ctx, u.ID, "own@all.example"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address string
		user    *User
		detail  string
	}{
		{"anybody@all.example", other, ""},
		{"any+body@all.example", other, ""},
		{"own@all.example", u, ""},
		{"own+x@all.example", u, "x"},
		{u.Username, u, ""},
		{"ALIAS@Example.ORG", u, ""},
		{local + "+Lists+more@" + domain, u, "Lists+more"},
		{local + "+@" + domain, u, ""},
		{`"` + local + `"@` + domain, u, ""},
		{local + "+special@" + domain, other, ""},
	} {
		r, err := e.ResolveAddress(ctx, tt.address)
		if err != nil || r.User.ID != tt.user.ID || r.Detail != tt.detail {
			t.Errorf("ResolveAddress(%q) = %+v, %v", tt.address, r, err)
		}
	}
	for _, address := range []string{"", "nobody@example.com", "nobody+x@example.com",
		"+x@example.com", "x", "\xff@example.com", local + "@other.example"} {
		if r, err := e.ResolveAddress(ctx, address); !errors.Is(err, ErrNoSuchAddress) {
			t.Errorf("ResolveAddress(%q) = %+v, %v", address, r, err)
		}
	}
	if err := e.AddAlias(ctx, other.ID, "alias@example.org"); !errors.Is(err, ErrUserExists) {
		t.Errorf("an alias twice: %v", err)
	}
	if err := e.RemoveAlias(ctx, u.ID, u.Username); !errors.Is(err, ErrNoSuchAddress) {
		t.Errorf("removal of the user name: %v", err)
	}
	if err := e.RemoveAlias(ctx, other.ID, "alias@example.org"); !errors.Is(err, ErrNoSuchAddress) {
		t.Errorf("removal of another's alias: %v", err)
	}
	if list, err := e.Addresses(ctx, u.ID); err != nil ||
		!slices.Equal(list, []string{"alias@example.org", "own@all.example", u.Username}) {
		t.Errorf("addresses %q, %v", list, err)
	}
	if err := e.RemoveAlias(ctx, u.ID, "alias@example.org"); err != nil {
		t.Error(err)
	}
}

func TestUsersIterates(t *testing.T) {
	e := newEnv(t)
	want := []string{e.user(t).Username, e.user(t).Username, e.user(t).Username}
	slices.Sort(want)
	var got []string
	for u, err := range e.Users(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, u.Username)
		byName, err := e.UserByName(t.Context(), u.Username)
		if err != nil || !reflect.DeepEqual(byName, u) {
			t.Errorf("UserByName = %+v, %v; want %+v", byName, err, u)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("users %q, want %q", got, want)
	}
	for range e.Users(t.Context()) {
		break // must not block or leak
	}
	if _, err := e.UserByID(t.Context(), mailkey.UserID{}); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("UserByID of nobody: %v", err)
	}
}
