package mailstore

import (
	"errors"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/uidset"
)

// The check finds journal entries of a user beyond those that the user's document counts, and entries
// of a mailbox whose target cannot be read.
func TestCheckFindsWrongJournals(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	ctx := t.Context()
	if _, err := e.CreateMailbox(ctx, u.ID, "new", CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	inbox := e.box(t, u, "INBOX")
	e.deliver(t, inbox.Key, 1, 0)
	if _, err := e.Move(ctx, inbox.Key, uidset.All(), e.box(t, u, "Archive").Key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.users.UpdateOne(ctx, byID(u.ID.Binary()),
		bson.D{{Key: "$unset", Value: bson.D{{Key: userNotes, Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	res, err := e.journal.UpdateOne(ctx, bson.D{{Key: journalTarget, Value: bson.D{{Key: "$exists", Value: true}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: journalTarget, Value: bson.Binary{Data: []byte{1}}}}}})
	if err != nil || res.ModifiedCount != 1 {
		t.Fatal(res, err)
	}
	var found []Fault
	check := func() {
		t.Helper()
		found = nil
		if _, err := e.Check(ctx, CheckOptions{Repair: true, Found: func(f Finding) {
			found = append(found, f.Fault)
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if check(); !slices.Equal(found, []Fault{BadJournal, LowNumbers}) {
		t.Errorf("%v", found)
	}
	if n, err := e.LastNote(ctx, u.ID); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if check(); len(found) > 0 {
		t.Errorf("afterwards: %v", found)
	}
	doc, err := e.findMailboxDoc(ctx, byBox(inbox.Key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Removals(ctx, inbox.Key, 1, uint64(doc.Expunged), 10); !errors.Is(err, ErrJournalGap) {
		t.Errorf("the entry is gone: %v", err)
	}
}
