package webhooks

import (
	"encoding/binary"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
)

func nobody(string) bool { return false }

// removeAllLeft removes all that removed hooks have left.
func (e *env) removeAllLeft(t *testing.T) {
	t.Helper()
	if more, err := e.removeLeft(t.Context(), nobody); err != nil || more {
		t.Fatal(more, err)
	}
}

// documents counts what hooks have in the database.
func (e *env) documents(t *testing.T) (readers, hooks int64) {
	t.Helper()
	readers, err := e.readers.CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	hooks, err = e.hooks.CountDocuments(t.Context(),
		bson.D{{Key: "_id", Value: bson.D{{Key: "$ne", Value: signingKey}}}})
	if err != nil {
		t.Fatal(err)
	}
	return readers, hooks
}

// An instance that does not know yet that a hook was removed leaves nothing for it, and if it ends in
// between, the next sender removes that.
func TestNothingIsLeftOfRemovedHooks(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	stale := newEnv(t, e.db)
	h := e.hook(t, newReceiver(t), mailkey.UserID{})
	ada := e.User(t, "ada@example.com")
	if err := stale.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	e.removeAllLeft(t)
	if len(stale.list()) != 1 {
		t.Fatal("the other instance knows")
	}
	stale.deliver(t, ada, "late")
	if readers, hooks := e.documents(t); readers != 0 || hooks != 0 {
		t.Errorf("%d readers, %d hooks", readers, hooks)
	}
	key := newReaderKey(ada.ID, h.ID)
	if _, err := e.readers.InsertOne(t.Context(), bson.D{{Key: "_id", Value: key.binary()},
		{Key: readerHook, Value: h.ID}}); err != nil {
		t.Fatal(err)
	}
	kept := e.hook(t, newReceiver(t), mailkey.UserID{})
	e.deliver(t, ada, "for the other hook")
	if err := e.removeStrays(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.removeAllLeft(t)
	if readers, hooks := e.documents(t); readers != 1 || hooks != 1 {
		t.Errorf("%d readers, %d hooks, want those of the hook that is there", readers, hooks)
	}
	if _, err := e.Hook(t.Context(), kept.ID); err != nil {
		t.Error(err)
	}
}

// What hooks have left goes a bounded number of documents at a time, and not while a sender sends.
func TestRemovalIsBounded(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	h := e.hook(t, newReceiver(t), mailkey.UserID{})
	docs := make([]any, removeBatch*removeBatches+1)
	for i := range docs {
		var user mailkey.UserID
		binary.BigEndian.PutUint32(user[:], uint32(i))
		docs[i] = bson.D{{Key: "_id", Value: newReaderKey(user, h.ID).binary()}, {Key: readerHook, Value: h.ID}}
	}
	if _, err := e.readers.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.removeLeft(t.Context(), func(id string) bool { return id == h.ID }); err != nil {
		t.Fatal(err)
	}
	if readers, _ := e.documents(t); readers != int64(len(docs)) {
		t.Errorf("readers of a hook that is being served are removed: %d are left", readers)
	}
	if more, err := e.removeLeft(t.Context(), nobody); err != nil || !more {
		t.Errorf("more: %t, %v", more, err)
	}
	if readers, hooks := e.documents(t); readers != 1 || hooks != 1 {
		t.Errorf("%d readers, %d hooks", readers, hooks)
	}
	// A sender removes the rest, although there is no other hook.
	e.run(t)
	deadline := time.Now().Add(time.Minute)
	for readers, hooks := e.documents(t); readers+hooks > 0; readers, hooks = e.documents(t) {
		if time.Now().After(deadline) {
			t.Fatalf("%d readers, %d hooks", readers, hooks)
		}
	}
}
