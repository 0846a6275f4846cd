package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// accountsRace is a worker that does to users, on one instance, whatever comes to it.
type accountsRace struct {
	*env
	rnd *rand.Rand
}

const raceDomain = "example.com"

func (r *accountsRace) name() string { return fmt.Sprintf("u%d@%s", r.rnd.IntN(6), raceDomain) }

// step does one thing. Refusals are part of it.
func (r *accountsRace) step(ctx context.Context) error {
	if r.rnd.IntN(4) == 0 {
		_, err := r.CreateUser(ctx, NewUser{Username: r.name(), NoPassword: true})
		return err
	}
	user, err := r.UserByName(ctx, r.name())
	if err != nil {
		return err
	}
	switch r.rnd.IntN(9) {
	case 0:
		return r.DeleteUser(ctx, user.ID)
	case 1:
		return r.DeleteUserAfter(ctx, user.ID, time.Now().Add(time.Hour))
	case 2:
		return r.Undelete(ctx, user.ID)
	case 3:
		return r.Suspend(ctx, user.ID)
	case 4:
		return r.Resume(ctx, user.ID)
	case 5:
		return r.AddAlias(ctx, user.ID, r.name())
	case 6:
		return r.RemoveAlias(ctx, user.ID, r.name())
	case 7:
		name := r.name()
		return r.ChangeDomain(ctx, raceDomain, DomainChange{CatchAll: &name})
	}
	return r.RenameUser(ctx, user.ID, r.name(), r.rnd.IntN(2) == 0)
}

// Whatever two instances do to users at the same time: each address has one owner, who exists, each user
// has the own name as an address, a name leads to its user, and nothing is left of who is gone.
func TestAccountsRace(t *testing.T) {
	one := newEnv(t)
	two := openEnvWith(t, one.db, Options{})
	refusals := []error{ErrNoSuchUser, ErrNotDeleted, ErrUserExists, ErrNoSuchAddress, ErrTooMany}
	var running sync.WaitGroup
	for i, on := range []*env{one, two, one, two} {
		running.Go(func() {
			r := &accountsRace{env: on, rnd: rand.New(rand.NewPCG(1, uint64(i)))}
			for range 60 {
				err := r.step(t.Context())
				if err != nil && !slices.ContainsFunc(refusals, func(e error) bool { return errors.Is(err, e) }) {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	running.Wait()

	users := make(map[mailkey.UserID]*User)
	for user, err := range one.Users(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		users[user.ID] = user
	}
	cursor, err := one.addresses.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var addresses []struct {
		ID    string      `bson:"_id"`
		User  bson.Binary `bson:"user"`
		Alias bool        `bson:"alias"`
	}
	if err := cursor.All(t.Context(), &addresses); err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, a := range addresses {
		id, err := userIDFrom(a.User)
		if err != nil {
			t.Fatal(err)
		}
		user := users[id]
		switch {
		case user == nil:
			t.Errorf("%s is the address of nobody", a.ID)
		case (user.Username == a.ID) == a.Alias:
			t.Errorf("%s of %s: alias is %t", a.ID, user.Username, a.Alias)
		case !a.Alias:
			names++
		}
	}
	if names != len(users) {
		t.Errorf("%d names of %d users are addresses", names, len(users))
	}
	for _, e := range []*env{one, two} {
		for id, user := range users {
			if got, err := e.UserByName(t.Context(), user.Username); err != nil || got.ID != id {
				t.Errorf("%s leads to %+v, %v", user.Username, got, err)
			}
			_, err := e.UserWhoLogsIn(t.Context(), user.Username)
			if (err == nil) != (user.State == UserActive) {
				t.Errorf("login of %s, who is %s: %v", user.Username, user.State, err)
			}
		}
	}
	left, err := one.mailboxes.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var boxes []struct {
		User bson.Binary `bson:"u"`
	}
	if err := left.All(t.Context(), &boxes); err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		if id, err := userIDFrom(box.User); err != nil || users[id] == nil {
			t.Errorf("a mailbox of nobody is left: %v", err)
		}
	}
	if len(users) == 0 || len(boxes) != len(users)*len(standardMailboxes) {
		t.Errorf("%d users have %d mailboxes", len(users), len(boxes))
	}
}
