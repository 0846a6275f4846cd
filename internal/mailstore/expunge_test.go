package mailstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

func everySecondDeleted(i int) Flags {
	if i%2 == 0 {
		return Deleted | Seen
	}
	return 0
}

func TestExpungeOfMany(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	const n = 2*maxBatch + 400
	e.fill(t, inbox, n, everySecondDeleted)
	before, err := e.MailboxByKey(t.Context(), inbox)
	if err != nil {
		t.Fatal(err)
	}
	// By UID first: only what is named and marked.
	got, _, err := e.Expunge(t.Context(), inbox, uidset.Set{{First: 1, Last: 4},
		{First: 9, Last: 9}, {First: n + 1, Last: n + 50}})
	if err != nil || !slices.Equal(got, []uint32{1, 3, 9}) {
		t.Fatalf("expunged %v, %v", got, err)
	}
	got, modseq, err := e.Expunge(t.Context(), inbox, nil)
	if err != nil || len(got) != n/2-3 || !slices.IsSorted(got) {
		t.Fatalf("expunged %d, %v", len(got), err)
	}
	c, err := e.Changes(t.Context(), inbox, before.HighestModSeq)
	if err != nil || !c.Complete || len(c.Vanished) != n/2 || len(c.Changed) != 0 || c.Mailbox.HighestModSeq != modseq {
		t.Errorf("%d vanished, %d changed, %v", len(c.Vanished), len(c.Changed), err)
	}
	if got, modseq, err := e.Expunge(t.Context(), inbox, nil); err != nil || len(got) != 0 || modseq != 0 {
		t.Errorf("again: %v, %d, %v", got, modseq, err)
	}
	if _, _, err := e.Expunge(t.Context(), u.ID.Mailbox(77), nil); !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("of nowhere: %v", err)
	}
	if _, _, err := e.Expunge(t.Context(), inbox, uidset.Set{}); err != nil {
		t.Error(err)
	}
	e.checkConsistent(t, u)
}

func TestChangesKnowsWhenTheJournalIsTooShort(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	var marks []uint64
	for i := range 4 {
		e.deliver(t, inbox, i, Deleted)
		_, modseq, err := e.Expunge(t.Context(), inbox, nil)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, modseq)
	}
	last := marks[3]
	e.deliver(t, inbox, 9, 0)
	want := func(since uint64, complete bool, vanished ...uint32) {
		t.Helper()
		c, err := e.Changes(t.Context(), inbox, since)
		if err != nil || c.Complete != complete || complete && !slices.Equal(c.Vanished, vanished) {
			t.Errorf("since %d: %+v, %v; want %v", since, c, err, vanished)
		}
	}
	want(0, true, 1, 2, 3, 4)
	want(marks[0], true, 2, 3, 4)
	want(last, true)
	drop := func(modseq uint64) {
		t.Helper()
		res, err := e.journal.DeleteOne(t.Context(), byID(newJournalKey(inbox, modseq).Binary()))
		if err != nil || res.DeletedCount != 1 {
			t.Fatal(res, err)
		}
	}
	drop(marks[0])
	want(0, false)
	want(marks[0]-1, false)
	want(marks[0], true, 2, 3, 4)
	drop(marks[2]) // clocks differ: not the oldest
	want(marks[0], false)
	want(marks[1], false)
	want(marks[2], true, 4)
	drop(last)
	want(marks[2], false)
	want(last, true)
	if _, err := e.Changes(t.Context(), u.ID.Mailbox(77), 0); !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("of nowhere: %v", err)
	}
}

func TestDeleteMailboxGivesEverythingBack(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box, err := e.CreateMailbox(t.Context(), u.ID, "Old", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.fill(t, box.Key, maxBatch+100, everySecondDeleted)
	if _, _, err := e.Expunge(t.Context(), box.Key, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteMailbox(t.Context(), u.ID, "Old"); err != nil {
		t.Fatal(err)
	}
	empty := func(coll string) {
		t.Helper()
		if n, err := e.db.Collection(coll).CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
			t.Errorf("%d documents in %s, %v", n, coll, err)
		}
	}
	empty(collMessages)
	again, err := e.CreateMailbox(t.Context(), u.ID, "Old", CreateOptions{})
	if err != nil || again.Key == box.Key || again.UIDValidity <= box.UIDValidity {
		t.Errorf("before %+v, again %+v, %v", box, again, err)
	}
	stored := e.content(t, mail(1), 1)
	got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: box.Key, Magic: stored.Magics[0]}})
	if err != nil || !errors.Is(got[0].Err, ErrNoSuchMailbox) {
		t.Errorf("delivery into what is gone: %v, %v", got, err)
	}
	e.checkConsistent(t, u)
}

// What a process left half done, the next one finishes.
func TestOpenResumesDeletions(t *testing.T) {
	e := newEnv(t)
	keeps, goes := e.user(t), e.user(t)
	if err := e.AddAlias(t.Context(), goes.ID, "alias@example.net"); err != nil {
		t.Fatal(err)
	}
	doomed, err := e.CreateMailbox(t.Context(), keeps.ID, "Doomed", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.deliver(t, e.box(t, keeps, "INBOX").Key, 1, 0)
	e.fill(t, doomed.Key, 20, nil)
	e.fill(t, e.box(t, goes, "INBOX").Key, 20, nil)
	// As far as the marks, and no further.
	if err := e.markDeleting(t.Context(), doomed.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.users.UpdateOne(t.Context(), byID(goes.ID.Binary()),
		bson.D{{Key: "$set", Value: bson.D{{Key: userDeleting, Value: true}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.MailboxByKey(t.Context(), doomed.Key); !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("the mailbox: %v", err)
	}
	if _, err := e.ResolveAddress(t.Context(), goes.Username); !errors.Is(err, ErrNoSuchAddress) {
		t.Errorf("the address: %v", err)
	}
	if _, err := e.CreateUser(t.Context(), NewUser{Username: goes.Username,
		Password: "password"}); !errors.Is(err, ErrUserExists) {
		t.Errorf("the address is not free yet: %v", err)
	}
	e.Close()

	next := openEnvWith(t, e.db, Options{Resume: true, purgeLease: time.Millisecond})
	eventually(t, func() error { return next.nothingMarked(t) })
	next.checkConsistent(t, keeps)
	if n, err := e.db.Collection(collMessages).CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d messages, %v", n, err)
	}
	for _, address := range []string{goes.Username, "alias@example.net"} {
		if _, err := next.CreateUser(t.Context(), NewUser{Username: address, Password: "password"}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What is left of a user whom two instances removed at the same time does not keep the rest from
// being finished.
func TestOpenResumesWithoutTheUser(t *testing.T) {
	e := newEnv(t)
	gone, keeps := e.user(t), e.user(t)
	left := e.box(t, gone, "INBOX").Key
	doomed, err := e.CreateMailbox(t.Context(), keeps.ID, "Doomed", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []mailkey.Mailbox{left, doomed.Key} {
		e.fill(t, key, 5, nil)
		if err := e.markDeleting(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.users.DeleteOne(t.Context(), byID(gone.ID.Binary())); err != nil {
		t.Fatal(err)
	}
	e.Close()

	next := openEnvWith(t, e.db, Options{Resume: true, purgeLease: time.Millisecond})
	eventually(t, func() error { return next.nothingMarked(t) })
	if n, err := e.db.Collection(collMessages).CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d messages, %v", n, err)
	}
	next.checkConsistent(t, keeps)
}

func TestDeleteUser(t *testing.T) {
	e := newEnv(t)
	keeps, goes := e.user(t), e.user(t)
	inbox := e.box(t, goes, "INBOX").Key
	stored := e.content(t, mail(1), 2)
	if _, err := e.Deliver(t.Context(), stored, []Delivery{
		{Mailbox: inbox, Magic: stored.Magics[0]}, {Mailbox: e.box(t, keeps, "INBOX").Key,
			Magic: stored.Magics[1]}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Subscribe(t.Context(), goes.ID, "nowhere", true); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteUser(t.Context(), goes.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteUser(t.Context(), goes.ID); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("twice: %v", err)
	}
	if boxes, err := e.Mailboxes(t.Context(), goes.ID); err != nil || len(boxes) != 0 {
		t.Errorf("%d mailboxes, %v", len(boxes), err)
	}
	if names, err := e.Subscriptions(t.Context(), goes.ID); err != nil || len(names) != 0 {
		t.Errorf("subscriptions %q, %v", names, err)
	}
	if refs := e.references(t)[contents.ID(stored.ID)]; refs != [2]int64{1, int64(stored.Magics[1])} {
		t.Errorf("references %v", refs)
	}
	e.checkConsistent(t, keeps)
}

func TestDeleteUserDuringDeliveries(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			stored := e.content(t, mail(i), 1)
			got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox, Magic: stored.Magics[0]}})
			if err != nil {
				t.Error(err)
				return
			}
			if errors.Is(got[0].Err, ErrNoSuchMailbox) {
				return
			}
			if got[0].Err != nil {
				t.Error(got[0].Err)
			}
		}
	}()
	if err := e.DeleteUser(context.WithoutCancel(t.Context()), u.ID); err != nil {
		t.Error(err)
	}
	<-done
	e.checkConsistent(t)
	if n, err := e.db.Collection(collMessages).CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d messages, %v", n, err)
	}
}
