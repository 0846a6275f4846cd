package mailstore

import (
	"errors"
	"slices"
	"testing"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

func TestStoreFlagsOfMany(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	const n = 2*maxBatch + 300
	e.fill(t, inbox, n, func(i int) Flags { return Flags(i % 3) })
	got, err := e.StoreFlags(t.Context(), inbox, uidset.All(),
		FlagChange{Op: Add, Flags: Seen | Deleted, Keywords: []string{"Done"}})
	if err != nil || len(got.Changed) != n || len(got.Unchanged)+len(got.Modified) != 0 {
		t.Fatalf("%d changed, %v", len(got.Changed), err)
	}
	for i, m := range e.list(t, inbox, Query{}, FieldFlags) {
		if want := Flags(i%3) | Seen | Deleted; m.Flags != want || !slices.Equal(m.Keywords, []string{"Done"}) {
			t.Fatalf("UID %d: %v %q, want %v", m.UID, m.Flags, m.Keywords, want)
		}
		if state := got.Changed[i]; state.UID != m.UID || state.ModSeq != m.ModSeq || state.Flags != m.Flags {
			t.Fatalf("UID %d: told %+v, is %+v", m.UID, state, m)
		}
	}
	e.checkConsistent(t, u)

	before, err := e.MailboxByKey(t.Context(), inbox)
	if err != nil {
		t.Fatal(err)
	}
	got, err = e.StoreFlags(t.Context(), inbox, uidset.All(), FlagChange{Op: Add, Flags: Seen,
		Keywords: []string{"DONE"}})
	if err != nil || len(got.Unchanged) != n || len(got.Changed) != 0 || got.ModSeq != 0 {
		t.Fatalf("%d unchanged, %d changed, %v", len(got.Unchanged), len(got.Changed), err)
	}
	after, err := e.MailboxByKey(t.Context(), inbox)
	if err != nil || after.HighestModSeq != before.HighestModSeq {
		t.Errorf("no change moved the mod-sequence from %d to %d, %v", before.HighestModSeq, after.HighestModSeq, err)
	}
}

func TestStoreFlagsRefuses(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	e.deliver(t, inbox, 1, Seen)
	for _, tt := range []struct {
		name   string
		box    mailkey.Mailbox
		ranges uidset.Set
		change FlagChange
		want   error
	}{
		{"nowhere", u.ID.Mailbox(77), uidset.Set{{First: 1, Last: 1}}, FlagChange{Op: Add}, ErrNoSuchMailbox},
		{"bad keyword", inbox, uidset.All(), FlagChange{Op: Add, Keywords: []string{"a b"}}, ErrInvalidKeyword},
		{"nil is none", inbox, nil, FlagChange{Op: Set}, nil},
		{"no message", inbox, uidset.Set{{First: 2, Last: 9}}, FlagChange{Op: Set}, nil},
	} {
		got, err := e.StoreFlags(t.Context(), tt.box, tt.ranges, tt.change)
		if !errors.Is(err, tt.want) || err == nil && len(got.Changed) > 0 {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	// One message cannot carry more keywords than MaxKeywords.
	var many []string
	for i := range MaxKeywords {
		many = append(many, string(rune('a'+i/26))+string(rune('a'+i%26)))
	}
	if _, err := e.StoreFlags(t.Context(), inbox, uidset.All(), FlagChange{Op: Add, Keywords: many}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.StoreFlags(t.Context(), inbox, uidset.All(),
		FlagChange{Op: Add, Keywords: []string{"zz"}}); !errors.Is(err, ErrInvalidKeyword) {
		t.Errorf("one too many: %v", err)
	}
	e.checkConsistent(t, u)
}

// Changing a whole range to the same flags takes one statement, not one per message.
func TestStoreFlagsIsOneUpdatePerState(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnv(t, db)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	e.fill(t, inbox, 900, nil)
	commands.Reset()
	if _, err := e.StoreFlags(t.Context(), inbox, uidset.Set{{First: 1, Last: 900}},
		FlagChange{Op: Add, Flags: Seen}); err != nil {
		t.Fatal(err)
	}
	if n := commands.Count("update", collMessages); n != 1 {
		t.Errorf("%d update commands:\n%s", n, commands)
	}
	if n := commands.Total(); n > 6 {
		t.Errorf("%d commands:\n%s", n, commands)
	}
}

// A change of flags is one statement, however different the messages are, and changes each of them
// as the answer says, and no other.
func TestStoreFlagsOfDifferentMessages(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	e := openEnv(t, db)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	const n = 64
	e.fill(t, inbox, n, func(i int) Flags { return Flags(i) & AllFlags })
	middle := uidset.Set{{First: 5, Last: 60}}
	for _, flags := range []Flags{Flagged, Seen, Deleted | Answered, AllFlags} {
		for _, op := range []FlagOp{Add, Remove, Add} {
			before := e.list(t, inbox, Query{}, FieldFlags)
			commands.Reset()
			got, err := e.StoreFlags(t.Context(), inbox, middle, FlagChange{Op: op, Flags: flags})
			if err != nil {
				t.Fatal(err)
			}
			if c := commands.Count("update", collMessages); c > 1 {
				t.Errorf("%d update commands", c)
			}
			var changed []FlagState
			for i, m := range e.list(t, inbox, Query{}, FieldFlags) {
				want := before[i].Flags
				if middle.Contains(m.UID) && op == Add {
					want |= flags
				} else if middle.Contains(m.UID) {
					want &^= flags
				}
				if m.Flags != want || (m.ModSeq != before[i].ModSeq) != (want != before[i].Flags) {
					t.Fatalf("%v %v: %+v is now %+v", op, flags, before[i], m)
				}
				if m.ModSeq != before[i].ModSeq {
					changed = append(changed, FlagState{UID: m.UID, ModSeq: m.ModSeq, Flags: m.Flags})
				}
			}
			if !slices.EqualFunc(changed, got.Changed, func(a, b FlagState) bool {
				return a.UID == b.UID && a.ModSeq == b.ModSeq && a.Flags == b.Flags
			}) {
				t.Fatalf("%v %v: changed %+v, told %+v", op, flags, changed, got.Changed)
			}
			e.checkConsistent(t, u)
		}
	}
}
