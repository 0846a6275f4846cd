package ingest

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/smarthost"
	"gadwall/internal/smarthosttest"
	"gadwall/internal/storetest"
	"gadwall/internal/submission"
	"gadwall/quota"
)

const (
	ada = "ada@example.com"
	bob = "bob@example.com"
)

// submissionEnv is a server for submission over a store and a smarthost.
type submissionEnv struct {
	*testServer
	store *storetest.Store
	user  *mailstore.User
	host  *smarthosttest.Server
}

// submissionSetup is what tests change of it.
type submissionSetup struct {
	Options
	service   submission.Options
	smarthost smarthosttest.Options
	masters   []string
}

func newSubmission(t *testing.T, change ...func(*submissionSetup)) *submissionEnv {
	t.Helper()
	e := &submissionEnv{store: storetest.Open(t, storetest.Options{RememberPasswords: time.Hour})}
	e.user = e.store.User(t, ada)
	e.store.User(t, bob)
	accounts, err := account.New(account.Options{Store: e.store.Store, Bus: e.store.Bus})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	o := submissionSetup{
		Options: Options{Logger: log, Authenticator: sasl.New(sasl.Options{Accounts: accounts,
			Logins: account.NewGate(logins.Options{Delay: time.Nanosecond})}),
			PlaintextFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		service: submission.Options{Hostname: "mail.example.com", MaxMessageSize: 1 << 20, Logger: log},
	}
	for _, c := range change {
		c(&o)
	}
	if o.masters != nil {
		accounts, err := account.New(account.Options{Store: e.store.Store, Bus: e.store.Bus, Masters: o.masters})
		if err != nil {
			t.Fatal(err)
		}
		o.Authenticator = sasl.New(sasl.Options{Accounts: accounts,
			Logins: account.NewGate(logins.Options{Delay: time.Nanosecond})})
	}
	e.host = smarthosttest.New(t, o.smarthost)
	o.service.Smarthost = smarthost.New(smarthost.Options{
		Address: e.host.Addr, Hostname: "mail.example.com", Mode: smarthost.Plain})
	if err := o.service.Smarthost.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.Submission, err = submission.New(o.service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Submission.Close(t.Context()) })
	e.testServer = startServer(t, nil, o.Options)
	return e
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// login returns a client that is logged in as ada.
func (e *submissionEnv) login(t *testing.T) *client {
	t.Helper()
	c := e.dial(t)
	c.want("220 ")
	c.cmd("EHLO client.example", "250 ")
	c.cmd("AUTH PLAIN "+plain(ada, storetest.Password), "235 2.7.0")
	return c
}

// sent returns the messages of the mailbox for sent mail, with their texts.
func (e *submissionEnv) sent(t *testing.T) (list []*mailstore.Message, texts []string) {
	t.Helper()
	return e.messages(t, "Sent")
}

func (e *submissionEnv) messages(t *testing.T, path string) (list []*mailstore.Message, texts []string) {
	t.Helper()
	box := e.store.Mailbox(t, e.user, path)
	for m, err := range e.store.Messages(t.Context(), box.Key, mailstore.Query{}, mailstore.FieldAll) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
		texts = append(texts, e.text(t, m))
	}
	return list, texts
}

// text returns the octets of a message.
func (e *submissionEnv) text(t *testing.T, m *mailstore.Message) string {
	t.Helper()
	loaded, err := e.store.Contents.Load(t.Context(), []contents.ID{m.Content}, contents.Want{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(m.Prefix)
	if err := loaded[m.Content].WriteRange(t.Context(), &b, 0, m.Size-int64(len(m.Prefix))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// nothingHeld fails if there is a reference to a content.
func (e *submissionEnv) nothingHeld(t *testing.T) {
	t.Helper()
	held := bson.D{{Key: "refs", Value: bson.D{{Key: "$gt", Value: 0}}}}
	n, err := e.store.Contents.Collection().CountDocuments(t.Context(), held)
	if err != nil || n != 0 {
		t.Errorf("%d contents are held, %v", n, err)
	}
}

const mailFromAda = "From: Ada <ada@example.com>\r\nTo: x@example.net\r\n" +
	"Bcc: hidden@example.net,\r\n\tada@example.com\r\n" +
	"Subject: s\r\nMessage-ID: <1@client>\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\n.body\r\nBcc: text\r\n"

const onTheWire = "From: Ada <ada@example.com>\r\nTo: x@example.net\r\n" +
	"Subject: s\r\nMessage-ID: <1@client>\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\n.body\r\nBcc: text\r\n"

// dotted is a message as DATA sends it.
func dotted(message string) string {
	return strings.ReplaceAll(message, "\r\n.", "\r\n..") + "."
}

// A message goes to the smarthost without its Bcc and with Received, and as it came into Sent, seen;
// the client has the smarthost's words.
func TestSubmission(t *testing.T) {
	e := newSubmission(t)
	c := e.login(t)
	c.cmd("MAIL FROM:<ada@example.com> SIZE=300 BODY=8BITMIME RET=HDRS ENVID=q+2B1", "250 2.1.0")
	c.cmd("RCPT TO:<x@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;y+3D@example.net", "250 2.1.5")
	c.cmd("RCPT TO:<hidden@example.net>", "250 2.1.5")
	c.cmd("RCPT TO:<ada@example.com>", "250 2.1.5")
	c.cmd("DATA", "354 ")
	c.cmd(dotted(mailFromAda), "250 2.0.0 Ok: queued as 4Xy2Fj")
	got := e.host.Messages()
	if len(got) != 1 {
		t.Fatal(got)
	}
	if got[0].Mail != "MAIL FROM:<ada@example.com> BODY=8BITMIME SIZE=300 RET=HDRS ENVID=q+2B1" {
		t.Error(got[0].Mail)
	}
	if got[0].Rcpt[0] != "RCPT TO:<x@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=RFC822;y+3D@example.net" ||
		len(got[0].Rcpt) != 3 {
		t.Error(got[0].Rcpt)
	}
	received := regexp.MustCompile(`^Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby mx\.example\.com ` +
		`\(Gadwall\) with ESMTPA id [A-Z2-7]{12}; [^\r]* \+0000\r\n`)
	if line := received.FindString(got[0].Text); line == "" || got[0].Text != line+onTheWire {
		t.Errorf("on the wire: %q", got[0].Text)
	}
	list, texts := e.sent(t)
	if len(list) != 1 || texts[0] != mailFromAda || list[0].Flags != mailstore.Seen || list[0].Submitted == 0 {
		t.Errorf("sent: %q, %+v", texts, list)
	}

	// In chunks, to one recipient, without Date and Message-ID, from an alias and from +detail.
	if err := e.store.AddAlias(t.Context(), e.user.ID, "countess@example.org"); err != nil {
		t.Fatal(err)
	}
	for i, from := range []string{"countess@example.org", "ADA+x@Example.com", ""} {
		c.cmd("MAIL FROM:<"+from+">", "250 ")
		c.cmd("RCPT TO:<x@example.net>", "250 ")
		c.send("BDAT 40\r\nFrom: countess@example.org\r\n\r\nxxxxxxxxxx")
		c.want("250 2.0.0 40 octets")
		c.send("BDAT 7 LAST\r\n\r\nend\r\n")
		c.want("250 2.0.0 Ok")
		text := e.host.Messages()[i+1].Text
		added := regexp.MustCompile(`\r\nDate: [^\r]* \+0000\r\nMessage-ID: <[A-Z2-7]{26}@mail\.example\.com>\r\n\r\nx`)
		if !added.MatchString(text) || !strings.Contains(text, "\tfor <x@example.net>; ") {
			t.Errorf("%s: %q", from, text)
		}
		if _, texts := e.sent(t); len(texts) != i+2 || !strings.HasSuffix(text, texts[i+1]) {
			t.Errorf("%s: sent %q", from, texts)
		}
	}
}

// Clients that save what they send have it once, before or after, and are told of the UID that there
// is. So have those who send to themselves.
func TestSubmissionAndOwnCopies(t *testing.T) {
	e := newSubmission(t)
	accounts, err := account.New(account.Options{Store: e.store.Store, Bus: e.store.Bus})
	if err != nil {
		t.Fatal(err)
	}
	save := func(path, text string) uint32 {
		t.Helper()
		box, err := accounts.Of(e.user).Destination(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := box.Import()
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Add(t.Context(), account.Entry{Flags: mailstore.Flagged}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		got, err := in.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got.UIDs[0]
	}
	c := e.login(t)
	submit := func(id string) {
		t.Helper()
		c.cmd("MAIL FROM:<ada@example.com>", "250 ")
		c.cmd("RCPT TO:<ada@example.com>", "250 ")
		c.cmd("DATA", "354 ")
		c.cmd(dotted(strings.Replace(onTheWire, "1@client", id, 1)), "250 ")
	}
	own := func(id string) string { return strings.Replace(mailFromAda, "1@client", id, 1) }
	save("Drafts", own("1@x"))
	submit("1@x")
	after := save("Sent", own("1@x"))
	before := save("Sent", own("2@x"))
	submit("2@x")
	save("INBOX", own("1@x")) // as the smarthost delivers it
	list, _ := e.sent(t)
	if len(list) != 2 || list[0].UID != after || list[1].UID != before || list[0].Flags != mailstore.Seen ||
		list[1].Flags != mailstore.Seen|mailstore.Flagged {
		t.Errorf("%+v", list)
	}
	for path, want := range map[string]int{"Drafts": 1, "INBOX": 1} {
		if list, _ := e.messages(t, path); len(list) != want {
			t.Errorf("%s has %d messages", path, len(list))
		}
	}
}

// Who has not logged in, or has no right to it, sends nothing.
func TestSubmissionLogin(t *testing.T) {
	e := newSubmission(t, func(o *submissionSetup) { o.TLSConfig = testTLS(t); o.PlaintextFrom = nil })
	secret := func(scopes mailstore.Scope) string {
		t.Helper()
		app, password, err := e.store.AddAppPassword(t.Context(), e.user.ID, "phone", scopes)
		if err != nil {
			t.Fatal(app, err)
		}
		return password
	}
	c := e.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	c.cmd("MAIL FROM:<ada@example.com>", "530 5.7.0")
	c.cmd("AUTH PLAIN "+plain(ada, storetest.Password), "538 5.7.11") // in clear
	c.cmd("STARTTLS", "220 ")
	c = newClient(t, tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}))
	c.send("EHLO c\r\n")
	var offers []string
	for line := c.line(); ; line = c.line() {
		offers = append(offers, line[4:])
		if line[3] == ' ' {
			break
		}
	}
	offered := strings.Join(offers, "\n")
	for _, want := range []string{"\nDSN", "\n8BITMIME", "\nSMTPUTF8", "\nCHUNKING", "\nPIPELINING",
		"AUTH PLAIN LOGIN", "\nSIZE "} {
		if !strings.Contains(offered, want) {
			t.Errorf("no %q in %s", want, offered)
		}
	}
	c.cmd("AUTH CRAM-MD5", "504 5.5.4")
	c.cmd("AUTH PLAIN AGE=", "501 5.5.2")
	c.cmd("AUTH PLAIN nonsense!", "501 5.5.2")
	c.cmd("AUTH PLAIN "+plain(ada, "wrong password"), "535 5.7.8")
	c.cmd("AUTH LOGIN", "334 VXNlcm5hbWU6")
	c.cmd("*", "501 5.7.0")
	c.cmd("AUTH PLAIN "+plain(ada, secret(mailstore.ScopeIMAP)), "535 5.7.8")
	c.cmd("AUTH LOGIN", "334 VXNlcm5hbWU6")
	c.cmd(base64.StdEncoding.EncodeToString([]byte(ada)), "334 UGFzc3dvcmQ6")
	c.cmd(base64.StdEncoding.EncodeToString([]byte(secret(mailstore.ScopeSMTP))), "235 2.7.0")
	c.cmd("AUTH PLAIN", "503 5.5.1")
	c.cmd("MAIL FROM:<ada@example.com>", "250 ")
	c.cmd("AUTH PLAIN", "503 5.5.1")

	if err := e.store.Suspend(t.Context(), e.user.ID); err != nil {
		t.Fatal(err)
	}
	c = e.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	c.cmd("STARTTLS", "220 ")
	c = newClient(t, tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}))
	c.cmd("EHLO c", "250 ")
	c.cmd("AUTH PLAIN "+plain(ada, storetest.Password), "525 5.7.13")
}

// Passwords are guessed maxMistakes times.
func TestSubmissionGuesses(t *testing.T) {
	e := newSubmission(t)
	c := e.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	for range maxMistakes {
		c.cmd("AUTH PLAIN "+plain("nobody@example.com", "wrong password"), "535 ")
	}
	c.cmd("AUTH PLAIN "+plain("nobody@example.com", "wrong password"), "421 4.7.0")
	c.wantClosed()
}

// A refusal at any step is told to the client, and leaves neither a message at the smarthost nor one
// in Sent. The connection goes on.
func TestSubmissionRefusals(t *testing.T) {
	big := "From: ada@example.com\r\n\r\n" + strings.Repeat("0123456789\r\n", 200<<10) + "."
	for name, tt := range map[string]struct {
		change func(*submissionSetup)
		mail   string // default: from ada
		rcpt   string // default: accepted
		start  string // default: 354
		text   string // with its dot; default: of ada
		want   string // the answer to the text
	}{
		"sender of another": {mail: "MAIL FROM:<bob@example.com>|553 5.7.1"},
		"foreign sender":    {mail: "MAIL FROM:<ada@example.net>|553 5.7.1"},
		"no sender":         {mail: "MAIL FROM:<a@b@c>|501 5.1.7"},
		"announced size":    {mail: "MAIL FROM:<ada@example.com> SIZE=1048577|552 5.3.4"},
		"bad RET":           {mail: "MAIL FROM:<ada@example.com> RET=x|501 5.5.4"},
		"unknown parameter": {mail: "MAIL FROM:<ada@example.com> X=y|555 5.5.4"},
		"UTF-8 address":     {mail: "MAIL FROM:<ada@example.com>|250", rcpt: "RCPT TO:<ä@x>|553 5.6.7"},
		"bad NOTIFY":        {rcpt: "RCPT TO:<b@x> NOTIFY=NEVER,DELAY|501 5.5.4"},
		"bad ORCPT":         {rcpt: "RCPT TO:<b@x> ORCPT=x|501 5.5.4"},
		"From of another":   {text: "From: ada@example.com, bob@example.com\r\n\r\n.", want: "550 5.7.1"},
		"second From":       {text: "From: ada@example.com\r\nFrom: x@example.net\r\n\r\n.", want: "550 5.7.1"},
		"no From":           {text: "Subject: x\r\n\r\n.", want: "550 5.6.0"},
		"bad From":          {text: "From: ada@\r\n\r\n.", want: "550 5.6.0"},
		"too large":         {text: big, want: "552 5.3.4"},
		"smarthost, MAIL": {change: says("MAIL", "550 5.7.1 go away"),
			mail: "MAIL FROM:<ada@example.com>|550 5.7.1 go away"},
		"smarthost, 421": {change: says("MAIL", "421 4.3.2 later"),
			mail: "MAIL FROM:<ada@example.com>|451 4.3.2 later"},
		"smarthost, auth": {change: says("MAIL", "530 5.7.0 log in"),
			mail: "MAIL FROM:<ada@example.com>|451 4.3.5"},
		"smarthost, RCPT": {change: says("RCPT", "550 5.1.1 no such user"),
			rcpt: "RCPT TO:<b@x>|550 5.1.1 no such user"},
		"smarthost, DATA":         {change: says("DATA", "452 4.3.1 full"), start: "452 4.3.1 full"},
		"smarthost, end":          {change: says(".", "554 5.7.1 spam"), want: "554 5.7.1 spam"},
		"smarthost, 4xx":          {change: says(".", "451 4.3.0 later"), want: "451 4.3.0 later"},
		"smarthost, gone":         {change: says(".", smarthosttest.Drop), want: "451 4.4.2"},
		"smarthost, gone at RCPT": {change: says("RCPT", smarthosttest.Drop), rcpt: "RCPT TO:<b@x>|451 4.4.2"},
		"messages of an hour": {change: func(o *submissionSetup) {
			o.service.Limit = mailstore.Sending{Recipients: 1}
		},
			rcpt: "RCPT TO:<b@x>|250", start: "450 4.7.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var change []func(*submissionSetup)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			e := newSubmission(t, change...)
			c := e.login(t)
			step := func(line, usual string) bool {
				t.Helper()
				if line == "" {
					line = usual
				}
				command, want, _ := strings.Cut(line, "|")
				c.cmd(command, want)
				return strings.HasPrefix(want, "250")
			}
			ok := step(tt.mail, "MAIL FROM:<ada@example.com>|250 ") && step(tt.rcpt, "RCPT TO:<b@x>|250 ")
			if ok && tt.rcpt != "" && tt.start != "" {
				step("", "RCPT TO:<c@x>|250 ") // one more
			}
			if ok {
				if tt.start == "" {
					tt.start = "354 "
				}
				c.cmd("DATA", tt.start)
			}
			if ok && tt.start == "354 " {
				if tt.text == "" {
					tt.text = dotted(mailFromAda)
				}
				c.cmd(tt.text, tt.want)
			}
			c.cmd("RSET", "250 ")
			c.cmd("NOOP", "250 ")
			if list, _ := e.sent(t); len(list) != 0 || len(e.host.Messages()) != 0 {
				t.Errorf("%d messages in Sent, %d at the smarthost", len(list), len(e.host.Messages()))
			}
			e.nothingHeld(t)
		})
	}
}

// says makes the smarthost answer a command like that.
func says(command, answer string) func(*submissionSetup) {
	return func(o *submissionSetup) {
		o.smarthost.Answer = func(c string) string {
			if strings.HasPrefix(c, command) {
				return answer
			}
			return ""
		}
	}
}

// A recipient that the smarthost refuses is refused by itself; the others get the message.
func TestSubmissionPerRecipient(t *testing.T) {
	e := newSubmission(t, says("RCPT TO:<no", "550 5.1.1 no such user"))
	c := e.login(t)
	// Pipelined (RFC 2920).
	c.send("MAIL FROM:<ada@example.com>\r\nRCPT TO:<yes@x>\r\nRCPT TO:<no@x>\r\nRCPT TO:<yes2@x>\r\nDATA\r\n")
	for _, want := range []string{"250 ", "250 ", "550 5.1.1 no such user", "250 ", "354 "} {
		c.want(want)
	}
	c.cmd(dotted(mailFromAda), "250 ")
	c.send("MAIL FROM:<ada@example.com>\r\nRCPT TO:<no@x>\r\nDATA\r\nBDAT 4 LAST\r\nabc\n")
	for _, want := range []string{"250 ", "550 ", "503 ", "503 "} {
		c.want(want)
	}
	if got := e.host.Messages(); len(got) != 1 || len(got[0].Rcpt) != 2 {
		t.Errorf("%+v", got)
	}
}

// The settings widen whom a user may send as.
func TestSubmissionSenders(t *testing.T) {
	for name, tt := range map[string]struct {
		senders, from submission.Senders
		mail, header  string
		ok            bool
	}{
		"any sender": {submission.AnySender, submission.OwnSenders, "x@example.net", ada, true},
		"any sender, checked From": {submission.AnySender, submission.OwnSenders, "x@example.net",
			"x@example.net", false},
		"any From": {submission.OwnSenders, submission.AnySender, ada, "x@example.net", true},
		"catch-all": {submission.CatchAllSenders, submission.CatchAllSenders,
			"sales@shop.example", "info@shop.example", true},
		"catch-all not allowed": {submission.CatchAllSenders, submission.OwnSenders, "sales@shop.example",
			"sales@shop.example", false},
		"catch-all of nobody": {submission.CatchAllSenders, submission.CatchAllSenders,
			"sales@shop.example", bob, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newSubmission(t, func(o *submissionSetup) {
				o.service.Senders, o.service.From = tt.senders,
					tt.from
			})
			if err := e.store.AddAlias(t.Context(), e.user.ID, "*@shop.example"); err != nil {
				t.Fatal(err)
			}
			c := e.login(t)
			c.cmd("MAIL FROM:<"+tt.mail+">", "250 ")
			c.cmd("RCPT TO:<b@x>", "250 ")
			c.cmd("DATA", "354 ")
			want := map[bool]string{true: "250 ", false: "550 5.7.1"}[tt.ok]
			c.cmd("From: =?unknown?q?x?= <"+tt.header+">\r\n\r\n.", want)
		})
	}
	e := newSubmission(t)
	if err := e.store.AddAlias(t.Context(), e.user.ID, "*@shop.example"); err != nil {
		t.Fatal(err)
	}
	c := e.login(t)
	c.cmd("MAIL FROM:<sales@shop.example>", "553 5.7.1")
	// A domain's last dot, which DNS knows and SMTP does not, goes nowhere.
	c.cmd("MAIL FROM:<"+ada+".>", "250 ")
	c.cmd("RCPT TO:<b@example.net.>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("From: "+ada+"\r\n\r\n.", "250 ")
	if m := e.host.Messages()[0]; !strings.HasPrefix(m.Mail, "MAIL FROM:<"+ada+">") ||
		m.Rcpt[0] != "RCPT TO:<b@example.net>" || strings.Contains(m.Text, ".>") || strings.Contains(m.Text, ".;") {
		t.Errorf("%+v", m)
	}
}

// What was sent counts against the limits, and what was refused does not.
func TestSubmissionLimits(t *testing.T) {
	e := newSubmission(t, func(o *submissionSetup) {
		o.service.Limit = mailstore.Sending{Messages: 2}
		says(".", "")(o)
		refuse := true
		o.smarthost.Answer = func(c string) string {
			if c == "." && refuse {
				refuse = false
				return "451 4.3.0 later"
			}
			return ""
		}
	})
	c := e.login(t)
	for i, want := range []string{"451 4.3.0", "250 ", "250 "} {
		c.cmd("MAIL FROM:<ada@example.com>", "250 ")
		c.cmd("RCPT TO:<b@x>", "250 ")
		c.cmd("DATA", "354 ")
		c.cmd(fmt.Sprintf("From: ada@example.com\r\nSubject: %d\r\n\r\n.", i), want)
	}
	c.cmd("MAIL FROM:<ada@example.com>", "250 ")
	c.cmd("RCPT TO:<b@x>", "250 ")
	c.cmd("DATA", "450 4.7.1")
	c.cmd("DATA", "503 5.5.1")
	c.cmd("MAIL FROM:<ada@example.com>", "250 ")
	c.cmd("RCPT TO:<b@x>", "250 ")
	c.send("BDAT 4 LAST\r\nabc\n")
	c.want("450 4.7.1")
	c.cmd("NOOP", "250 ")
	if list, _ := e.sent(t); len(list) != 2 || len(e.host.Messages()) != 2 {
		t.Errorf("%d messages in Sent, %d at the smarthost", len(list), len(e.host.Messages()))
	}
}

// A message whose copy has no room is not sent, as early as that is known.
func TestSubmissionOverQuota(t *testing.T) {
	e := newSubmission(t)
	if err := e.store.SetLimits(t.Context(), e.user.ID, quota.Limits{Bytes: 1000}); err != nil {
		t.Fatal(err)
	}
	c := e.login(t)
	c.cmd("MAIL FROM:<ada@example.com> SIZE=2000", "250 ")
	c.cmd("RCPT TO:<b@x>", "250 ")
	c.cmd("DATA", "452 4.2.2")
	c.cmd("MAIL FROM:<ada@example.com>", "250 ")
	c.cmd("RCPT TO:<b@x>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("From: ada@example.com\r\n\r\n"+strings.Repeat("x", 2000)+"\r\n.", "452 4.2.2")
	if list, _ := e.sent(t); len(list) != 0 || len(e.host.Messages()) != 0 {
		t.Errorf("%d messages in Sent, %d at the smarthost", len(list), len(e.host.Messages()))
	}
	e.nothingHeld(t)
}

// A client that goes away in the middle leaves nothing, and neither does RSET between chunks.
func TestSubmissionAbandoned(t *testing.T) {
	e := newSubmission(t)
	for _, sent := range []string{"RCPT TO:<b@x>\r\n", "RCPT TO:<b@x>\r\nDATA\r\nFrom: ada@example.com\r\n\r\nx",
		"RCPT TO:<b@x>\r\nBDAT 9\r\nabcd", "RCPT TO:<b@x>\r\nBDAT 4\r\nabcdRSET\r\n"} {
		c := e.login(t)
		c.send("MAIL FROM:<ada@example.com>\r\n" + sent)
		c.conn.Close()
	}
	e.stop(t)
	if list, _ := e.sent(t); len(list) != 0 || len(e.host.Messages()) != 0 {
		t.Errorf("%d messages in Sent, %d at the smarthost", len(list), len(e.host.Messages()))
	}
	e.nothingHeld(t)
}

// Without copies nothing is in Sent.
func TestSubmissionWithoutCopies(t *testing.T) {
	e := newSubmission(t, func(o *submissionSetup) { o.service.NoCopy = true })
	c := e.login(t)
	c.cmd("MAIL FROM:<ada@example.com>", "250 ")
	c.cmd("RCPT TO:<b@x>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd(dotted(mailFromAda), "250 ")
	if list, _ := e.sent(t); len(list) != 0 || len(e.host.Messages()) != 1 {
		t.Errorf("%d messages in Sent, %d at the smarthost", len(list), len(e.host.Messages()))
	}
}

// The mailbox for sent mail is the one of that use, wherever it is; it is made if there is none.
func TestSubmissionMailbox(t *testing.T) {
	e := newSubmission(t)
	submit := func() {
		t.Helper()
		c := e.login(t)
		c.cmd("MAIL FROM:<ada@example.com>", "250 ")
		c.cmd("RCPT TO:<b@x>", "250 ")
		c.cmd("DATA", "354 ")
		c.cmd("From: ada@example.com\r\n\r\n.", "250 ")
	}
	if err := e.store.RenameMailbox(t.Context(), e.user.ID, "Sent", "Gesendet"); err != nil {
		t.Fatal(err)
	}
	submit()
	if list, _ := e.messages(t, "Gesendet"); len(list) != 1 {
		t.Errorf("%d messages", len(list))
	}
	if err := e.store.DeleteMailbox(t.Context(), e.user.ID, "Gesendet"); err != nil {
		t.Fatal(err)
	}
	submit()
	box := e.store.Mailbox(t, e.user, "Sent")
	if box.SpecialUse != `\Sent` || !box.Subscribed || box.Messages != 1 {
		t.Errorf("%+v", box)
	}
}

func TestXtext(t *testing.T) {
	for in, want := range map[string]string{"": "", "a+2Bb": "a+b", "+3D": "=", "a+2": "?", "+zz": "?",
		"+0A": "?", "ä": "?", "+": "?"} {
		got, ok := decodeXtext(in)
		if ok != (want != "?") || ok && got != want {
			t.Errorf("%q: %q, %t", in, got, ok)
		}
	}
}
