package account

import (
	"errors"
	"testing"
	"time"

	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// A user who was in no group at the login gets the rights of a group, and loses them, without a new login.
func TestFirstGroupCounts(t *testing.T) {
	for name, tt := range map[string]struct {
		kept   time.Duration
		counts bool
	}{"at once": {1, true}, "later": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			st := storetest.Open(t, storetest.Options{})
			accounts, err := New(Options{Store: st.Store, Bus: st.Bus, GroupsKept: tt.kept})
			if err != nil {
				t.Fatal(err)
			}
			ada, bob := accounts.Of(st.User(t, "ada@example.com")), accounts.Of(st.User(t, "bob@example.com"))
			grant := func(identifier, rights string) {
				t.Helper()
				r, err := ParseRights(rights)
				if err == nil {
					err = ada.SetACL(t.Context(), "Archive", identifier, ReplaceRights, r)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			join := func(groups ...string) {
				t.Helper()
				if err := st.SetGroups(t.Context(), bob.UserID(), groups); err != nil {
					t.Fatal(err)
				}
			}
			const archive = "Other Users/ada@example.com/Archive"
			sees := func(want bool) {
				t.Helper()
				list, err := bob.Others(t.Context())
				if err != nil || (len(list) == 1) != want {
					t.Errorf("bob sees %d mailboxes, %v", len(list), err)
				}
				if _, _, err := bob.Open(t.Context(), archive, ReadOnly); (err == nil) != want {
					t.Errorf("bob opens it: %v", err)
				}
			}
			grant("$team", "lr")
			sees(false)
			join("team")
			sees(tt.counts)
			join()
			sees(false)

			grant("anyone", "lr")
			grant("-$banned", "lr")
			open, _, err := bob.Open(t.Context(), archive, ReadOnly)
			if err != nil {
				t.Fatal(err)
			}
			join("banned")
			_, err = open.Refresh(t.Context())
			if gone := errors.Is(err, mailstore.ErrNoSuchMailbox); gone != tt.counts {
				t.Errorf("the open mailbox of a banned user: %v", err)
			}
		})
	}
}
