package index

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/casemap"
)

// A text has the grams of each of its pieces, whatever the writes in which it comes.
func TestNeedleOfEveryPiece(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := casemap.String(rapid.StringOfN(rapid.RuneFrom([]rune("abcäßж日本語한국\n \u0301é😀")), 0,
			60, -1).Draw(t, "text"))
		chars := []rune(text)
		from := rapid.IntRange(0, len(chars)).Draw(t, "from")
		to := rapid.IntRange(from, len(chars)).Draw(t, "to")
		piece := string(chars[from:to])
		g := new(Grams)
		cut := rapid.IntRange(0, len(chars)).Draw(t, "cut")
		g.Begin()
		g.Add([]byte(string(chars[:cut])))
		g.Add([]byte(string(chars[cut:])))
		g.AddField(Subject, text)
		for _, f := range []Field{Text, Subject} {
			if !g.Has(Needle(f, piece)) {
				t.Fatalf("%q is not found in %q", piece, text)
			}
		}
	})
}

func TestGramsTellTextsApart(t *testing.T) {
	g := new(Grams)
	g.Begin()
	g.Add([]byte("invoice 4711"))
	g.Begin()
	g.Add([]byte("請求書の送付"))
	g.AddField(From, "alice")
	for _, tt := range []struct {
		f    Field
		text string
		want bool
	}{
		{Text, "voice", true}, {Text, "ice 47", true}, {Text, "voices", false}, {Text, "abs",
			true}, // too short to tell
		{Text, "請求", true}, {Text, "求請", false}, {Text, "送付", true}, {Text, "1請", true},
		{From, "alice", true}, {From, "invoice", false}, {To, "alice", false}, {Text, "alice", false},
		{Text, "4711請求", false}, // two texts
	} {
		if got := g.Has(Needle(tt.f, tt.text)); got != tt.want {
			t.Errorf("%v %q: %v", tt.f, tt.text, got)
		}
	}
	if n := len(Needle(Text, strings.Repeat("abcdefghijk", 100))); n > maxNeedle {
		t.Errorf("%d bits", n)
	}
	// The end of a long text counts, too.
	long := strings.Repeat("0123456789", 20)
	g.Reset()
	g.Add([]byte(long))
	if !g.Has(Needle(Text, long)) || g.Has(Needle(Text, long+"@example.org")) {
		t.Error("a long text is not told from another that ends differently")
	}
	g.Reset()
	if g.Count() != 0 {
		t.Error("bits of another mail")
	}
}

func BenchmarkGrams(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 200))
	b.SetBytes(int64(len(text)))
	g := new(Grams)
	for b.Loop() {
		g.Begin()
		g.Add(text)
	}
}
