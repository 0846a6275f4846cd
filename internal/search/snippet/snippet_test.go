package snippet

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		text    string
		needles []string
		limit   int
		want    string
		ok      bool
	}{
		{"one\ntwo Looms & cards\nthree", []string{"loom"}, 100, "two <mark>Loom</mark>s &amp; cards", true},
		{"ÄPFEL und Birnen", []string{"äpfel", "birne"}, 100, "<mark>ÄPFEL</mark> und <mark>Birne</mark>n", true},
		{"aaa", []string{"aa", "a"}, 100, "<mark>aaa</mark>", true},
		{"<b>x</b>", []string{"x"}, 100, "&lt;b&gt;<mark>x</mark>&lt;/b&gt;", true},
		{"nothing here", []string{"x"}, 7, "nothing…", false},
		{"", []string{"x"}, 7, "", false},
		{"some   spaces\t here", []string{"spaces here"}, 100, "some <mark>spaces here</mark>", true},
		{"a b c d e f g h i needle k l m n o p", []string{"needle"}, 16, "…i <mark>needle</mark> k l m n…", true},
		{"no needles", nil, 100, "no needles", false},
	} {
		got, ok := Of(tt.text, tt.needles, tt.limit)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q in %q: %q, %v; want %q", tt.needles, tt.text, got, ok, tt.want)
		}
	}
}

// FuzzOf: a piece has no HTML but marks, is as long as asked for, and is UTF-8.
func FuzzOf(f *testing.F) {
	f.Add("two Looms & <cards>", "loom", 10)
	f.Add("İstanbul ﬁn", "i", 5)
	f.Fuzz(func(t *testing.T, text, needle string, limit int) {
		if !utf8.ValidString(text) || !utf8.ValidString(needle) || limit < 0 || limit > 1000 {
			return
		}
		piece, _ := Of(text, []string{needle, "e"}, limit)
		rest := strings.NewReplacer("<mark>", "", "</mark>", "").Replace(piece)
		if strings.ContainsAny(rest, "<>") || !utf8.ValidString(piece) {
			t.Errorf("%q", piece)
		}
	})
}
