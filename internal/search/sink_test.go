package search

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/casemap"
	"gadwall/internal/mailstore"
)

// searchPieces searches a text that comes in pieces, and returns which of the needles it
// found.
func searchPieces(t testing.TB, needles []string, pieces ...string) []bool {
	keys := make([]*Key, len(needles))
	for i, n := range needles {
		keys[i] = &Key{op: opBody, text: n}
	}
	m := newMatcher(All(keys...))
	m.begin(&mailstore.Message{})
	s := m.newSink(opBody)
	for _, p := range pieces {
		if _, err := s.Write([]byte(p)); err == errDecided {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil && err != errDecided {
		t.Fatal(err)
	}
	found := make([]bool, len(needles))
	for i := range found {
		found[i] = m.known[i] == yes
	}
	return found
}

// TestSinkPieces: what is found does not depend on the pieces in which the text comes,
// not even where one is cut within a character or before an accent, and is what a plain
// comparison finds.
func TestSinkPieces(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "A", " ", "é", "e\u0301", "\u0301", "ß", "ﬁ",
		"日本", "\xff", "İ", "\u00ad", "\u200d",
		"\ufdfa", "\u3300", strings.Repeat("x", chunkSize-3)})
	needle := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "e", "é", "日", "fi", "xx", " ",
		"\ufdfa", "صلى", "アパ", "ル"}), 1, 3)
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(rt, "text"), "")
		var needles []string
		for range rapid.IntRange(1, 8).Draw(rt, "needles") {
			needles = append(needles, casemap.String(strings.Join(needle.Draw(rt, "needle"), "")))
		}
		var pieces []string
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "n")
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		mapped := casemap.String(text)
		for i, found := range searchPieces(t, needles, pieces...) {
			if want := strings.Contains(mapped, needles[i]); found != want {
				rt.Fatalf("%q in %q: %v, want %v", needles[i], text, found, want)
			}
		}
	})
}

// TestAutomaton: many needles that begin and end like one another, as hard as they can
// be, are found as by plain comparison.
func TestAutomaton(t *testing.T) {
	letter := rapid.SampledFrom([]string{"a", "b", "c"})
	word := func(t *rapid.T, label string, least, most int) string {
		return strings.Join(rapid.SliceOfN(letter, least, most).Draw(t, label), "")
	}
	rapid.Check(t, func(rt *rapid.T) {
		var needles []string
		for range rapid.IntRange(1, 30).Draw(rt, "needles") {
			needles = append(needles, word(rt, "needle", 1, 8))
		}
		for range 3 { // one matcher for several texts
			text := word(rt, "text", 0, 100)
			for i, found := range searchPieces(t, needles, text) {
				if found != strings.Contains(text, needles[i]) {
					rt.Fatalf("%q in %q: %v", needles[i], text, found)
				}
			}
		}
	})
}

func FuzzAutomaton(f *testing.F) {
	f.Add("he,she,his,hers", "ushers")
	f.Add("a,ab,bab,bc,bca,c,caa", "abccab")
	f.Fuzz(func(t *testing.T, list, text string) {
		var needles []string
		for _, n := range strings.Split(casemap.String(list), ",") {
			if n != "" {
				needles = append(needles, n)
			}
		}
		if len(needles) == 0 {
			return
		}
		mapped := casemap.String(text)
		for i, found := range searchPieces(t, needles, text) {
			if found != strings.Contains(mapped, needles[i]) {
				t.Fatalf("%q in %q: %v", needles[i], text, found)
			}
		}
	})
}

// TestAutomatonWork: needles that all end where another one does are reported once for a
// text, so that their number does not multiply the work.
func TestAutomatonWork(t *testing.T) {
	var needles []string
	for n := range 300 {
		needles = append(needles, strings.Repeat("a", n+1))
	}
	m := newMatcher(All(Body(strings.Repeat("a", 400)), Any(bodies(needles)...)))
	m.begin(&mailstore.Message{})
	s := m.newSink(opBody)
	if _, err := s.Write([]byte(strings.Repeat("a", 350))); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, round := range m.texts.seen {
		if round == m.texts.round {
			seen++
		}
	}
	if m.finds != 300 || seen != 350 {
		t.Errorf("%d needles found, %d states looked at", m.finds, seen)
	}
}

// TestLongMappings: a text of characters with long mappings is searched character by
// character, and not written out.
func TestLongMappings(t *testing.T) {
	m := newMatcher(Any(Body("absent"), Body("\ufdfbx"), Body("سلم\ufdfb")))
	m.begin(&mailstore.Message{})
	s := m.newSink(opBody)
	if _, err := s.Write([]byte(strings.Repeat("\ufdfa\u3300", chunkSize))); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, step := range m.texts.long {
		if step.char != 0 {
			steps++
		}
	}
	if cap(s.mapped) > chunkSize || steps > 4 {
		t.Errorf("%d octets written out, %d steps remembered", cap(s.mapped), steps)
	}
	if _, err := s.Write([]byte("\ufdfa\ufdfbx")); err != errDecided {
		t.Errorf("not found behind the long text: %v", err)
	}
}

func bodies(texts []string) []*Key {
	keys := make([]*Key, len(texts))
	for i, text := range texts {
		keys[i] = Body(text)
	}
	return keys
}

// BenchmarkSink shows what an octet of text costs: with one needle and with very many,
// and of texts whose characters have long mappings.
func BenchmarkSink(b *testing.B) {
	const octets = 1 << 20
	texts := []struct{ name, piece string }{
		{"english", "The quick brown fox jumps over the lazy dog, and invoices follow. "},
		{"german", "Größere Übungen für müde Mäuse. "},
		{"chinese", "請求書番号"},
		{"fdfa", "\ufdfa"},
		{"fdfa-mixed", "\ufdfa\u3300\ufdfbx"},
		{"marks", "\u0301\u0323\u0327"},
		{"invalid", "\xe4\xff"},
	}
	for _, needles := range []int{1, 490} {
		var keys []*Key
		for i := range needles {
			keys = append(keys, Text(fmt.Sprintf("word%dinvoice", i)))
		}
		for _, text := range texts {
			b.Run(fmt.Sprintf("needles=%d/%s", needles, text.name), func(b *testing.B) {
				m := newMatcher(Any(keys...))
				page := []byte(strings.Repeat(text.piece, octets/len(text.piece)))
				b.SetBytes(int64(len(page)))
				for b.Loop() {
					m.begin(&mailstore.Message{})
					s := m.newSink(opText)
					if _, err := s.Write(page); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
