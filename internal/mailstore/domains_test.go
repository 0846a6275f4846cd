package mailstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gadwall/quota"
)

func ptr[T any](v T) *T { return &v }

func (e *env) changeDomain(t *testing.T, name string, c DomainChange) {
	t.Helper()
	if err := e.ChangeDomain(t.Context(), name, c); err != nil {
		t.Fatal(err)
	}
}

// A page has domains with users and those for which something is set, in order, each once.
func TestDomains(t *testing.T) {
	e := newEnv(t)
	var want []string
	for i := range 12 {
		domain := fmt.Sprintf("d%02d.example", i)
		want = append(want, domain)
		if i%3 != 0 {
			e.userNamed(t, "ada@"+domain)
			e.userNamed(t, "bob@"+domain)
		}
		if i%2 == 0 || i%3 == 0 {
			e.changeDomain(t, domain, DomainChange{Bytes: ptr(int64(1000 + i))})
		}
	}
	e.changeDomain(t, want[1], DomainChange{CatchAll: ptr("bob@" + want[1])})
	for _, limit := range []int{1, 2, 5, 12, 100} {
		var got []string
		for after, more := "", true; more; {
			var page []Domain
			var err error
			page, more, err = e.Domains(t.Context(), after, limit)
			if err != nil || len(page) > limit || len(page) == 0 {
				t.Fatalf("%d domains, %v", len(page), err)
			}
			for _, d := range page {
				var i int
				fmt.Sscanf(d.Name, "d%d", &i)
				if users := min(i%3, 1) * 2; d.Users != users || d.MoreUsers {
					t.Errorf("%s has %d users, want %d", d.Name, d.Users, users)
				}
				if set := i%2 == 0 || i%3 == 0; (d.Limits.Bytes != 0) != set {
					t.Errorf("%s has limits %+v", d.Name, d.Limits)
				}
				if (d.CatchAll != "") != (i == 1) {
					t.Errorf("%s: all goes to %q", d.Name, d.CatchAll)
				}
				got, after = append(got, d.Name), d.Name
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d have %q", limit, got)
		}
	}
	if err := e.ForgetDomain(t.Context(), "d00.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.DomainByName(t.Context(), "d00.example"); !errors.Is(err, ErrNoSuchDomain) {
		t.Errorf("forgotten: %v", err)
	}
	if err := e.ForgetDomain(t.Context(), "d01.example"); err != nil {
		t.Fatal(err)
	}
	d, err := e.DomainByName(t.Context(), "D01.Example.")
	if err != nil || d.CatchAll != "" || d.Users != 2 {
		t.Errorf("%+v, %v", d, err)
	}
}

// The limit of a domain holds for its users without an own limit, to the octet, through changes of it
// and of the user's name.
func TestDomainQuota(t *testing.T) {
	e := openEnvWith(t, newEnv(t).db, Options{Quota: quota.Policy{Limits: quota.Limits{Bytes: 500, Messages: 5}}})
	ada, own := e.userNamed(t, "ada@small.example").ID, e.userNamed(t, "own@small.example").ID
	if err := e.SetLimits(t.Context(), own, quota.Limits{Bytes: 50}); err != nil {
		t.Fatal(err)
	}
	charge := func(n int64) error {
		_, err := e.quota.Charge(t.Context(), ada, quota.Usage{Bytes: n, Messages: 1})
		return err
	}
	expect := func(what string, bytes, messages int64) {
		t.Helper()
		limits, usage, err := e.Quota(t.Context(), ada)
		if err != nil || limits != (quota.Limits{Bytes: bytes, Messages: messages}) {
			t.Errorf("%s: limits %+v, %v", what, limits, err)
		}
		u, err := e.UserByID(t.Context(), ada)
		if err != nil || u.Limits != limits || u.Own != (quota.Limits{}) {
			t.Errorf("%s: the user has %+v, %v", what, u.Account, err)
		}
		// What is free fits, and not one octet more.
		if bytes == quota.Unlimited {
			bytes = 1 << 40
		} else if err := charge(bytes - usage.Bytes + 1); !errors.Is(err, quota.ErrOverQuota) {
			t.Errorf("%s: one octet more: %v", what, err)
		}
		fits := quota.Usage{Bytes: bytes - usage.Bytes, Messages: 1}
		if err := charge(fits.Bytes); err != nil {
			t.Errorf("%s: what is free: %v", what, err)
		} else if err := e.quota.Release(t.Context(), ada, fits); err != nil {
			t.Error(err)
		}
	}
	expect("the deployment", 500, 5)
	e.changeDomain(t, "small.example", DomainChange{Bytes: ptr(int64(100))})
	expect("the domain", 100, 5)
	if limits, _, err := e.Quota(t.Context(), own); err != nil || limits.Bytes != 50 {
		t.Errorf("an own limit became %+v, %v", limits, err)
	}
	e.changeDomain(t, "large.example", DomainChange{Bytes: ptr(quota.Unlimited), Messages: ptr(int64(10))})
	if err := e.RenameUser(t.Context(), ada, "ada@large.example", false); err != nil {
		t.Fatal(err)
	}
	expect("another domain", quota.Unlimited, 10)
	if err := e.RenameUser(t.Context(), ada, "ada@elsewhere.example", false); err != nil {
		t.Fatal(err)
	}
	// A charge that assumes the old name notices.
	if err := charge(501); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("by the limit of another domain: %v", err)
	}
	expect("no domain", 500, 5)
	if err := e.RenameUser(t.Context(), ada, "ada@small.example", false); err != nil {
		t.Fatal(err)
	}
	e.changeDomain(t, "small.example", DomainChange{Bytes: ptr(quota.Default)})
	expect("without a limit of the domain", 500, 5)

	// Another process learns what this one has set.
	other := openEnvWith(t, e.db, Options{})
	e.changeDomain(t, "small.example", DomainChange{Bytes: ptr(int64(77))})
	if err := other.loadDomains(t.Context()); err != nil {
		t.Fatal(err)
	}
	if limits, _, err := other.Quota(t.Context(), ada); err != nil || limits.Bytes != 77 {
		t.Errorf("another process: %+v, %v", limits, err)
	}
	if err := e.ChangeDomain(t.Context(), "small.example", DomainChange{Bytes: ptr(int64(-2))}); !errors.Is(err,
		quota.ErrInvalidLimit) {
		t.Errorf("a limit that is none: %v", err)
	}
}

// Mail for an alias of a domain goes to the same user of the domain, with detail and to all; so does a
// login. What the alias has itself comes first.
func TestDomainAlias(t *testing.T) {
	e := newEnv(t)
	create := func(name string) {
		if _, err := e.CreateUser(t.Context(), NewUser{Username: name, Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	create("ada@example.com")
	create("all@example.com")
	create("own@alias.example")
	e.changeDomain(t, "Alias.Example", DomainChange{AliasOf: ptr("EXAMPLE.com")})
	resolve := func(address, user, detail string) {
		t.Helper()
		r, err := e.ResolveAddress(t.Context(), address)
		switch {
		case user == "" && !errors.Is(err, ErrNoSuchAddress):
			t.Errorf("%s: %+v, %v", address, r, err)
		case user != "" && (err != nil || r.User.Username != user || r.Detail != detail):
			t.Errorf("%s: %+v, %v, want %s", address, r, err, user)
		}
	}
	resolve("ada@ALIAS.example", "ada@example.com", "")
	resolve("ada+list@alias.example", "ada@example.com", "list")
	resolve("own@alias.example", "own@alias.example", "")
	resolve("own@example.com", "", "")
	resolve("nobody@alias.example", "", "")
	e.changeDomain(t, "example.com", DomainChange{CatchAll: ptr("all@example.com")})
	resolve("nobody@alias.example", "all@example.com", "")
	for name, want := range map[string]string{
		"ada@alias.example": "ada@example.com", "own@alias.example": "own@alias.example",
		"all@alias.example": "all@example.com",
	} {
		got, err := e.Authenticate(t.Context(), name, "correct horse", ScopeIMAP)
		if err != nil || got.Username != want {
			t.Errorf("login as %s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range [][2]string{{"x.example", "alias.example"}, {"example.com", "x.example"},
		{"x.example", "x.example"}} {
		err := e.ChangeDomain(t.Context(), bad[0], DomainChange{AliasOf: &bad[1]})
		if !errors.Is(err, ErrInvalidDomain) {
			t.Errorf("%s as alias of %s: %v", bad[0], bad[1], err)
		}
	}
	e.changeDomain(t, "alias.example", DomainChange{AliasOf: ptr("")})
	resolve("ada@alias.example", "", "")
	e.changeDomain(t, "example.com", DomainChange{CatchAll: ptr("ada@example.com")})
	resolve("nobody@example.com", "ada@example.com", "")
	e.changeDomain(t, "example.com", DomainChange{CatchAll: ptr("")})
	resolve("nobody@example.com", "", "")
}
