package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

const ada = "/users/ada@example.com/mailboxes"

// newMailAPI is a server with the user ada.
func newMailAPI(t *testing.T, limits quota.Limits) *api {
	t.Helper()
	st := storetest.Open(t, storetest.Options{Quota: quota.Policy{Limits: limits}})
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{Store: st, url: start(t, Options{Users: st, Accounts: accounts, MaxMessageSize: 1 << 20})}
	a.User(t, "ada@example.com")
	return a
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// upload puts a message into INBOX.
func (a *api) upload(t *testing.T, message, query string) (u uploaded) {
	t.Helper()
	a.call(t, "POST", ada+"/INBOX/messages"+query, message, 201, &u, "Content-Type: message/rfc822")
	return u
}

func simple(n int) string {
	return crlf(fmt.Sprintf("From: Grace <grace@example.net>\nTo: ada@example.com\nSubject: mail %d\n"+
		"Message-ID: <%d@example.net>\n\ntext %d\n", n, n, n))
}

func TestMailboxes(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	var list mailboxList
	a.call(t, "GET", ada, "", 200, &list)
	if len(list.Mailboxes) != 6 || list.Mailboxes[2].Path != "INBOX" {
		t.Errorf("%+v", list)
	}
	var box Mailbox
	a.call(t, "POST", ada, `{"path":"Work/Plans"}`, 201, &box)
	if box.Path != "Work/Plans" || box.Subscribed || box.UIDNext != 1 {
		t.Errorf("created: %+v", box)
	}
	byPath := ada + "/" + url.PathEscape("Work/Plans")
	var same Mailbox
	a.call(t, "GET", byPath, "", 200, &same)
	if same != box {
		t.Errorf("by its path: %+v", same)
	}
	a.call(t, "PATCH", byPath, `{"path":"Done","subscribed":true}`, 200, &same)
	if same.ID != box.ID || same.Path != "Done" || !same.Subscribed {
		t.Errorf("renamed: %+v", same)
	}
	for _, set := range []struct {
		body string
		want string
	}{{`{"expireDays":30}`, "30"}, {`{"expireDays":0}`, "0"}, {`{"expireDays":-1}`, ""}} {
		same = Mailbox{}
		a.call(t, "PATCH", ada+"/"+box.ID, set.body, 200, &same)
		if got := daysText(same.ExpireDays); got != set.want {
			t.Errorf("%s: expires after %q days", set.body, got)
		}
	}
	a.refused(t, "PATCH", ada+"/"+box.ID, `{"path":"Other","expireDays":-2}`, 400, "InvalidExpiry")
	a.call(t, "GET", ada+"/Done", "", 200, nil) // nothing was changed
	a.call(t, "PATCH", ada+"/Done", `{"path":"Done too/","subscribed":true,"expireDays":5}`, 200, &same)
	if same.Path != "Done too" || !same.Subscribed || daysText(same.ExpireDays) != "5" {
		t.Errorf("renamed with a separator behind: %+v", same)
	}
	a.call(t, "PATCH", ada+"/"+box.ID, `{"path":"Done"}`, 200, nil)
	var shown Mailbox
	a.call(t, "POST", ada, `{"path":"Shown","subscribed":true}`, 201, &shown)
	a.call(t, "GET", ada+"/Shown", "", 200, &same)
	if !shown.Subscribed || !same.Subscribed {
		t.Errorf("created with a subscription: %+v, then %+v", shown, same)
	}
	a.refused(t, "GET", byPath, "", 404, "NoSuchMailbox")
	a.refused(t, "POST", ada, `{"path":"Done"}`, 409, "MailboxExists")
	a.refused(t, "POST", ada, `{"path":"a//b"}`, 400, "InvalidMailboxName")
	a.refused(t, "POST", ada, `{"path":"Gone","specialUse":"\\Sent"}`, 409, "SpecialUse")
	a.refused(t, "DELETE", ada+"/INBOX", "", 409, "InboxUndeletable")
	a.refused(t, "GET", ada+"/F4294967295", "", 404, "NoSuchMailbox")
	a.refused(t, "GET", "/users/nobody@example.com/mailboxes", "", 404, "NoSuchUser")
	a.call(t, "DELETE", ada+"/"+box.ID, "", 204, nil)
	a.refused(t, "DELETE", ada+"/"+box.ID, "", 404, "NoSuchMailbox")
}

func TestListMessages(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	for i := range 5 {
		a.upload(t, simple(i), fmt.Sprintf("?flags=%s,todo&date=2026-11-%02dT10:00:00Z", url.QueryEscape(`\Seen`), i+1))
	}
	list := ada + "/INBOX/messages"
	var uids []uint32
	after := ""
	for pages := 1; ; pages++ {
		var page messagePage
		a.call(t, "GET", list+"?limit=2&after="+after, "", 200, &page)
		for _, m := range page.Messages {
			uids = append(uids, m.UID)
		}
		if after = page.Next; after == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if !slices.Equal(uids, []uint32{5, 4, 3, 2, 1}) {
		t.Errorf("UIDs %v", uids)
	}
	var page messagePage
	a.call(t, "GET", list+"?limit=1", "", 200, &page)
	m := page.Messages[0]
	if m.Envelope.Subject != "mail 4" || m.Envelope.From[0] != (Address{"Grace", "grace@example.net"}) ||
		m.Envelope.To[0].Address != "ada@example.com" || m.Preview != "text 4" || m.Size != int64(len(simple(4))) ||
		!slices.Equal(m.Flags, []string{`\Seen`, "todo"}) || !m.Date.Equal(time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)) ||
		m.ID == "" || m.Thread == "" {
		t.Errorf("%+v %+v", m, m.Envelope)
	}
	page = messagePage{}
	a.call(t, "GET", list+"?limit=1&fields=size,flags", "", 200, &page)
	if m := page.Messages[0]; m.Envelope != nil || m.ID != "" || m.Preview != "" || m.Size == 0 || len(m.Flags) != 2 {
		t.Errorf("with chosen fields: %+v", m)
	}
	a.refused(t, "GET", list+"?fields=body", "", 400, "InvalidField")
	a.refused(t, "GET", list+"?after=x", "", 400, "InvalidField")
	a.refused(t, "GET", list+"?limit=501", "", 400, "InvalidField")

	// The tag holds until something changes.
	_, _, header := request(t, "GET", a.url+list, "")
	tag := header.Get("ETag")
	if status, body, _ := request(t, "GET", a.url+list, "", "If-None-Match: "+tag); status != 304 || body != "" {
		t.Errorf("nothing changed: %d %s", status, body)
	}
	a.call(t, "PATCH", list+"/3", `{"remove":["todo"]}`, 200, nil)
	if status, _, _ := request(t, "GET", a.url+list, "", "If-None-Match: "+tag); status != 200 {
		t.Errorf("flags changed: %d", status)
	}
}

func TestFlags(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	for i := range 3 {
		a.upload(t, simple(i), "")
	}
	list := ada + "/INBOX/messages"
	var changed flagsChanged
	a.call(t, "PATCH", list, `{"uids":[3,1,3,9],"add":["\\Seen","work"]}`, 200, &changed)
	if len(changed.Messages) != 2 || changed.Messages[1].UID != 3 ||
		!slices.Equal(changed.Messages[0].Flags, []string{`\Seen`, "work"}) {
		t.Errorf("%+v", changed)
	}
	var m Message
	a.call(t, "PATCH", list+"/1", `{"add":["\\Flagged"],"remove":["\\seen"]}`, 200, &m)
	if !slices.Equal(m.Flags, []string{`\Flagged`, "work"}) {
		t.Errorf("%+v", m)
	}
	old := m.ModSeq - 1
	a.call(t, "PATCH", list+"/1", `{"set":[]}`, 200, &m)
	if len(m.Flags) != 0 {
		t.Errorf("%+v", m)
	}
	a.refused(t, "PATCH", list+"/1", fmt.Sprintf(`{"set":["x"],"unchangedSince":%d}`, old), 409, "Changed")
	changed = flagsChanged{}
	a.call(t, "PATCH", list,
		fmt.Sprintf(`{"uids":[1,2],"add":["a"],"remove":["b"],"unchangedSince":%d}`, old), 200, &changed)
	if !slices.Equal(changed.Spared, []uint32{1}) || len(changed.Messages) != 1 || changed.Messages[0].UID != 2 {
		t.Errorf("%+v", changed)
	}
	a.refused(t, "PATCH", list+"/9", `{"set":["x"]}`, 404, "NoSuchMessage")
	a.refused(t, "PATCH", list+"/1", `{"set":["x"],"add":["y"]}`, 400, "InvalidField")
	a.refused(t, "PATCH", list+"/1", `{}`, 400, "InvalidField")
	a.refused(t, "PATCH", list+"/1", `{"add":["\\Recent"]}`, 400, "InvalidField")
	a.refused(t, "PATCH", list+"/1", `{"add":["two words"]}`, 400, "InvalidKeyword")
	a.refused(t, "PATCH", list, `{"uids":[],"add":["a"]}`, 400, "InvalidField")
	a.refused(t, "PATCH", list, `{"uids":[0],"add":["a"]}`, 400, "InvalidField")
}

func TestCopyMoveDelete(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	for i := range 4 {
		a.upload(t, simple(i), "")
	}
	list := ada + "/INBOX/messages"
	var went copied
	a.call(t, "POST", list+"/copy", `{"uids":[2,4],"to":"Archive"}`, 200, &went)
	if !slices.Equal(went.Messages, []copiedPair{{2, 1}, {4, 2}}) || went.UIDValidity == 0 {
		t.Errorf("copied: %+v", went)
	}
	a.call(t, "POST", list+"/move", `{"uids":[1],"to":"Archive"}`, 200, &went)
	if !slices.Equal(went.Messages, []copiedPair{{1, 3}}) {
		t.Errorf("moved: %+v", went)
	}
	a.refused(t, "POST", list+"/move", `{"uids":[2],"to":"Nowhere"}`, 404, "NoSuchMailbox")
	a.refused(t, "POST", list+"/move", `{"to":"Archive"}`, 400, "InvalidField")
	a.refused(t, "GET", list+"/1", "", 404, "NoSuchMessage")
	var gone removed
	a.call(t, "DELETE", list+"?uids=2,3,77", "", 200, &gone)
	if !slices.Equal(gone.UIDs, []uint32{2, 3}) {
		t.Errorf("removed: %+v", gone)
	}
	a.call(t, "DELETE", list+"/4", "", 204, nil)
	a.refused(t, "DELETE", list+"/4", "", 404, "NoSuchMessage")
	a.refused(t, "DELETE", list, "", 400, "InvalidField")
	var box Mailbox
	a.call(t, "GET", ada+"/INBOX", "", 200, &box)
	if box.Messages != 0 || box.UIDNext != 5 {
		t.Errorf("INBOX: %+v", box)
	}
}

func TestThread(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	a.upload(t, simple(1), "?date=2026-01-01T00:00:00Z")
	a.upload(t, crlf("From: ada@example.com\nSubject: Re: mail 1\nMessage-ID: <r@x>\n"+
		"In-Reply-To: <1@example.net>\n\nyes\n"),
		"?date=2026-01-02T00:00:00Z")
	a.upload(t, simple(2), "")
	a.call(t, "POST", ada+"/INBOX/messages/move", `{"uids":[2],"to":"Sent"}`, 200, nil)
	var page messagePage
	a.call(t, "GET", ada+"/Sent/messages", "", 200, &page)
	var th thread
	a.call(t, "GET", "/users/ada@example.com/threads/"+page.Messages[0].Thread, "", 200, &th)
	if len(th.Messages) != 2 || th.Messages[0].Envelope.Subject != "mail 1" ||
		th.Messages[1].Envelope.Subject != "Re: mail 1" || th.Messages[0].Mailbox == th.Messages[1].Mailbox {
		t.Errorf("%+v", th)
	}
	a.refused(t, "GET", "/users/ada@example.com/threads/T99999", "", 404, "NoSuchThread")
	a.refused(t, "GET", "/users/ada@example.com/threads/x", "", 400, "InvalidField")
}

// attached is a message with text, HTML, an image that the HTML shows, and a large attachment.
func attached(data []byte) string {
	encoded := base64.StdEncoding.EncodeToString(data)
	var lines strings.Builder
	for ; len(encoded) > 76; encoded = encoded[76:] {
		lines.WriteString(encoded[:76] + "\n")
	}
	lines.WriteString(encoded + "\n")
	return crlf(`From: =?utf-8?q?J=C3=BCrgen?= <j@example.net>
To: Team: a@example.com, b@example.com;
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe
--a
Content-Type: text/html; charset=utf-8

<p onclick="steal()">Grüße <script>alert(1)</script><img src="http://evil.example/t.gif"><img src="cid:logo"></p>
--a--
--m
Content-Type: image/png
Content-Id: <logo>
Content-Disposition: inline; filename=logo.png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--m
Content-Type: application/pdf; name="=?utf-8?q?Pl=C3=A4ne.pdf?="
Content-Disposition: attachment; filename*=utf-8''Pl%C3%A4ne.pdf
Content-Transfer-Encoding: base64

` + lines.String() + `--m
Content-Type: message/rfc822

Subject: inner

inner text
--m--
`)
}

func sampleData(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	return data
}

func TestParsedMessage(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	data := sampleData(200_000)
	a.upload(t, attached(data), "")
	one := ada + "/INBOX/messages/1"
	var m ParsedMessage
	a.call(t, "GET", one, "", 200, &m)
	if m.Text != "Grüße" || m.Envelope.Subject != "Grüße" || m.Envelope.From[0].Name != "Jürgen" ||
		len(m.Envelope.To) != 2 || m.Truncated || !m.HasAttachments {
		t.Errorf("%+v %+v", m, m.Envelope)
	}
	for _, bad := range []string{"script", "alert", "onclick", "evil.example"} {
		if strings.Contains(m.HTML, bad) {
			t.Errorf("%s in %s", bad, m.HTML)
		}
	}
	if !strings.Contains(m.HTML, `src="cid:logo"`) || !strings.Contains(m.HTML, "Grüße") {
		t.Errorf("HTML %s", m.HTML)
	}
	want := []Attachment{
		{Part: "2", Type: "image/png", Name: "logo.png", Inline: true, ContentID: "logo", Size: 8},
		{Part: "3", Type: "application/pdf", Name: "Pläne.pdf", Size: int64(len(data))},
		{Part: "4", Type: "message/rfc822", Size: int64(len(crlf("Subject: inner\n\ninner text")))},
	}
	for i := range want {
		if i >= len(m.Attachments) || m.Attachments[i] != want[i] {
			t.Errorf("attachments %+v", m.Attachments)
			break
		}
	}
	status, _, header := request(t, "GET", a.url+one, "")
	again, _, _ := request(t, "GET", a.url+one, "", "If-None-Match: "+header.Get("ETag"))
	if status != 200 || again != 304 {
		t.Errorf("%d, then %d", status, again)
	}
	a.refused(t, "GET", ada+"/INBOX/messages/0", "", 400, "InvalidField")
}

func TestSourceAndParts(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	data := sampleData(200_000)
	message := attached(data)
	a.upload(t, message, "")
	one := a.url + ada + "/INBOX/messages/1"
	for _, tt := range []struct {
		path, ask, want string
		status          int
		answered        string
	}{
		{"/source", "", message, 200, ""},
		{"/source", "bytes=5-9", message[5:10], 206, fmt.Sprintf("bytes 5-9/%d", len(message))},
		{"/source", "bytes=-7", message[len(message)-7:], 206,
			fmt.Sprintf("bytes %d-%d/%d", len(message)-7, len(message)-1, len(message))},
		{"/source", "Bytes=1-2", message[1:3], 206, fmt.Sprintf("bytes 1-2/%d", len(message))},
		{"/source", "bytes=1-2,4-5", message, 200, ""},
		{"/source", "bytes=9-5", message, 200, ""},
		{"/source", "pages=1-2", message, 200, ""},
		{"/parts/1.1", "", "Gr\xfc\xdfe", 200, ""},
		{"/parts/2", "", "\x89PNG\r\n\x1a\n", 200, ""},
		{"/parts/3", "", string(data), 200, ""},
		{"/parts/3", "bytes=150000-150999", string(data[150000:151000]), 206, "bytes 150000-150999/200000"},
		{"/parts/3", "bytes=199990-", string(data[199990:]), 206, "bytes 199990-199999/200000"},
		{"/parts/3", "bytes=0-99999999999999999999999", string(data), 206, "bytes 0-199999/200000"},
		{"/parts/4", "", crlf("Subject: inner\n\ninner text"), 200, ""},
	} {
		var header []string
		if tt.ask != "" {
			header = []string{"Range: " + tt.ask}
		}
		status, body, got := request(t, "GET", one+tt.path, "", header...)
		if status != tt.status || body != tt.want || got.Get("Content-Range") != tt.answered {
			t.Errorf("%s %s: %d %s, %d octets", tt.path, tt.ask, status, got.Get("Content-Range"), len(body))
		}
	}
	status, body, header := request(t, "GET", one+"/parts/3", "", "Range: bytes=200000-")
	if status != 416 || header.Get("Content-Range") != "bytes */200000" {
		t.Errorf("behind the end: %d %v %s", status, header, body)
	}
	_, _, header = request(t, "GET", one+"/parts/1.2", "")
	if header.Get("Content-Type") != "text/html; charset=utf-8" || header.Get("Content-Disposition") != "attachment" ||
		!strings.Contains(header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("HTML as it came is shown as a page: %v", header)
	}
	if status, _, _ := request(t, "GET", one+"/source", "", "If-None-Match: *"); status != 304 {
		t.Errorf("If-None-Match: %d", status)
	}
	status, _, header = request(t, http.MethodHead, one+"/source", "")
	if status != 200 || header.Get("Content-Length") != fmt.Sprint(len(message)) {
		t.Errorf("HEAD: %d %v", status, header)
	}
	path := ada + "/INBOX/messages/1/parts/"
	a.refused(t, "GET", path+"9", "", 404, "NoSuchPart")
	a.refused(t, "GET", path+"0", "", 400, "InvalidField")
	a.refused(t, "GET", path+"1.x", "", 400, "InvalidField")
	a.refused(t, "GET", ada+"/INBOX/messages/2/source", "", 404, "NoSuchMessage")
}

func TestUpload(t *testing.T) {
	a := newMailAPI(t, quota.Limits{Bytes: 100_000})
	list := ada + "/INBOX/messages"
	// Any octets come back as they are.
	odd := "no header\x00\xff\n\r\n\r.\n"
	if u := a.upload(t, odd, ""); u.UID != 1 || u.UIDValidity == 0 || u.ModSeq == 0 {
		t.Errorf("%+v", u)
	}
	if _, body, _ := request(t, "GET", a.url+list+"/1/source", ""); body != odd {
		t.Errorf("%q became %q", odd, body)
	}
	a.refused(t, "POST", list, "", 400, "InvalidField")
	a.refused(t, "POST", list+"?flags=%5CNone", "x", 400, "InvalidField")
	a.refused(t, "POST", list+"?date=yesterday", "x", 400, "InvalidField")
	a.refused(t, "POST", ada+"/Nowhere/messages", "x", 404, "NoSuchMailbox")
	a.refused(t, "POST", list, strings.Repeat("x", 200_000), 507, "OverQuota")
	a.refused(t, "POST", list, strings.Repeat("x", 1<<20+1), 413, "TooLarge")

	// Without a declared length the limits hold as well.
	for size, want := range map[int]int{200_000: 507, 1<<20 + 1: 413, 1000: 201} {
		resp := answered(t, func(ctx context.Context) *http.Request {
			req, err := http.NewRequestWithContext(ctx, "POST", a.url+list,
				struct{ *bytes.Reader }{bytes.NewReader(bytes.Repeat([]byte("x"), size))})
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = -1
			return req
		})
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d octets: %d", size, resp.StatusCode)
		}
	}
}
