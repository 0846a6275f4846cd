package casemap

import "testing"

func TestSame(t *testing.T) {
	for _, same := range [][]string{
		{"Hello", "HELLO", "hello"},
		{"Grüße", "GRÜßE", "gru\u0308ße"},
		{"ΣΊΣΥΦΟΣ", "Σίσυφος", "σίσυφοσ"},
		{"ﬁn", "fin"},
		{"Ångström", "A\u030angstro\u0308m"},
		{"ДОГОВОР", "договор"},
		{"ǆ", "Ǆ", "ǅ"},
	} {
		for _, s := range same {
			if got, want := String(s), String(same[0]); got != want {
				t.Errorf("%q and %q: %q and %q", s, same[0], got, want)
			}
		}
	}
	if String("a") == String("b") || String("ä") == String("a") {
		t.Error("different letters made equal")
	}
}
