package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
)

// seenServer starts a server on which each reader of a shared mailbox has a \Seen of the reader's own.
func seenServer(t *testing.T) *testServer {
	t.Helper()
	s := newTestServer(t)
	s.addUser(t, other)
	s.addUser(t, third)
	accounts, err := account.New(account.Options{Store: s.store, Bus: s.bus, SeenApart: true})
	if err != nil {
		t.Fatal(err)
	}
	return s.serve(t, Options{Authenticator: testAuthenticator(accounts), Logger: s.log}, s.store)
}

func TestSeenOfEachReader(t *testing.T) {
	s := seenServer(t)
	alice, bob, carol := s.login(t), dialIMAP(t, s.addr, other, testPassword), dialIMAP(t, s.addr, third, testPassword)
	alice.append("INBOX", `\Seen`, message("a"))
	alice.append("INBOX", "", message("b"))
	alice.append("INBOX", "", message("c"))
	alice.ok("SETACL INBOX anyone lrsi")
	alice.ok("SETACL INBOX %s +w", third)
	const inbox = `"Other Users/alice@example.com/INBOX"`
	unseen := func(c *testClient, name, want string) {
		t.Helper()
		for _, command := range []string{"STATUS %s (UNSEEN)", `LIST "" %s RETURN (STATUS (UNSEEN))`} {
			c.ok("NOOP")
			got, _ := c.ok(command, name)
			if line := got[len(got)-1]; line != "* STATUS "+name+" (UNSEEN "+want+")" {
				t.Errorf("%q, want %s unseen", line, want)
			}
		}
	}
	flags := func(c *testClient, want ...string) {
		t.Helper()
		c.ok("NOOP")
		got, _ := c.ok("FETCH 1:* (FLAGS)")
		for i, line := range got {
			_, list, _ := strings.Cut(line, "FLAGS (")
			if list = strings.TrimSuffix(list, "))"); list != want[i] {
				t.Errorf("message %d: %q, want %q", i+1, list, want[i])
			}
		}
	}
	search := func(c *testClient, key, want string) {
		t.Helper()
		if got, _ := c.ok("SEARCH %s", key); got[0] != strings.TrimSpace("* SEARCH "+want) {
			t.Errorf("SEARCH %s: %q, want %q", key, got, want)
		}
	}
	unseen(alice, "INBOX", "2")
	unseen(bob, inbox, "3")
	opened, _ := bob.ok("SELECT %s", inbox)
	if !slices.ContainsFunc(opened, func(l string) bool { return strings.HasPrefix(l, "* OK [UNSEEN 1]") }) {
		t.Errorf("SELECT: %q", opened)
	}
	flags(bob, "", "", "")
	bob.ok("FETCH 2 BODY[]")
	flags(bob, "", `\Seen`, "")
	bob.ok("STORE 3 +FLAGS.SILENT (\\Seen)")
	bob.ok("STORE 2 -FLAGS.SILENT (\\Seen)")
	flags(bob, "", "", `\Seen`)
	search(bob, "SEEN", "3")
	search(bob, "UNSEEN", "1 2")
	search(bob, "OR SEEN UID 1", "1 3")
	unseen(bob, inbox, "2")
	unseen(carol, inbox, "3")
	unseen(alice, "INBOX", "2")

	// Another session of the same user is told, and those of others see what they have seen.
	bob2 := dialIMAP(t, s.addr, other, testPassword)
	bob2.ok("ENABLE CONDSTORE")
	bob2.ok("SELECT %s", inbox)
	carol.ok("SELECT %s", inbox)
	alice.ok("SELECT INBOX")
	bob.ok("STORE 1 +FLAGS (\\Seen)")
	got, _ := bob2.ok("NOOP")
	if len(got) != 1 || !strings.Contains(got[0], `FLAGS (\Seen)`) || !strings.Contains(got[0], "MODSEQ") {
		t.Errorf("bob's other session is told %q", got)
	}
	flags(carol, "", "", "")
	flags(alice, `\Seen`, "", "")
	carol.ok("STORE 1 FLAGS (\\Seen \\Flagged)")
	flags(carol, `\Seen \Flagged`, "", "")
	alice.ok("STORE 1 -FLAGS (\\Seen)")
	flags(alice, `\Flagged`, "", "")
	flags(bob, `\Seen \Flagged`, "", `\Seen`)

	// What a reader copies is seen as the reader has seen it, and so is what the reader brings.
	bob.ok("COPY 1:3 Archive")
	unseen(bob, "Archive", "1")
	text := message("d")
	bob.ok("APPEND %s (\\Seen) {%d+}\r\n%s", inbox, len(text), text)
	bob.ok("SELECT Archive")
	bob.ok("COPY 1:2 %s", inbox)
	unseen(bob, inbox, "2")
	unseen(carol, inbox, "5")
	unseen(alice, "INBOX", "6")
	alice.ok("UNSELECT")

	// Without any right that all others notice, a mailbox is READ-ONLY.
	if _, status := bob.ok("SELECT %s", inbox); !strings.HasPrefix(status, "OK [READ-WRITE]") {
		t.Errorf("with i: %s", status)
	}
	alice.ok("SETACL INBOX anyone lrs")
	if _, status := bob.ok("SELECT %s", inbox); !strings.HasPrefix(status, "OK [READ-ONLY]") {
		t.Errorf("with lrs: %s", status)
	}
	bob.ok("STORE 2 +FLAGS (\\Seen)")
}

// What a client brought in is there, and the client is told so, though its \Seen cannot be noted.
func TestSeenThatCannotBeNoted(t *testing.T) {
	s := seenServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.ok("SETACL INBOX %s lrsite", other)
	const inbox = `"Other Users/alice@example.com/INBOX"`
	bob.append("INBOX", `\Seen`, message("a"))
	bob.append("INBOX", `\Seen`, message("b"))
	bob.ok("SELECT INBOX")
	text := message("c")
	bob.ok("APPEND %s (\\Seen) {%d+}\r\n%s", inbox, len(text), text)
	if res, err := s.db.Collection("seen").UpdateMany(t.Context(), bson.D{},
		bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: []byte{0}}}}}); err != nil || res.ModifiedCount != 1 {
		t.Fatal(res, err)
	}
	bob.ok("APPEND %s (\\Seen) {%d+}\r\n%s", inbox, len(text), text)
	for _, command := range []string{"COPY", "MOVE"} {
		if _, status := bob.ok("%s 1 %s", command, inbox); command == "COPY" && !strings.Contains(status, "COPYUID") {
			t.Errorf("%s: %s", command, status)
		}
	}
	if got, _ := alice.ok("STATUS INBOX (MESSAGES)"); got[0] != "* STATUS INBOX (MESSAGES 4)" {
		t.Errorf("%q", got)
	}
}

func TestSeenOfManyMessages(t *testing.T) {
	s := seenServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	for i := range 30 {
		alice.append("INBOX", "", message(fmt.Sprint(i)))
	}
	alice.ok("SETACL INBOX %s lrste", other)
	bob.ok(`SELECT "Other Users/alice@example.com/INBOX"`)
	bob.ok("STORE 1:10,20:25 +FLAGS (\\Seen)")
	bob.ok("STORE 5,22:30 -FLAGS (\\Seen)")
	if got, _ := bob.ok("UID SEARCH RETURN (ALL) SEEN"); !strings.HasSuffix(got[0], "ALL 1:4,6:10,20:21") {
		t.Errorf("%q", got)
	}
	bob.ok("STORE 1:3 +FLAGS (\\Deleted)")
	bob.ok("EXPUNGE")
	if got, _ := bob.ok(`STATUS "Other Users/alice@example.com/INBOX" (UNSEEN MESSAGES)`); !strings.HasSuffix(got[0],
		"(UNSEEN 19 MESSAGES 27)") {
		t.Errorf("%q", got)
	}
	if got, _ := alice.ok("STATUS INBOX (UNSEEN)"); got[0] != "* STATUS INBOX (UNSEEN 27)" {
		t.Errorf("%q", got)
	}
}
