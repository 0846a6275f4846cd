package imap

import (
	"fmt"
	"strings"
	"testing"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
)

const messagesCollection = "messages"

// TestFetchSlices: a client that reads a message part by part and an attachment slice by slice gets
// the bytes, and the server reads each document of the message about once.
func TestFetchSlices(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	const slice = 64 << 10
	mail := withFile(3 << 20)
	s.deliver(t, mail, "")
	s.deliver(t, message("other"), "")
	c := s.selectMails(t)
	_, body, _ := strings.Cut(mail, "base64\r\n\r\n")
	body = strings.TrimSuffix(body, "\r\n--b--\r\n")

	cmds.Reset()
	if got := c.fetchOne("FETCH 1 BODY.PEEK[1]"); got != "(BODY[1] "+literal("text")+")" {
		t.Errorf("%q", got)
	}
	if n := cmds.Total(); n > 2 {
		t.Errorf("a text by %d commands:\n%v", n, cmds)
	}
	cmds.Reset()
	for at := 0; at < len(body); at += slice {
		want := fmt.Sprintf("(BODY[2]<%d> %s)", at, literal(body[at:min(at+slice, len(body))]))
		if got := c.fetchOne("FETCH 1 BODY.PEEK[2]<%d.%d>", at, slice); got != want {
			t.Fatalf("%d octets at %d differ", slice, at)
		}
	}
	for collection, most := range map[string]int{
		messagesCollection: 1, contents.Collection: 0, blobstore.FilesCollection: 1,
		blobstore.ChunksCollection: 3<<20/blobstore.ChunkSize + 3,
	} {
		if n := cmds.Reads(collection); n > most {
			t.Errorf("%d reads of %s, more than %d", n, collection, most)
		}
	}
	// Another message, and back.
	if got := c.fetchOne("FETCH 2 BODY.PEEK[]<0.4>"); got != "(BODY[]<0> "+literal(message("other")[:4])+")" {
		t.Errorf("%q", got)
	}
	want := "* 1 FETCH (UID 1 BODY[2]<10> " + literal(body[10:30]) + ")"
	if lines, _ := c.ok("UID FETCH 1 BODY.PEEK[2]<10.20>"); len(lines) != 1 || lines[0] != want {
		t.Errorf("%q", lines)
	}
	// Another session expunges it: the client may read on until it is told (RFC 2180 section 4.1.1).
	other := s.login(t)
	other.ok("SELECT INBOX")
	other.ok(`STORE 1 +FLAGS.SILENT (\Deleted)`)
	other.ok("EXPUNGE")
	lines, _ := c.ok("UID FETCH 1 BODY.PEEK[2]<10.20>")
	if len(lines) != 2 || lines[0] != want || lines[1] != "* 1 EXPUNGE" {
		t.Errorf("%q", lines)
	}
	if lines, _ := c.ok("UID FETCH 1 BODY.PEEK[2]<10.20>"); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

// TestFetchKeepsNothingOfTheIdle: what was kept of a message goes when the client rests.
func TestFetchKeepsNothingOfTheIdle(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	c := s.selectMails(t, withFile(300_000))
	c.ok("FETCH 1 BODY.PEEK[2]<0.1000>")
	cmds.Reset()
	c.ok("FETCH 1 BODY.PEEK[2]<0.1000>")
	if n := cmds.Reads(contents.Collection) + cmds.Reads(messagesCollection); n != 0 {
		t.Errorf("%d reads of what was read just now", n)
	}
	c.send("i IDLE\r\n")
	c.line()
	c.send("DONE\r\n")
	c.until("i")
	cmds.Reset()
	c.ok("FETCH 1 BODY.PEEK[2]<0.1000>")
	if cmds.Reads(contents.Collection) != 1 || cmds.Reads(messagesCollection) == 0 {
		t.Errorf("after IDLE:\n%v", cmds)
	}
}
