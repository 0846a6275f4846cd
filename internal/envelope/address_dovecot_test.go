package envelope_test

import (
	"testing"

	"gadwall/internal/dovecottest"
	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

// addresses are values of To that Gadwall reads as Dovecot does.
var addresses = []string{
	"root", "root (Cron Daemon)", "(Cron Daemon) root", "root ", "a, root", "root, a", "root;", "root, ",
	"a b", "a b, c", "c, a b", "first.last", "first. last", `"quoted"`, `"quoted" (c)`, `"a b"`,
	`"a" b`, `a, "quoted"`, `"quoted", a`, `"quoted"@x.org`,
	"<root>", "Name <root>", "Name <>", "<>", "Name", "Name (c)", "(c)", "a@b (c)", "(c) a@b",
	"a@b (c) (d)", "a (x) @ b (y)",
	"group: root;", "group: root", "group: a, b@c;", "group: a@b;, root", "group:;",
	"undisclosed-recipients:;", "group: root (Cron);", "group: first last;", "group: <root>;", "g: a b",
	"<@a,@b:c@d>", "<@a:c>", "Name <@a,@b:c@d>", "<@a,@b c@d>", "@a:c@d", "@a", "a@", "a@ (c)", "@",
	"a@b@c", "<a@b@c>", "a@[1.2.3.4]", "a@[1.2.3.4", "<a@[1.2.3.4]>",
	"root <root>", "root@", "root:", "root: ;", "=?utf-8?q?x?= root", `"=?utf-8?q?x?="`, "a.b.c",
	".a", "a.", "a..b", "a .b", "a. b", "a b.c", "a. b c",
	"root\r\n (Cron Daemon)", "root (a\\)b)", "root (a(b)c)", "root ()", "()", "root\t(x y  z)",
	"a@b, root (x), c@d (y)", "Name <a@b> (c)", "Name <a@b> c", "Name <a@b", "Name <a", "<a", "a>",
	"a@b>", "a:b", "\"a\\\"b\"@c", "\"\"@c", "\"\" <a@b>", "\"x\" <a@b>", "x (y) <a@b>",
	"(y) <a@b>", "(y) x <a@b>", "<a@b> (y)",
	"root,root", "é", "é@b", "a é", "a/b", "a=b", "<a b@c>", "<a.b @c>", "<\"a b\"@c>", "a b@c", "\"a\" b@c", "a.\"b\"",
}

// otherAddresses are values of To that Gadwall reads otherwise, with its reading, and why.
var otherAddresses = []struct{ value, want, why string }{
	{"(c), a@b", `((NIL NIL "a" "b"))`, "nothing between two commas is no address (RFC 5322 section 4.4)"},
	{",root", `((NIL NIL "root" "MISSING_DOMAIN"))`, "as above"},
	{"root,,", `((NIL NIL "root" "MISSING_DOMAIN"))`, "as above"},
	{",", `NIL`, "as above"},
	{";", `NIL`, "as above"},
	{":", `NIL`, "a group has a name"},
	{`""`, `((NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`, "an empty name is none"},
	{"a@b(c", `(("c" NIL "a" "b"))`, "a comment without its end takes nothing from the address before it"},
	{"=?utf-8?q?x?=", `(("=?utf-8?q?x?=" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`,
		"encoded words are in names, never in addresses (RFC 2047 section 5)"},
	{"a;b", `((NIL NIL "a" "MISSING_DOMAIN") (NIL NIL "b" "MISSING_DOMAIN"))`, "what follows a semicolon is read"},
	{"a@b;c@d", `((NIL NIL "a" "b") (NIL NIL "c" "d"))`, "as above"},
	{`a\b`, `((NIL NIL "a\\b" "MISSING_DOMAIN"))`, "only octets that mean something to a list end an atom"},
	{`a\@b@c`, `((NIL NIL "a\\" "b"))`, "as above"},
	{"a[b]", `((NIL NIL "a[b]" "MISSING_DOMAIN"))`, "as above"},
	{"[a]", `((NIL NIL "[a]" "MISSING_DOMAIN"))`, "as above"},
	{`"a".b@c`, `((NIL NIL "a.b" "c"))`, "words joined by dots are a local part (RFC 5322 section 4.4)"},
	{`a."b"@c`, `((NIL NIL "a.b" "c"))`, "as above"},
	{`"a"."b"`, `(("a . b" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`, "the name is read to its end"},
}

// to returns the To of the ENVELOPE of a message.
func to(t *testing.T, message []byte) string {
	t.Helper()
	v, err := dovecottest.Parse(string(envelope.Envelope(mimestream.Parse(message))))
	if err != nil {
		t.Fatal(err)
	}
	return v.List[5].String()
}

func toMessage(value string) []byte { return []byte("From: x@y\r\nTo: " + value + "\r\n\r\n") }

// A bare local part is an address without its domain, wherever it stands.
func TestBareLocalParts(t *testing.T) {
	const root = `(NIL NIL "root" "MISSING_DOMAIN")`
	for value, want := range map[string]string{
		"root":                   "(" + root + ")",
		"a@b, root":              `((NIL NIL "a" "b") ` + root + ")",
		"root, a@b":              "(" + root + ` (NIL NIL "a" "b"))`,
		"root (Cron Daemon)":     `(("Cron Daemon" NIL "root" "MISSING_DOMAIN"))`,
		"\"root\" (Cron Daemon)": `(("Cron Daemon" NIL "root" "MISSING_DOMAIN"))`,
		"g: root":                `((NIL NIL "g" NIL) ` + root + " (NIL NIL NIL NIL))",
		"\"\"@b":                 `((NIL NIL "" "b"))`,
		"Jane Doe":               `(("Jane Doe" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`,
		"J. Doe":                 `(("J. Doe" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`,
		"\"Jane\"":               `(("Jane" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))`,
	} {
		if got := to(t, toMessage(value)); got != want {
			t.Errorf("To: %s\n got %s\nwant %s", value, got, want)
		}
	}
	for _, other := range otherAddresses {
		if got := to(t, toMessage(other.value)); got != other.want {
			t.Errorf("To: %s (%s)\n got %s\nwant %s", other.value, other.why, got, other.want)
		}
	}
}

func TestAddressesLikeDovecot(t *testing.T) {
	s := dovecottest.Start(t)
	var messages [][]byte
	for _, v := range addresses {
		messages = append(messages, toMessage(v))
	}
	for _, other := range otherAddresses {
		messages = append(messages, toMessage(other.value))
	}
	s.MaildirAppend(s.User, messages...)
	c := s.Login()
	c.Command("SELECT INBOX")
	answers := c.Fetch("1:*", "ENVELOPE")
	for i, m := range messages {
		ours, theirs := to(t, m), answers[i+1]["ENVELOPE"].List[5].String()
		switch same := ours == theirs; {
		case !same && i < len(addresses):
			t.Errorf("%q\n ours   %s\n theirs %s", m, ours, theirs)
		case same && i >= len(addresses):
			t.Errorf("%q is read as Dovecot does, but the list says otherwise", m)
		}
	}
}
