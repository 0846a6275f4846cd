package imapurl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The examples of RFC 5092 section 9 that are of messages, those of RFC 4469, and what is near them.
func TestParse(t *testing.T) {
	selected := Base{Mailbox: "Team/INBOX", UIDValidity: 7}
	for _, tt := range []struct {
		text string
		base Base
		want URL
	}{
		{text: "imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
			want: URL{Absolute: true, Host: "minbari.example.org", Mailbox: "gray-council", UIDValidity: 385759045,
				UID: 20, Partial: true, Size: 1024}},
		{text: "imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2",
			want: URL{Absolute: true, Host: "minbari.example.org", Mailbox: "gray-council", UID: 20, Section: "1.2"}},
		{text: "IMAP://j%C3%B6rg;AUTH=*@Mail.Example.org:1143/%E6%97%A5%E6%9C%AC/%E5%8F%B0/;UID=1",
			want: URL{Absolute: true, Host: "mail.example.org", User: "jörg", Mailbox: "日本/台", UID: 1}},
		{text: "imap://ada%40example.com@[::1]:143/inbox/;UID=4294967295",
			want: URL{Absolute: true, Host: "[::1]", User: "ada@example.com", Mailbox: "INBOX", UID: 1<<32 - 1}},
		{text: "//mail.example.org/INBOX/;UID=1",
			want: URL{Absolute: true, Host: "mail.example.org", Mailbox: "INBOX", UID: 1}},
		{text: "/INBOX;UIDVALIDITY=785799047/;UID=113330;section=1.5.9", want: URL{}}, // as RFC 4469 misprints it
		{text: "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
			want: URL{Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: "HEADER"}},
		{text: "/INBOX/;UID=20/;SECTION=HEADER.FIELDS%20(From%20To)/;PARTIAL=5",
			want: URL{Mailbox: "INBOX", UID: 20, Section: "HEADER.FIELDS (From To)", Partial: true, Offset: 5}},
		{text: "/a%3Bb%2Fc&/;UID=20", want: URL{Mailbox: "a;b/c&", UID: 20}},
		{text: "/foo/bar/../;UID=20", want: URL{Mailbox: "foo", UID: 20}},
		{text: "/foo/./bar/../../../;UID=20", want: URL{}},
		{text: "/..;UIDVALIDITY=3/;UID=20", want: URL{Mailbox: "..", UIDValidity: 3, UID: 20}},
		{text: "/%2E%2e/x/;UID=20", want: URL{Mailbox: "../x", UID: 20}},
		{text: ";UID=20", base: selected, want: URL{Mailbox: "Team/INBOX", UIDValidity: 7, UID: 20}},
		{text: ";uid=20/;section=2", base: selected,
			want: URL{Mailbox: "Team/INBOX", UIDValidity: 7, UID: 20, Section: "2"}},
		{text: "Sub/;UID=20", base: selected, want: URL{Mailbox: "Team/INBOX/Sub", UID: 20}},
		{text: "../Sub;UIDVALIDITY=8/;UID=20", base: selected, want: URL{Mailbox: "Team/Sub", UIDValidity: 8, UID: 20}},
		{text: ";UID=1", base: Base{Mailbox: "a;b/../ü", UIDValidity: 2},
			want: URL{Mailbox: "a;b/../ü", UIDValidity: 2, UID: 1}},
		{text: ";UID=1", base: Base{Mailbox: "a"}, want: URL{Mailbox: "a", UID: 1}},
	} {
		got, err := Parse(tt.text, tt.base)
		if tt.want == (URL{}) {
			if err == nil {
				t.Errorf("%s: %+v, want an error", tt.text, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if diff := cmp.Diff(tt.want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]error{
		"":                                  ErrNoBase,
		";UID=1":                            ErrNoBase,
		"INBOX/;UID=1":                      ErrNoBase,
		"http://mail.example.org/x/;UID=1":  ErrScheme,
		"imaps://mail.example.org/x/;UID=1": ErrScheme,
		"imap:///INBOX/;UID=1":              ErrServer,
		"imap://a:b@mail/INBOX/;UID=1":      ErrServer,
		"imap://a;AUTH=@mail/INBOX/;UID=1":  ErrServer,
		"imap://a;X=1@mail/INBOX/;UID=1":    ErrServer,
		"imap://mail:x/INBOX/;UID=1":        ErrServer,
		"imap://m%20l/INBOX/;UID=1":         ErrServer,
		"imap://a%zz@mail/INBOX/;UID=1":     ErrServer,
		"imap://mail":                       ErrMailbox,
		"imap://mail/":                      ErrUID,
		"/":                                 ErrUID,
		"/INBOX":                            ErrUID,
		"/INBOX?SUBJECT%20x":                ErrUID,
		"/INBOX/;UID=":                      ErrUID,
		"/INBOX/;UID=0":                     ErrUID,
		"/INBOX/;UID=01":                    ErrUID,
		"/INBOX/;UID=+1":                    ErrUID,
		"/INBOX/;UID=4294967296":            ErrUID,
		"/INBOX/;UID=1/":                    ErrUID,
		"/INBOX/;UID=1?x":                   ErrUID,
		"/INBOX/;UID=1#x":                   ErrUID,
		"/INBOX/;UID=1;URLAUTH=anonymous":   ErrUID,
		"/INBOX/;UID=1/;UID=2":              ErrUID,
		"//;UID=1":                          ErrMailbox,
		"/ INBOX/;UID=1":                    ErrMailbox,
		"/\xc3\xbc/;UID=1":                  ErrMailbox,
		"/%ff/;UID=1":                       ErrMailbox,
		"/a%00/;UID=1":                      ErrMailbox,
		"/a%0D%0a/;UID=1":                   ErrMailbox,
		"/a%2/;UID=1":                       ErrMailbox,
		"/a%+1/;UID=1":                      ErrMailbox,
		"/a%":                               ErrUID,
		"/INBOX;X=1/;UID=1":                 ErrValidity,
		"/INBOX;UIDVALIDITY=0/;UID=1":       ErrValidity,
		"/INBOX;UIDVALIDITY=1;x/;UID=1":     ErrValidity,
		"/INBOX/;UID=1/;SECTION=":           ErrSection,
		"/INBOX/;UID=1/;SECTION=1;x":        ErrSection,
		"/INBOX/;UID=1/;SECTION=1%0a":       ErrSection,
		"/INBOX/;UID=1/;SECTION=1;EXPIRE=1;URLAUTH=user+a:INTERNAL:12": ErrSection,
		"/INBOX/;UID=1/;PARTIAL=":                                      ErrPartial,
		"/INBOX/;UID=1/;PARTIAL=1.":                                    ErrPartial,
		"/INBOX/;UID=1/;PARTIAL=1.0":                                   ErrPartial,
		"/INBOX/;UID=1/;PARTIAL=-1":                                    ErrPartial,
		"/INBOX/;UID=1/;PARTIAL=9223372036854775808":                   ErrPartial,
		"/INBOX/;UID=1/;PARTIAL=0.1/;SECTION=1":                        ErrPartial,
		"/" + strings.Repeat("a", MaxLength):                           ErrTooLong,
	} {
		if got, err := Parse(text, Base{}); !errors.Is(err, want) {
			t.Errorf("%.100q: %+v, %v, want %v", text, got, err, want)
		}
	}
}

// written writes a URL.
func written(u *URL) string {
	var text string
	if u.Absolute {
		text = "imap://"
		if u.User != "" {
			text += strings.NewReplacer("/", "%2F", ":", "%3A", "@", "%40").Replace(encode(u.User)) + "@"
		}
		text += u.Host
	}
	text += "/" + strings.ReplaceAll(encode(u.Mailbox), "/", "%2F")
	if u.UIDValidity != 0 {
		text += fmt.Sprintf(";UIDVALIDITY=%d", u.UIDValidity)
	}
	text += fmt.Sprintf("/;UID=%d", u.UID)
	if u.Section != "" {
		text += "/;SECTION=" + strings.ReplaceAll(encode(u.Section), "/", "%2F")
	}
	if u.Partial {
		text += fmt.Sprintf("/;PARTIAL=%d", u.Offset)
		if u.Size != 0 {
			text += fmt.Sprintf(".%d", u.Size)
		}
	}
	return text
}

// FuzzParse: what Parse takes is in bounds, and the same URL written in another way is the same.
func FuzzParse(f *testing.F) {
	f.Add("imap://ada;AUTH=*@mail.example.com:143/INBOX;UIDVALIDITY=3/;UID=20/;SECTION=1.2.MIME/;PARTIAL=1.2", "x", uint32(1))
	f.Add("../%C3%BC/./;uid=1", "a/b", uint32(0))
	f.Add(";UID=1", "..", uint32(9))
	f.Fuzz(func(t *testing.T, text, selected string, validity uint32) {
		if !utf8.ValidString(selected) || len(selected) > 1000 {
			selected = "INBOX"
		}
		u, err := Parse(text, Base{selected, validity})
		if err != nil {
			return
		}
		if u.UID == 0 || u.Mailbox == "" || u.Offset < 0 || u.Size < 0 || u.Absolute != (u.Host != "") ||
			!u.Partial && (u.Offset != 0 || u.Size != 0) {
			t.Fatalf("%q is %+v", text, u)
		}
		for _, s := range []string{u.Mailbox, u.User, u.Section} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\r\n") {
				t.Fatalf("%q is %+v", text, u)
			}
		}
		again, err := Parse(written(u), Base{})
		if err != nil || *again != *u {
			t.Fatalf("%q is %+v, but %q is %+v: %v", text, u, written(u), again, err)
		}
	})
}
