package mailstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/envelope"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/mimestream"
)

// numbered is a message without what only tests of flags and dates look at.
func (e *env) numbered(t testing.TB, box mailkey.Mailbox) []*Message {
	return e.list(t, box, Query{}, FieldNumber|FieldThread|FieldPreview)
}

// put delivers a message of these header fields to the mailboxes.
func (e *env) put(t testing.TB, header string, boxes ...*Mailbox) []Delivered {
	t.Helper()
	stored := e.content(t, header+"\r\n\r\n"+header, len(boxes))
	var to []Delivery
	for i, box := range boxes {
		to = append(to, Delivery{Mailbox: box.Key, Magic: stored.Magics[i]})
	}
	results, err := e.Deliver(t.Context(), stored, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return results
}

func TestNumbersAscendWithinUser(t *testing.T) {
	e := newEnv(t)
	a, b := e.user(t), e.user(t)
	inbox, sent, other := e.box(t, a, "INBOX"), e.box(t, a, "Sent"), e.box(t, b, "INBOX")
	var last [2]Number
	for i := range 6 {
		got := e.put(t, fmt.Sprintf("Subject: %d", i), []*Mailbox{inbox, sent}[i%2], other)
		for u, d := range got {
			if d.Number != last[u]+1 {
				t.Errorf("number %d of user %d after %d", d.Number, u, last[u])
			}
			last[u] = d.Number
		}
	}
	// A refused message takes no number.
	stored := e.content(t, "Subject: no\r\n\r\n", 1)
	gone := a.ID.Mailbox(99)
	if got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: gone, Magic: stored.Magics[0]}}); err != nil ||
		got[0].Err == nil {
		t.Fatal(got, err)
	}
	if d := e.put(t, "Subject: next", inbox)[0]; d.Number != last[0]+1 {
		t.Errorf("number %d after %d and a refused message", d.Number, last[0])
	}
}

// COPY and MOVE within the user keep number, thread and preview; so does a change of flags.
func TestCopiesKeepNumber(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	inbox, sent := e.box(t, u, "INBOX"), e.box(t, u, "Sent")
	for i := range 3 {
		e.put(t, fmt.Sprintf("Subject: %d", i), inbox)
	}
	want := e.numbered(t, inbox.Key)
	if m := want[2]; m.Preview != "Subject: 2" || !m.HasPreview || m.EmailID() != "M3" ||
		m.ThreadID() != "T3" {
		t.Fatalf("%+v", want[2])
	}
	if _, err := e.Copy(t.Context(), inbox.Key, uidset.All(), sent.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Move(t.Context(), inbox.Key, uidset.All(), inbox.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.StoreFlags(t.Context(), sent.Key, uidset.All(), FlagChange{Op: Set, Flags: Seen}); err != nil {
		t.Fatal(err)
	}
	for _, box := range []*Mailbox{inbox, sent} {
		got := e.numbered(t, box.Key)
		if len(got) != len(want) {
			t.Fatalf("%d messages in %s", len(got), box.Path)
		}
		for i, m := range got {
			if m.Number != want[i].Number || m.Thread != want[i].Thread || m.Preview != want[i].Preview {
				t.Errorf("%s: %+v, want %+v", box.Path, m, want[i])
			}
		}
	}
}

func TestThreads(t *testing.T) {
	const subject = "Subject: lunch\r\n"
	for _, tt := range []struct {
		name   string
		mails  []string
		thread string // of each, by the number of its first
	}{
		{"a reply", []string{
			"Message-ID: <a@x>\r\n" + subject, "Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\nSubject: Re: lunch"}, "1 1"},
		{"no identifiers", []string{subject, subject}, "1 2"},
		{"other subject", []string{
			"Message-ID: <a@x>\r\n" + subject, "In-Reply-To: <a@x>\r\nSubject: dinner"}, "1 2"},
		{"white space in the subject", []string{"Message-ID: <a@x>\r\nSubject: lun ch",
			"In-Reply-To: <a@x>\r\nSubject: [list] AW: x\r\n",
			"References: <a@x>\r\nSubject: Fwd: lunch"}, "1 2 1"},
		{"the reply comes first", []string{
			"Message-ID: <b@x>\r\nReferences: <a@x>\r\n" + subject, "Message-ID: <a@x>\r\n" + subject}, "1 1"},
		{"replies to a message that is not there", []string{"Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n" + subject,
			"Message-ID: <c@x>\r\nIn-Reply-To: <a@x>\r\n" + subject}, "1 1"},
		{"a long way", []string{"Message-ID: <a@x>\r\n" + subject,
			"Message-ID: <z@x>\r\nReferences: <a@x> <b@x> <c@x> <d@x> <e@x>\r\n" + subject,
			"Message-ID: <y@x>\r\nReferences: <q@x> <e@x> <z@x>\r\n" + subject}, "1 1 1"},
		{"two threads", []string{"Message-ID: <a@x>\r\n" + subject, "Message-ID: <b@x>\r\n" + subject,
			"References: <b@x> <a@x>\r\n" + subject}, "1 2 1"},
		{"the same message again", []string{
			"Message-ID: <a@x>\r\n" + subject, "Message-ID: <a@x>\r\n" + subject}, "1 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnv(t)
			u, other := e.user(t), e.user(t)
			// Mail of others is of no matter.
			for _, m := range tt.mails {
				e.put(t, m, e.box(t, other, "INBOX"))
			}
			want := strings.Fields(tt.thread)
			for i, m := range tt.mails {
				box := e.box(t, u, []string{"INBOX", "Sent"}[i%2])
				if d := e.put(t, m, box)[0]; fmt.Sprint(d.Thread) != want[i] {
					t.Errorf("message %d is in thread %d, want %s", i+1, d.Thread, want[i])
				}
			}
			// The same in one transaction.
			e.user(t)
			u = e.user(t)
			box := e.box(t, u, "INBOX")
			var items []AppendItem
			for _, m := range tt.mails {
				stored := e.content(t, m+"\r\n\r\n"+m, 1)
				items = append(items, NewAppendItem(stored, Delivery{Mailbox: box.Key, Magic: stored.Magics[0]}))
			}
			got, err := e.Append(t.Context(), items)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range got {
				if fmt.Sprint(d.Thread) != want[i] {
					t.Errorf("appended together: message %d is in thread %d, want %s", i+1, d.Thread, want[i])
				}
			}
		})
	}
}

// The links of a message tell whether its Message-ID fields are one identifier and nothing else.
func TestOddMessageID(t *testing.T) {
	for header, odd := range map[string]bool{
		"":                            false,
		"Message-ID: <a@x>\r\n":       false,
		"Message-ID:\t <a@x> \r\n":    false,
		"Message-ID: <a@x> <b@x>\r\n": true,
		"Message-ID: (c) <a@x>\r\n":   true,
		"Message-ID: a@x\r\n":         true,
		"Message-ID:\r\n":             false,
		"Message-ID: <a@x>\r\nmessage-id: <a@x>\r\n": true,
		"Message-ID: <a @x>\r\n":                     true,
	} {
		root := mimestream.Parse([]byte(header + "\r\n"))
		f := envelope.Fields(root)
		l := newLinkIDs(root, &f)
		if got := slices.Contains(l.kept, newLinkHash(linkOdd, "")); got != odd {
			t.Errorf("%q: odd %v", header, got)
		}
	}
}

// The lookup of threads reads no more than the messages that it finds.
func TestThreadLookupUsesIndex(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX")
	for i := range 50 {
		e.put(t, fmt.Sprintf("Message-ID: <%d@x>\r\nSubject: a", i), box)
	}
	hashes := []linkHash{
		newLinkHash(linkOwn, "<7@x>"), newLinkHash(linkOwn, "<8@x>"), newLinkHash(linkRef, "<9@x>")}
	filter := linkedFilter(u.ID, hashes)
	plan := dbtest.ExplainCommand(t, e.db, bson.D{{Key: "find", Value: collMessages},
		{Key: "hint", Value: indexLinks}, {Key: "filter", Value: filter}})
	if plan.Index != indexLinks || plan.DocsExamined > 2 || plan.NReturned != 2 {
		t.Errorf("%+v", plan)
	}
}

// Duplicates of a message are found by its Message-ID, in all mailboxes of the user and of nobody
// else, and no more is read.
func TestMessagesByID(t *testing.T) {
	e := newEnv(t)
	u, other := e.user(t), e.user(t)
	inbox, sent := e.box(t, u, "INBOX"), e.box(t, u, "Sent")
	e.put(t, "Message-ID: <a@x>\r\nSubject: a", e.box(t, other, "INBOX"))
	e.put(t, "Message-ID: <A@x>\r\nSubject: a", inbox) // another, with the same link
	e.put(t, "Message-ID: <b@x>\r\nReferences: <a@x>\r\nSubject: a", inbox)
	var want []mailkey.Message
	for _, box := range []*Mailbox{inbox, sent} {
		d := e.put(t, "Message-ID: <a@x>\r\nSubject: a", box)[0]
		want = append(want, box.Key.Message(d.UID))
	}
	got, err := e.MessagesByID(t.Context(), u.ID, "<a@x>")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("found %v, %v, want %v", got, err, want)
	}
	if got, err = e.MessagesByID(t.Context(), u.ID, "<c@x>"); err != nil || len(got) > 0 {
		t.Errorf("found %v, %v", got, err)
	}
}

func TestObjectIDs(t *testing.T) {
	for id, want := range map[string]Number{
		"M1": 1, "M9223372036854775807": 1<<63 - 1, "M9223372036854775808": 0, "M0": 0, "M01": 0, "M": 0, "T1": 0,
		"": 0, "M-1": 0, "M1a": 0, "M99999999999999999999": 0,
	} {
		if n, ok := ParseEmailID(id); ok != (want != 0) || ok && n != want {
			t.Errorf("%s: %d, %v", id, n, ok)
		}
	}
	m := Message{Number: 7, Thread: 3}
	if n, ok := ParseThreadID(m.ThreadID()); m.EmailID() != "M7" || !ok || n != 3 || (&Message{}).EmailID() != "" {
		t.Error(m.EmailID(), m.ThreadID())
	}
}
