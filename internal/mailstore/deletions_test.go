package mailstore

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// What somebody is purging is left to him, until he is silent for too long or has given up.
func TestLeases(t *testing.T) {
	e := newEnv(t)
	u, goes := e.user(t), e.user(t)
	doomed := e.box(t, u, "Trash").Key
	for _, key := range []mailkey.Mailbox{doomed, e.box(t, goes, Inbox).Key} {
		e.fill(t, key, 3, nil)
	}
	if err := e.markDeleting(t.Context(), doomed); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.users.UpdateOne(t.Context(), byID(goes.ID.Binary()), bson.D{{Key: "$set", Value: bson.D{
		{Key: userDeleting, Value: true}, {Key: userPurged, Value: now()}}}}); err != nil {
		t.Fatal(err)
	}
	left := func(want int64) {
		t.Helper()
		if err := e.finishDeletions(t.Context(), purgeLease); err != nil {
			t.Fatal(err)
		}
		if n, err := e.messages.CountDocuments(t.Context(), bson.D{}); err != nil || n != want {
			t.Errorf("%d messages, %v; want %d", n, err, want)
		}
	}
	left(6)
	// Interrupted purges give up their leases.
	if err := e.purgeMailbox(ended, doomed); err == nil {
		t.Error("a purge without time succeeds")
	}
	left(3)
	if err := e.purgeUser(ended, goes.ID); err == nil {
		t.Error("a purge without time succeeds")
	}
	left(0)
	if err := e.nothingMarked(t); err != nil {
		t.Error(err)
	}
	e.checkConsistent(t, u)
	e.checkNothingElse(t, u)
}
