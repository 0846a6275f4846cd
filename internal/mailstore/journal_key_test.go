package mailstore

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
)

func TestJournalKeyHoldsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := mailkey.UserID(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "user"))
		box := user.Mailbox(rapid.Uint32().Draw(t, "number"))
		modseq := rapid.Uint64().Draw(t, "modseq")
		if j := newJournalKey(box, modseq); j.modseq() != modseq || !bytes.HasPrefix(j[:], box[:]) {
			t.Fatalf("journal key %x", j)
		}
	})
}
