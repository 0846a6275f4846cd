package mailstore

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/uidset"
	"gadwall/quota"
)

func TestCopyToAnotherUser(t *testing.T) {
	var told []StoredMail
	e := newEnv(t)
	e.stored = func(list []StoredMail) { told = append(told, list...) }
	u, other := e.user(t), e.user(t)
	inbox, theirs := e.box(t, u, Inbox), e.box(t, other, Inbox)
	e.deliver(t, theirs.Key, 8, 0)
	first := e.list(t, theirs.Key, Query{}, FieldAll)[0]
	e.deliver(t, inbox.Key, 7, 0)
	e.deliver(t, inbox.Key, 8, Flagged|Seen|Deleted, "work")
	told = nil

	got, err := e.CopyBetween(t.Context(), inbox, uidset.All(), theirs, Dropped{Flags: Seen, Keywords: true}, nil)
	if err != nil || !slices.Equal(got.Source, []uint32{1, 2}) || !slices.Equal(got.Dest, []uint32{2, 3}) {
		t.Fatalf("%+v, %v", got, err)
	}
	before, after := e.list(t, inbox.Key, Query{}, FieldAll), e.list(t, theirs.Key, Query{}, FieldAll)
	if len(after) != 3 || after[1].Content != before[0].Content || after[2].Content != before[1].Content ||
		after[2].InternalDate != before[1].InternalDate {
		t.Fatalf("%+v became %+v", before, after)
	}
	if after[2].Flags != Flagged|Deleted || after[2].Keywords != nil {
		t.Errorf("flags %v %q", after[2].Flags, after[2].Keywords)
	}
	if after[1].Number == 0 || after[2].Number != after[1].Number+1 || after[2].Thread != first.Thread ||
		after[1].Thread != after[1].Number {
		t.Errorf("numbers %d %d, threads %d %d, and %d of the mail that was there", after[1].Number, after[2].Number,
			after[1].Thread, after[2].Thread, first.Thread)
	}
	keys, err := e.MessagesByID(t.Context(), other.ID, "<7@example.com>")
	if err != nil || len(keys) != 1 || keys[0] != theirs.Key.Message(2) {
		t.Errorf("by its Message-ID: %v, %v", keys, err)
	}
	if len(told) != 2 || told[0].User != other.ID || told[0].Number != after[1].Number ||
		told[0].Content != after[1].Content {
		t.Errorf("told of %+v", told)
	}
	e.checkConsistent(t, u, other)

	if err := e.SetLimits(t.Context(), other.ID, quota.Limits{Messages: 4}); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(context.Context, *Mailbox, uidset.Set, *Mailbox, Dropped, func(int)) (
		*CopyResult, error){
		"copy": e.CopyBetween, "move": e.MoveBetween,
	} {
		got, err := f(t.Context(), inbox, uidset.All(), theirs, Dropped{}, nil)
		if !errors.Is(err, quota.ErrOverQuota) {
			t.Errorf("%s over the quota of the other user: %+v, %v", name, got, err)
		}
	}
	e.checkConsistent(t, u, other)
}

// A move that cannot remove the messages has copied them: none is lost.
func TestMoveToAnotherUserLosesNothing(t *testing.T) {
	e := newEnv(t)
	u, other := e.user(t), e.user(t)
	inbox, theirs := e.box(t, u, Inbox), e.box(t, other, Inbox)
	for i := range 3 {
		e.deliver(t, inbox.Key, i, 0)
	}
	got, err := e.MoveBetween(t.Context(), inbox, uidset.Of(uidset.Range{First: 1, Last: 2}), theirs, Dropped{}, nil)
	if err != nil || len(got.Source) != 2 || got.SourceModSeq == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, m := len(e.list(t, inbox.Key, Query{}, 0)), len(e.list(t, theirs.Key, Query{}, 0)); n != 1 || m != 2 {
		t.Errorf("%d stayed, %d came", n, m)
	}
	e.checkConsistent(t, u, other)

	// The source is gone for changes, and gives what it has.
	if err := e.markDeleting(t.Context(), inbox.Key); err != nil {
		t.Fatal(err)
	}
	got, err = e.MoveBetween(t.Context(), inbox, uidset.All(), theirs, Dropped{}, nil)
	if err == nil || len(got.Source) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if n, m := len(e.list(t, inbox.Key, Query{}, 0)), len(e.list(t, theirs.Key, Query{}, 0)); n != 1 || m != 3 {
		t.Errorf("%d stayed, %d came", n, m)
	}
}

// References, counters and quotas are exact after any copies and moves between users, and each mail
// is where a model has it.
func TestRandomCopiesBetweenUsers(t *testing.T) {
	e := newEnv(t)
	rapid.Check(t, func(rt *rapid.T) {
		users := []*User{e.user(t), e.user(t), e.user(t)}
		defer func() {
			for _, u := range users {
				if err := e.DeleteUser(t.Context(), u.ID); err != nil {
					t.Error(err)
				}
			}
		}()
		var boxes []*Mailbox
		for _, u := range users {
			boxes = append(boxes, e.box(t, u, Inbox), e.box(t, u, "Archive"))
		}
		counts := make([]int, len(boxes))
		pick := rapid.IntRange(0, len(boxes)-1)
		pair := func(rt *rapid.T) (from, to int) { return pick.Draw(rt, "from"), pick.Draw(rt, "to") }
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": func(rt *rapid.T) {
				to := pick.Draw(rt, "to")
				e.deliver(t, boxes[to].Key, rapid.IntRange(0, 3).Draw(rt, "mail"), drawFlags.Draw(rt, "flags"))
				counts[to]++
			},
			"copy": func(rt *rapid.T) {
				from, to := pair(rt)
				got, err := e.CopyBetween(rt.Context(), boxes[from], uidset.All(), boxes[to],
					Dropped{Flags: drawFlags.Draw(rt, "lost")}, nil)
				if err != nil || len(got.Dest) != counts[from] {
					rt.Fatalf("%+v, %v", got, err)
				}
				counts[to] += counts[from]
			},
			"move": func(rt *rapid.T) {
				from, to := pair(rt)
				got, err := e.MoveBetween(rt.Context(), boxes[from], uidset.All(), boxes[to],
					Dropped{Keywords: true}, nil)
				if err != nil || len(got.Dest) != counts[from] {
					rt.Fatalf("%+v, %v", got, err)
				}
				if from != to {
					counts[to], counts[from] = counts[to]+counts[from], 0
				}
			},
			"expunge": func(rt *rapid.T) {
				from := pick.Draw(rt, "from")
				gone := 0
				for _, m := range e.list(rt, boxes[from].Key, Query{}, FieldFlags) {
					if m.Flags&Deleted != 0 {
						gone++
					}
				}
				if _, _, err := e.Expunge(rt.Context(), boxes[from].Key, uidset.All()); err != nil {
					rt.Fatal(err)
				}
				counts[from] -= gone
			},
			"": func(rt *rapid.T) {
				for i := range counts { // so that a history stays small
					if counts[i] > 200 {
						rt.Skip("enough")
					}
				}
			},
		})
		for i, box := range boxes {
			if n := len(e.list(rt, box.Key, Query{}, 0)); n != counts[i] {
				rt.Errorf("mailbox %d has %d messages, want %d", i, n, counts[i])
			}
		}
		e.checkConsistent(rt, users...)
	})
}
