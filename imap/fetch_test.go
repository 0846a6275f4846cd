package imap

import (
	"fmt"
	"strings"
	"testing"
)

// selectMails returns a client that has a mailbox with these messages selected.
func (s *testServer) selectMails(t testing.TB, mails ...string) *testClient {
	t.Helper()
	c := s.login(t)
	for _, m := range mails {
		c.append("INBOX", "", m)
	}
	c.ok("SELECT INBOX")
	return c
}

// fetchOne is the single FETCH response to a command, without "* n FETCH ".
func (c *testClient) fetchOne(format string, args ...any) string {
	c.t.Helper()
	lines, _ := c.ok(format, args...)
	if len(lines) != 1 {
		c.t.Fatalf("%s: %d responses: %q", fmt.Sprintf(format, args...), len(lines), lines)
	}
	_, data, ok := strings.Cut(lines[0], " FETCH ")
	if !ok {
		c.t.Fatalf("%s: %q", fmt.Sprintf(format, args...), lines[0])
	}
	return data
}

func literal(s string) string { return fmt.Sprintf("{%d}\r\n%s", len(s), s) }

func TestFetchItems(t *testing.T) {
	c := newTestServer(t).selectMails(t, crlf(plainMail), crlf(nestMail))
	const date = `"17-Jul-1996 09:44:25 +0000"`
	tests := []struct{ command, want string }{
		{"FETCH 1 FAST", fmt.Sprintf("(FLAGS () INTERNALDATE %s RFC822.SIZE %d)", date, len(crlf(plainMail)))},
		{"FETCH 1 UID", "(UID 1)"},
		{"UID FETCH 2 (FLAGS)", "(UID 2 FLAGS ())"},
		{"FETCH 1 ENVELOPE", `(ENVELOPE (NIL "hello folded" (("A" NIL "a" "b.c")) (("A" NIL "a" "b.c")) (("A" NIL "a" "b.c")) NIL NIL NIL NIL NIL))`},
		{"FETCH 1 BODY", `(BODY ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 16 2))`},
		{"FETCH 1 (BODYSTRUCTURE UID)",
			`(UID 1 BODYSTRUCTURE ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 16 2 NIL NIL NIL NIL))`},
		{"FETCH 2 BODY.PEEK[2.1]", "(BODY[2.1] " + literal("in1") + ")"},
		{"FETCH 2 (BODY.PEEK[1] BODY.PEEK[1.MIME] UID)", "(UID 2 BODY[1] " + literal("part1") +
			" BODY[1.MIME] " + literal(crlf("Content-Type: text/plain\n\n")) + ")"},
		{"FETCH 1 BODY.PEEK[]<6.5>", "(BODY[]<6> " + literal("A <a@") + ")"},
		{"FETCH 1 BODY.PEEK[]<9999.5>", "(BODY[]<9999> {0}\r\n)"},
		{"FETCH 1 BODY.PEEK[7]", "(BODY[7] {0}\r\n)"},
		{"FETCH 1 RFC822.HEADER", "(RFC822.HEADER " +
			literal(crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")) + ")"},
		{"FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)])", "(BODY[HEADER.FIELDS (Subject)] " +
			literal(crlf("Subject: hello\n folded\n\n")) + ")"},
		{"FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (Subject)]<0.4>",
			"(BODY[HEADER.FIELDS.NOT (Subject)]<0> " + literal("From") + ")"},
		{"FETCH 1 (FLAGS)", "(FLAGS ())"}, // PEEK and RFC822.HEADER changed nothing
		{"FETCH 1 BODY[TEXT]", "(FLAGS (\\Seen) BODY[TEXT] " + literal(crlf("body line\ntwo\n")) + ")"},
		{"FETCH 1 BODY[TEXT]", "(BODY[TEXT] " + literal(crlf("body line\ntwo\n")) + ")"},
		{"FETCH 1 (RFC822 FLAGS)", "(FLAGS (\\Seen) RFC822 " + literal(crlf(plainMail)) + ")"},
		{"UID FETCH 2 RFC822.TEXT", "(UID 2 FLAGS (\\Seen) RFC822.TEXT " + literal(nestText()) + ")"},
	}
	for _, tt := range tests {
		if got := c.fetchOne("%s", tt.command); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.command, got, tt.want)
		}
	}
	c.refused("BAD", "FETCH 3 FLAGS")
	c.refused("BAD", "FETCH 1 FOO")
	if lines, _ := c.ok("UID FETCH 3:9 FLAGS"); len(lines) != 0 {
		t.Errorf("messages that are not there: %q", lines)
	}
	if lines, _ := c.ok("FETCH 2:1,1 UID"); len(lines) != 2 || lines[0] != "* 1 FETCH (UID 1)" {
		t.Errorf("a set: %q", lines)
	}
}

func nestText() string {
	_, text, _ := strings.Cut(crlf(nestMail), "\r\n\r\n")
	return text
}

func TestFetchInExamineSetsNoSeen(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	c.append("INBOX", "", crlf(plainMail))
	c.ok("EXAMINE INBOX")
	want := "(BODY[TEXT] " + literal(crlf("body line\ntwo\n")) + ")"
	if got := c.fetchOne("FETCH 1 BODY[TEXT]"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.fetchOne("FETCH 1 FLAGS"); got != "(FLAGS ())" {
		t.Errorf("got %q", got)
	}
}

// TestFetchSeenManyBatches: \Seen is set by one change for each batch, each
// message is answered once, and the session is not told of its own change
// again.
func TestFetchSeenManyBatches(t *testing.T) {
	s := newTestServer(t)
	const n = fetchBatch + 40
	var mails []string
	for i := range n {
		mails = append(mails, message(fmt.Sprintf("m%d", i)))
	}
	c := s.login(t)
	c.appendMany("INBOX", mails)
	c.ok("SELECT INBOX")
	lines, _ := c.ok("FETCH 1:* BODY[TEXT]")
	if len(lines) != n {
		t.Fatalf("%d responses", len(lines))
	}
	for i, line := range lines {
		if want := fmt.Sprintf("* %d FETCH (FLAGS (\\Seen) BODY[TEXT] %s)", i+1, literal("Hello.\r\n")); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
	}
	if lines, _ := c.ok("NOOP"); len(lines) != 0 {
		t.Errorf("told again: %q", lines[:1])
	}
	if box, err := s.store.MailboxByPath(t.Context(), s.user.ID, "INBOX"); err != nil || box.Unseen != 0 {
		t.Errorf("unseen: %v, %v", box, err)
	}
}

// appendMany stores messages by one command each without waiting.
func (c *testClient) appendMany(mailbox string, mails []string) {
	c.t.Helper()
	for _, m := range mails {
		c.ok("APPEND %s {%d+}\r\n%s", mailbox, len(m), m)
	}
}

// TestFetchExpunged: messages that another session expunged keep their number
// until this one is told, and are left out.
func TestFetchExpunged(t *testing.T) {
	s := newTestServer(t)
	c := s.selectMails(t, message("a"), message("b"), message("c"))
	other := s.login(t)
	other.ok("SELECT INBOX")
	other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")

	lines, status := c.ok("FETCH 1:3 (UID RFC822.SIZE)")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "* 1 FETCH (UID 1 ") ||
		!strings.HasPrefix(lines[1], "* 3 FETCH (UID 3 ") {
		t.Errorf("got %q", lines)
	}
	if !strings.Contains(status, "[EXPUNGEISSUED]") {
		t.Errorf("got %q", status)
	}
	lines, _ = c.ok("NOOP")
	if len(lines) == 0 || lines[0] != "* 2 EXPUNGE" {
		t.Errorf("got %q", lines)
	}
}

func TestFetchChangedSince(t *testing.T) {
	c := newTestServer(t).selectMails(t, message("a"), message("b"), message("c"))
	c.ok("ENABLE CONDSTORE")
	before := c.fetchOne("FETCH 3 (MODSEQ)")
	var modseq uint64
	if _, err := fmt.Sscanf(before, "(MODSEQ (%d))", &modseq); err != nil {
		t.Fatalf("%q: %v", before, err)
	}
	c.ok("STORE 1 +FLAGS (\\Flagged)")
	got := c.fetchOne("FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", modseq)
	if want := fmt.Sprintf("(FLAGS (\\Flagged) MODSEQ (%d))", modseq+1); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = c.fetchOne("FETCH 2 BODY[TEXT]")
	want := fmt.Sprintf("(UID 2 FLAGS (\\Seen) MODSEQ (%d) BODY[TEXT] %s)", modseq+2, literal("Hello.\r\n"))
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFetchPrefix: the trace lines of a delivery are part of the message, of
// its header, and of nothing else.
func TestFetchPrefix(t *testing.T) {
	s := newTestServer(t)
	s.deliver(t, crlf(plainMail), prefixLines)
	c := s.selectMails(t)
	whole := prefixLines + crlf(plainMail)
	header := prefixLines + crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")
	tests := []struct{ item, want string }{
		{"RFC822.SIZE", fmt.Sprintf("(RFC822.SIZE %d)", len(whole))},
		{"BODY.PEEK[]", "(BODY[] " + literal(whole) + ")"},
		{"BODY.PEEK[HEADER]", "(BODY[HEADER] " + literal(header) + ")"},
		{"BODY.PEEK[TEXT]", "(BODY[TEXT] " + literal(crlf("body line\ntwo\n")) + ")"},
		{"BODY.PEEK[1]", "(BODY[1] " + literal(crlf("body line\ntwo\n")) + ")"},
		{"BODY.PEEK[1.MIME]", "(BODY[1.MIME] " + literal(header) + ")"},
		{"BODY.PEEK[HEADER.FIELDS (return-path subject)]",
			"(BODY[HEADER.FIELDS (return-path subject)] " +
				literal(prefixLines+crlf("Subject: hello\n folded\n\n")) + ")"},
		{"BODY.PEEK[]<15.12>", "(BODY[]<15> " + literal(whole[15:27]) + ")"},
	}
	for _, tt := range tests {
		if got := c.fetchOne("FETCH 1 %s", tt.item); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.item, got, tt.want)
		}
	}
}
