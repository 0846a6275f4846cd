package node

import (
	"testing"
	"time"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/schema"
)

// When an instance is lost, the sessions of the others look for what it changed.
func TestSessionsLookWhenAnInstanceIsLost(t *testing.T) {
	n := open(t, withDir(dataDir(t), Serving))
	sub := n.Bus.Subscribe(mailkey.UserID{1})
	defer sub.Close()
	resync := func(why string) {
		t.Helper()
		select {
		case ev := <-sub.C():
			if ev.Kind != events.Resync {
				t.Errorf("%s: %+v", why, ev)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: no event", why)
		}
	}
	resync("the channel is subscribed")
	n.Schema.Lost(&schema.Instance{ID: "killed"})
	resync("an instance is lost")
}
