package imap

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
)

// toMany is a message to n recipients, and its To as ENVELOPE has it.
func toMany(n int) (mail, to string) {
	var list []string
	var b strings.Builder
	for i := range n {
		list = append(list, fmt.Sprintf("\"User Number %d\" <user%d@example.com>", i, i))
		fmt.Fprintf(&b, `("User Number %d" NIL "user%d" "example.com")`, i, i)
	}
	return "From: a@example.com\r\nTo: " + strings.Join(list, ",\r\n ") +
		"\r\nCc: boss@example.com\r\nSubject: many\r\nMessage-ID: <m@example.com>\r\n\r\nx\r\n", b.String()
}

// withMany is a message with n attachments, its BODY and its BODYSTRUCTURE.
func withMany(n int) (mail, body, structure string) {
	const word = "=?UTF-8?B?56ys5Zub5Y2K5pyf5aOy5LiK5aCx5ZGK5pu4?="
	var m, b, s strings.Builder
	m.WriteString("From: a@example.com\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&m, "--B\r\nContent-Type: application/pdf;\r\n name=\"%d%s\"\r\n"+
			"Content-Transfer-Encoding: base64\r\n"+
			"Content-Disposition: attachment;\r\n filename=\"%[1]d%s\"\r\n\r\nJVBERi0=\r\n", i, word)
		fmt.Fprintf(&b, `("application" "pdf" ("name" "%d%s") NIL NIL "base64" 8)`, i, word)
		fmt.Fprintf(&s, `("application" "pdf" ("name" "%d%s") NIL NIL "base64" 8 NIL ("attachment" ("filename" "%[1]d%s")) NIL NIL)`,
			i, word)
	}
	m.WriteString("--B--\r\n")
	return m.String(), "(" + b.String() + ` "mixed")`, "(" + s.String() + ` "mixed" ("boundary" "B") NIL NIL NIL)`
}

// What is too large to be stored is made of the content: no recipient and no name of a file is ever
// left out.
func TestFetchTooLargeToStore(t *testing.T) {
	recipients, to := toMany(3000)
	files, body, structure := withMany(900)
	s := newTestServer(t)
	c := s.selectMails(t, recipients, files, message("small"))
	from := `((NIL NIL "a" "example.com"))`
	envelope := `(NIL "many" ` + strings.Repeat(from+" ", 3) + "(" + to +
		`) ((NIL NIL "boss" "example.com")) NIL NIL "<m@example.com>")`
	none := "(NIL NIL " + strings.Repeat(from+" ", 3) + "NIL NIL NIL NIL NIL)"
	text := `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1`
	for command, want := range map[string]string{
		"FETCH 1 ENVELOPE": "(ENVELOPE " + envelope + ")",
		"FETCH 1 (UID ENVELOPE BODYSTRUCTURE)": "(UID 1 ENVELOPE " + envelope + " BODYSTRUCTURE " +
			text + " NIL NIL NIL NIL))",
		"FETCH 2 BODYSTRUCTURE":    "(BODYSTRUCTURE " + structure + ")",
		"UID FETCH 2 (FLAGS BODY)": "(UID 2 FLAGS () BODY " + body + ")",
		"FETCH 2 (ENVELOPE BODY BODYSTRUCTURE)": "(ENVELOPE " + none + " BODY " + body +
			" BODYSTRUCTURE " + structure + ")",
		"FETCH 2 (BODYSTRUCTURE BODY.PEEK[1])": "(BODYSTRUCTURE " + structure + " BODY[1] " + literal("JVBERi0=") + ")",
	} {
		if got := c.fetchOne("%s", command); got != want {
			t.Errorf("%s:\n got %d octets %.300s\nwant %d octets %.300s", command, len(got), got, len(want), want)
		}
	}
	if lines, _ := c.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)"); len(lines) != 3 {
		t.Errorf("%d responses instead of 3", len(lines))
	}
	for _, key := range []string{"TO user2999@example.com", "CC boss@example.com"} {
		if lines, _ := c.ok("SEARCH %s", key); len(lines) != 1 || lines[0] != "* SEARCH 1" {
			t.Errorf("SEARCH %s: %q", key, lines)
		}
	}
	// Descriptions give their memory back.
	s.describing.mu.Lock()
	defer s.describing.mu.Unlock()
	if s.describing.used != 0 || s.describing.leases < 7 {
		t.Errorf("%d octets of %d descriptions are in use", s.describing.used, s.describing.leases)
	}
}

// TestFetchTooLargeDamaged: without its content such a message cannot be described; others are
// answered, and so is what the document has.
func TestFetchTooLargeDamaged(t *testing.T) {
	for name, damage := range map[string]bson.D{
		"layout": {{Key: "segs", Value: bson.Binary{Data: []byte("no layout")}}},
		"frame":  {{Key: "f.0", Value: bson.Binary{Data: []byte("no frame")}}},
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Database(t)
			s := newTestServerOn(t, db)
			files, _, _ := withMany(400)
			c := s.selectMails(t, files)
			s.errs.allow = true
			r, err := db.Collection("contents").UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: damage}})
			if err != nil || r.ModifiedCount != 1 {
				t.Fatal(r, err)
			}
			c.append("INBOX", "", message("small"))
			c.ok("NOOP")
			lines, status := c.do("FETCH 1:* BODYSTRUCTURE")
			if len(lines) != 1 || !strings.HasPrefix(lines[0], "* 2 FETCH (") ||
				!strings.HasPrefix(status, "NO [SERVERBUG]") {
				t.Errorf("%.500q, %s", lines, status)
			}
			if lines, _ := c.ok("FETCH 1:* ENVELOPE"); len(lines) != 2 {
				t.Errorf("%q", lines)
			}
			s.describing.mu.Lock()
			defer s.describing.mu.Unlock()
			if s.describing.used != 0 {
				t.Errorf("%d octets are in use", s.describing.used)
			}
		})
	}
}
