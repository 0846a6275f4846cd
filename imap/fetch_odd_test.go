package imap

import (
	"fmt"
	"strings"
	"testing"
)

// A line of CR CR LF ends a header: the text behind it is shown and found, and the bytes stay as
// they are.
func TestDoubledCRs(t *testing.T) {
	for _, mail := range []string{
		"From: a@example.com\r\r\nSubject: hi\r\r\nContent-Type: text/html\r\r\n\r\r\n<p>needle\r\r\n",
		"From: a@example.com\r\nSubject: hi\r\n\r\r\nneedle body\r\n",
		"From: a@example.com\r\nSubject: hi\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n" +
			"--B\r\nContent-Type: text/plain\r\r\n\r\r\nneedle part\r\n--B--\r\n",
	} {
		c := newTestServer(t).selectMails(t, mail)
		if got := c.fetchOne("FETCH 1 BODY.PEEK[]"); got != "(BODY[] "+literal(mail)+")" {
			t.Errorf("%q became %q", mail, got)
		}
		if got := c.fetchOne("FETCH 1 BODY.PEEK[1]"); !strings.Contains(got, "needle") {
			t.Errorf("BODY[1] of %q: %q", mail, got)
		}
		envelope := c.fetchOne("FETCH 1 ENVELOPE")
		if want := `(ENVELOPE (NIL "hi" ((NIL NIL "a" "example.com")) `; !strings.HasPrefix(envelope, want) {
			t.Errorf("%q: %q", mail, envelope)
		}
		for _, key := range []string{"BODY needle", "TEXT needle", "SUBJECT hi"} {
			if lines, _ := c.ok("SEARCH %s", key); len(lines) != 1 || lines[0] != "* SEARCH 1" {
				t.Errorf("SEARCH %s in %q: %q", key, mail, lines)
			}
		}
	}
}

// Every To field counts, and none of them hides a field of another name.
func TestManyFields(t *testing.T) {
	for _, n := range []int{3, 70, 200} {
		var mail, to strings.Builder
		for i := range n {
			fmt.Fprintf(&mail, "To: u%d@example.com\r\n", i)
			fmt.Fprintf(&to, `(NIL NIL "u%d" "example.com")`, i)
		}
		mail.WriteString("From: a@example.com\r\nSubject: important\r\n" +
			"Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\ntext\r\n--B\r\n" +
			"Content-Type: application/pdf; name=x.pdf\r\n\r\nx\r\n--B--\r\n")
		c := newTestServer(t).selectMails(t, mail.String())
		from := `((NIL NIL "a" "example.com"))`
		want := `(ENVELOPE (NIL "important" ` + strings.Repeat(from+" ", 3) + "(" + to.String() + ") NIL NIL NIL NIL))"
		if got := c.fetchOne("FETCH 1 ENVELOPE"); got != want {
			t.Errorf("after %d fields:\n got %.300s\nwant %.300s", n, got, want)
		}
		if got := c.fetchOne("FETCH 1 BODY"); !strings.Contains(got, `"pdf" ("name" "x.pdf")`) {
			t.Errorf("after %d fields: %s", n, got)
		}
		for _, key := range []string{"SUBJECT important", "FROM a@example.com", fmt.Sprintf("TO u%d@", n-1)} {
			if lines, _ := c.ok("SEARCH %s", key); len(lines) != 1 || lines[0] != "* SEARCH 1" {
				t.Errorf("SEARCH %s after %d fields: %q", key, n, lines)
			}
		}
	}
}
