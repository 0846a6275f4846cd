package imap

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailgen"
	"gadwall/internal/maintenance"
	"gadwall/quota"
)

// storedCounts is what the store has of bytes.
type storedCounts struct {
	contents, files, chunks int64
}

func (s *testServer) countStored(t *testing.T) (n storedCounts) {
	t.Helper()
	for name, count := range map[string]*int64{
		contents.Collection: &n.contents, blobstore.FilesCollection: &n.files, blobstore.ChunksCollection: &n.chunks,
	} {
		var err error
		if *count, err = s.db.Collection(name).CountDocuments(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// consistent checks every reference of the store.
func (s *testServer) consistent(t *testing.T) {
	t.Helper()
	_, err := maintenance.Check(t.Context(), s.store, maintenance.CheckOptions{Offline: true, Deep: true,
		Found: func(f maintenance.Finding) { t.Errorf("found %+v", f) }})
	if err != nil {
		t.Fatal(err)
	}
}

// text is a TEXT part.
func text(s string) string { return fmt.Sprintf("TEXT {%d+}\r\n%s", len(s), s) }

// fetched returns a message as FETCH sends it.
func (c *testClient) fetched(uid int) string {
	c.t.Helper()
	lines, _ := c.ok("UID FETCH %d (BODY.PEEK[])", uid)
	_, body, ok := strings.Cut(strings.Join(lines, "\r\n"), "}\r\n")
	if !ok {
		c.t.Fatalf("UID %d: %q", uid, lines)
	}
	return strings.TrimSuffix(body, ")")
}

// TestCatenateSharesBlobs: an attachment that a message has by URL, or a message within a message,
// takes no more bytes, and the message is the bytes that its parts are.
func TestCatenateSharesBlobs(t *testing.T) {
	s := newTestServer(t, func(o *Options) { o.MaxMessageSize = 8 << 20 })
	c := s.login(t)
	sent := string(mailgen.Simple("report", mailgen.Random(1, 300<<10), mailgen.Text(2, 90<<10)))
	c.append("INBOX", "", sent)
	before := s.countStored(t)
	c.ok("SELECT INBOX")
	lines, _ := c.ok("UID FETCH 1 (BODY.PEEK[2.MIME] BODY.PEEK[2] BODY.PEEK[3.MIME] BODY.PEEK[3])")
	part := strings.SplitAfter(strings.Join(lines, "\r\n"), "}\r\n")
	section := func(i int) string { // its literal is the last thing before the next item
		at := strings.LastIndex(part[i], " BODY[")
		if at < 0 {
			at = len(part[i]) - len(")")
		}
		return part[i][:at]
	}

	start := "Subject: forwarded\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"==\"\r\n" +
		"\r\n--==\r\n\r\nSee below.\r\n--==\r\n"
	c.ok(`APPEND INBOX (\Seen) CATENATE (%s URL "/INBOX/;UID=1/;SECTION=2.MIME" URL "/INBOX/;UID=1/;SECTION=2" %s`+
		` URL "/INBOX/;UID=1/;SECTION=3.MIME" URL "/INBOX/;UID=1/;SECTION=3" %s)`,
		text(start), text("\r\n--==\r\n"), text("\r\n--==--\r\n"))
	want := start + section(1) + section(2) + "\r\n--==\r\n" + section(3) + section(4) + "\r\n--==--\r\n"
	if got := c.fetched(2); got != want {
		t.Errorf("%d bytes, want %d: %.300q", len(got), len(want), got)
	}
	after := s.countStored(t)
	if after != (storedCounts{before.contents + 1, before.files, before.chunks}) {
		t.Errorf("%+v, before %+v", after, before)
	}

	// A whole message: the content is the same one.
	c.ok(`APPEND INBOX CATENATE (URL "/INBOX/;UID=1")`)
	if got := c.fetched(3); got != sent || s.countStored(t) != after {
		t.Errorf("%d bytes, want %d; %+v, before %+v", len(got), len(sent), s.countStored(t), after)
	}
	// In two halves, and as a part of a message.
	c.ok(`APPEND INBOX CATENATE (URL "/INBOX/;UID=1/;PARTIAL=0.200000" URL "/INBOX/;UID=1/;PARTIAL=200000")`)
	if got := c.fetched(4); got != sent || s.countStored(t) != after {
		t.Errorf("%d bytes, want %d; %+v, before %+v", len(got), len(sent), s.countStored(t), after)
	}
	head := "Content-Type: message/rfc822\r\n\r\n"
	c.ok(`APPEND INBOX CATENATE (%s URL "/INBOX/;UID=1")`, text(head))
	if got := c.fetched(5); got != head+sent {
		t.Errorf("%d bytes, want %d", len(got), len(head+sent))
	}
	if got := s.countStored(t); got.files != after.files || got.chunks != after.chunks {
		t.Errorf("%+v, before %+v", got, after)
	}
	s.consistent(t)
}

// TestCatenateFailsWhole: where a part cannot be had, nothing is left of those before it, also of
// other messages of the command, and the session goes on behind all literals.
func TestCatenateFailsWhole(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	c.append("INBOX", "", string(mailgen.Simple("report", mailgen.Random(1, 40<<10))))
	before := s.countStored(t)
	c.ok("SELECT INBOX")
	large := string(mailgen.Simple("new", mailgen.Random(2, 100<<10)))
	for i, tt := range []struct{ data, want string }{
		{`CATENATE (` + text(large) + ` URL /INBOX/;UID=9 ` + text(large) + ")", "NO [BADURL /INBOX/;UID=9] "},
		{`CATENATE (URL /INBOX/;UID=1 ` + text(large) + ` URL "/INBOX/;UID=1/;SECTION=7")`, "NO [BADURL "},
		{fmt.Sprintf("{%d+}\r\n%s", len(large), large) +
			" CATENATE (URL /INBOX/;UID=1) CATENATE (URL x) {4+}\r\nabcd", "NO [BADURL x] "},
		{`CATENATE (` + text(large) + ` TEXT {5+}` + "\r\nhello nonsense", "BAD "},
		{`CATENATE (` + text(large) + strings.Repeat(" URL /INBOX/;UID=1", 20) + ")", "NO [TOOBIG] "},
		{`CATENATE (` + text(large) + " " + text(strings.Repeat("x", 1<<20)) + ")", "NO [TOOBIG] "},
		{`CATENATE (` + text("Subject: x\r\n\r\n") + strings.Repeat(" TEXT {1+}\r\nx", maxCatenateParts) + ")",
			"NO [LIMIT] "},
		{`CATENATE (URL {9000+}` + "\r\n/" + strings.Repeat("x", 8999) + ")", "NO [LIMIT] "},
	} {
		c.send(fmt.Sprintf("t%d APPEND Sent %s\r\nn NOOP\r\n", i, tt.data))
		if _, status := c.until(fmt.Sprintf("t%d", i)); !strings.HasPrefix(status, tt.want) {
			t.Errorf("%.80q: %s, want %s", tt.data, status, tt.want)
		}
		if lines, status := c.until("n"); len(lines) > 0 || !strings.HasPrefix(status, "OK") {
			t.Fatalf("after %.80q: %q, %s", tt.data, lines, status)
		}
	}
	if lines, _ := c.ok("STATUS Sent (MESSAGES)"); lines[0] != "* STATUS Sent (MESSAGES 0)" {
		t.Errorf("%q", lines)
	}
	if after := s.countStored(t); after.contents < before.contents {
		t.Errorf("%+v, before %+v", after, before)
	}
	s.consistent(t) // what has no references is no finding: the collector takes it

	// The quota counts all parts, and is looked at before the client is asked for a literal.
	_, used, err := s.store.Quota(t.Context(), s.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.SetLimits(t.Context(), s.user.ID, quota.Limits{Bytes: used.Bytes + 70<<10}); err != nil {
		t.Fatal(err)
	}
	c.refused("[OVERQUOTA]", "APPEND Sent CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)")
	c.refused("[OVERQUOTA]", "APPEND Sent CATENATE (URL /INBOX/;UID=1 TEXT {20000}")
	c.ok("APPEND Sent CATENATE (URL /INBOX/;UID=1)")
	s.consistent(t)
}

// TestCatenateNeedsRead: a URL of a mailbox that the client may not read leads nowhere, whether there
// is such a mailbox, or such a message, or not.
func TestCatenateNeedsRead(t *testing.T) {
	s := newTestServer(t)
	s.addUser(t, other)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.append("Archive", "", message("theirs"))
	const theirs = "/Other%20Users/" + testUser + "/Archive/;UID=1"
	for _, tt := range []struct {
		rights string
		ok     bool
	}{{"", false}, {"l", false}, {"lip", false}, {"r", true}, {"lr", true}, {"lrswi", true}, {"l", false}} {
		alice.ok("SETACL Archive %s %q", other, tt.rights)
		_, status := bob.do(`APPEND INBOX CATENATE (URL "%s")`, theirs)
		if tt.ok != strings.HasPrefix(status, "OK") ||
			!tt.ok && status != "NO [BADURL "+theirs+"] URL leads to no message" {
			t.Errorf("rights %q: %s", tt.rights, status)
		}
	}
	_, status := bob.do(`APPEND INBOX CATENATE (URL "%s")`, strings.Replace(theirs, "Archive", "Nothing", 1))
	if !strings.HasSuffix(status, "] URL leads to no message") {
		t.Errorf("%s", status)
	}
	// Into a mailbox of another user: the URL is read as bob, and needs no right of alice.
	alice.ok("SETACL Drafts %s li", other)
	bob.ok(`APPEND "Other Users/%s/Drafts" CATENATE (URL /INBOX/;UID=1)`, testUser)
	s.consistent(t)
}

// TestCatenateEndsWithTheConnection: a client that goes in the middle of a part leaves nothing.
func TestCatenateEndsWithTheConnection(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	c.append("INBOX", "", message("one"))
	c.send("a APPEND Sent CATENATE (URL /INBOX/;UID=1 TEXT {5}\r\n")
	if line := c.line(); line != "+ OK" {
		t.Fatal(line)
	}
	c.send("he")
	c.Conn.Close()
	again, err := imapconn.Login(s.addr, testUser, testPassword, testWait)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := s.Shutdown(t.Context()); err != nil { // waits for both
		t.Fatal(err)
	}
	s.consistent(t)
	if n := s.countStored(t); n.contents != 1 {
		t.Errorf("%+v", n)
	}
}
