package httpapi

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/smarthost"
	"gadwall/internal/smarthosttest"
	"gadwall/internal/storetest"
	"gadwall/internal/submission"
)

const submitAda = "/users/ada@example.com/submit"

// newSubmitAPI is a server with the user ada and a smarthost.
func newSubmitAPI(t *testing.T, o smarthosttest.Options, limit mailstore.Sending) (*api, *smarthosttest.Server) {
	t.Helper()
	st := storetest.Open(t, storetest.Options{})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	host := smarthosttest.New(t, o)
	service, err := submission.New(submission.Options{
		Smarthost: smarthost.New(smarthost.Options{Address: host.Addr, Hostname: "mail.example.com",
			Mode: smarthost.Plain}),
		Hostname: "mail.example.com", MaxMessageSize: 100_000, Limit: limit,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close(t.Context()) })
	a := &api{Store: st, url: start(t, Options{Users: st, Accounts: accounts, Submission: service})}
	a.User(t, "ada@example.com")
	return a, host
}

var outgoing = crlf(`From: Ada <ada@example.com>
To: Bob <bob@example.net>, no@example.net
Cc: group: eve@example.net;, nobody:;
Bcc:
Bcc: hidden@example.net, bob@example.net
Message-ID: <1@web>
Date: Mon, 30 Nov 2026 12:00:00 +0000

text
`)

// A message goes to the recipients of its header, or of the query; the answer has the smarthost's words
// for each, and where the copy is.
func TestSubmit(t *testing.T) {
	a, host := newSubmitAPI(t, smarthosttest.Options{Answer: func(c string) string {
		if c == "RCPT TO:<no@example.net>" {
			return "550 5.1.1 no such user"
		}
		return ""
	}}, mailstore.Sending{})
	const isMessage = "Content-Type: message/rfc822"
	var got submitted
	a.call(t, "POST", submitAda, outgoing, 200, &got, isMessage)
	want := submitted{MessageID: "<1@web>", Answer: "Ok: queued as 4Xy2Fj", Mailbox: "Sent", UID: 1,
		UIDValidity: got.UIDValidity, Recipients: []sentRecipient{
			{"bob@example.net", 250, "2.1.5", "OK"}, {"no@example.net", 550, "5.1.1", "no such user"},
			{"eve@example.net", 250, "2.1.5", "OK"}, {"hidden@example.net", 250, "2.1.5", "OK"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sent := host.Messages()[0]
	line := regexp.MustCompile(`^Received: from \[127\.0\.0\.1\] by mail\.example\.com \(Gadwall\) with HTTP id [A-Z2-7]{12};` +
		`\r\n\t[^\r]* \+0000\r\n`).FindString(sent.Text)
	open := strings.Replace(outgoing, "Bcc:\r\nBcc: hidden@example.net, bob@example.net\r\n", "", 1)
	if line == "" || sent.Text != line+open || len(sent.Rcpt) != 3 ||
		!strings.HasPrefix(sent.Mail, "MAIL FROM:<ada@example.com>") {
		t.Errorf("%+v", sent)
	}
	// The web application saves it, too, and once more by another way.
	var copied uploaded
	a.call(t, "POST", ada+"/Sent/messages", outgoing, 201, &copied, isMessage)
	if copied.UID != 1 {
		t.Errorf("saved once more: %+v", copied)
	}
	envelope := "?" + url.Values{"from": {"ada+web@example.com"}, "to": {"x@example.net", "ü@example.net"}}.Encode()
	a.call(t, "POST", submitAda+envelope, "From: ada@example.com\n\nLF\n", 200, &got, isMessage)
	sent = host.Messages()[1]
	if got.UID != 2 || got.MessageID == "" || len(sent.Rcpt) != 2 || !strings.Contains(sent.Mail, "SMTPUTF8") ||
		!strings.Contains(sent.Text, "Message-ID: "+got.MessageID) {
		t.Errorf("%+v, %+v", got, sent)
	}
}

// What cannot be sent is a problem that says why.
func TestSubmitRefusals(t *testing.T) {
	a, host := newSubmitAPI(t, smarthosttest.Options{Answer: func(c string) string {
		switch c {
		case "RCPT TO:<no@example.net>":
			return "550 5.1.1 no such user"
		case "RCPT TO:<later@example.net>":
			return "450 4.2.0 later"
		}
		return ""
	}}, mailstore.Sending{Messages: 1})
	const isMessage = "Content-Type: message/rfc822"
	from := func(sender, to string) string { return "From: " + sender + "\r\nTo: " + to + "\r\n\r\nx\r\n" }
	for _, tt := range []struct {
		query, body string
		status      int
		code        string
	}{
		{"", from("bob@example.com", "x@example.net"), 422, "Refused"},
		{"?from=ada@example.com", from("bob@example.com", "x@example.net"), 422, "Refused"},
		{"", from("ada@example.com", "no@example.net"), 422, "Refused"},
		{"", from("ada@example.com", "later@example.net"), 503, "NotNow"},
		{"", from("ada@example.com", "nonsense"), 400, "InvalidField"},
		{"", from("ada@example.com, bob@example.com", "x@example.net"), 400, "InvalidField"},
		{"", from("ada@example.com", "x@example.net\r\nCc: y@example.net, <unreadable"), 400, "InvalidField"},
		{"?from=x&to=y@z", from("ada@example.com", "x@example.net"), 400, "InvalidField"},
		{"", "no header", 400, "InvalidField"},
		{"", "", 400, "InvalidField"},
		{"", "From: ada@example.com\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", 413, "TooLarge"},
	} {
		a.refused(t, "POST", submitAda+tt.query, tt.body, tt.status, tt.code)
	}
	a.refused(t, "POST", "/users/nobody@example.com/submit", outgoing, 404, "NoSuchUser")
	if n := len(host.Messages()); n != 0 {
		t.Fatalf("%d messages are sent", n)
	}
	a.call(t, "POST", submitAda, from("ada@example.com", "x@example.net"), 200, new(submitted), isMessage)
	a.refused(t, "POST", submitAda, from("ada@example.com", "x@example.net"), 429, "SentTooMuch")
}

// The limits of a user come before those of all.
func TestOwnLimitsOfSending(t *testing.T) {
	a, host := newSubmitAPI(t, smarthosttest.Options{}, mailstore.Sending{Messages: 1, Recipients: 3})
	const me = "/users/ada@example.com"
	send := func(status int, to string) {
		t.Helper()
		a.call(t, "POST", submitAda, "From: ada@example.com\r\nTo: "+to+"\r\n\r\nx\r\n", status, nil,
			"Content-Type: message/rfc822")
	}
	limits := func(change string) (u User) {
		t.Helper()
		a.call(t, "PATCH", me, `{"limits":`+change+`}`, 200, &u)
		return u
	}
	var u User
	a.call(t, "GET", me, "", 200, &u)
	if u.Limits != (SendingLimits{}) {
		t.Errorf("%+v", u.Limits)
	}
	send(200, "x@example.net")
	send(429, "x@example.net")
	if u := limits(`{"sentMessages":2}`); *u.Limits.Messages != 2 || u.Limits.Recipients != nil {
		t.Errorf("%+v", u.Limits)
	}
	send(200, "x@example.net")
	send(429, "x@example.net")
	limits(`{"sentMessages":"unlimited"}`)
	send(200, "x@example.net")
	send(429, "x@example.net") // the fourth recipient
	if u := limits(`{"sentRecipients":5}`); *u.Limits.Messages != -1 || *u.Limits.Recipients != 5 {
		t.Errorf("%+v", u.Limits)
	}
	send(429, "x@example.net, y@example.net, z@example.net")
	send(200, "x@example.net, y@example.net")
	limits(`{"sentMessages":"default","sentRecipients":"default"}`)
	send(429, "x@example.net")
	a.refused(t, "PATCH", me, `{"limits":{"sentMessages":0}}`, 400, "InvalidField")
	a.refused(t, "PATCH", me, `{"limits":{"octets":1}}`, 400, "UnknownField")
	if n := len(host.Messages()); n != 4 {
		t.Errorf("%d messages are sent", n)
	}
}

// The line of trace has the client's address as RFC 5321 section 4.1.3 writes it.
func TestSubmitTrace(t *testing.T) {
	for at, want := range map[string]string{
		"192.0.2.1:25": "[192.0.2.1]", "[::ffff:192.0.2.1]:25": "[192.0.2.1]",
		"[2001:db8::1]:25": "[IPv6:2001:db8::1]", "[fe80::1%eth0]:25": "[IPv6:fe80::1]", "@": "local",
	} {
		line := received(&http.Request{RemoteAddr: at}, "mail.example.com")
		if !strings.HasPrefix(line, "Received: from "+want+" by mail.example.com ") {
			t.Errorf("%s: %s", at, line)
		}
	}
}
