package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gadwall/quota"
)

// If-Match guards a message against a change by another client.
func TestIfMatch(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	a.upload(t, simple(1), "")
	a.upload(t, simple(2), "")
	one := ada + "/INBOX/messages/1"
	_, _, header := request(t, "GET", a.url+one, "")
	old := header.Get("ETag")
	var m Message
	a.call(t, "PATCH", one, `{"add":["\\Seen"]}`, 200, &m, "If-Match: "+old)
	if !slices.Equal(m.Flags, []string{`\Seen`}) {
		t.Errorf("%+v", m)
	}
	for _, tag := range []string{
		old, `"x"`, `W/"1-1-99"`, strings.ReplaceAll(old, "-1-", "-2-"), strings.Trim(old, `W/"`),
	} {
		for _, method := range []string{"PATCH", "DELETE"} {
			body := map[string]string{"PATCH": `{"add":["todo"]}`}[method]
			var p Problem
			a.call(t, method, one, body, 412, &p, "If-Match: "+tag)
			if p.Code != "Changed" {
				t.Errorf("%s if %s: %+v", method, tag, p)
			}
		}
	}
	_, _, header = request(t, "GET", a.url+one, "")
	current := header.Get("ETag")
	if current == old {
		t.Error("the tag did not change")
	}
	a.call(t, "PATCH", one, `{"add":["a"],"remove":["b"]}`, 200, &m, fmt.Sprintf("If-Match: %s, %s", old, current))
	if !slices.Equal(m.Flags, []string{`\Seen`, "a"}) {
		t.Errorf("%+v", m)
	}
	a.call(t, "PATCH", one, `{"set":[]}`, 200, nil, "If-Match: *")
	_, _, header = request(t, "GET", a.url+one, "")
	a.call(t, "DELETE", one, "", 204, nil, "If-Match: "+header.Get("ETag"))
	a.refused(t, "GET", one, "", 404, "NoSuchMessage")
}

// A browser saves a part under its name.
func TestNameOfAPart(t *testing.T) {
	a := newMailAPI(t, quota.Limits{})
	a.upload(t, crlf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"+
		"--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"a \\\"b\\\".pdf\"\n\nx\n"+
		"--b\nContent-Type: application/pdf; name=\"=?utf-8?q?=C3=BCber.pdf?=\"\n\nx\n"+
		"--b\nContent-Type: application/pdf\n\nx\n--b--\n"), "")
	for part, want := range map[string]string{
		"1": `attachment; filename="a \"b\".pdf"`, "2": `attachment; filename*=utf-8''%C3%BCber.pdf`, "3": "attachment",
	} {
		_, _, header := request(t, "GET", a.url+ada+"/INBOX/messages/1/parts/"+part, "")
		if got := header.Get("Content-Disposition"); got != want {
			t.Errorf("part %s: %s", part, got)
		}
	}
}
