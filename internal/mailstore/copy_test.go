package mailstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

func TestCopyKeepsWhatBelongsToTheMessage(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX").Key, e.box(t, u, "Archive").Key
	e.deliver(t, archive, 9, 0, "work")
	stored := e.content(t, mail(1), 1)
	date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if got, err := e.Deliver(t.Context(), stored,
		[]Delivery{{Mailbox: inbox, Flags: Flagged | Seen, Keywords: []string{"Work", "other"},
			InternalDate: date, Prefix: []byte("X: y\r\n"),
			Magic: stored.Magics[0]}}); err != nil || got[0].Err != nil {
		t.Fatal(err, got)
	}
	for i, copyMove := range []func() (*CopyResult, error){
		func() (*CopyResult, error) {
			return e.Copy(t.Context(), inbox, uidset.Set{{First: 1, Last: 9}}, archive)
		},
		func() (*CopyResult, error) {
			return e.Move(t.Context(), inbox, uidset.Set{{First: 1, Last: 9}}, archive)
		},
	} {
		before := e.list(t, inbox, Query{}, FieldAll)[0]
		got, err := copyMove()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Source, []uint32{1}) || !slices.Equal(got.Dest, []uint32{uint32(i + 2)}) {
			t.Fatalf("result %+v", got)
		}
		after := e.list(t, archive, Query{UIDs: uidset.Set{{First: got.Dest[0], Last: got.Dest[0]}}}, FieldAll)[0]
		if !slices.Equal(after.Keywords, []string{"work", "other"}) {
			t.Errorf("keywords %q: not as the destination spells them", after.Keywords)
		}
		if (after.Magic == before.Magic) != (i == 1) {
			t.Errorf("copyMove %d: the reference %d became %d", i, before.Magic, after.Magic)
		}
		if after.Flags != before.Flags || after.InternalDate != date || after.Size != before.Size ||
			after.Content != before.Content || string(after.Prefix) != "X: y\r\n" || after.From != before.From ||
			string(after.Envelope) != string(before.Envelope) {
			t.Errorf("copyMove %d: %+v became %+v", i, before, after)
		}
		e.checkConsistent(t, u)
	}
	if left := e.list(t, inbox, Query{}, 0); len(left) != 0 {
		t.Errorf("%d messages left", len(left))
	}
}

func TestCopyOfManyIsUndone(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX").Key, e.box(t, u, "Archive").Key
	const n = 2*maxBatch + 10
	e.fill(t, inbox, n, nil)
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: n + maxBatch + 5}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Copy(t.Context(), inbox, uidset.All(), archive); !errors.Is(err,
		quota.ErrOverQuota) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if list, err := e.UIDs(t.Context(), archive, Query{}); err != nil || len(list) != 0 {
		t.Errorf("%d messages, %v", len(list), err)
	}
	e.checkConsistent(t, u)
	if err := e.SetLimits(t.Context(), u.ID, noLimits); err != nil {
		t.Fatal(err)
	}
	got, err := e.Copy(t.Context(), inbox, uidset.All(), archive)
	if err != nil || len(got.Source) != n || len(got.Dest) != n || !slices.IsSorted(got.Dest) {
		t.Fatalf("copied %d, %v", len(got.Dest), err)
	}
	got, err = e.Move(t.Context(), inbox, uidset.All(), archive)
	if err != nil || len(got.Source) != n || got.SourceModSeq == 0 {
		t.Fatalf("moved %d, %v", len(got.Source), err)
	}
	e.checkConsistent(t, u)
}

func TestTransferRefuses(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	e.deliver(t, inbox, 1, 0)
	for name, copyMove := range map[string]func(mailkey.Mailbox, uidset.Set, mailkey.Mailbox) (*CopyResult, error){
		"copy": func(a mailkey.Mailbox, r uidset.Set, b mailkey.Mailbox) (*CopyResult, error) {
			return e.Copy(t.Context(), a, r, b)
		},
		"move": func(a mailkey.Mailbox, r uidset.Set, b mailkey.Mailbox) (*CopyResult, error) {
			return e.Move(t.Context(), a, r, b)
		},
	} {
		if got, err := copyMove(inbox, uidset.All(), u.ID.Mailbox(77)); !errors.Is(err, ErrNoSuchMailbox) {
			t.Errorf("%s to nowhere: %v, %v", name, got, err)
		}
		if got, err := copyMove(u.ID.Mailbox(77), uidset.All(), inbox); !errors.Is(err, ErrNoSuchMailbox) {
			t.Errorf("%s from nowhere: %v, %v", name, got, err)
		}
		for _, none := range []uidset.Set{nil, {}, {{First: 5, Last: 9}}} {
			if got, err := copyMove(inbox, none, inbox); err != nil || len(got.Source) != 0 || got.UIDValidity == 0 {
				t.Errorf("%s of nothing: %+v, %v", name, got, err)
			}
		}
	}
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Copy(t.Context(), inbox, uidset.All(), inbox); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("over quota: %v, %v", got, err)
	}
	if got, err := e.Move(t.Context(), inbox, uidset.All(), e.box(t, u, "Trash").Key); err != nil ||
		len(got.Dest) != 1 {
		t.Errorf("a move needs no quota: %v, %v", got, err)
	}
	e.checkConsistent(t, u)
}

func TestJunkAndHamAreAnnounced(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox, junk, trash := e.box(t, u, "INBOX").Key, e.box(t, u, "Junk").Key, e.box(t, u, "Trash").Key
	for _, tt := range []struct {
		name     string
		from, to mailkey.Mailbox
		want     events.Kind
	}{
		{"to junk", inbox, junk, events.Junk},
		{"from junk", junk, inbox, events.Ham},
		{"within junk", junk, junk, 0},
		{"thrown away", junk, trash, 0},
		{"elsewhere", inbox, trash, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			uid := e.deliver(t, tt.from, 1, 0).UID
			sub := e.bus.Subscribe(u.ID)
			defer sub.Close()
			got, err := e.Move(t.Context(), tt.from, uidset.Set{{First: uid, Last: uid}}, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			// An event of our own ends what there is to read.
			if err := e.bus.Publish(t.Context(), events.Event{User: u.ID, Mailbox: 999,
				Kind: events.Changed}); err != nil {
				t.Fatal(err)
			}
			var lesson events.Kind
			arrived := false
			for ev := range sub.C() {
				if ev.Mailbox == 999 {
					break
				}
				if ev.Kind == events.Junk || ev.Kind == events.Ham {
					lesson = ev.Kind
				}
				if ev.Mailbox == tt.to.Number() && slices.Equal(ev.UIDs, got.Dest) {
					arrived = true
				}
			}
			if lesson != tt.want || !arrived {
				t.Errorf("announced %v (arrival %t), want %v", lesson, arrived, tt.want)
			}
		})
	}
}

// Moves in both directions, copies and expunges of the same messages at the same time: each message
// ends up somewhere, once.
func TestTransfersConcurrently(t *testing.T) {
	first := newEnv(t)
	stores := []*env{first, openEnv(t, first.db)}
	u := first.user(t)
	boxes := []mailkey.Mailbox{first.box(t, u, "INBOX").Key, first.box(t, u, "Archive").Key}
	const n = 60
	first.fill(t, boxes[0], n, nil)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			e := stores[w%2]
			for i := range 6 {
				from, to := boxes[(w+i)%2], boxes[(w+i+1)%2]
				if _, err := e.Move(t.Context(), from,
					uidset.Set{{First: uint32(1 + 7*w), Last: uint32(30 + 20*i)}}, to); err != nil {
					t.Error(err)
				}
				if _, err := e.StoreFlags(t.Context(), from, uidset.All(),
					FlagChange{Op: FlagOp(1 + w%3), Flags: Flagged | Seen}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var total int64
	for _, key := range boxes {
		box, err := first.MailboxByKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		total += box.Messages
	}
	if total != n {
		t.Errorf("%d messages, want %d", total, n)
	}
	first.checkConsistent(t, u)
}

// Messages with documents as large as they get go in several transactions.
func TestTransferIsBoundedInBytes(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX").Key, e.box(t, u, "Archive").Key
	stored := e.content(t, mail(1), 1)
	const n = maxBatchBytes/MaxPrefixLength + 10
	for range n / 256 {
		stored := e.content(t, mail(1), 256)
		var list []Delivery
		for _, magic := range stored.Magics {
			list = append(list, Delivery{Mailbox: inbox, Prefix: make([]byte, MaxPrefixLength), Magic: magic})
		}
		if _, err := e.Deliver(t.Context(), stored, list); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox, Magic: stored.Magics[0]}}); err != nil {
		t.Fatal(err)
	}
	for _, copyMove := range []func(context.Context, mailkey.Mailbox, uidset.Set,
		mailkey.Mailbox) (*CopyResult, error){e.Copy, e.Move} {
		before := e.box(t, u, "Archive").HighestModSeq
		got, err := copyMove(t.Context(), inbox, uidset.Set{{First: 1, Last: 200}, {First: 202, Last: n}}, archive)
		if err != nil || len(got.Source) != n/256*256+1-1 || slices.Contains(got.Source, 201) {
			t.Fatalf("%d messages, %v", len(got.Source), err)
		}
		if got.ModSeq < before+2 {
			t.Errorf("one transaction for %d MiB", n*MaxPrefixLength>>20)
		}
	}
	e.checkConsistent(t, u)
}
