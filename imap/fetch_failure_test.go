package imap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
)

// withFile is a message with a text and a file of random bytes in base64.
func withFile(size int) string {
	var b strings.Builder
	b.WriteString(crlf("Subject: file\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n" +
		"--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"))
	data := base64.StdEncoding.EncodeToString(mailgen.Random(1, size))
	for len(data) > 76 {
		b.WriteString(data[:76] + "\r\n")
		data = data[76:]
	}
	b.WriteString(data + "\r\n--b--\r\n")
	return b.String()
}

// TestFetchDamaged: of messages whose content is lost or damaged nothing is
// sent, the others are, and the command says NO.
func TestFetchDamaged(t *testing.T) {
	db := dbtest.Database(t)
	s := newTestServerOn(t, db)
	s.selectMails(t, message("a"), message("b"), message("c"), message("d"))
	s.errs.allow = true
	ids := map[uint32]contents.ID{}
	box, err := s.store.MailboxByPath(t.Context(), s.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range s.store.Messages(t.Context(), box.Key, mailstore.Query{}, mailstore.FieldContent) {
		if err != nil {
			t.Fatal(err)
		}
		ids[m.UID] = m.Content
	}
	coll := db.Collection("contents")
	id := func(uid uint32) bson.D {
		id := ids[uid]
		return bson.D{{Key: "_id", Value: bson.Binary{Data: id[:]}}}
	}
	if r, err := coll.DeleteOne(t.Context(), id(1)); err != nil || r.DeletedCount != 1 {
		t.Fatal(r, err)
	}
	for uid, change := range map[uint32]bson.D{
		2: {{Key: "segs", Value: bson.Binary{Data: []byte("no layout")}}},
		3: {{Key: "f.0", Value: bson.Binary{Data: []byte("no frame")}}},
	} {
		r, err := coll.UpdateOne(t.Context(), id(uid), bson.D{{Key: "$set", Value: change}})
		if err != nil || r.ModifiedCount != 1 {
			t.Fatal(r, err)
		}
	}
	// Another instance has no short headers of the messages.
	c := s.secondServer(t).login(t)
	c.ok("SELECT INBOX")
	for _, item := range []string{"BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (Subject)]",
		"RFC822.HEADER", "BODY.PEEK[1]"} {
		lines, status := c.do("FETCH 1:* %s", item)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "* 4 FETCH (") ||
			!strings.HasPrefix(status, "NO [SERVERBUG]") {
			t.Errorf("%s: %q, %s", item, lines, status)
		}
	}
	// What does not need the content works.
	if lines, _ := c.ok("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)"); len(lines) != 4 {
		t.Errorf("%q", lines)
	}
}

// TestFetchBreaksOff: an error in the middle of a literal ends the connection;
// no octet that is wrong was sent.
func TestFetchBreaksOff(t *testing.T) {
	db := dbtest.Database(t)
	s := newTestServerOn(t, db)
	mail := withFile(3 << 20)
	s.deliver(t, mail, "")
	c := s.selectMails(t)
	s.errs.allow = true
	r, err := db.Collection(blobstore.ChunksCollection).DeleteOne(t.Context(), bson.D{{Key: "n", Value: 5}})
	if err != nil || r.DeletedCount != 1 {
		t.Fatal(r, err)
	}
	c.send("x FETCH 1 (UID BODY.PEEK[])\r\n")
	got, err := io.ReadAll(c.In)
	if err != nil {
		t.Logf("the connection ended with %v", err)
	}
	head := fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n", len(mail))
	body, ok := bytes.CutPrefix(got, []byte(head))
	if !ok || !strings.HasPrefix(mail, string(body)) || len(body) < 1<<20 {
		t.Errorf("%.100q, %d octets, which begin the message: %v", got, len(body),
			strings.HasPrefix(mail, string(body)))
	}
}

// TestFetchClientLeaves: a client that goes in the middle of a large answer is
// no error.
func TestFetchClientLeaves(t *testing.T) {
	s := newTestServer(t)
	s.deliver(t, withFile(3<<20), "")
	c := s.selectMails(t)
	c.send("x FETCH 1 (BODY.PEEK[])\r\n")
	if _, err := c.In.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.Conn.Close()
	s.login(t).ok("NOOP")
}

// TestFetchPartialsOfLargePart: the cost of a partial is that of its bytes, not
// of the part, and neighbouring ones share what was read.
func TestFetchPartialsOfLargePart(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	mail := withFile(8 << 20)
	s.deliver(t, mail, "")
	c := s.selectMails(t)
	_, part, _ := strings.Cut(mail, "base64\r\n\r\n")
	part, _, _ = strings.Cut(part, "\r\n--b--")
	commands.Reset()
	const at, step = 5_000_000, 10_000
	for i := range 5 {
		from := at + i*step
		want := fmt.Sprintf("(BODY[2]<%d> %s)", from, literal(part[from:from+step]))
		if got := c.fetchOne("FETCH 1 BODY.PEEK[2]<%d.%d>", from, step); got != want {
			t.Fatalf("at %d: %.80q...", from, got)
		}
	}
	if n := commands.Documents(blobstore.ChunksCollection); n > 2 {
		t.Errorf("%d chunks were read for 50,000 octets", n)
	}
}
