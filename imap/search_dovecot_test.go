package imap

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gadwall/internal/dovecottest"
	"gadwall/internal/mailgen"
)

// searched is what a SEARCH answers.
func searched(t *testing.T, c *dovecottest.Session, criteria string) string {
	t.Helper()
	for _, line := range c.Command("SEARCH " + criteria) {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("SEARCH %s: no answer", criteria)
	return ""
}

// nonSync writes a string as a literal that needs no continuation.
func nonSync(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }

// searchedOtherwise are the shapes in whose text a search finds something else
// than Dovecot's, on purpose: see docs/imap-differences.md.
var searchedOtherwise = map[mailgen.Shape]bool{
	// parts seen otherwise
	mailgen.EncodedMessage: true, mailgen.GlobalMessage: true, mailgen.NoBoundary: true,
	mailgen.Raw8bit: true, mailgen.LongLines: true, // 8-bit text without charset
	mailgen.OddDates: true,
}

// unexplained returns which of the messages called by their numbers are not of
// these shapes, with their shape.
func unexplained(numbers []string) (out []string) {
	for _, n := range numbers {
		i, err := strconv.Atoi(n)
		if err != nil {
			return numbers
		}
		if shape := mailgen.Shapes()[(i-1)/perShape]; !searchedOtherwise[shape] {
			out = append(out, fmt.Sprintf("%s (%v)", n, shape))
		}
	}
	return out
}

// perShape is how many messages of each shape are searched.
const perShape = 3

// TestSearchLikeDovecot compares the answers to all kinds of keys on generated
// mail.
func TestSearchLikeDovecot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Dovecot")
	}
	var mails [][]byte
	for _, shape := range mailgen.Shapes() {
		for seed := range uint64(perShape) {
			mails = append(mails, mailgen.Of(shape, seed+10))
		}
	}
	theirs, ours := bothServers(t, mails)
	for _, c := range []*dovecottest.Session{theirs, ours} {
		c.Command("SELECT INBOX")
		for i, flags := range []string{`\Seen`, `\Flagged`, `\Deleted`, `\Draft`, `\Answered`, `$Label1`, `Junk`} {
			c.Command(fmt.Sprintf("STORE %d:%d +FLAGS.SILENT (%s)", 1+7*i, 60+5*i, flags))
		}
	}
	criteria := []string{
		"ALL", "1:10", "*", "5,7:9", "UID 20:30", "NOT 1:100", "OR 1:3 UID 5",
		"SEEN", "UNSEEN", "DELETED", "UNDELETED", "FLAGGED", "UNFLAGGED", "DRAFT", "UNDRAFT", "ANSWERED", "UNANSWERED",
		"KEYWORD $label1", "UNKEYWORD Junk", "NOT KEYWORD none", "OLD NEW",
		"UNSEEN UNDELETED", "OR (SEEN FLAGGED) (DRAFT NOT KEYWORD Junk)", "NOT (OR SEEN NOT FLAGGED)",
		// more in TestSearchKeys
		"BEFORE 1-Jan-2038", "ON 14-Jul-2017", "SINCE 14-Jul-2017", "NOT SINCE 1-Jan-2000",
		"LARGER 2000", "SMALLER 2000", "LARGER 10000 SMALLER 50000",
		"SENTBEFORE 1-Jan-2022 SENTSINCE 1-Jan-1971", "SENTSINCE 1-Jan-2022", "SENTON 1-Jun-2022",
		"NOT SENTSINCE 1-Jan-2022",
		"FROM example", "FROM user", "FROM \"müller\"", "TO example.org", "TO \"user1\"", "CC corp",
		"BCC x", "SUBJECT the", "SUBJECT \"re: \"",
		"NOT SUBJECT a", "SUBJECT \"\"", "FROM \"\"", "CC \"\"", "HEADER Subject time",
		"HEADER From \"\"", "HEADER Message-ID example",
		"HEADER X-None \"\"", "HEADER MIME-Version 1.0", "HEADER Content-Type boundary",
		"HEADER Received \"\"", "HEADER References @",
		"BODY invoice", "BODY project", "TEXT invoice", "TEXT example.org",
		"TEXT \"mime-version: 1.0\"", "NOT BODY the", "NOT TEXT e",
		"OR BODY invoice SUBJECT invoice", "SEEN BODY office", "BODY \"customer\" NOT TEXT \"project\"",
	}
	for _, word := range []string{"müller", "MÜLLER", "größe", "фактура", "счет", "請求", "فاتورة",
		"für", "FÜR", "rückfrage", "é"} {
		for _, key := range []string{"SUBJECT", "FROM", "TO", "BODY", "TEXT"} {
			criteria = append(criteria, "CHARSET UTF-8 "+key+" "+nonSync(word))
		}
	}
	for _, c := range criteria {
		if strings.Contains(c, "müller\"") {
			c = strings.Replace(c, "\"müller\"", nonSync("müller"), 1)
		}
		got, want := searched(t, ours, c), searched(t, theirs, c)
		if got == want {
			continue
		}
		more, less := unexplained(difference(got, want)), unexplained(difference(want, got))
		if len(more)+len(less) == 0 {
			continue
		}
		t.Errorf("SEARCH %q:\n more than Dovecot: %v\n less than Dovecot: %v", c, more, less)
	}
}

// difference returns the words of a that are not in b.
func difference(a, b string) []string {
	var out []string
	for _, w := range strings.Fields(a) {
		if !strings.Contains(" "+b+" ", " "+w+" ") {
			out = append(out, w)
		}
	}
	return out
}

// TestExtendedSearchLikeDovecot compares ESEARCH responses (RFC 4731) and the keys of RFC 5032.
func TestExtendedSearchLikeDovecot(t *testing.T) {
	var mails [][]byte
	for i := range 12 {
		mails = append(mails, []byte(message(fmt.Sprint("number ", i%3))))
	}
	theirs, ours := bothServers(t, mails)
	const day = 24 * 60 * 60
	for _, c := range []*dovecottest.Session{theirs, ours} {
		c.Command("SELECT INBOX")
		for i, age := range []int{60, day - 60, day + 60, 400 * day} {
			date := time.Now().Add(-time.Duration(age) * time.Second).UTC().Format("02-Jan-2006 15:04:05 -0700")
			c.Command(fmt.Sprintf("APPEND INBOX (\\Flagged) \"%s\" %s", date, nonSync(message(fmt.Sprint("aged ", i)))))
		}
		c.Command("UID STORE 3,5:7 +FLAGS.SILENT (\\Answered)")
		c.Command("UID STORE 2 +FLAGS.SILENT (\\Deleted)")
		c.Command("EXPUNGE") // from here on, numbers and UIDs differ
	}
	for _, command := range []string{
		"SEARCH RETURN () ALL", "SEARCH RETURN (ALL) ANSWERED", "SEARCH RETURN (MIN) ANSWERED",
		"SEARCH RETURN (MAX) ANSWERED",
		"SEARCH RETURN (COUNT) ANSWERED", "SEARCH RETURN (MIN MAX) ANSWERED", "SEARCH RETURN (MIN MAX COUNT) ANSWERED",
		"SEARCH RETURN (COUNT MAX ALL MIN) ANSWERED", "SEARCH RETURN (ALL COUNT) SUBJECT 1",
		"SEARCH return (all) subject 2",
		"SEARCH RETURN (MIN MAX ALL) DRAFT", "SEARCH RETURN (COUNT) DRAFT", "SEARCH RETURN () DRAFT",
		"UID SEARCH RETURN () ALL", "UID SEARCH RETURN (MIN MAX COUNT) ANSWERED",
		"UID SEARCH RETURN (ALL) 2:5", "UID SEARCH RETURN (COUNT) DRAFT",
		"UID SEARCH RETURN () UID 5:7,1", "SEARCH RETURN (ALL) CHARSET UTF-8 SUBJECT number",
		"SEARCH RETURN (COUNT) NOT ANSWERED FLAGGED",
		"SEARCH RETURN (ALL) FLAGGED YOUNGER 86400", "SEARCH RETURN (ALL) FLAGGED OLDER 86400",
		"SEARCH FLAGGED YOUNGER 3600",
		"SEARCH FLAGGED OLDER 3600", "SEARCH FLAGGED NOT YOUNGER 86400", "SEARCH FLAGGED OLDER 3600 YOUNGER 31536000",
		"UID SEARCH OR (FLAGGED OLDER 31536000) YOUNGER 1", "SEARCH FLAGGED YOUNGER 4294967295",
		"SEARCH OLDER 4294967295",
	} {
		want, got := tagless(theirs.Command(command)), tagless(ours.Command(command))
		if want != got {
			t.Errorf("%s: %q, Dovecot says %q", command, got, want)
		}
	}
}

// tagless joins responses, with a tag that all have.
func tagless(lines []string) string {
	return esearchTag.ReplaceAllString(strings.Join(lines, "\n"), `(TAG "x")`)
}

var esearchTag = regexp.MustCompile(`\(TAG "[^"]*"\)`)
