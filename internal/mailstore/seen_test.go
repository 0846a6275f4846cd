package mailstore

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/uidset"
)

func TestSetsOfSeenMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges []uidset.Range
		for range rapid.IntRange(0, 20).Draw(t, "ranges") {
			first := rapid.Uint32Range(1, 1<<32-1).Draw(t, "first")
			ranges = append(ranges, uidset.Range{First: first, Last: rapid.Uint32Range(first, 1<<32-1).Draw(t, "last")})
		}
		want := uidset.Of(ranges...)
		got, err := decodeSet(encodeSet(want))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v became %v, %v", want, got, err)
		}
	})
}

func FuzzDecodeSet(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xf, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := decodeSet(b)
		if err != nil {
			return
		}
		last := uint32(0)
		for _, r := range set {
			if r.First <= last || r.Last < r.First {
				t.Fatalf("%v is no set", set)
			}
			last = r.Last
		}
	})
}

// What a user has seen in another's mailbox is not the flag, raises mod-sequences, and goes with the
// mailbox and with the user.
func TestSeenByAnotherUser(t *testing.T) {
	e := newEnv(t)
	owner, reader, leaver := e.user(t), e.user(t), e.user(t)
	e.create(t, owner, "box")
	box := e.box(t, owner, "box").Key
	e.deliver(t, box, 1, 0)
	e.deliver(t, box, 2, Seen)
	store := func(by *User, op FlagOp, flags Flags, uids ...uint32) *FlagResult {
		t.Helper()
		got, err := e.StoreFlags(t.Context(), box, uidset.FromAscending(uids),
			FlagChange{Op: op, Flags: flags, SeenBy: &by.ID})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := e.list(t, box, Query{}, FieldFlags)
	got := store(reader, Add, Seen|Flagged, 1, 2)
	if len(got.Changed) != 2 || got.Changed[0].Flags != Seen|Flagged || got.Changed[1].Flags != Seen|Flagged {
		t.Errorf("%+v", got)
	}
	after := e.list(t, box, Query{}, FieldFlags)
	for i, want := range []Flags{Flagged, Flagged | Seen} {
		if after[i].Flags != want || after[i].ModSeq <= before[i].ModSeq {
			t.Errorf("message %d: %+v became %+v", i+1, before[i], after[i])
		}
	}
	if got := store(reader, Add, Seen, 1, 2); len(got.Changed) != 0 || len(got.Unchanged) != 2 {
		t.Errorf("again: %+v", got)
	}
	store(reader, Remove, Seen, 2)
	store(leaver, Add, Seen, 2)
	seen := func(by *User, want ...uint32) {
		t.Helper()
		got, err := e.SeenBy(t.Context(), box, by.ID)
		if err != nil || !slices.Equal(got, uidset.FromAscending(want)) {
			t.Errorf("seen %v, want %v, %v", got, want, err)
		}
	}
	seen(reader, 1)
	seen(leaver, 2)
	seen(owner)
	e.checkConsistent(t, owner)
	if err := e.DeleteUser(t.Context(), leaver.ID); err != nil {
		t.Fatal(err)
	}
	seen(leaver)
	if err := e.DeleteMailbox(t.Context(), owner.ID, "box"); err != nil {
		t.Fatal(err)
	}
	if err := e.FinishDeletions(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen(reader)
}
