package imap

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

// TestLongWaitTellsProgress: a command that waits for a single command of the database tells meanwhile
// that it is at work, again and again, and then ends as always.
func TestLongWaitTellsProgress(t *testing.T) {
	var stopAt atomic.Pointer[string]
	goOn := make(chan struct{})
	client := dbtest.NewClient(t, options.Client().SetMonitor(&event.CommandMonitor{
		Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			name := e.CommandName
			if name == "find" {
				name += " " + e.Command.Lookup("find").StringValue()
			}
			if at := stopAt.Load(); at != nil && *at == name && stopAt.CompareAndSwap(at, nil) {
				select {
				case <-goOn:
				case <-ctx.Done():
				}
			}
		},
	}))
	s := newTestServerOn(t, client.Database(dbtest.Database(t).Name()))
	s.progressEvery = time.Millisecond
	c := s.login(t)
	mail := message("new")
	for _, tt := range []struct{ command, stopAt, detail string }{
		{"COPY 1:2 Archive", "commitTransaction", "0 2"},
		{"MOVE 1:2 Archive", "commitTransaction", "0 2"},
		{"UID STORE 1:* +FLAGS (\\Answered)", "commitTransaction", "NIL NIL"},
		{"EXPUNGE", "commitTransaction", "NIL NIL"},
		{fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(mail), mail), "commitTransaction", "NIL NIL"},
		{fmt.Sprintf("REPLACE 1 INBOX {%d+}\r\n%s", len(mail), mail), "commitTransaction", "NIL NIL"},
		{"SEARCH TEXT nothing", "find contents", "0 4"},
		{"SORT (SUBJECT) UTF-8 TEXT nothing", "find contents", "0 4"},
		{"THREAD REFERENCES UTF-8 TEXT nothing", "find contents", "0 4"},
		{"ESEARCH IN (selected) RETURN (ALL) TEXT nothing", "find contents", "0 4"},
		{"RENAME Archive Archive2", "commitTransaction", "NIL NIL"},
		{"RENAME Archive2 Archive", "commitTransaction", "NIL NIL"},
	} {
		verb, _, _ := strings.Cut(tt.command, "\r\n")
		c.ok("SELECT INBOX")
		c.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
		c.ok("EXPUNGE")
		for range 4 {
			c.append("INBOX", "\\Deleted", message("old"))
		}
		c.ok("NOOP")
		stopAt.Store(&tt.stopAt)
		c.send("long " + tt.command + "\r\n")
		// What was told on the way there may have other numbers.
		for told, begun := 0, time.Now(); told < 3; {
			line := c.line()
			if strings.HasPrefix(line, "long ") {
				t.Fatalf("%s: %s", verb, line)
			}
			if strings.Contains(line, "INPROGRESS") {
				if !strings.HasPrefix(line, `* OK [INPROGRESS ("long" `) {
					t.Errorf("%s: %s", verb, line)
				}
				if strings.HasPrefix(line, `* OK [INPROGRESS ("long" `+tt.detail+")] ") {
					told++
				} else if time.Since(begun) > testWait {
					t.Fatalf("%s: %s, want %s", verb, line, tt.detail)
				}
			}
		}
		select {
		case goOn <- struct{}{}:
		case <-time.After(testWait):
			t.Fatalf("%s has not come to its %s", verb, tt.stopAt)
		}
		if lines, status := c.until("long"); !strings.HasPrefix(status, "OK") {
			t.Errorf("%s: %q, %s", verb, lines, status)
		}
	}
}
