package imap

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

// When nobody knows whether a command was done, the client is told so, and goes on.
func TestUnknownOutcome(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	s := newTestServerOn(t, set.Database(t))
	c := s.login(t)
	m := message("one")
	c.append("INBOX", "", m)
	c.ok("SELECT INBOX")
	for _, command := range []string{`STORE 1 +FLAGS (\Flagged)`, "COPY 1 Sent", "CREATE new", "RENAME Sent Posted"} {
		set.FailPoint(t, bson.D{{Key: "times", Value: 1}}, bson.D{
			{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "errorCode", Value: 8000}})
		c.refused("[UNAVAILABLE] It is not known whether this was done", "%s", command)
	}
	set.FailPoint(t, bson.D{{Key: "times", Value: 1}}, bson.D{
		{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "errorCode", Value: 8000}})
	if _, status := c.do("APPEND INBOX {%d+}\r\n%s", len(m), m); !strings.HasPrefix(status, "NO [UNAVAILABLE]") {
		t.Errorf("APPEND: %s", status)
	}
	c.ok("NOOP")
}

// A client waits for another primary, and sees nothing of the change.
func TestClientsAcrossAFailover(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 2)
	s := newTestServerOn(t, set.Database(t))
	c := s.login(t)
	c.append("INBOX", "", message("one"))
	c.ok("SELECT INBOX")
	for _, primary := range []int{1, 0} {
		set.StepDown(t)
		set.StepUp(t, primary)
		c.ok(`STORE 1 FLAGS (\Seen)`)
		if untagged, _ := c.ok("FETCH 1 (FLAGS ENVELOPE)"); len(untagged) != 1 ||
			!strings.Contains(untagged[0], `FLAGS (\Seen)`) {
			t.Errorf("%q", untagged)
		}
		c.append("Sent", "", message("two"))
	}
}
