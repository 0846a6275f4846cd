package shards_test

import (
	"errors"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/shards"
	"gadwall/internal/storetest"
)

// On the sharded cluster that the tests run against, if they do, a plan is applied and then empty, and
// users are found through their addresses. Any other server says that it is no cluster.
func TestClusterOfTheTests(t *testing.T) {
	db := dbtest.Database(t)
	st := storetest.Open(t, storetest.Options{Database: db}) // makes collections and indexes
	state, err := shards.Read(t.Context(), db)
	if errors.Is(err, shards.ErrNotSharded) {
		if !dbtest.Embedded() {
			t.Skip("the server that the tests run against is no sharded cluster")
		}
		return
	}
	if err != nil || dbtest.Embedded() {
		t.Fatalf("the embedded database is no cluster: %v", err)
	}
	steps, err := state.Plan()
	if err == nil {
		err = shards.Apply(t.Context(), steps, shards.Run(db.Client()), func(shards.Step) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	if state, err = shards.Read(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if steps, err = state.Plan(); err != nil || len(steps) > 0 {
		t.Errorf("%d steps are left, %v", len(steps), err)
	}
	for _, name := range []string{"ada@example.com", "bob@example.com"} {
		want := st.User(t, name)
		if u, err := st.UserByName(t.Context(), name); err != nil || u.ID != want.ID {
			t.Errorf("%s: %v, %v", name, u, err)
		}
		if _, err := st.Inbox(t.Context(), want.ID); err != nil {
			t.Errorf("INBOX of %s: %v", name, err)
		}
	}
}
