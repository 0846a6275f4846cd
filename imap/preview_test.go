package imap

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailgen"
)

// A message that was stored without a preview has none for LAZY, and otherwise the one that it would
// have been stored with (RFC 8970 sections 3.2 and 3.3).
func TestPreviewNotStored(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	for _, m := range []string{
		message("plain"), string(mailgen.Simple("second")), "Subject: empty\r\n\r\n",
		"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
			"<html><style>p{}</style><p>Gr=FC=DFe</p></html>\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\nfile\r\n" +
			"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nwithin\r\n--b--",
		"Subject: long\r\n\r\n" + strings.Repeat("many words ", 20000),
	} {
		c.append("INBOX", "", m)
	}
	c.ok("SELECT INBOX")
	stored, _ := c.ok("FETCH 1:* (UID PREVIEW (LAZY))")
	_, err := s.db.Collection("messages").UpdateMany(t.Context(), bson.D{},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "v", Value: ""}}}})
	if err != nil {
		t.Fatal(err)
	}
	lazy, _ := c.ok("FETCH 1:* (UID PREVIEW (LAZY))")
	for _, line := range lazy {
		if !strings.HasSuffix(line, " PREVIEW NIL)") {
			t.Errorf("%s", line)
		}
	}
	made, _ := c.ok("FETCH 1:* (UID PREVIEW)")
	if len(lazy) != 6 || strings.Join(made, "\n") != strings.Join(stored, "\n") {
		t.Errorf("made %q\nstored %q", made, stored)
	}
}

// The server counts the programs that clients name with ID, each connection once.
func TestClientCounts(t *testing.T) {
	s := newTestServer(t, func(o *Options) { o.Version = "1.2" })
	for _, id := range []string{
		`("name" "mutt" "version" "2")`, `("Name" "mutt")`, `("vendor" "x")`, `NIL`, "(\"name\" {4+}\r\na\t\xffb)",
	} {
		c := s.dial(t)
		for range 2 {
			said, _ := c.ok("ID %s", id)
			if len(said) != 1 || said[0] != `* ID ("name" "Gadwall" "version" "1.2")` {
				t.Errorf("%q", said)
			}
		}
	}
	got := s.Clients()
	if len(got) != 3 || got["mutt"] != 2 || got[otherClients] != 1 || got["ab"] != 1 {
		t.Errorf("counts %v", got)
	}
	var many clientCounts
	for i := range 3 * maxClientNames {
		many.add(strings.Repeat("x", i))
	}
	if len(many.counts) > maxClientNames+1 || many.counts[otherClients] == 0 {
		t.Errorf("%d names", len(many.counts))
	}
}
