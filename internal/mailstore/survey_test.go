package mailstore

import "testing"

// A survey is the same, however small its batches are, and knows the largest alone.
func TestSurvey(t *testing.T) {
	e := newEnv(t)
	const n = 5
	for i := range n {
		u := e.user(t)
		for range i {
			stored := e.content(t, "Subject: mail\r\n\r\nwords\r\n", 1)
			got, err := e.Deliver(t.Context(), stored,
				[]Delivery{{Mailbox: e.box(t, u, Inbox).Key, Magic: stored.Magics[0]}})
			if err != nil || got[0].Err != nil {
				t.Fatal(got, err)
			}
		}
	}
	const size = int64(len("Subject: mail\r\n\r\nwords\r\n"))
	for _, batch := range []int{1, 4, 1000} {
		v, err := e.survey(t.Context(), 2, batch)
		if err != nil {
			t.Fatal(err)
		}
		if v.Users != n || v.Messages != 10 || v.Bytes != 10*size {
			t.Errorf("batches of %d: %+v", batch, v)
		}
		if l := v.LargestUsers; len(l) != 2 || l[0].Bytes != 4*size || l[1].Bytes != 3*size || l[0].Messages != 4 ||
			l[0].Username == "" || l[0].Username == l[1].Username {
			t.Errorf("batches of %d: largest users %+v", batch, l)
		}
		if l := v.LargestMailboxes; len(l) != 2 || l[0].Path != Inbox || l[0].User != v.LargestUsers[0].User {
			t.Errorf("batches of %d: largest mailboxes %+v", batch, l)
		}
	}
}
