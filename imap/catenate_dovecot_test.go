package imap

import (
	"regexp"
	"strings"
	"testing"

	"gadwall/internal/dovecottest"
	"gadwall/internal/mailgen"
)

// TestCatenateLikeDovecot: the same URLs lead to the same bytes, and to the same refusals, as in
// Dovecot, but where a reason is given.
func TestCatenateLikeDovecot(t *testing.T) {
	d := dovecottest.Start(t)
	s := newTestServer(t)
	theirs, ours := dialIMAP(t, d.Addr, d.User, d.Password), s.login(t)
	mail := string(mailgen.Simple("parts", mailgen.Random(1, 3000), mailgen.Text(2, 2000)))
	within := "Subject: within\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nTo: a@example.com\r\n\r\ntext\r\n--b--\r\n"
	for _, c := range []*testClient{theirs, ours} {
		for _, name := range []string{`"Stra&AN8-e"`, `"a b;d"`} {
			c.ok("CREATE %s", name)
		}
		c.ok("CREATE Copies")
		for _, m := range []struct{ box, text string }{{"INBOX", mail}, {"INBOX", within}, {`"Stra&AN8-e"`, within},
			{`"a b;d"`, within}} {
			c.append(m.box, "", m.text)
		}
		c.ok("SELECT INBOX")
	}
	codes := regexp.MustCompile(`^(\S+)(?: \[([A-Z]+)[^]]*\])?`)
	for _, tt := range []struct {
		parts   string // %s is the UIDVALIDITY of INBOX
		differs string // why the answers differ
	}{
		{`URL "/INBOX/;UID=1"`, ""}, {`URL "/inbox/;uid=1"`, ""},
		{`URL "/INBOX;UIDVALIDITY=%s/;UID=1"`, ""}, {`URL "/INBOX;UIDVALIDITY=1/;UID=1"`, ""},
		{`URL "/INBOX/;UID=1/;SECTION=HEADER" ` + text("x: y\r\n"), ""},
		{`URL "/INBOX/;UID=1/;SECTION=TEXT"`, ""}, {`URL "/INBOX/;UID=1/;SECTION=1"`, ""},
		{`URL "/INBOX/;UID=1/;SECTION=2.MIME" URL "/INBOX/;UID=1/;SECTION=2"`, ""},
		{`URL "/INBOX/;UID=1/;SECTION=2/;PARTIAL=10.100"`, ""}, {`URL "/INBOX/;UID=1/;PARTIAL=700"`, ""},
		{`URL "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%%20(SUBJECT%%20TO)" ` + text("\r\n"), ""},
		{`URL "/INBOX/;UID=1/;SECTION=HEADER.FIELDS.NOT%%20(SUBJECT)"`, ""},
		{`URL "/INBOX/;UID=2/;SECTION=1.HEADER"`, ""}, {`URL "/INBOX/;UID=2/;SECTION=1.TEXT"`, ""},
		{`URL "/INBOX/;UID=2/;SECTION=1.1"`, ""},
		{`URL ";UID=2/;SECTION=1.1"`, ""}, {`URL "../INBOX/;UID=2"`, ""},
		{`URL "../Stra%%C3%%9Fe/;UID=1"`, "Dovecot finds no other mailbox by a relative URL"},
		{`URL "/Stra%%C3%%9Fe/;UID=1"`, ""}, {`URL "/Stra&AN8-e/;UID=1"`, ""},
		{`URL "/a%%20b%%3Bd/;UID=1"`, ""}, {`URL "/x/../a%%20b%%3Bd/./;UID=1"`, ""},
		{`URL "/INBOX/;UID=99"`, ""}, {`URL "/INBOX/;UID=0"`, ""}, {`URL "/nothing/;UID=1"`, ""},
		{`URL "/INBOX"`, "Dovecot gives no code"}, {`URL ""`, "Dovecot gives no code"},
		{`URL "/INBOX/;UID=1/;SECTION=X"`, "Dovecot gives no code"},
		{`URL "/INBOX?SUBJECT%%20x"`, "Dovecot gives no code"},
		{`URL "http://example.com/x"`, ""}, {`URL "/INBOX/;UID=1/;PARTIAL=x"`, ""},
		{`URL "/INBOX/;UID=1/;SECTION=9"`, "Dovecot takes nothing for a part that is not there"},
		{`URL "/INBOX/;UID=1/;SECTION=1.HEADER"`, "Dovecot takes nothing for a part that is not there"},
		{`URL "imap://mail.example.com/INBOX/;UID=1"`, "Dovecot takes no absolute URLs"},
		{`TEXT "quoted"`, ""}, {`URL "/INBOX/;UID=1" NONSENSE x`, ""}, {``, ""},
		{`TEXT`, "Dovecot takes an empty message"},
	} {
		var status, bytes [2]string
		for i, c := range []*testClient{theirs, ours} {
			lines, _ := c.ok("STATUS INBOX (UIDVALIDITY)")
			parts := strings.ReplaceAll(tt.parts, "%%", "%")
			parts = strings.ReplaceAll(parts, "=%s", "="+regexp.MustCompile(`\d+`).FindString(lines[0]))
			_, answer := c.do("%s", "APPEND Copies CATENATE ("+parts+")")
			m := codes.FindStringSubmatch(answer)
			status[i] = m[1] + " " + m[2]
			if m[1] != "OK" {
				continue
			}
			c.ok("EXAMINE Copies")
			lines, _ = c.ok("FETCH * (BODY.PEEK[])")
			_, bytes[i], _ = strings.Cut(strings.Join(lines, "\r\n"), "}\r\n")
			c.ok("SELECT INBOX")
		}
		if same := status[0] == status[1] && bytes[0] == bytes[1]; same != (tt.differs == "") {
			t.Errorf("%s:\nDovecot %s %.300q\nGadwall %s %.300q\ndiffers: %q", tt.parts, status[0], bytes[0],
				status[1], bytes[1], tt.differs)
		}
	}
}
