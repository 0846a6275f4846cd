package search

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
)

// TestSinkPieces: what is found does not depend on the pieces in which the text
// comes, not even where one is cut within a character or before an accent.
func TestSinkPieces(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "A", " ", "é", "e\u0301", "\u0301", "ß", "ﬁ", "日本", "\xff", "İ", strings.Repeat("x", chunkSize-3)})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "text"), "")
		needle := envelope.Normalize(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "e", "é", "日", "fi", "xx", " "}), 1, 3).Draw(t, "needle"), ""))
		find := func(pieces func(write func(string))) bool {
			m := newMatcher(&Key{op: opBody, text: needle})
			m.begin(&mailstore.Message{})
			s := m.newSink(opBody)
			pieces(func(p string) {
				if _, err := s.Write([]byte(p)); err != nil && err != errDecided {
					t.Fatal(err)
				}
			})
			if err := s.Close(); err != nil && err != errDecided {
				t.Fatal(err)
			}
			return m.known[0] == yes
		}
		got := find(func(write func(string)) {
			for rest := text; rest != ""; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "n")
				write(rest[:n])
				rest = rest[n:]
			}
		})
		if want := strings.Contains(envelope.Normalize(validText([]byte(text))), needle); got != want {
			t.Fatalf("%q in %q: %v, want %v", needle, text, got, want)
		}
	})
}
