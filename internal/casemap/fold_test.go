package casemap

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestString(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"Hello":                           "hello",
		"GRÖSSE große":                    "gro\u0308sse große",
		"\u212b\u2122 \ufb01":             "a\u030atm fi",
		"ΣΊΣΥΦΟΣ ς":                       "σι\u0301συφοσ σ",
		"\u1f80 \u0345":                   "α\u0313ι ι",
		"İstanbul ISTANBUL":               "istanbul istanbul",
		"e\u0301\u0323":                   "e\u0323\u0301",
		"\u1ec7 e\u0302\u0323":            "e\u0323\u0302 e\u0323\u0302",
		"\u0301a":                         "\u0301a",
		"in\u00advo\u200bi\u200dce\ufeff": "invoice",
		"e\u0301\u200d\u0323":             "e\u0323\u0301",
		"\u2764\ufe0f":                    "\u2764",
		"한 ㌀":                             "\u1112\u1161\u11ab アハ\u309aート",
		"na\xefve r\xc3\xa9sum\xe9 \x80":  "nai\u0308ve re\u0301sume\u0301 €",
		"\xe6\x97":                        "æ—",
		"日本語":                             "日本語",
		"a\u00a0b\u2003c":                 "a b c",
		"\ufdfa":                          "صلى الله عليه وسلم",
	} {
		if got := String(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// chars are those where something can go wrong.
var chars = rapid.OneOf(
	rapid.SampledFrom([]string{"a", "B", " ", "é", "e", "\u0301", "\u0323", "\u0345", "ß", "ﬁ", "日",
		"İ", "\u00ad", "\u200d", "\ufeff",
		"\ufdfa", "\u3300", "\u332e", "\xff", "\xe6", "\x97", "\xf0\x9f", "한", "\u1ec7",
		"\U0001d400", strings.Repeat("\u0301\u0323", 40)}),
	rapid.Map(rapid.Rune(), func(r rune) string { return string(r) }),
)

// TestPieces: the result does not depend on the pieces in which a text comes, is valid,
// in lower case, without invisible characters, and mapped to itself.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(chars, 0, 20).Draw(t, "text"), "")
		whole := String(text)
		var f Folder
		var out, kept []byte
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			kept = append(kept, rest[:n]...)
			rest = rest[n:]
			for len(kept) > 0 {
				var used int
				var long Long
				out, used, long = f.Fold(out, kept, rest == "")
				out = append(out, long.Text...)
				kept = kept[used:]
				if used == 0 {
					break
				}
			}
			if len(kept) >= utf8.UTFMax {
				t.Fatalf("keeps %q", kept)
			}
		}
		if got := string(f.End(out)); got != whole || len(kept) > 0 {
			t.Fatalf("%q in pieces is %q, whole %q", text, got, whole)
		}
		if !utf8.ValidString(whole) || strings.ContainsFunc(whole, Invisible) || String(whole) != whole {
			t.Fatalf("%q is mapped to %q, and that to %q", text, whole, String(whole))
		}
	})
}

// TestEveryCharacter: each character is mapped as the definition says, and a text of few
// marks is in the canonical order of package norm.
func TestEveryCharacter(t *testing.T) {
	for r := range rune(utf8.MaxRune + 1) {
		got := String(string(r))
		if want := fixed(r); got != want {
			t.Fatalf("%U: %q, want %q", r, got, want)
		}
		if s := norm.NFKD.String(got); s != got {
			t.Fatalf("%U: %q is not decomposed", r, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.SampledFrom([]rune("ae\u0301\u0323\u0327\u0308\u05b0\u3099"))
		text := string(rapid.SliceOfN(marks, 0, 20).Draw(t, "text"))
		if got, want := String(text), norm.NFKD.String(text); got != want {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestInvisible(t *testing.T) {
	for _, r := range "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u2060\u2066\u3164" +
		"\ufe0f\ufeff\U000e0041\U000e0100" {
		if !Invisible(r) || String("a"+string(r)+"b") != "ab" {
			t.Errorf("%U is visible", r)
		}
	}
	for _, r := range "a -\u00a0\u00e9\u0300\u0600\u06dd\u2003\u3000\ufff9\ufffd\U000110bd\U0001f600" {
		if Invisible(r) {
			t.Errorf("%U is invisible", r)
		}
	}
	for r := range rune(utf8.MaxRune + 1) { // the definition, without the shortcuts
		if unicode.Is(unicode.White_Space, r) && Invisible(r) {
			t.Errorf("%U is white space", r)
		}
	}
}

// BenchmarkFold shows that no text costs much more an octet of the result than another.
func BenchmarkFold(b *testing.B) {
	for _, tt := range []struct{ name, text string }{
		{"ascii", "The quick brown fox, "}, {"german", "Größere Übungen für müde Mäuse, "},
		{"russian", "Счёт-фактура, "},
		{"chinese", "請求書番号"}, {"hangul", "한국어 "}, {"fdfa", "\ufdfa"},
		{"marks", "\u0301\u0323\u0327"}, {"invalid", "\xe4"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			text := []byte(strings.Repeat(tt.text, 64<<10/len(tt.text)))
			b.SetBytes(int64(len(text)))
			var f Folder
			var out []byte
			for b.Loop() {
				out = out[:0]
				for src := text; len(src) > 0; {
					var n int
					out, n, _ = f.Fold(out, src, true)
					src = src[n:]
				}
			}
		})
	}
}
