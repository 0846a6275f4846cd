package search

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/casemap"
	"gadwall/internal/envelope"
)

// TestPlainLine: the short way gives the text of the long one, and the line holds the field's text.
func TestPlainLine(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"a", "B", " ", "\t", "=", "?", "=?utf-8?q?x?=", "~", "\x7f", "\x00", "é",
			"\xff", "\r", "<", "@", "  "})
		value := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "value"), "")
		name := rapid.SampledFrom([]string{"", "Subject", "X-Ü", "x\xff", "DKIM-Signature"}).Draw(t, "name")
		if !isPlain(value) {
			return
		}
		plain++
		want := casemap.String(string(appendLine(nil, name, value)))
		line := string(appendPlainLine(nil, name, value))
		if line != want {
			t.Fatalf("%q: %q is %q, want %q", name, value, line, want)
		}
		if text := envelope.Text("x-other", value); !strings.Contains(line, text) {
			t.Fatalf("%q: the line %q has not the text %q", value, line, text)
		}
	})
	if plain == 0 {
		t.Error("no value is plain")
	}
}
