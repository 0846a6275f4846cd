package imap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/dovecottest"
)

// TestSessionsLikeDovecot runs the same commands, in two sessions each, on
// Dovecot and on Gadwall, and compares what they answer: untagged data, and the
// kind and code of tagged answers. Differences that are meant are taken out by
// likeBoth, or marked in the script.
func TestSessionsLikeDovecot(t *testing.T) {
	d := dovecottest.Start(t)
	s := newTestServer(t)
	theirs := [2]*testClient{dialIMAP(t, d.Addr, d.User, d.Password), dialIMAP(t, d.Addr, d.User, d.Password)}
	ours := [2]*testClient{s.login(t), s.login(t)}
	// Every user of ours has these.
	for _, name := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"} {
		ours[0].ok("DELETE %s", name)
		ours[0].ok("UNSUBSCRIBE %s", name)
	}
	ours[0].ok("UNSUBSCRIBE INBOX")

	msg := "APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 +0000\" {14+}\r\nSubject: x\r\n\r\n"
	for _, step := range []struct {
		session int
		command string
		differs string // why the answers differ
	}{
		{0, `LIST "" ""`, ""}, {0, `LIST "" *`, ""}, {0, `LIST "" inbox`, ""}, {0, `LSUB "" *`, ""},
		{0, "CREATE a/b/c", ""}, {0, "CREATE a/b/c", ""}, {0, "CREATE x", ""},
		{0, "CREATE a/d", ""}, {0, "CREATE INBOX", ""},
		{0, `LIST "" *`, ""}, {0, `LIST "" %`, ""}, {0, `LIST "" a/%`, ""}, {0, `LIST a/ %`, ""},
		{0, `LIST "" %/%`, ""}, {0, `LIST "" *c`, ""},
		{0, "SUBSCRIBE a/b/c", ""}, {0, "SUBSCRIBE x", ""}, {0, `LSUB "" *`, ""}, {0, `LSUB "" %`, ""},
		{0, `LIST (SUBSCRIBED) "" *`, ""}, {0, `LIST (SUBSCRIBED RECURSIVEMATCH) "" x`, ""},
		{0, `LIST "" (x a/%) RETURN (SUBSCRIBED CHILDREN)`, ""},
		{0, `LIST (RECURSIVEMATCH) "" *`, ""}, {0, `LIST "" x RETURN (CHILDREN STATUS (MESSAGES UNSEEN SIZE))`, ""},
		{0, `LIST (NONSENSE) "" *`, ""}, {0, "RENAME x y", ""}, {0, "RENAME x z", ""},
		{0, "RENAME y a/d", ""}, {0, "DELETE y", ""},
		{0, "DELETE y", ""}, {0, "SELECT nothing", ""}, {0, "STATUS INBOX (MESSAGES UNSEEN UIDNEXT RECENT)", ""},
		{0, "STATUS INBOX ()", ""}, {0, "STATUS INBOX (NONSENSE)", ""}, {0, "NONSENSE", ""}, {0, "UID NONSENSE", ""},
		{0, "SELECT INBOX", ""}, {1, "SELECT INBOX", ""},
		{0, "FETCH 1 FLAGS", ""}, {0, "FETCH 1:* FLAGS", ""}, {0, "UID FETCH 1:* FLAGS", ""},
		{0, msg, ""}, {0, msg, ""}, {0, msg, ""}, {0, msg, ""}, {0, msg, ""}, {1, "NOOP", ""},
		{0, "STORE 1 +FLAGS (\\Flagged)", ""}, {1, "NOOP", ""}, {1, "NOOP", ""},
		{0, "STORE 2:3 FLAGS.SILENT (\\Answered)", ""}, {1, "NOOP", ""},
		{0, "STORE 2 -FLAGS (\\Answered)", ""}, {1, "NOOP", ""},
		{0, "UID STORE 2 FLAGS (key \\Seen)", ""}, {1, "NOOP", ""},
		{1, "STORE 2 +FLAGS (key)", "we answer for messages that did not change, too"}, {0, "NOOP", ""},
		{0, "STORE 9 FLAGS ()", ""}, {0, "UID STORE 90 FLAGS ()", ""},
		{0, "STORE 1 FLAGS (\\Recent)", ""}, {0, "STORE 1 FLAGS (\\Nonsense)", ""},
		{0, "STORE 1 NONSENSE ()", ""}, {0, "COPY 1 nothing", ""}, {0, "COPY 9 a/d", ""}, {0, "UID COPY 90 a/d", ""},
		{0, "COPY 2:3 a/d", ""}, {0, "STATUS a/d (MESSAGES UNSEEN UIDNEXT)", ""},
		{0, "MOVE 4 a/d", ""}, {1, "NOOP", ""},
		{0, "STORE 2 +FLAGS.SILENT (\\Deleted)", ""}, {0, "UID EXPUNGE 1", ""},
		{0, "UID EXPUNGE 1:2", ""}, {1, "NOOP", ""},
		{0, "EXPUNGE", ""}, {0, "STORE 1:2 +FLAGS.SILENT (\\Deleted)", ""}, {1, "NOOP", ""},
		{0, "EXPUNGE", ""}, {1, "FETCH 1:* (UID FLAGS)", "Dovecot remembers the flags of messages that are gone"},
		{0, "SEARCH ALL", ""}, {1, "NOOP", ""}, {1, "UNSELECT", ""}, {1, "UNSELECT", ""},
		{1, "EXAMINE a/d", ""}, {1, "STATUS INBOX (MESSAGES)", ""},
		{1, "CLOSE", ""}, {1, "SELECT a/d", ""}, {1, "STORE 1 +FLAGS.SILENT (\\Deleted)", ""},
		{1, "CLOSE", ""}, {1, "STATUS a/d (MESSAGES UIDNEXT)", ""},
		{0, "CHECK", ""}, {0, "NAMESPACE", "this Dovecot has no mailboxes of other users"},
		{0, "ENABLE CONDSTORE", ""}, {0, "STORE 1 +FLAGS.SILENT (\\Draft)", ""},
		{0, "STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)", ""}, {0, "LOGOUT", ""},
	} {
		want := likeBoth(theirs[step.session].do("%s", strings.ReplaceAll(step.command, "/", ".")))
		got := likeBoth(ours[step.session].do("%s", step.command))
		if diff := cmp.Diff(want, got); (diff != "") != (step.differs != "") {
			t.Errorf("session %d: %s (-Dovecot +Gadwall)\n%s", step.session, step.command, diff)
		}
	}
}

var (
	statusLine  = regexp.MustCompile(`^(\* )?(OK|NO|BAD|BYE) ?(\[([A-Z-]+)[^]]*\])?.*$`)
	numberedVal = regexp.MustCompile(`(UIDVALIDITY|HIGHESTMODSEQ|COPYUID|APPENDUID|MODSEQ \() ?\d+`)
	fetchFlags  = regexp.MustCompile(`^(\* \d+ FETCH )\((UID \d+ )?(.*)\)$`)
	parenthesis = regexp.MustCompile(`\(([^()]*)\)`)
)

// likeBoth leaves of an answer what both servers should agree on.
func likeBoth(untagged []string, status string) (out []string) {
	for _, line := range append(untagged, status) {
		line = numberedVal.ReplaceAllString(line, "$1 n")
		if m := statusLine.FindStringSubmatch(line); m != nil {
			switch m[4] {
			case "HIGHESTMODSEQ", "NOMODSEQ": // told by Dovecot when it was asked for
				continue
			case "MAILBOXID": // this Dovecot has no OBJECTID
				if m[1] != "" {
					continue
				}
				m[4] = ""
			// Dovecot leaves codes out
			case "CLIENTBUG", "NONEXISTENT", "ALREADYEXISTS", "HASCHILDREN", "EXPUNGEISSUED":
				m[4] = ""
			}
			out = append(out, fmt.Sprintf("%s%s %s", m[1], m[2], m[4]))
			continue
		}
		if strings.HasSuffix(line, " RECENT") {
			continue // there is none here
		}
		line = strings.ReplaceAll(line, `\Recent `, "")
		line = strings.ReplaceAll(line, `\Recent`, "")
		for _, k := range knownKeywords { // Dovecot names a keyword when a message has had it
			line = strings.ReplaceAll(line, " "+k, "")
		}
		line = strings.ReplaceAll(line, "\"", "")
		line = strings.ReplaceAll(line, ".", "/") // Dovecot's separator
		if strings.Contains(line, `\Subscribed`) || strings.Contains(line, `\NonExistent`) ||
			strings.HasPrefix(line, "* LIST () ") {
			// With RFC 5258, Dovecot tells of children only when asked, and leaves out what
			// \NonExistent implies.
			for _, attr := range []string{`\HasNoChildren`, `\HasChildren`, `\Noselect`} {
				line = strings.ReplaceAll(line, attr, "")
			}
		}
		if m := fetchFlags.FindStringSubmatch(line); m != nil {
			line = m[1] + m[3] // changes by others carry the UID here
		}
		line = parenthesis.ReplaceAllStringFunc(line, func(list string) string {
			words := strings.Fields(strings.Trim(list, "()"))
			slices.Sort(words)
			return "(" + strings.Join(words, " ") + ")"
		})
		out = append(out, line)
	}
	slices.Sort(out) // the order of untagged responses is free
	return out
}
