package imap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailstore"
)

// TestSearchFindsNoMore: searches for MIN, MAX, COUNT and PARTIAL, and orders and threads, read of
// the database what they are asked for and no more; bodies only if texts are searched.
func TestSearchFindsNoMore(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	// The database answers, not the columns that sessions share.
	accounts, err := account.New(account.Options{Store: s.store, Bus: s.bus, ColumnBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	s = s.serve(t, Options{Authenticator: testAuthenticator(accounts), MaxMessageSize: 1 << 20, Logger: s.log}, s.store)
	const messages = 400
	for i := range messages {
		d := mailstore.Delivery{InternalDate: time.Unix(1_800_000_000+int64(i*7919%messages), 0)}
		if i%2 == 0 {
			d.Flags = mailstore.Flagged
		}
		if i%4 == 0 {
			d.Flags |= mailstore.Seen
		}
		s.deliverTo(t, strings.NewReader(message(fmt.Sprint("number ", i))), d)
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	for _, tt := range []struct {
		command                     string
		queries, documents, content int // at most; of a content two documents are read
	}{
		{"SEARCH RETURN (COUNT) ALL", 0, 0, 0},
		{"SEARCH RETURN (MIN MAX COUNT) 5:*", 0, 0, 0},
		{"SEARCH RETURN (MIN) UNSEEN", 1, 1, 0},
		{"SEARCH RETURN (MAX) FLAGGED", 1, 1, 0},
		{"SEARCH RETURN (COUNT) FLAGGED", 1, 1, 0},
		{"SEARCH RETURN (MIN MAX COUNT) UNSEEN LARGER 10", 3, 3, 0},
		{"SEARCH RETURN (MIN MAX COUNT) DRAFT", 1, 1, 0},
		{"SEARCH RETURN (PARTIAL 1:10) FLAGGED", 1, 10, 0},
		{"SEARCH RETURN (PARTIAL -1:-10) UNFLAGGED", 1, 10, 0},
		{"SEARCH RETURN (PARTIAL -5:-10 MAX) UNFLAGGED", 1, 10, 0},
		{"SEARCH RETURN (SAVE MIN) FLAGGED", 1, 1, 0},
		{"SEARCH RETURN (MIN) BODY hello", 1, 64, 16},
		{"SEARCH RETURN (PARTIAL -1:-5) TEXT hello", 1, 64, 16},
		{"SEARCH RETURN (MAX) SUBJECT number", 1, 64, 0},
		{"SORT (ARRIVAL) UTF-8 ALL", 1, messages, 0},
		{"SORT (SUBJECT DATE SIZE) UTF-8 ALL", 1, messages, 0},
		{"SORT (FROM TO CC DISPLAYFROM DISPLAYTO) UTF-8 ALL", 1, messages, 0},
		{"SORT RETURN (COUNT) (SUBJECT) UTF-8 FLAGGED", 1, messages / 2, 0},
		{"SORT (DATE) UTF-8 FLAGGED", 2, messages/2 + messages, 0},
		{"THREAD REFERENCES UTF-8 ALL", 1, messages, 0},
		{"THREAD ORDEREDSUBJECT UTF-8 ALL", 1, messages, 0},
		{"THREAD REFS UTF-8 1:100", 1, 100, 0},
	} {
		commands.Reset()
		c.ok("%s", tt.command)
		queries, documents, content := commands.Reads("messages"), commands.Documents("messages"),
			commands.Documents("contents")
		if queries > tt.queries || documents > tt.documents || content > tt.content {
			t.Errorf("%s: %d queries, %d documents, %d contents; at most %d, %d, %d", tt.command,
				queries, documents, content, tt.queries, tt.documents, tt.content)
		}
	}
	// From columns, what only they tell needs no query of messages.
	s = s.serve(t, Options{Authenticator: testAuthenticator(testAccounts(t, s.store, s.bus, s.log)),
		MaxMessageSize: 1 << 20, Logger: s.log}, s.store)
	c = s.login(t)
	c.ok("SELECT INBOX")
	c.ok("FETCH 1:* FLAGS")
	for _, command := range []string{
		"SEARCH RETURN (COUNT) FLAGGED", "SEARCH RETURN (MIN MAX) UNSEEN",
		"SEARCH RETURN (PARTIAL -1:-10) UNFLAGGED",
		"SORT (ARRIVAL) UTF-8 ALL", "SORT (REVERSE SIZE ARRIVAL) UTF-8 UNSEEN",
		"UID SORT RETURN (PARTIAL 1:3) (ARRIVAL) UTF-8 FLAGGED",
		"SEARCH RETURN (UPDATE) FLAGGED", "SEARCH EMAILID M7", "SEARCH RETURN (COUNT) NOT EMAILID M7",
	} {
		commands.Reset()
		c.ok("%s", command)
		if n := commands.Reads("messages"); n != 0 {
			t.Errorf("%s: %d queries", command, n)
		}
	}
	// A context with an order compares a new message with few others.
	c.ok("SORT RETURN (UPDATE) (SUBJECT) UTF-8 ALL")
	s.deliverTo(t, strings.NewReader(message("number 2500")), mailstore.Delivery{})
	commands.Reset()
	c.ok("NOOP")
	if n := commands.Documents("messages"); n > 20 {
		t.Errorf("a new message in a context: %d documents", n)
	}
}
