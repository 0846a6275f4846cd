package mailstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
)

// A client that knows a mailbox from after the backup is told of everything, and no number that
// it knows is given out again.
func TestAdvance(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, Inbox).Key
	for i := range 5 {
		e.deliver(t, inbox, i, Flags(2*i)) // the last is deleted
	}
	if _, _, err := e.Expunge(t.Context(), inbox, nil); err != nil {
		t.Fatal(err)
	}
	backup := e.box(t, u, Inbox)
	created, err := e.CreateMailbox(t.Context(), u.ID, "later", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	count, err := e.Advance(t.Context(), AdvanceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (AdvanceCount{Users: 1, Mailboxes: 7, Messages: backup.Messages}); count != want {
		t.Errorf("advanced %+v, want %+v", count, want)
	}
	after := e.box(t, u, Inbox)
	if after.UIDValidity != backup.UIDValidity || after.UIDNext != backup.UIDNext+DefaultAdvance {
		t.Errorf("UIDVALIDITY %d and UIDNEXT %d after %d and %d",
			after.UIDValidity, after.UIDNext, backup.UIDValidity, backup.UIDNext)
	}
	known := backup.HighestModSeq + 1_000_000 // by changes after the backup
	if after.HighestModSeq <= known {
		t.Errorf("HIGHESTMODSEQ is %d", after.HighestModSeq)
	}
	changes, err := e.Changes(t.Context(), inbox, known)
	if err != nil || changes.Complete || int64(len(changes.Changed)) != backup.Messages {
		t.Errorf("changes %+v, %v", changes, err)
	}
	for _, c := range changes.Changed {
		if c.ModSeq <= known || c.ModSeq > after.HighestModSeq {
			t.Errorf("message %d has mod-sequence %d, the mailbox %d", c.UID, c.ModSeq, after.HighestModSeq)
		}
	}
	again, err := e.CreateMailbox(t.Context(), u.ID, "again", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Key.Number() < created.Key.Number()+5000 || again.UIDValidity < created.UIDValidity+5000 {
		t.Errorf("a new mailbox has number %d and UIDVALIDITY %d, after %d and %d",
			again.Key.Number(), again.UIDValidity, created.Key.Number(), created.UIDValidity)
	}
	// What comes now is told as ever.
	since := after.HighestModSeq
	d := e.deliver(t, inbox, 9, Deleted)
	if d.UID != after.UIDNext {
		t.Errorf("the next UID is %d, not %d", d.UID, after.UIDNext)
	}
	if _, _, err := e.Expunge(t.Context(), inbox, nil); err != nil {
		t.Fatal(err)
	}
	changes, err = e.Changes(t.Context(), inbox, since)
	if err != nil || !changes.Complete || !slices.Equal(changes.Vanished, []uint32{d.UID}) {
		t.Errorf("changes since the advance: %+v, %v", changes, err)
	}
	if changes, err = e.Changes(t.Context(), inbox, known); err != nil || changes.Complete {
		t.Errorf("changes since before: %+v, %v", changes, err)
	}
	e.checkConsistent(t, u)
}

// Where UIDs would run out, the mailbox gets another UIDVALIDITY, and so it does when asked for.
func TestAdvanceGivesNewUIDValidity(t *testing.T) {
	for name, o := range map[string]AdvanceOptions{"few UIDs left": {}, "asked for": {NewUIDValidity: true}} {
		e := newEnv(t)
		u := e.user(t)
		inbox := e.box(t, u, Inbox)
		e.deliver(t, inbox.Key, 1, 0)
		if !o.NewUIDValidity {
			e.set(t, inbox.Key, bson.D{{Key: boxUIDNext, Value: int64(math.MaxUint32 - 10)}})
		}
		before := e.box(t, u, Inbox)
		count, err := e.Advance(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		after := e.box(t, u, Inbox)
		if after.UIDValidity <= before.UIDValidity || after.UIDNext != before.UIDNext {
			t.Errorf("%s: UIDVALIDITY %d and UIDNEXT %d after %d and %d", name,
				after.UIDValidity, after.UIDNext, before.UIDValidity, before.UIDNext)
		}
		if want := map[bool]int64{true: 6, false: 1}[o.NewUIDValidity]; count.NewUIDValidity != want {
			t.Errorf("%s: %+v", name, count)
		}
		boxes, err := e.Mailboxes(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		values := map[uint32]bool{}
		for _, b := range boxes {
			values[b.UIDValidity] = true
		}
		if len(values) != len(boxes) {
			t.Errorf("%s: %d mailboxes have %d values of UIDVALIDITY", name, len(boxes), len(values))
		}
	}
}

func (e *env) set(t testing.TB, box mailkey.Mailbox, fields bson.D) {
	t.Helper()
	if _, err := e.mailboxes.UpdateOne(t.Context(), byID(box.Binary()),
		bson.D{{Key: "$set", Value: fields}}); err != nil {
		t.Fatal(err)
	}
}

// An advance that is interrupted anywhere is resumed: each mailbox rises once, each message gets
// its new mod-sequence, and nobody is served before the end.
func TestAdvanceResumes(t *testing.T) {
	db := dbtest.Database(t)
	e := openEnvWith(t, db, Options{batchSize: 2})
	u, v := e.user(t), e.user(t)
	for i := range 5 {
		e.deliver(t, e.box(t, u, Inbox).Key, i, 0)
		e.deliver(t, e.box(t, v, Inbox).Key, i, 0)
	}
	before := e.box(t, u, Inbox)
	if _, err := e.Advance(t.Context(), AdvanceOptions{Resume: true}); !errors.Is(err, ErrNotAdvancing) {
		t.Errorf("resumed what was not interrupted: %v", err)
	}

	total, interrupted := AdvanceCount{}, 0
	for o := (AdvanceOptions{UIDs: 100}); ; o = (AdvanceOptions{Resume: true}) {
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(c AdvanceCount) {
			if c.Messages > 0 {
				cancel()
			}
		}
		count, err := e.Advance(ctx, o)
		cancel()
		total.Messages += count.Messages
		if err == nil {
			break
		}
		interrupted++
		if !errors.Is(err, context.Canceled) || interrupted > 20 {
			t.Fatal(err)
		}
		bus := events.NewLocal()
		if _, err := Open(t.Context(), Options{Database: db, Contents: e.contents,
			Bus: bus}); !errors.Is(err, ErrAdvancing) {
			t.Fatalf("opened while mailboxes are not advanced: %v", err)
		}
		if err := bus.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Advance(t.Context(), AdvanceOptions{}); !errors.Is(err, ErrAdvancing) {
			t.Fatalf("began another one: %v", err)
		}
	}
	if interrupted < 3 || total.Messages != 10 {
		t.Errorf("%d interruptions, %d messages advanced", interrupted, total.Messages)
	}
	after := e.box(t, u, Inbox)
	if after.UIDNext != before.UIDNext+100 {
		t.Errorf("UIDNEXT rose from %d to %d", before.UIDNext, after.UIDNext)
	}
	for _, user := range []*User{u, v} {
		changes, err := e.Changes(t.Context(), e.box(t, user, Inbox).Key, before.HighestModSeq+1000)
		if err != nil || len(changes.Changed) != 5 {
			t.Errorf("changes %+v, %v", changes, err)
		}
	}
	e.checkConsistent(t, u, v)
	openEnv(t, db) // serves again

	// Once more, as after another restore.
	if _, err := e.Advance(t.Context(), AdvanceOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := e.box(t, u, Inbox); again.UIDNext != after.UIDNext+DefaultAdvance ||
		again.HighestModSeq < after.HighestModSeq+advanceModSeq {
		t.Errorf("the second advance went from %+v to %+v", after, again)
	}
}

// A batch reads the messages it changes and no others.
func TestAdvanceReadsWhatItChanges(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox := e.box(t, u, Inbox).Key
	for i := range 30 {
		e.deliver(t, inbox, i, 0)
	}
	filter := belowFloor(inbox, 10)
	raw, err := e.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: bson.D{
		{Key: "find", Value: collMessages}, {Key: "filter", Value: filter}, {Key: "hint", Value: indexModSeq}}},
		{Key: "verbosity", Value: "executionStats"}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	if n := raw.Lookup("executionStats", "totalDocsExamined").AsInt64(); n != 8 { // from 2 to 9
		t.Errorf("%d documents were examined for 8", n)
	}
	if err := e.setModSeq(t.Context(), inbox, []uint32{7, 3, 4}, 1000); err != nil {
		t.Fatal(err)
	}
	uids, err := e.UIDs(t.Context(), inbox, Query{ModSince: 999})
	if err != nil || !slices.Equal(uids, []uint32{3, 4, 7}) {
		t.Errorf("changed %v, %v", uids, err)
	}
	if err := e.setModSeq(t.Context(), inbox, []uint32{99}, 1000); err == nil || database.IsUnavailable(err) {
		t.Errorf("a message that is not there: %v", err)
	}
}
