package parttext

import (
	"strings"
	"testing"
	"unicode/utf8"

	"gadwall/mimestream"
)

func leaf(subtype, encoding, charset string) *mimestream.Part {
	p := &mimestream.Part{Kind: mimestream.Leaf, Type: "text", Subtype: subtype, Encoding: encoding}
	if charset != "" {
		p.Params = []mimestream.Param{{Name: "charset", Value: charset}}
	}
	return p
}

func TestPreview(t *testing.T) {
	long := strings.Repeat("wort ", 3000)
	for _, tt := range []struct{ name, subtype, encoding, charset, body, want string }{
		{"plain", "plain", "", "", "Dear Jo,\r\n\r\n  see  you.\r\n", "Dear Jo, see you."},
		{"quoted-printable", "plain", "quoted-printable", "utf-8", "Gr=C3=BC=\r\n=C3=9Fe", "Grüße"},
		{"base64, latin1", "plain", "base64", "iso-8859-1", "R3L832U=", "Grüße"},
		{"html", "html", "", "utf-8", "<style>p{}</style><p>One &amp; two<p>three", "One & two three"},
		{"quotation first", "plain", "", "",
			"On Monday, Jo\r\nwrote:\r\n\r\n> why\r\n> not?\r\nBecause.", "Because."},
		{"not an introduction", "plain", "", "",
			"Two things:\r\none\r\n\r\n> why\r\nBecause.", "Two things: one Because."},
		{"only quoted", "plain", "", "", "> why\r\n>> not", "why not"},
		{"html quotation first", "html", "", "",
			"<p>Jo wrote:</p><blockquote>why<br>not</blockquote><p>Because.", "Because."},
		{"signature", "plain", "", "", "Yes.\r\n-- \r\nJo, Director", "Yes."},
		{"original message", "plain", "", "", "Yes.\r\n-----Original Message-----\r\nFrom: Jo", "Yes."},
		{"decoration", "plain", "", "", "=====\r\n* * *\r\nNews\r\n-----\r\nof today", "News of today"},
		{"padding", "html", "", "", "News<div>\u200b\u034f \u00ad&nbsp;\ufeff</div>Body", "News Body"},
		{"joined", "plain", "", "utf-8", "\U0001F468\u200d\U0001F469 a", "\U0001F468\u200d\U0001F469 a"},
		{"nothing", "html", "", "", "<img src=x>", ""},
		{"unknown charset", "plain", "", "x-none", "Gr\xfc\xdfe", "Grüße"},
		{"long", "plain", "", "", long, strings.TrimSpace(long[:MaxPreview])},
		{"ends on a space", "plain", "", "", strings.Repeat("x", MaxPreview-1) + " y",
			strings.Repeat("x", MaxPreview-1)},
	} {
		if got := Preview(leaf(tt.subtype, tt.encoding, tt.charset), []byte(tt.body)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A text that is cut within a character has no trace of that character.
func TestPreviewIsCutBetweenCharacters(t *testing.T) {
	for n := range 4 {
		body := strings.Repeat(".\n", maxPreviewText/2-4) + strings.Repeat("x", 5+n) + "\n€€€€€"
		if got := Preview(leaf("plain", "", "utf-8"), []byte(body)); strings.ContainsAny(got, "â\ufffd") {
			t.Errorf("cut after %d octets: %q", n, got)
		}
	}
}

// FuzzPreview: whatever the part, its preview is valid UTF-8, short and one line.
func FuzzPreview(f *testing.F) {
	f.Add("html", "base64", "utf-16", []byte("PGI+"))
	f.Fuzz(func(t *testing.T, subtype, encoding, charset string, body []byte) {
		got := Preview(leaf(subtype, encoding, charset), body)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > MaxPreview ||
			strings.ContainsAny(got, "\r\n\t\x00") {
			t.Fatalf("%q", got)
		}
	})
}

func BenchmarkPreview(b *testing.B) {
	body := []byte("<html><style>" + strings.Repeat("p { margin: 0 } ", 500) + "</style><body>" +
		strings.Repeat("<table><tr><td><p>Some words of a newsletter</p>", 200))
	p := leaf("html", "", "utf-8")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Preview(p, body)
	}
}
