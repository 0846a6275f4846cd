package imap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/imap/wire"
)

// TestMailboxNameNotUTF7: a name that is not in modified UTF-7 is one that no mailbox has.
func TestMailboxNameNotUTF7(t *testing.T) {
	t.Parallel()
	c := newTestServer(t).login(t)
	for _, name := range []string{"&bad", "&Jjo!", "&AGE-", "\"\xfc\"", "{3+}\r\n\x80ab"} {
		for _, command := range []string{
			"SELECT %s", "EXAMINE %s", "CREATE %s", "DELETE %s", "RENAME %s x", "RENAME INBOX %s", "SUBSCRIBE %s",
			"UNSUBSCRIBE %s", "STATUS %s (MESSAGES)", "APPEND %s {1+}\r\nx", "GETQUOTAROOT %s",
		} {
			c.refused("NO [CANNOT] ", command, name)
		}
		for _, command := range []string{
			`LIST "" %s`, `LIST %s *`, `LIST %s ""`, `LIST (SUBSCRIBED) "" %s`, `LIST "" (%s) RETURN (CHILDREN)`,
			`LSUB "" %s`, `LSUB %s *`,
		} {
			if lines, _ := c.ok(command, name); len(lines) != 0 {
				t.Errorf(command+": %q", name, lines)
			}
		}
		if lines, _ := c.ok(`LIST "" (%s INBOX)`, name); len(lines) != 1 {
			t.Errorf("LIST of %q and INBOX: %q", name, lines)
		}
	}
}

// TestSpaceAtTheEnd: every command takes blanks at its end.
func TestSpaceAtTheEnd(t *testing.T) {
	t.Parallel()
	c := newTestServer(t).dial(t)
	for _, command := range []string{
		"CAPABILITY", "NOOP", `ID ("name" "x")`, fmt.Sprintf("LOGIN %s %q", testUser, testPassword),
		"ENABLE CONDSTORE", "CREATE a", "SUBSCRIBE a", `LIST "" *`, `LIST "" * RETURN (CHILDREN)`, `LSUB "" *`,
		"STATUS a (MESSAGES)", "RENAME a b", "APPEND INBOX {1+}\r\nx", "APPEND INBOX (\\Seen) {1+}\r\nx {1+}\r\ny",
		"SELECT INBOX", "EXAMINE INBOX (CONDSTORE)", "SELECT INBOX", "FETCH 1 FLAGS",
		"FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
		"UID FETCH 1 BODY[]", "SEARCH ALL", "SEARCH SUBJECT {1+}\r\nx", "STORE 1 +FLAGS \\Seen", "COPY 1 b", "MOVE 1 b",
		"UID EXPUNGE 1", "EXPUNGE", "CHECK", "GETQUOTAROOT INBOX", "NAMESPACE", "CLOSE", "DELETE b", "LOGOUT",
	} {
		c.ok("%s  ", command)
	}
}

// TestIDBeforeLogin: as much as RFC 2971 section 3.3 allows, and no more, in strings and in
// literals. All other lines are short before the login.
func TestIDBeforeLogin(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	id := func(pairs, length int, format string) string {
		var list []string
		for i := range pairs {
			name, value := fmt.Sprintf("%030d", i), strings.Repeat("v", length)
			switch format {
			case "quoted":
				list = append(list, fmt.Sprintf("%q %q", name, value))
			case "escaped":
				list = append(list, fmt.Sprintf("%q \"%s\"", name, strings.Repeat(`\"`, length)))
			case "literal":
				list = append(list, fmt.Sprintf("{%d+}\r\n%s {%d+}\r\n%s", len(name), name, len(value), value))
			}
		}
		return "ID (" + strings.Join(list, " ") + ")"
	}
	for _, format := range []string{"quoted", "escaped", "literal"} {
		c := srv.dial(t)
		c.ok("%s", id(maxIDFields, maxIDValue, format))
		c.refused("BAD ID: ", "%s", id(maxIDFields+1, 10, format))
		c.refused("BAD ID: ", "%s", id(1, maxIDValue+1, format))
	}
	c := srv.dial(t)
	c.refused("NO [TOOBIG]", "ID (%s)", strings.Repeat(`"a" "b" `, wire.MaxLine/8))
	c.refused("NO [TOOBIG]", "LOGIN x %q", strings.Repeat("y", maxLoginLine))
	c.refused("NO [TOOBIG]", "X ID (%q)", strings.Repeat("y", maxLoginLine))
	if n := srv.longLines.Load(); n != 0 {
		t.Errorf("%d long lines are still counted", n)
	}
	srv.longLines.Store(maxLongLines)
	c.refused("NO [TOOBIG]", "%s", id(maxIDFields, maxIDValue, "quoted"))
	srv.longLines.Store(0)
	c.ok("%s", id(maxIDFields, maxIDValue, "quoted"))
}

// TestLiteralsAreBounded: after the login only APPEND takes a large literal. A refused one is
// not kept, and its bytes are not run.
func TestLiteralsAreBounded(t *testing.T) {
	t.Parallel()
	c := newTestServer(t).login(t)
	large := strings.Repeat("x NOOP\r\n", wire.MaxLiteral/8+1)
	for _, command := range []string{"CREATE", "SELECT", "LIST \"\"", "LOGIN", "STATUS", "ID (\"name\"", "GETQUOTA"} {
		want := "NO [TOOBIG]"
		if command == "LOGIN" {
			want = "BAD" // not in this state
		}
		c.refused(want, "%s {%d+}\r\n%s", command, len(large), large)
		c.refused(want, "%s {%d}", command, len(large))
	}
	c.ok("SELECT INBOX")
	c.refused("NO [TOOBIG]", "SEARCH TEXT {%d+}\r\n%s", len(large), large)
	half := strings.Repeat("x", wire.MaxCommandLiterals/2)
	c.refused("NO [TOOBIG]", "SEARCH TEXT {%d+}\r\n%s TEXT {%d+}\r\n%s TEXT {1+}\r\nx", len(half),
		half, len(half), half)
	c.append("INBOX", "", "Subject: x\r\n\r\n"+large)
}

// TestListRecursiveMatch is example 9 of RFC 5258 section 5, and more with SPECIAL-USE.
func TestListRecursiveMatch(t *testing.T) {
	t.Parallel()
	c := newTestServer(t).login(t)
	for _, name := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"} {
		c.ok("DELETE %s", name)
		c.ok("UNSUBSCRIBE %s", name)
	}
	c.ok("UNSUBSCRIBE INBOX")
	for _, name := range []string{
		"foo2", "foo2/bar1", "foo2/bar2", "baz2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2",
		"eps2/mamba", "qux2/bar2",
	} {
		c.ok("CREATE %s", name)
		if name != "foo2" && name != "baz2" {
			c.ok("SUBSCRIBE %s", name)
		}
	}
	c.ok(`CREATE work/done/sent (USE (\Sent))`)
	c.ok(`CREATE work/junk (USE (\Junk))`)
	c.ok("SUBSCRIBE work/junk")
	const subscribed, special = ` ("CHILDINFO" ("SUBSCRIBED"))`, ` ("CHILDINFO" ("SPECIAL-USE"))`
	for _, tt := range []struct {
		command string
		want    []string
	}{
		{`LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"`, []string{
			`(\Subscribed \HasNoChildren) "/" baz2/bar2`,
			`(\Subscribed \HasNoChildren) "/" baz2/bar22`,
			`(\Subscribed \HasNoChildren) "/" baz2/bar222`,
			`(\Subscribed \HasChildren) "/" eps2` + subscribed,
			`(\HasChildren) "/" foo2` + subscribed,
			`(\Subscribed \HasNoChildren) "/" foo2/bar2`,
			`(\Subscribed \HasNoChildren) "/" qux2/bar2`,
		}},
		{`LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"`, []string{
			`(\HasChildren) "/" baz2` + subscribed,
			`(\Subscribed \HasChildren) "/" eps2` + subscribed,
			`(\HasChildren) "/" foo2` + subscribed,
			`(\NonExistent \HasChildren) "/" qux2` + subscribed,
			`(\NonExistent \HasChildren) "/" work` + subscribed,
		}},
		{`LIST (RECURSIVEMATCH SUBSCRIBED) "" "[e-z]*"`, nil},
		{`LIST (RECURSIVEMATCH SUBSCRIBED) "" "eps*"`, []string{
			`(\Subscribed \HasChildren) "/" eps2` + subscribed,
			`(\Subscribed \HasNoChildren) "/" eps2/mamba`,
		}},
		{`LIST (SUBSCRIBED) "" "eps*"`, []string{
			`(\Subscribed \HasChildren) "/" eps2`,
			`(\Subscribed \HasNoChildren) "/" eps2/mamba`,
		}},
		{`LIST (SPECIAL-USE RECURSIVEMATCH) "" "%"`, []string{`(\NonExistent \HasChildren) "/" work` + special}},
		{`LIST (SPECIAL-USE RECURSIVEMATCH) "" "work/%"`, []string{
			`(\NonExistent \HasChildren) "/" work/done` + special,
			`(\HasNoChildren \Junk) "/" work/junk`,
		}},
		{`LIST (SPECIAL-USE RECURSIVEMATCH) "" "*"`, []string{
			`(\HasNoChildren \Sent) "/" work/done/sent`,
			`(\HasNoChildren \Junk) "/" work/junk`,
		}},
		{`LIST (SPECIAL-USE SUBSCRIBED RECURSIVEMATCH) "" (% work/%)`, []string{
			`(\Subscribed \HasNoChildren \Junk) "/" work/junk`,
		}},
		{`LIST (SPECIAL-USE SUBSCRIBED RECURSIVEMATCH) "" %`, []string{
			`(\NonExistent \HasChildren) "/" work ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))`,
		}},
		{`LIST "" work`, []string{`(\Noselect \HasChildren) "/" work`}},
		{`LIST "" work RETURN ()`, []string{`(\NonExistent \HasChildren) "/" work`}},
	} {
		lines, _ := c.ok("%s", tt.command)
		var got []string
		for _, line := range lines {
			got = append(got, strings.TrimPrefix(line, "* LIST "))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.command, diff)
		}
	}
	for _, options := range []string{"RECURSIVEMATCH", "REMOTE RECURSIVEMATCH"} {
		c.refused("BAD", `LIST (%s) "" *`, options)
	}
}
