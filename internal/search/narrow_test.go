package search

import (
	"testing"

	"gadwall/internal/mailstore"
)

// TestInDocuments: only texts outside of the stored fields make a search read contents.
func TestInDocuments(t *testing.T) {
	from, to := Header("from", "a"), Header("to", "b")
	for _, tt := range []struct {
		key  *Key
		want bool
	}{
		{from, true},
		{All(from, Not(to), Flag(mailstore.Seen)), true},
		{Any(from, Header("x-mailer", "c")), false},
		{All(from, Not(Body("d"))), false},
		{Text("e"), false},
	} {
		if got := inDocuments(tt.key); got != tt.want {
			t.Errorf("%v: %v", tt.key, got)
		}
	}
}
