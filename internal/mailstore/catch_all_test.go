package mailstore

import (
	"errors"
	"sync"
	"testing"
	"time"

	"gadwall/quota"
)

// While a catch-all goes from one user to the other, mail for the domain always finds one of them, on
// every instance, and in the end one user has the address.
func TestCatchAllIsNeverAway(t *testing.T) {
	e := newEnv(t)
	other := openEnvWith(t, e.db, Options{})
	ada, bob := e.userNamed(t, "ada@example.com"), e.userNamed(t, "bob@example.com")
	e.changeDomain(t, "example.com", DomainChange{CatchAll: ptr("ada@example.com")})
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for _, reader := range []*env{e, other} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := reader.ResolveAddress(t.Context(), "nobody@example.com")
				if err != nil || r.User.ID != ada.ID && r.User.ID != bob.ID {
					t.Errorf("mail for nobody goes to %+v, %v", r, err)
					return
				}
			}
		})
	}
	for _, writer := range []*env{e, other} {
		writers.Go(func() {
			for i := range 20 {
				name := []string{"ada@example.com", "bob@example.com"}[i%2]
				if err := writer.ChangeDomain(t.Context(), "example.com", DomainChange{CatchAll: &name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	var owners int
	for _, u := range []*User{ada, bob} {
		list, err := e.Addresses(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		owners += len(list) - 1
	}
	if owners != 1 {
		t.Errorf("%d users have the address", owners)
	}
}

// A change of a domain that fails changes nothing of it.
func TestDomainChangesAreWhole(t *testing.T) {
	e := newEnv(t)
	e.userNamed(t, "ada@example.com")
	e.userNamed(t, "*@example.com")
	gone := e.userNamed(t, "gone@example.com")
	if err := e.DeleteUserAfter(t.Context(), gone.ID, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"ada@example.com": ErrUserExists, "gone@example.com": ErrNoSuchUser, "nobody@example.com": ErrNoSuchUser,
	} {
		err := e.ChangeDomain(t.Context(), "example.com", DomainChange{Bytes: ptr(int64(5)), CatchAll: &name})
		if !errors.Is(err, want) {
			t.Errorf("catch-all of %s: %v, want %v", name, err, want)
		}
	}
	d, err := e.DomainByName(t.Context(), "example.com")
	if err != nil || d.Limits != (quota.Limits{}) || d.CatchAll != "*@example.com" {
		t.Errorf("%+v, %v", d, err)
	}
}
