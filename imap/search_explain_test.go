package imap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/account"
	"gadwall/internal/dbtest"
)

// finds records the find commands on the messages.
type finds struct {
	mu   sync.Mutex
	list []bson.D
}

func (f *finds) started(_ context.Context, e *event.CommandStartedEvent) {
	if e.CommandName != "find" || e.Command.Lookup("find").StringValue() != "messages" {
		return
	}
	var command bson.D
	if err := bson.Unmarshal(e.Command, &command); err != nil {
		panic(err)
	}
	// What belongs to the message rather than to the query.
	command = slices.DeleteFunc(command, func(e bson.E) bool {
		switch e.Key {
		case "find", "filter", "sort", "projection", "limit":
			return false
		}
		return true
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, command)
}

// take returns what was recorded, and forgets it.
func (f *finds) take() []bson.D {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

// TestQueriesStayInMailbox: the queries of FETCH and SEARCH examine no message
// of another mailbox, and where a key or an index leads to the messages asked
// for, not many more than these.
func TestQueriesStayInMailbox(t *testing.T) {
	var recorded finds
	client := dbtest.NewClient(t, options.Client().SetMonitor(&event.CommandMonitor{Started: recorded.started}))
	db := client.Database(dbtest.Database(t).Name()) // the other one drops it
	s := newTestServerOn(t, db)
	// The database answers, not the columns that sessions share.
	accounts, err := account.New(account.Options{Store: s.store, Bus: s.bus, ColumnBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	s = s.serve(t, Options{Authenticator: testAuthenticator(accounts), MaxMessageSize: 1 << 20, Logger: s.log}, s.store)
	c := s.login(t)
	const messages = 120
	for _, box := range []string{"Archive", "INBOX", "Sent"} { // neighbours on both sides
		for i := range messages {
			flags := `\Seen`
			if i%40 == 5 {
				flags = `\Flagged`
			}
			c.append(box, flags, message(fmt.Sprintf("%s%d", box, i)))
		}
	}
	c.ok("SELECT INBOX")
	c.ok("STORE 7,77 +FLAGS (\\Deleted)")
	tests := []struct {
		command  string
		examined int // at most
	}{
		{"FETCH 1:* (UID FLAGS)", messages},
		{"FETCH 10 (FLAGS ENVELOPE)", 1},
		{"UID FETCH 20:29 (FLAGS BODY.PEEK[HEADER])", 10},
		// MongoDB walks a clustered key from the least to the greatest
		{"UID FETCH 20,40,60 (FLAGS)", 41},
		{"FETCH 1:* (FLAGS) (CHANGEDSINCE 118)", messages},
		{"UID SEARCH UID 30:39 SEEN", 10},
		{"SEARCH UNSEEN", 3},
		{"SEARCH UNSEEN FLAGGED", 3},
		{"SEARCH DELETED", 2},
		{"SEARCH FLAGGED", messages},
		{"SEARCH SINCE 1-Jan-1996", messages},
		{"SEARCH SENTON 17-Jul-1996", messages},
		{"SEARCH SUBJECT box1", messages},
		{"SEARCH TEXT hello", messages},
		{"SEARCH OR UID 5:9 UNSEEN", messages},
		{"SEARCH KEYWORD none NOT 3", messages},
	}
	for _, tt := range tests {
		recorded.take()
		c.ok("%s", tt.command)
		queries := recorded.take()
		if len(queries) == 0 {
			t.Errorf("%s: no query", tt.command)
		}
		examined := 0
		for _, q := range queries {
			plan := dbtest.ExplainCommand(t, db, q)
			examined += plan.DocsExamined
			if plan.Sorts() {
				t.Errorf("%s: %v", tt.command, plan)
			}
		}
		if examined > tt.examined {
			t.Errorf("%s: %d documents examined, at most %d expected, in %v", tt.command, examined,
				tt.examined, queries)
		}
	}
}

// TestAnsweredFromColumns: what sessions share in memory needs no query of messages, and one read
// of the mailbox's document.
func TestAnsweredFromColumns(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	c := s.selectMails(t, message("a"), message("b"), message("c"))
	c.ok("FETCH 1:* FLAGS") // loads them
	other := s.login(t)
	for _, command := range []string{
		"SELECT INBOX", "FETCH 1:* (UID FLAGS)", "FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE)",
		"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)", "NOOP", "SEARCH UNSEEN", "SEARCH NOT KEYWORD x LARGER 1",
		"SEARCH OR FLAGGED UID 2", "SELECT INBOX",
	} {
		commands.Reset()
		other.ok("%s", command)
		if messages, boxes := commands.Reads("messages"), commands.Reads("mailboxes"); messages != 0 || boxes != 1 {
			t.Errorf("%s: %d reads of messages, %d of mailboxes", command, messages, boxes)
		}
	}
	c.ok("STORE 2 +FLAGS (\\Seen)")
	commands.Reset()
	if lines, _ := other.ok("FETCH 2 FLAGS"); lines[0] != "* 2 FETCH (FLAGS (\\Seen))" ||
		commands.Reads("messages") != 1 {
		t.Errorf("after a change: %q, %v", lines, commands)
	}
}

// TestAnsweredFromView: what the view knows needs no query.
func TestAnsweredFromView(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	c := s.selectMails(t, message("a"), message("b"), message("c"))
	commands.Reset()
	for _, command := range []string{"SEARCH ALL", "UID SEARCH 2:*", "SEARCH NOT UID 2",
		"SEARCH NEW", "SEARCH UID 999", "FETCH 1:* UID"} {
		c.ok("%s", command)
		if n := commands.Reads("messages"); n != 0 {
			t.Errorf("%s: %v", command, commands)
			commands.Reset()
		}
	}
}

// TestFetchReads: a FETCH costs as many queries as it has batches, not as it
// has messages, and touches contents only for what is in them.
func TestFetchReads(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	c := s.login(t)
	for i := range 50 {
		c.append("INBOX", "", message(fmt.Sprint("m", i)))
	}
	c.ok("SELECT INBOX")
	tests := []struct {
		command            string
		messages, contents int // reads
	}{
		{"FETCH 1:* (UID FLAGS)", 1, 0},
		{"FETCH 1:* FULL", 1, 0},
		{"FETCH 1:* (ENVELOPE BODYSTRUCTURE)", 1, 0},
		{"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])", 1, 0}, // of new mail
		{"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Received)])", 1, 1},
		{"FETCH 1:* RFC822.HEADER", 1, 1},
		{"FETCH 1:* BODY.PEEK[]", 1, 1},
		{"FETCH 1:* BODY.PEEK[TEXT]", 1, 1},
		{"FETCH 1:* BODY.PEEK[TEXT]<0.100>", 1, 2},
		{"FETCH 1:* BODY.PEEK[1]", 1, 2},
		{"FETCH 1:* (BODY.PEEK[1.MIME] BODY.PEEK[1])", 1, 2},
		{"SEARCH TEXT hello", 1, 1},
		{"SEARCH HEADER Date 1996", 1, 1},
		{"SEARCH SUBJECT m1", 1, 0},
	}
	for _, tt := range tests {
		commands.Reset()
		c.ok("%s", tt.command)
		if m, n := commands.Reads("messages"), commands.Reads("contents"); m != tt.messages || n != tt.contents {
			t.Errorf("%s: %d reads of messages, want %d; %d of contents, want %d", tt.command, m,
				tt.messages, n, tt.contents)
		}
	}
}
