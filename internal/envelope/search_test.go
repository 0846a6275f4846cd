package envelope

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"subject", " =?utf-8?q?Gr=C3=BC=C3=9Fe?=\t an  alle ", "gru\u0308\u00dfe an alle"},
		{"subject", "a \u200b b\u00a0 c\x00d", "a b cd"},
		{"subject", "John (x) . Doe@example.com", "john (x) . doe@example.com"},
		{"from", "John Doe <John.Doe@Example.com>", "john doe <john.doe@example.com>"},
		{"from", "john.doe@example.com", "john.doe@example.com"},
		{"from", "John (home) . Doe @ example . com", "john (home) . doe @ example . com\nhome <john.doe@example.com>"},
		{"to", `"Doe, \"J\"" <"j doe"@x>, b@y`, `"doe, \"j\"" <"j doe"@x>, b@y` + "\ndoe, \"j\" <j doe@x>"},
		{"to", "a@x, list: b (B) @y, c@z;", "a@x, list: b (b) @y, c@z;\nb <b@y>"},
		{"to", "=?utf-8?q?M=C3=BCller?= <m@\r\n x>", "mu\u0308ller <m@ x>\nmu\u0308ller <m@x>"},
		{"cc", "root", "root"},
		{"cc", "", ""},
	} {
		if got := Text(tt.name, tt.value); got != tt.want {
			t.Errorf("%s: %q:\n got %q\nwant %q", tt.name, tt.value, got, tt.want)
		}
	}
}

func TestInvisible(t *testing.T) {
	for _, r := range "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u2060\u2066\u3164\ufe0f\ufeff\U000e0041\U000e0100" {
		if !Invisible(r) {
			t.Errorf("%U is visible", r)
		}
	}
	for _, r := range "a -\u00a0\u00e9\u0300\u0600\u06dd\u2003\u3000\ufff9\ufffd\U000110bd\U0001f600" {
		if Invisible(r) {
			t.Errorf("%U is invisible", r)
		}
	}
}

// TestNormalizeInvisible: invisible characters anywhere, also between a letter and its accent, change nothing.
func TestNormalizeInvisible(t *testing.T) {
	char := rapid.SampledFrom([]rune("abÀé\u0301\u0323ßﬁİ日\u00ad\u200b\u200d\u2060\ufeff \U0001f600"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(char, 0, 20).Draw(t, "text")
		var seen []rune
		for _, r := range text {
			if !Invisible(r) {
				seen = append(seen, r)
			}
		}
		got, want := Normalize(string(text)), Normalize(string(seen))
		if got != want || strings.ContainsFunc(got, Invisible) || strings.ContainsFunc(got, unicode.IsUpper) {
			t.Fatalf("%q becomes %q, without invisible characters %q", string(text), got, want)
		}
	})
}
