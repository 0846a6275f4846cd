package account

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// What a client saves as junk, or as not junk, teaches a spam filter. What a restore brings back, or a
// delivery, does not: the filter itself may have said what that is.
func TestSavedMessagesTeach(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	accounts, err := New(Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	user := st.User(t, "alice@example.com")
	f := feed.New(feed.Options{Store: st.Store, Bus: st.Bus})
	since, err := f.Now(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	sub := st.Bus.Subscribe(user.ID)
	defer sub.Close()
	r, err := ParseRights("lrswi")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path     string
		keywords []string
		restored bool
		rights   Rights
		want     string
	}{
		{"INBOX", nil, false, r, "new"},
		{"INBOX", []string{"$junk"}, false, r, "new junk append"},
		{"INBOX", []string{"$NotJunk", "x"}, false, r, "new not-junk append"},
		{"INBOX", []string{"$NotJunk", "$Junk"}, false, r, "new"},
		{"INBOX", []string{"$Junk"}, true, r, "new"},
		{"INBOX", []string{"$Junk"}, false, r &^ Write, "new"}, // the keyword is left out
		{"Junk", nil, false, r, "new junk append"},
		{"Junk", []string{"$NotJunk"}, false, r, "new not-junk append"},
		{"Junk", nil, true, r, "new"},
	} {
		name := fmt.Sprint(tt.path, tt.keywords, tt.restored, tt.rights)
		box, _, err := accounts.For("alice@example.com", user, tt.rights).Open(t.Context(), tt.path, ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		i, err := box.Import()
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Add(t.Context(), Entry{Keywords: tt.keywords, Restored: tt.restored},
			bytes.NewReader(mailgen.Simple("x"))); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := f.Read(t.Context(), user.ID, since, 0)
		if err != nil {
			t.Fatal(err)
		}
		since = page.Next
		got, heard := "new", ""
		for _, e := range page.Events[1:] {
			got += fmt.Sprintf(" %s %s", e.Kind, e.By)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got): %s", name, diff)
		}
		for range len(page.Events) {
			ev := <-sub.C()
			heard += string(map[events.Kind]feed.Kind{events.New: "new", events.Junk: " junk append",
				events.Ham: " not-junk append"}[ev.Kind])
		}
		if heard != tt.want {
			t.Errorf("%s: the bus had %q", name, heard)
		}
	}
	junk := st.Mailbox(t, user, "Junk").Key
	w := st.Contents.NewWriter(t.Context())
	if _, err := w.Write(mailgen.Simple("x")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Deliver(t.Context(), stored, []mailstore.Delivery{{Mailbox: junk, Magic: stored.Magics[0],
		Keywords: []string{"$Junk"}}}); err != nil {
		t.Fatal(err)
	}
	if page, err := f.Read(t.Context(), user.ID, since, 0); err != nil || len(page.Events) != 1 {
		t.Errorf("a delivery: %+v, %v", page.Events, err)
	}
}
