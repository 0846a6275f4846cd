package imap

import (
	"io"
	"strings"
	"testing"

	"gadwall/internal/mailstore"
)

// deliver stores a message for the user as LMTP does: content, then one
// message with its trace lines.
func (s *testServer) deliver(t testing.TB, content, prefix string) {
	t.Helper()
	s.deliverTo(t, strings.NewReader(content), mailstore.Delivery{Prefix: []byte(prefix)})
}

// deliverTo stores what r gives, into the user's INBOX.
func (s *testServer) deliverTo(t testing.TB, r io.Reader, d mailstore.Delivery) {
	t.Helper()
	ctx := t.Context()
	box, err := s.store.MailboxByPath(ctx, s.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	w := s.contents.NewWriter(ctx)
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	d.Mailbox, d.Magic = box.Key, stored.Magics[0]
	results, err := s.store.Deliver(ctx, stored, []mailstore.Delivery{d})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
}
