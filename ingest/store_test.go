package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

// realStore is a mail store with the users ada, bob and eve.
func realStore(t testing.TB) *mailstore.Store {
	t.Helper()
	db := dbtest.Database(t)
	t.Cleanup(func() { checkReferences(t, db) }) // after the store is closed
	return realStoreOn(t, db)
}

func realStoreOn(t testing.TB, db *mongo.Database) *mailstore.Store {
	t.Helper()
	st := storetest.Open(t, storetest.Options{Database: db})
	for _, name := range []string{"ada", "bob", "eve"} {
		st.User(t, name+"@example.com")
	}
	return st.Store
}

// checkReferences compares the references of each content with the messages that
// hold them: whatever happened, there are neither too few nor too many.
func checkReferences(t testing.TB, db *mongo.Database) {
	t.Helper()
	type count struct{ Refs, Magic int64 }
	held := map[string]count{}
	var messages []struct {
		Content bson.Binary `bson:"c"`
		Magic   int64       `bson:"g"`
	}
	findAll(t, db.Collection("messages"), &messages)
	for _, m := range messages {
		h := held[string(m.Content.Data)]
		held[string(m.Content.Data)] = count{h.Refs + 1, h.Magic + m.Magic}
	}
	var stored []struct {
		ID    bson.Binary `bson:"_id"`
		Refs  int64       `bson:"refs"`
		Magic int64       `bson:"magic"`
	}
	findAll(t, db.Collection("contents"), &stored)
	for _, c := range stored {
		if got := (count{c.Refs, c.Magic}); got != held[string(c.ID.Data)] {
			t.Errorf("content %x: counts %v, messages hold %v", c.ID.Data[:4], got, held[string(c.ID.Data)])
		}
		delete(held, string(c.ID.Data))
	}
	if len(held) > 0 {
		t.Errorf("%d contents of messages are not there", len(held))
	}
}

func findAll(t testing.TB, c *mongo.Collection, into any) {
	t.Helper()
	cursor, err := c.Find(context.Background(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cursor.All(context.Background(), into); err != nil {
		t.Fatal(err)
	}
}

// inboxOf returns the messages of a user's INBOX, octet for octet.
func inboxOf(t testing.TB, st *mailstore.Store, name string) []string {
	t.Helper()
	ctx := context.Background()
	user, err := st.UserByName(ctx, name+"@example.com")
	if err != nil {
		t.Fatal(err)
	}
	box, err := st.MailboxByPath(ctx, user.ID, inbox)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for m, err := range st.Messages(ctx, box.Key, mailstore.Query{}, mailstore.FieldContent|mailstore.FieldSize) {
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := st.Contents().Load(ctx, []contents.ID{m.Content}, contents.Want{All: true})
		if err != nil || loaded[m.Content] == nil {
			t.Fatalf("load content: %v", err)
		}
		var b bytes.Buffer
		b.Write(m.Prefix)
		if err := loaded[m.Content].WriteRange(ctx, &b, 0, loaded[m.Content].Size); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != m.Size {
			t.Errorf("message of %d octets has size %d", b.Len(), m.Size)
		}
		list = append(list, b.String())
	}
	return list
}

// body is what follows the trace lines.
func body(t testing.TB, message string) string {
	t.Helper()
	rest := message
	for _, name := range []string{"Return-Path: <", "Delivered-To: <", "Received: from "} {
		if !strings.HasPrefix(rest, name) {
			t.Fatalf("no %q at %.60q", name, rest)
		}
		for {
			_, after, _ := strings.Cut(rest, "\r\n")
			rest = after
			if !strings.HasPrefix(rest, "\t") {
				break
			}
		}
	}
	return rest
}

func TestDeliveryIntoStore(t *testing.T) {
	st := realStore(t)
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	c := ts.dial(t)
	c.open("LHLO", "ada@example.com", "bob+lists@example.com")
	line := "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n"
	attachment := strings.Repeat(line, 2000)
	message := "From: grace@example.net\r\nSubject: two parts\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n.text\r\n--b\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + attachment + "--b--\r\n"
	c.cmd("DATA", "354 ")
	c.send(stuff(message))
	c.want("250 2.1.5 <ada@example.com>")
	c.want("250 2.1.5 <bob+lists@example.com>")
	for user, to := range map[string]string{"ada": "ada@example.com", "bob": "bob+lists@example.com"} {
		got := inboxOf(t, st, user)
		if len(got) != 1 || body(t, got[0]) != message {
			t.Fatalf("%s has %d messages, or not what was sent", user, len(got))
		}
		trace := "Return-Path: <grace@example.net>\r\nDelivered-To: <" + to + ">\r\n" +
			"Received: from client.example ([127.0.0.1])\r\n"
		if !strings.HasPrefix(got[0], trace) {
			t.Errorf("trace lines: %.200q", got[0])
		}
	}
}

func TestOverQuotaInStore(t *testing.T) {
	st := realStore(t)
	bob, err := st.UserByName(t.Context(), "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SetLimits(t.Context(), bob.ID, quota.Limits{Bytes: 1000}); err != nil {
		t.Fatal(err)
	}
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	c := ts.dial(t)
	c.open("LHLO", "ada@example.com", "bob@example.com", "eve@example.com")
	c.cmd("DATA", "354 ")
	c.send(strings.Repeat("0123456789abcdef", 100) + "\r\n.\r\n")
	c.want("250 2.1.5 <ada@example.com>")
	c.want("452 4.2.2 <bob@example.com>")
	c.want("250 2.1.5 <eve@example.com>")
	a, b, e := len(inboxOf(t, st, "ada")), len(inboxOf(t, st, "bob")), len(inboxOf(t, st, "eve"))
	if a != 1 || b != 0 || e != 1 {
		t.Errorf("%d, %d, %d messages", a, b, e)
	}
}

// A recipient who is deleted while the message comes in is refused for good; the others get it.
func TestRecipientIsDeletedMeanwhile(t *testing.T) {
	st := realStore(t)
	bob, err := st.UserByName(t.Context(), "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	c := ts.dial(t)
	c.open("LHLO", "ada@example.com", "bob@example.com")
	c.cmd("DATA", "354 ")
	if err := st.DeleteUser(t.Context(), bob.ID); err != nil {
		t.Fatal(err)
	}
	c.send("Subject: x\r\n\r\nx\r\n.\r\n")
	c.want("250 2.1.5 <ada@example.com>")
	c.want("550 5.1.1 <bob@example.com>")
	if n := len(inboxOf(t, st, "ada")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Bodies that never end leave nothing in the store, large parts included.
func TestAbortedIntoStore(t *testing.T) {
	st := realStore(t)
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	for _, begin := range []string{"DATA\r\n", "BDAT 3000000 LAST\r\n"} {
		c := ts.dial(t)
		c.open("LHLO", "ada@example.com")
		c.send(begin + "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		c.send(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 30000))
		c.conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c.r)
		if n := len(inboxOf(t, st, "ada")); n != 0 {
			t.Errorf("%d messages", n)
		}
	}
}

func TestConcurrentSenders(t *testing.T) {
	const senders, each = 8, 10
	st := realStore(t)
	ts := startServer(t, mailStore{st}, Options{LMTP: true})
	var wg sync.WaitGroup
	for i := range senders {
		c := ts.dial(t)
		wg.Go(func() {
			c.want("220 ")
			c.cmd("LHLO c", "250 ")
			for j := range each {
				c.cmd("MAIL FROM:<>", "250 ")
				c.cmd("RCPT TO:<ada@example.com>", "250 ")
				c.cmd("DATA", "354 ")
				c.cmd(fmt.Sprintf("message %d of %d\r\n.", j, i), "250 2.1.5")
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, m := range inboxOf(t, st, "ada") {
		seen[body(t, m)]++
	}
	if len(seen) != senders*each {
		t.Errorf("%d different messages, want %d", len(seen), senders*each)
	}
	for m, n := range seen {
		if n != 1 {
			t.Errorf("%q is there %d times", m, n)
		}
	}
}

// swaks is a client that is not ours.
func TestSwaks(t *testing.T) {
	if _, err := exec.LookPath("swaks"); err != nil {
		t.Skip("swaks is not installed")
	}
	out, err := exec.CommandContext(t.Context(), "swaks", "--support").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("TLS supported")) {
		t.Skip("swaks lacks TLS, which is in Net::SSLeay (libnet-ssleay-perl)")
	}
	st := realStore(t)
	for _, lmtp := range []bool{true, false} {
		ts := startServer(t, mailStore{st}, Options{LMTP: lmtp, TLSConfig: testTLS(t)})
		host, port, err := net.SplitHostPort(ts.addr)
		if err != nil {
			t.Fatal(err)
		}
		for i, args := range [][]string{
			{"--to", "ada@example.com,bob@example.com", "--body", "first line\n.dot"},
			{"--to", "ada@example.com", "--tls", "--attach-body", "text", "--attach", "@" + "store_test.go"},
			{"--to", "ada@example.com", "--pipeline"},
			{"--to", "nobody@example.com"},
		} {
			protocol := "ESMTP"
			if lmtp {
				protocol = "LMTP"
			}
			args = append([]string{
				"--server", host, "--port", port, "--protocol", protocol,
				"--from", "grace@example.net", "--helo", "client.example",
			}, args...)
			out, err := exec.CommandContext(t.Context(), "swaks", args...).CombinedOutput()
			if wantErr := i == 3; (err != nil) != wantErr {
				t.Errorf("swaks %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	if a, b := len(inboxOf(t, st, "ada")), len(inboxOf(t, st, "bob")); a != 6 || b != 2 {
		t.Errorf("ada has %d messages, bob %d", a, b)
	}
}
