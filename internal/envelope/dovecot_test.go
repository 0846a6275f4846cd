package envelope_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"gadwall/internal/dovecottest"
	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

// The differences from Dovecot that are meant, by the shape of mail that shows them. Everything
// else must be equal, but for the form of strings (quoted or literal) and the case of words that
// have none.
var meant = map[mailgen.Shape]string{
	mailgen.BoundaryInHeader: "a line end before a boundary line belongs to the delimiter (RFC " +
		"2046 section 5.1.1) also where the header of an " +
		"embedded message ends so; Dovecot counts it to the message part",
	mailgen.BrokenInner: "as boundary-in-header; and a multipart without boundary parameter is " +
		"text, as RFC 2045 section 5.2 has it for " +
		"a wrong Content-Type, so that its content can be read; Dovecot shows a multipart with one empty part",
	mailgen.NoBoundary: "as broken-inner",
	mailgen.EncodedMessage: "a message/rfc822 in base64 is not looked into; Dovecot takes the " +
		"base64 text for header lines",
	mailgen.GlobalMessage: "message/global has envelope and structure (RFC 9051 body-type-msg); " +
		"Dovecot knows only rfc822",
	mailgen.OddAddresses: "what follows a broken address, an empty one, or a semicolon is still " +
		"read; Dovecot stops there, and it " +
		"makes an address of nothing between two commas, which RFC 5322 section 4.4 allows; brackets may be in names",
	mailgen.Raw8bit: "of two Subject fields the first counts, for Dovecot the last",
	mailgen.OddFields: "of two Content-Disposition fields the first counts, as of all Content " +
		"fields; Dovecot mixes them",
	mailgen.OddTypes: "a Content-Type without subtype or with text after it is not empty: it is " +
		"text/plain or what can be read of " +
		"it; parameters need no semicolon before them; a disposition without a type is none",
	mailgen.Garbage: "all of the above; and a transfer encoding holds without MIME-Version and Content-Type too",
}

// rounds is how many messages of each shape are compared, and of random garbage.
const (
	rounds        = 6
	garbageRounds = 200
)

func TestAgainstDovecot(t *testing.T) {
	s := dovecottest.Start(t)
	var messages [][]byte
	var shapes []mailgen.Shape
	for _, shape := range mailgen.Shapes() {
		n := uint64(rounds)
		if shape == mailgen.Garbage {
			n = garbageRounds
		}
		for seed := range n {
			messages = append(messages, mailgen.Of(shape, 1000*seed+7))
			shapes = append(shapes, shape)
		}
	}
	s.MaildirAppend(s.User, messages...)
	c := s.Login()
	c.Command("SELECT INBOX")
	answers := c.Fetch("1:*", "RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE")

	different := map[mailgen.Shape]int{}
	for i, m := range messages {
		// Dovecot sees bare LF as CRLF.
		m = bytes.ReplaceAll(bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		ours := describe(t, m, mimestream.Parse(m))
		theirs := answers[i+1]
		same := meant[shapes[i]] == ""
		if diff := difference(t, "ENVELOPE", ours.envelope, theirs, same) +
			difference(t, "BODY", ours.body, theirs, same) +
			difference(t, "BODYSTRUCTURE", ours.structure, theirs, same); diff != "" {
			different[shapes[i]]++
			if meant[shapes[i]] == "" {
				t.Errorf("%v, message %d:\n%s", shapes[i], i+1, diff)
			}
		}
		if size := theirs["RFC822.SIZE"].Text; size != itoa(len(m)) {
			t.Errorf("%v: RFC822.SIZE %s of %d octets", shapes[i], size, len(m))
		}
	}
	for shape, reason := range meant {
		if different[shape] == 0 {
			t.Errorf("%v: no difference any more, but the list says: %s", shape, reason)
		}
	}
	if n := different[mailgen.Garbage]; n > garbageRounds/5 {
		t.Errorf("%d of %d garbage messages differ", n, garbageRounds)
	}
}

// difference compares one item; it is empty if both say the same. lenient leaves out sizes of
// embedded messages if they are not the same.
func difference(
	t *testing.T, item string, ours []byte, answers map[string]dovecottest.Value, lenient bool,
) string {
	t.Helper()
	v, err := dovecottest.Parse(string(ours))
	if err != nil {
		t.Errorf("%s is not valid: %v\n%.500q", item, err, ours)
		return ""
	}
	theirs := answers[item]
	if lenient && item != "ENVELOPE" && v.String() != theirs.String() {
		v, theirs = withoutMessageSizes(v), withoutMessageSizes(theirs)
	}
	a, b := v.String(), theirs.String()
	if item != "ENVELOPE" {
		a, b = strings.ToLower(a), strings.ToLower(b)
	}
	if a == b {
		return ""
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	same = max(0, same-100)
	return item + "\nours    " + cutTo(a[same:], 400) + "\ntheirs  " + cutTo(b[same:], 400) + "\n"
}

// withoutMessageSizes is a structure without octets and lines of embedded messages. They differ by
// a line end where a multipart at their end is closed right before the boundary of the part: it
// belongs to the boundary (RFC 2046 section 5.1.1), and Dovecot counts it to the message. Package
// mimestream has tests of these sizes.
func withoutMessageSizes(v dovecottest.Value) dovecottest.Value {
	list := slices.Clone(v.List)
	for i := range list {
		list[i] = withoutMessageSizes(list[i])
	}
	if len(list) > 9 && list[0].Text == "message" && (list[1].Text == "rfc822" || list[1].Text == "global") {
		list[6].Text, list[9].Text = "octets", "lines"
	}
	v.List = list
	return v
}

func cutTo(s string, n int) string { return s[:min(len(s), n)] }
