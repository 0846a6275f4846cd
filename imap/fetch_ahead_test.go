package imap

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"gadwall/blobstore"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
)

// corpusMails delivers n mails of the corpus, with prefixes, and returns what the client must see.
func corpusMails(t *testing.T, s *testServer, n int) []string {
	t.Helper()
	corpus := mailgen.NewCorpus(7, mailgen.CorpusOptions{})
	var mails []string
	for i := range n {
		prefix := fmt.Sprintf("Delivered-To: user%d@example.com\r\n", i)
		content := string(corpus.Message(i))
		s.deliver(t, content, prefix)
		mails = append(mails, prefix+content)
	}
	// One that is several batches, and one without a content of its own.
	large := withFile(9 << 20)
	s.deliver(t, large, "")
	s.deliver(t, large, "X: again\r\n")
	return append(mails, large, "X: again\r\n"+large)
}

// TestFetchGivesTheBytes: whatever is asked for of mails with attachments, in any combination, the
// client gets the bytes that came in.
func TestFetchGivesTheBytes(t *testing.T) {
	s := newTestServer(t)
	mails := corpusMails(t, s, 60)
	c := s.login(t)
	c.ok("EXAMINE INBOX")
	whole := func(set []int) {
		t.Helper()
		numbers := strings.ReplaceAll(strings.Trim(fmt.Sprint(set), "[]"), " ", ",")
		lines, _ := c.ok("FETCH %s BODY.PEEK[]", numbers)
		if len(lines) != len(set) {
			t.Fatalf("%d answers for %d messages", len(lines), len(set))
		}
		for i, n := range set {
			if want := fmt.Sprintf("* %d FETCH (BODY[] %s)", n, literal(mails[n-1])); lines[i] != want {
				t.Fatalf("message %d differs", n)
			}
		}
	}
	var all []int
	for i := range mails {
		all = append(all, i+1)
	}
	whole(all)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, len(mails)).Draw(t, "message")
		mail := mails[n-1]
		var items, wants []string
		for range rapid.IntRange(1, 4).Draw(t, "sections") {
			off := rapid.IntRange(0, len(mail)+10).Draw(t, "off")
			size := rapid.IntRange(1, len(mail)).Draw(t, "size")
			from := min(off, len(mail))
			items = append(items, fmt.Sprintf("BODY.PEEK[]<%d.%d>", off, size))
			wants = append(wants, fmt.Sprintf("BODY[]<%d> %s", off, literal(mail[from:min(from+size, len(mail))])))
		}
		lines, status := c.do("FETCH %d (%s)", n, strings.Join(items, " "))
		want := fmt.Sprintf("* %d FETCH (%s)", n, strings.Join(wants, " "))
		if !strings.HasPrefix(status, "OK") || len(lines) != 1 || lines[0] != want {
			t.Fatalf("%v of message %d differ: %s", items, n, status)
		}
	})
}

// TestFetchWithoutBlob: of a message with a blob that is missing nothing is sent, however large it
// is; the others are, the command says NO, and the session goes on.
func TestFetchWithoutBlob(t *testing.T) {
	db := dbtest.Database(t)
	s := newTestServerOn(t, db)
	mails := []string{withFile(30_000), withFile(3 << 20), withFile(40_000), message("small")}
	for _, mail := range mails {
		s.deliver(t, mail, "")
	}
	c := s.selectMails(t)
	s.errs.allow = true
	r, err := db.Collection(blobstore.FilesCollection).DeleteMany(t.Context(),
		bson.D{{Key: "metadata.size", Value: bson.D{{Key: "$in", Value: bson.A{int64(30_000), int64(3 << 20)}}}}})
	if err != nil || r.DeletedCount != 2 {
		t.Fatal(r, err)
	}
	for _, items := range []string{"BODY.PEEK[]", "BODY.PEEK[1] BODY.PEEK[2]", "BODY.PEEK[TEXT]",
		"BODY.PEEK[2]<20000.200000>"} {
		lines, status := c.do("FETCH 1:3 (%s)", items)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "* 3 FETCH (BODY[") ||
			!strings.HasPrefix(status, "NO [SERVERBUG] 2 messages") {
			t.Errorf("%s: %d answers, %s", items, len(lines), status)
		}
	}
	// What does not need the blob works.
	if lines, _ := c.ok("FETCH 1:* (BODY.PEEK[HEADER] BODY.PEEK[1])"); len(lines) != 4 {
		t.Errorf("%d answers", len(lines))
	}
	if got, want := c.fetchOne("FETCH 4 BODY.PEEK[]"), "(BODY[] "+literal(mails[3])+")"; got != want {
		t.Errorf("%q", got)
	}
}

// TestFetchCutAnywhere: clients that leave or stop reading at any point of a large answer leave
// nothing behind: when they are cut off, everything of theirs ends, and no error is logged.
func TestFetchCutAnywhere(t *testing.T) {
	s := newTestServer(t)
	corpusMails(t, s, 20)
	for i := range 30 {
		c := s.login(t)
		c.ok("EXAMINE INBOX")
		c.send("x FETCH 1:* (BODY.PEEK[] BODY.PEEK[TEXT]<100.100000>)\r\n")
		if _, err := io.CopyN(io.Discard, c.In, int64(i*i*i*500)); err != nil {
			t.Fatal(err)
		}
		if i%5 != 0 { // the others stall until the server stops
			c.Conn.Close()
		}
	}
	s.login(t).ok("NOOP")
	s.cancel()
	for conn := range s.open() {
		conn.abort()
	}
	s.wg.Wait()
}

// open returns the connections that there are.
func (s *testServer) open() map[*conn]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make(map[*conn]struct{})
	for c := range s.conns {
		conns[c] = struct{}{}
	}
	return conns
}
