package ingest

import (
	"testing"

	"gadwall/internal/mailstore"
)

// Mail for user+detail goes into the mailbox of that name, if the setting says so and there is one.
func TestDetailMailboxes(t *testing.T) {
	st := realStore(t)
	user, err := st.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.CreateMailbox(t.Context(), user.ID, "work", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		set          bool
		detail, path string
	}{
		{true, "work", "work"}, {false, "work", "INBOX"}, {true, "nothing", "INBOX"}, {true, "Sent", "INBOX"},
		{true, "a//b", "INBOX"}, {true, "inbox", "INBOX"},
	} {
		s := &Server{opts: Options{DetailMailboxes: tt.set}, store: mailStore{st}}
		_, key, err := s.lookUp(t.Context(), "ada+"+tt.detail+"@example.com", false)
		if err != nil {
			t.Fatal(err)
		}
		box, err := st.MailboxByKey(t.Context(), key)
		if err != nil || box.Path != tt.path {
			t.Errorf("%+v: %+v, %v", tt, box, err)
		}
	}
}
