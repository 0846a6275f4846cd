package imap

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
)

// encoded is a message with one part of text in base64.
func encoded(contentType, text string) string {
	b := base64.StdEncoding.EncodeToString([]byte(text))
	var lines strings.Builder
	for len(b) > 76 {
		lines.WriteString(b[:76] + "\r\n")
		b = b[76:]
	}
	return "Content-Type: " + contentType + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		lines.String() + b + "\r\n"
}

// searchCase is a search of a mailbox and the numbers it must answer.
type searchCase struct{ criteria, want string }

func (c *testClient) checkSearches(tests []searchCase) {
	c.t.Helper()
	for _, tt := range tests {
		lines, status := c.do("SEARCH %s", tt.criteria)
		if got := strings.TrimPrefix(strings.Join(lines, "|"),
			"* SEARCH"); strings.TrimSpace(got) != tt.want || !strings.HasPrefix(status, "OK") {
			c.t.Errorf("SEARCH %.60q: %q, %s; want %q", tt.criteria, lines, status, tt.want)
		}
	}
}

// TestSearchText: text is found as a reader sees it, whatever it is encoded
// in, and nothing else is.
func TestSearchText(t *testing.T) {
	big := strings.Repeat("fill ", 200_000) // more than is read at once
	mails := []string{
		1: encoded("text/plain; charset=utf-8", "Größe und Maß"),
		2: encoded("text/plain; charset=iso-8859-1", "Gr\xf6\xdfe"),
		3: crlf("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " +
			"quoted-printable\n\nGr=C3=B6=\n=C3=9Fe soft=\nbreak\n"),
		4: encoded("text/html; charset=utf-8",
			"<p title='hidden'>Gr&ouml;&szlig;e</p><script>scripted</script><b>in</b>line"),
		5: encoded("application/pdf", "Größe in a file"),
		6: crlf(nestMail),
		7: crlf("Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\n =?utf-8?b?bnR1bQ==?=\nX-Folded: one\n two\n\nx\n"),
		8: encoded("text/plain", big+"needle at the end"),
		9: encoded("text/plain; charset=utf-16", "\xff\xfe"+"h\x00i\x00d\x00e\x00"),
		10: crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; name=partname\n\none\n" +
			"--b\nContent-Type: message/delivery-status\n\nDiagnostic-Code: x\n--b--\n"),
		11: crlf("Subject: " + strings.Repeat("long ", 300) + "tail\nTo: " +
			strings.Repeat("user@example.com,\n ", 1200) + "last@example.com\n\nx\n"),
		12: crlf("Content-Type: text/plain; charset=unknown-thing\n\nna\xefve r\xc3\xa9sum\xc3\xa9\n"),
		13: "",
	}
	s := newTestServer(t)
	for i, m := range mails[1:] {
		prefix := ""
		if i == 0 {
			prefix = "Delivered-To: alice@example.com\r\n"
		}
		s.deliver(t, m, prefix)
	}
	c := s.selectMails(t)
	c.checkSearches([]searchCase{
		{"BODY " + nonSync("größe"), "1 2 3 4"},
		{"BODY " + nonSync("GRÖß"), "1 2 3 4"},
		{"TEXT " + nonSync("größe"), "1 2 3 4 7"},
		{"BODY softbreak", "3"},
		{"BODY inline", "4"},
		{"BODY hidden", ""},
		{"BODY scripted", ""},
		{"TEXT file", ""},
		{"BODY in2", "6"},
		{"BODY inner2", ""},
		{"TEXT inner2", "6"},
		{"SUBJECT " + nonSync("größentum"), "7"},
		{"HEADER X-Folded \"one two\"", "7"},
		{"HEADER x-folded \"one   two\"", "7"},
		{"TEXT \"x-folded: one two\"", "7"},
		{"BODY \"needle at the end\"", "8"},
		{"BODY \"fill needle\"", "8"},
		{"NOT BODY fill", "1 2 3 4 5 6 7 9 10 11 12 13"},
		{"BODY hide", "9"},
		{"BODY diagnostic", "10"},
		{"TEXT partname", "10"},
		{"BODY partname", ""},
		{"SUBJECT tail", "11"},
		{"NOT SUBJECT tail 10:12", "10 12"},
		{"TO last@example", "11"},
		{"TO \"user@example.com, user@example.com\"", "11"},
		{"SUBJECT \"long tail\" NOT TO nobody", "11"},
		{"BODY " + nonSync("naïve résumé"), "12"},
		{"HEADER Delivered-To alice", "1"},
		{"TEXT delivered-to", "1"},
		{"SMALLER 1", "13"},
		{"OR BODY softbreak HEADER Subject tail", "3 11"},
	})
}

// hardHeaders are messages whose header says more than one value of one field.
var hardHeaders = []string{
	"Subject: first\nSubject: second\nTo: a@example.com\nTo: b@example.com\n\nx\n",
	"Subject: before\nyou recognise the sender\n and =?utf-8?q?Gr=C3=B6=C3=9Fe?=\nSubject: after\n\nx\n",
	"From: John (at home) . Doe @ example (dot) . com\nTo: \"Doe, \\\"Jim\\\"\" <jim@example.com>\n\nx\n",
	"Subject: Donau\u00addampf\u200bschiff =?utf-8?q?In=C2=ADvoice?=\nTo: z\ufeffero <zero@example.com>\n\nx\n",
	"Subject: " + strings.Repeat("long ", 300) + "tail\nTo: " +
		strings.Repeat("user@example.com,\n ", 1200) + "last@example.com\n\nx\n",
	strings.Repeat("To: many@example.com\n", 200) + "To: final@example.com\nSubject: many fields\n\nx\n",
	"To: a@example.com\nCc: b@example.com\n\nTo: c@example.com\n",
	"Subject: plain\n\nx\n",
}

var hardSearches = []searchCase{
	{"SUBJECT first", "1"},
	{"SUBJECT second", "1"},
	{"HEADER Subject first SUBJECT second", "1"},
	{"SUBJECT \"first second\"", ""},
	{"TO \"a@example.com, b\"", ""},
	{"TO b@example.com", "1"},
	{"SUBJECT after SUBJECT before", "2"},
	{"SUBJECT recognise", ""},
	{"TEXT \"you recognise\"", "2"},
	{"TEXT " + nonSync("sender and größe"), "2"},
	{"HEADER \"\" recognise", ""},
	{"FROM john.doe@example.com", "3"},
	{"FROM \"at home\"", "3"},
	{"FROM \"john (at\"", "3"},
	{"TO " + nonSync(`doe, "jim" <jim@`), "3"},
	{"TO jim@example.com", "3"},
	{"SUBJECT donaudampfschiff", "4"},
	{"SUBJECT " + nonSync("Dampf\u00adschiff in\u200bvoice"), "4"},
	{"TEXT donaudampfschiff", "4"},
	{"TO zero", "4"},
	{"TO \"zero <zero@\"", "4"},
	{"SUBJECT tail", "5"},
	{"TO last@example", "5"},
	{"NOT SUBJECT tail 4:6", "4 6"},
	{"NOT TO nobody SUBJECT long", "5"},
	{"TO final@example", "6"},
	{"SUBJECT \"many fields\"", "6"},
	{"CC c@", ""},
	{"TO c@example.com", ""},
	{"OR SUBJECT plain TO b@example.com", "1 8"},
	{"NOT SUBJECT \"\"", "3 7"},
}

// TestSearchHeaders: each field of a name is searched, as it is read, and
// addresses are found whatever stands in them.
func TestSearchHeaders(t *testing.T) {
	s := newTestServer(t)
	for _, m := range hardHeaders {
		s.deliver(t, crlf(m), "")
	}
	s.selectMails(t).checkSearches(hardSearches)
}

// TestSearchStoredBefore: the texts that are stored with a message count only
// if they were made whole and by the present rules. Else the header is read.
func TestSearchStoredBefore(t *testing.T) {
	s := newTestServer(t)
	for _, m := range hardHeaders {
		s.deliver(t, crlf(m), "")
	}
	for _, rules := range []bson.D{
		{{Key: "$unset", Value: bson.D{{Key: mailstore.DocTextRules, Value: ""}}}},
		{{Key: "$set", Value: bson.D{{Key: mailstore.DocTextRules, Value: mailstore.TextRules - 1}}}},
	} {
		stale := bson.D{{Key: "$set", Value: bson.D{
			{Key: mailstore.DocSubject, Value: "plain first tail"},
			{Key: mailstore.DocTo, Value: "c@example.com, b@example.com"}}}}
		for _, update := range []bson.D{rules, stale} {
			if _, err := s.db.Collection("messages").UpdateMany(context.Background(), bson.D{}, update); err != nil {
				t.Fatal(err)
			}
		}
		s.selectMails(t).checkSearches(hardSearches)
	}
}

// TestSearchKeys: flags as they change, dates by the day that FETCH shows, and
// the forms of the command.
func TestSearchKeys(t *testing.T) {
	s := newTestServer(t)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 2, day, hour, minute, 0, 0, time.UTC) }
	for i, when := range []time.Time{at(9, 23, 59), at(10, 0, 0), at(10, 23, 59), at(11, 0, 0)} {
		s.deliverTo(t, strings.NewReader(message(fmt.Sprint("m", i))), mailstore.Delivery{InternalDate: when})
	}
	c := s.selectMails(t)
	c.ok("STORE 2 +FLAGS (\\Seen $Label)")
	c.ok("STORE 3 +FLAGS (\\Seen \\Deleted $label)")
	c.checkSearches([]searchCase{
		{"BEFORE 10-Feb-2026", "1"},
		{"ON 10-Feb-2026", "2 3"},
		{"SINCE 10-Feb-2026", "2 3 4"},
		{"NOT ON 10-Feb-2026", "1 4"},
		{"SENTON 17-Jul-1996", "1 2 3 4"},
		{"SENTBEFORE 17-Jul-1996", ""},
		{"UNSEEN", "1 4"},
		{"SEEN UNDELETED", "2"},
		{"DELETED", "3"},
		{"KEYWORD $LABEL", "2 3"},
		{"UNKEYWORD $label", "1 4"},
		{"NEW", ""},
		{"RECENT", ""},
		{"OLD", "1 2 3 4"},
		{"OLDER 3600", "1 2 3 4"},
		{"CHARSET us-ascii 2:3 SUBJECT m1", "2"},
		// Numbers that no message has are fulfilled by none.
		{"5", ""},
		{"3:9", "3 4"},
		{"9:3", "3 4"},
		{"9:*", "4"},
		{"2,7,9:10", "2"},
		{"NOT 2:7", "1"},
		{"OR 9 UID 2", "2"},
	})
	// As deep as it may be nested, to the database too.
	deep := "DRAFT"
	for i := range search.MaxDepth / 2 {
		deep = fmt.Sprintf("OR FLAGGED (UNSEEN LARGER %d %s)", i, deep)
	}
	c.checkSearches([]searchCase{{deep, ""}})
	c.refused("BADCHARSET (US-ASCII UTF-8 ISO-8859-1", "SEARCH CHARSET X-UNKNOWN ALL")
	c.refused("BAD", "SEARCH BODY %s", strings.Repeat("x", 4097))
	c.refused("BAD", "SEARCH")

	c.ok("STORE 1 +FLAGS (\\Deleted)")
	c.ok("UID EXPUNGE 1")
	if lines, _ := c.ok("UID SEARCH ALL"); lines[0] != "* SEARCH 2 3 4" {
		t.Errorf("got %q", lines)
	}
	if lines, _ := c.ok("SEARCH RETURN (MIN MAX COUNT ALL) 1:*"); lines[0] != fmt.Sprintf(`* ESEARCH (TAG "%s") MIN 1 MAX 3 ALL 1:3 COUNT 3`, c.Tag()) {
		t.Errorf("got %q", lines)
	}
	if lines, _ := c.ok("UID SEARCH RETURN () SEEN"); lines[0] != fmt.Sprintf(`* ESEARCH (TAG "%s") UID ALL 2:3`, c.Tag()) {
		t.Errorf("got %q", lines)
	}
	if lines, _ := c.ok("SEARCH RETURN (MIN COUNT) FLAGGED"); lines[0] != fmt.Sprintf(`* ESEARCH (TAG "%s") COUNT 0`, c.Tag()) {
		t.Errorf("got %q", lines)
	}
}

func TestSearchModSeq(t *testing.T) {
	c := newTestServer(t).selectMails(t, message("a"), message("b"), message("c"))
	c.ok("ENABLE CONDSTORE")
	c.ok("STORE 2 +FLAGS (\\Seen)")
	var modseq uint64
	if _, err := fmt.Sscanf(c.fetchOne("FETCH 2 (MODSEQ)"), "(MODSEQ (%d))", &modseq); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ command, want string }{
		{fmt.Sprintf("SEARCH MODSEQ %d", modseq), fmt.Sprintf("* SEARCH 2 (MODSEQ %d)", modseq)},
		{fmt.Sprintf("SEARCH MODSEQ %d", modseq+1), "* SEARCH"},
		{fmt.Sprintf("UID SEARCH MODSEQ \"/flags/\\\\seen\" all %d TEXT hello", modseq-1),
			fmt.Sprintf("* SEARCH 2 3 (MODSEQ %d)", modseq)},
		{"SEARCH RETURN (MIN) MODSEQ 1", fmt.Sprintf("* ESEARCH (TAG \"%%s\") MIN 1 MODSEQ %d", modseq-3)},
		{"SEARCH RETURN (COUNT) MODSEQ 1", fmt.Sprintf("* ESEARCH (TAG \"%%s\") COUNT 3 MODSEQ %d", modseq)},
	} {
		lines, _ := c.ok("%s", tt.command)
		want := tt.want
		if strings.Contains(want, "%s") {
			want = fmt.Sprintf(want, c.Tag())
		}
		if len(lines) != 1 || lines[0] != want {
			t.Errorf("%s: got %q, want %q", tt.command, lines, want)
		}
	}
}

// TestSearchEmptyMailbox: a set is a condition, which no message of an empty
// mailbox fulfils. Where a set says which messages to act on, it must name some.
func TestSearchEmptyMailbox(t *testing.T) {
	c := newTestServer(t).selectMails(t)
	for _, criteria := range []string{"ALL", "1", "1:*", "*", "*:4", "UID 1:*", "1:* NOT DELETED", "NOT 1"} {
		c.checkSearches([]searchCase{{criteria, ""}})
		if lines, _ := c.ok("UID SEARCH RETURN (COUNT) %s", criteria); !strings.HasSuffix(lines[0], " COUNT 0") {
			t.Errorf("%s: %q", criteria, lines)
		}
	}
	for _, command := range []string{"FETCH 1 FLAGS", "FETCH 1:* FLAGS", "STORE * FLAGS ()", "COPY 1:* INBOX"} {
		c.refused("BAD", "%s", command)
	}
}

// TestSearchCharset: the strings of a search are converted from its charset.
func TestSearchCharset(t *testing.T) {
	c := newTestServer(t).selectMails(t,
		crlf("Subject: =?utf-8?q?K=C3=B6ln?=\nContent-Type: text/plain; charset=koi8-r\n\n\xd3\xde\xa3\xd4\n"))
	for _, tt := range []searchCase{
		{"CHARSET ISO-8859-1 SUBJECT " + nonSync("K\xf6LN"), "1"},
		{"CHARSET latin1 HEADER subject " + nonSync("k\xf6"), "1"},
		{"CHARSET KOI8-R BODY " + nonSync("\xd3\xde\xa3\xd4"), "1"},
		{"CHARSET cp1251 BODY " + nonSync("\xf1\xf7\xb8\xf2"), "1"},
		{"CHARSET cp1251 TEXT " + nonSync("\xd3\xde\xa3\xd4"), ""},
		{"CHARSET ANSI_X3.4-1968 SUBJECT ln", "1"},
		{"CHARSET UTF8 BODY " + nonSync("счёт"), "1"},
	} {
		c.checkSearches([]searchCase{tt})
	}
	c.refused("BAD", "SEARCH CHARSET UTF-8 SUBJECT %s", nonSync("K\xf6LN"))
	c.refused("BAD", "SEARCH CHARSET utf-16be SUBJECT %s", nonSync("abc"))
}

// TestSearchOtherSession: what another session expunged keeps its number, and
// what it added is not found before this one was told.
func TestSearchOtherSession(t *testing.T) {
	s := newTestServer(t)
	c := s.selectMails(t, message("a"), message("b"))
	other := s.login(t)
	other.append("INBOX", "", message("c"))
	other.ok("SELECT INBOX")
	other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	// The answer comes before the news, of which EXPUNGE has to wait. The client is
	// told that there is such news where the answer lacks messages for it.
	for _, tt := range []struct{ command, lines, status string }{
		{"SEARCH TEXT hello", "* SEARCH 2|* 3 EXISTS", "OK [EXPUNGEISSUED]"},
		{"SEARCH UNSEEN", "* SEARCH 2 3", "OK [EXPUNGEISSUED]"},
		{"SEARCH 2:3 UNSEEN", "* SEARCH 2 3", "OK SEARCH"},
		{"SEARCH 1:2", "* SEARCH 1 2", "OK SEARCH"}, // known to the view
		{"UID SEARCH UNSEEN", "* SEARCH 2 3|* 1 EXPUNGE", "OK SEARCH"},
		{"SEARCH TEXT hello", "* SEARCH 1 2", "OK SEARCH"},
	} {
		lines, status := c.ok("%s", tt.command)
		if got := strings.Join(lines, "|"); got != tt.lines || !strings.HasPrefix(status, tt.status) {
			t.Errorf("%s: %q, %s", tt.command, got, status)
		}
	}
}

// TestSearchObjectIDs: EMAILID and THREADID find the messages for which FETCH gives them (RFC 8474
// section 6), copies included, from columns and from the database.
func TestSearchObjectIDs(t *testing.T) {
	s := newTestServer(t)
	for _, m := range []string{
		"Message-ID: <a@x>\nSubject: one\n\nx\n", "Message-ID: <b@x>\nSubject: two\n\nx\n",
		"Message-ID: <c@x>\nReferences: <a@x>\nSubject: Re: one\n\ny\n",
	} {
		s.deliver(t, crlf(m), "")
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	c.ok("COPY 2 INBOX")
	lines, _ := c.ok("FETCH 1:4 (EMAILID THREADID)")
	for i, want := range []string{"M1) THREADID (T1", "M2) THREADID (T2", "M3) THREADID (T1", "M2) THREADID (T2"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Fatalf("%q, want %s", lines, want)
		}
	}
	tests := []searchCase{
		{"EMAILID M1", "1"}, {"EMAILID M2", "2 4"}, {"EMAILID M4", ""}, {"EMAILID T1", ""}, {"EMAILID x", ""},
		{"NOT EMAILID M2", "1 3"}, {"OR EMAILID M1 EMAILID M3", "1 3"}, {"EMAILID M2 3:*", "4"},
		{"THREADID T1", "1 3"}, {"THREADID T2 NOT 2", "4"}, {"THREADID T3", ""}, {"THREADID M1", ""},
		{"EMAILID M3 THREADID T1", "3"}, {"EMAILID M2 BODY x", "2 4"}, {"OR EMAILID M3 BODY none", "3"},
	}
	c.checkSearches(tests)
	accounts, err := account.New(account.Options{Store: s.store, Bus: s.bus, ColumnBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	s = s.serve(t, Options{Authenticator: testAuthenticator(accounts), MaxMessageSize: 1 << 20, Logger: s.log}, s.store)
	c = s.login(t)
	c.ok("SELECT INBOX")
	c.checkSearches(tests)
}
