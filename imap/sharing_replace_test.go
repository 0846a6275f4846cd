package imap

import (
	"fmt"
	"strings"
	"testing"

	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// REPLACE between mailboxes of different users charges the owner of the new message, gives the room of
// the old one back to its owner, and needs the rights of both mailboxes. Where it is refused, the old
// message stays.
func TestReplaceAcrossUsers(t *testing.T) {
	s := newTestServer(t)
	alice, carol := s.user, s.addUser(t, third)
	bob := s.addUser(t, other)
	asAlice, asBob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	asCarol := dialIMAP(t, s.addr, third, testPassword)
	const drafts, theirs = `"Other Users/` + testUser + `/Drafts"`, `"Other Users/` + third + `/Drafts"`
	share := func(c *testClient, rights string) {
		t.Helper()
		c.ok("SETACL Drafts %s %s", other, rights)
	}
	messages := func(u *mailstore.User) int64 {
		t.Helper()
		_, used, err := s.store.Quota(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		return used.Messages
	}
	limit := func(u *mailstore.User, n int64) {
		t.Helper()
		if err := s.store.SetLimits(t.Context(), u.ID, quota.Limits{Messages: n}); err != nil {
			t.Fatal(err)
		}
	}
	used := func(what string, ofAlice, ofBob, ofCarol int64) {
		t.Helper()
		if a, b, c := messages(alice), messages(bob), messages(carol); a != ofAlice || b != ofBob || c != ofCarol {
			t.Errorf("%s: alice has %d messages, bob %d, carol %d, want %d, %d and %d", what, a, b, c,
				ofAlice, ofBob, ofCarol)
		}
		s.consistent(t)
	}
	replace := func(what, to, want string) (lines []string) {
		t.Helper()
		text := message(what)
		lines, status := asBob.do(`REPLACE 1 %s (\Seen \Flagged $Label) {%d+}`+"\r\n%s", to, len(text), text)
		if !strings.HasPrefix(status, want) {
			t.Errorf("%s: %s, want %s", what, status, want)
		}
		return lines
	}
	const overQuota = "NO [OVERQUOTA] Quota exceeded: that of the mailbox's owner"

	// Within the mailbox of another user: the owner needs room for the difference.
	share(asAlice, "lrswite")
	asAlice.append("Drafts", "", message("one"))
	asBob.ok("SELECT %s", drafts)
	full := quota.Limits{Bytes: int64(len(message("one"))), Messages: 1}
	if err := s.store.SetLimits(t.Context(), alice.ID, full); err != nil {
		t.Fatal(err)
	}
	replace("no room", drafts, overQuota)
	used("refused", 1, 0, 0)
	limit(alice, 1)
	replace("room for it", drafts, "OK")
	used("within", 1, 0, 0)
	asAlice.ok("SELECT Drafts")
	if got, _ := asAlice.ok("FETCH 1:* (UID FLAGS ENVELOPE)"); len(got) != 1 ||
		!strings.Contains(got[0], `UID 2 FLAGS (\Seen \Flagged $Label)`) || !strings.Contains(got[0], `"room for it"`) {
		t.Errorf("alice sees %q", got)
	}

	// Out of it, into one's own, and to a third user. Both expunge and delete are needed there.
	for _, rights := range []string{"lrswit", "lrswie"} {
		share(asAlice, rights)
		replace("rights "+rights, "INBOX", "NO [NOPERM]")
	}
	used("without the right", 1, 0, 0)
	share(asAlice, "lrte")
	limit(bob, 1)
	replace("into one's own", "INBOX", "OK")
	used("out of it", 0, 1, 0)
	if got, _ := asAlice.ok("NOOP"); len(got) == 0 || got[0] != "* 1 EXPUNGE" {
		t.Errorf("alice is told %q", got)
	}
	asBob.ok("SELECT INBOX")

	// Into the mailbox of another user.
	replace("no right to insert", drafts, "NO [NOPERM]")
	share(asAlice, "lpte")
	replace("no right to insert, and none to read", drafts, "NO [NOPERM]")
	share(asAlice, `""`)
	replace("nothing", drafts, "NO [TRYCREATE]")
	share(asAlice, "lri")
	asAlice.append("INBOX", "", message("other"))
	limit(alice, 1)
	replace("no room there", drafts, overQuota)
	used("no room there", 1, 1, 0)
	limit(alice, 2)
	replace("room there", drafts, "OK")
	used("there", 2, 0, 0)
	asAlice.ok("NOOP")
	if got, _ := asAlice.ok("FETCH * (UID FLAGS)"); len(got) != 1 || got[0] != "* 1 FETCH (UID 3 FLAGS ())" {
		t.Errorf("flags that bob may not set are there: %q", got)
	}

	// From one user to a third one, by a URL of the message that goes.
	share(asAlice, "lrte")
	share(asCarol, "i") // bob cannot see it
	asBob.ok("SELECT %s", drafts)
	limit(carol, 1)
	lines, status := asBob.do("UID REPLACE 3 %s CATENATE (%s URL \"/Other%%20Users/%s/Drafts/;UID=3\")",
		`{`+fmt.Sprint(len(theirs)-2)+"+}\r\n"+strings.Trim(theirs, `"`), text("X-From: alice\r\n"), testUser)
	// No APPENDUID of a mailbox that bob may not select (RFC 4315 section 3).
	if !strings.HasPrefix(status, "OK") || len(lines) != 1 || lines[0] != "* 1 EXPUNGE" {
		t.Errorf("to a third user: %q, %s", lines, status)
	}
	used("to a third user", 1, 0, 1)
	asCarol.ok("SELECT Drafts")
	if got := asCarol.fetched(1); got != "X-From: alice\r\n"+message("room there") {
		t.Errorf("carol has %q", got)
	}
}
