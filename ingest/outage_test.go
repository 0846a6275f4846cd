package ingest

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

// When nobody knows whether a message was stored, the MTA keeps it, and its content keeps the
// reference that a message may hold.
func TestUnknownOutcome(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 2)
	db := set.Database(t)
	st := realStoreOn(t, db)
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	send := func(want string) {
		t.Helper()
		c := ts.dial(t)
		c.open("LHLO", "ada@example.com")
		c.cmd("DATA", "354 ")
		c.send("Subject: hello\r\n\r\nhello\r\n.\r\n")
		c.want(want)
	}
	set.FailPoint(t, bson.D{{Key: "times", Value: 1}}, bson.D{
		{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "errorCode", Value: 8000}})
	send("451 4.3.0 ")
	var stored []struct{ Refs int64 }
	findAll(t, db.Collection("contents"), &stored)
	if len(stored) != 1 || stored[0].Refs != 1 {
		t.Errorf("contents %+v", stored)
	}
	set.StepDown(t)
	set.StepUp(t, 1)
	send("250 2.1.5 ")
	if n := len(inboxOf(t, st, "ada")); n != 1 {
		t.Errorf("%d messages", n)
	}
}
