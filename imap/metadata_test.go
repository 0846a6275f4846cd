package imap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/dovecottest"
	"gadwall/internal/mailstore"
)

// A value with a NUL comes as a literal8, as it was sent; each other one as a string.
func TestMetadataKeepsOctets(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	c.ok("SETMETADATA INBOX (/shared/a ~{3+}\r\n\x00\r\n /shared/b {2+}\r\n\xff\" /shared/c ~{0+}\r\n)")
	untagged, _ := c.ok("GETMETADATA INBOX (/shared/a /shared/b /shared/c)")
	want := []string{"* METADATA INBOX (/shared/a ~{3}\r\n\x00\r\n /shared/b {2}\r\n\xff\" /shared/c \"\")"}
	if diff := cmp.Diff(want, untagged); diff != "" {
		t.Error(diff)
	}
	c.refused("BAD", "SETMETADATA INBOX (/shared/a {1+}\r\n\x00)")
}

func TestMetadataLimits(t *testing.T) {
	s := newTestServer(t)
	c := s.login(t)
	most := strings.Repeat("x", mailstore.MaxMetadataValue)
	c.ok("SETMETADATA INBOX (/shared/a {%d+}\r\n%s)", len(most), most)
	c.refused("NO [METADATA MAXSIZE 65536]", "SETMETADATA INBOX (/shared/b {%d+}\r\n%sx)", len(most)+1, most)
	untagged, _ := c.ok("GETMETADATA INBOX (/shared/a /shared/b)")
	if len(untagged) != 1 || !strings.HasSuffix(untagged[0], most+" /shared/b NIL)") {
		t.Errorf("%.100q", untagged)
	}
	var many []string
	for range maxMetadataNames {
		many = append(many, "/private/a"+strings.Repeat("b", len(many)))
	}
	c.ok(`SETMETADATA INBOX (%s "x")`, strings.Join(many, ` "" `))
	c.refused("NO [METADATA TOOMANY]", `SETMETADATA INBOX (/private/more "x")`)
	c.refused("NO [LIMIT]", "GETMETADATA INBOX (%s /private/more)", strings.Join(many, " "))
	c.refused("NO [LIMIT]", `SETMETADATA INBOX (%s "x" /private/more "x")`, strings.Join(many, ` "" `))
	c.refused("NO [LIMIT]", "GETMETADATA INBOX /private/%s", strings.Repeat("x", mailstore.MaxMetadataName))
}

// What another instance changed is told although no event comes, and what this session changed is
// not.
func TestMetadataOfOtherInstance(t *testing.T) {
	s := newTestServer(t)
	other := s.otherInstance(t)
	c := s.login(t)
	c.ok("ENABLE METADATA")
	box, err := other.MailboxByPath(t.Context(), s.user.ID, "Sent")
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string) {
		t.Helper()
		if _, err := other.SetMetadata(t.Context(), box.Key, s.user.ID,
			[]mailstore.MetadataEntry{{Name: name, Value: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	set("/private/a")
	told, _ := c.ok(`SETMETADATA Sent (/private/b "x")`) // its own event lets it look
	set("/shared/c")
	set("/private/e")
	after, _ := c.ok("NOOP")
	want := []string{"* METADATA Sent /private/a", "* METADATA Sent /private/e /shared/c"}
	if diff := cmp.Diff(want, append(told, after...)); diff != "" {
		t.Error(diff)
	}
	if untagged, _ := c.ok("NOOP"); untagged != nil {
		t.Errorf("told twice: %q", untagged)
	}
	set("/private/d")
	c.ok("UNAUTHENTICATE")
	c.ok("LOGIN %s %q", testUser, testPassword)
	if untagged, _ := c.ok("NOOP"); untagged != nil {
		t.Errorf("a new session was told %q", untagged)
	}
}

// Changes on shared mailboxes are told as long as the client may read them.
func TestMetadataChangesOfSharedMailbox(t *testing.T) {
	s := publicServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.ok("CREATE Team")
	alice.ok("CREATE Mine")
	team := account.OthersPrefix + testUser + "/Team"
	bob.ok("ENABLE METADATA")
	alice.ok(`SETMETADATA Team (/shared/before "x")`)
	alice.ok("SETACL Team %s lr", other)
	told := func(want ...string) {
		t.Helper()
		if got, _ := bob.ok("NOOP"); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	told()
	alice.ok(`SETMETADATA Team (/shared/a "x" /private/a "x")`)
	alice.ok(`SETMETADATA Mine (/shared/a "x")`)
	alice.ok(`SETMETADATA "" (/private/a/b "x")`)
	told(fmt.Sprintf("* METADATA %q /shared/a", team))
	bob.ok(`SETMETADATA %q (/shared/b "x" /private/b "x")`, team)
	told()
	// An event of the other user wakes the session up.
	tag, err := bob.Begin("IDLE")
	if err != nil {
		t.Fatal(err)
	}
	bob.line()
	alice.ok("SETMETADATA Team (/shared/b NIL)")
	if got, want := bob.line(), fmt.Sprintf("* METADATA %q /shared/b", team); got != want {
		t.Errorf("IDLE: %q, want %q", got, want)
	}
	bob.send("DONE\r\n")
	bob.until(tag)
	alice.ok("DELETEACL Team %s", other)
	alice.ok(`SETMETADATA Team (/shared/a "y")`)
	told()
}

// shortLiteral is a literal that could be a quoted string: Dovecot sends all values so.
var shortLiteral = regexp.MustCompile(`\{\d\}\r\n([^ )]*)`)

// RFC 5464 section 3.3: annotations need "l" and one of "r", "s", "w", "i" and "p". Private ones are
// each user's own.
func TestMetadataOfSharedMailbox(t *testing.T) {
	s := publicServer(t)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.ok("CREATE Team")
	alice.ok(`SETMETADATA Team (/shared/comment "all" /private/comment "alice's" /private/specialuse "\\Flagged")`)
	team := account.OthersPrefix + testUser + "/Team"
	for _, tt := range []struct{ rights, answer string }{
		{"", "NO [NONEXISTENT]"}, {"l", "NO [NOPERM]"}, {"a", "NO [NONEXISTENT]"}, {"lkxtea", "NO [NOPERM]"},
		{"r", "NO [NOPERM]"}, {"lr", "OK"}, {"ls", "OK"}, {"lw", "OK"}, {"li", "OK"}, {"lp", "OK"},
	} {
		alice.ok("SETACL Team %s %q", other, tt.rights)
		for _, command := range []string{
			"GETMETADATA %q /shared/comment", `SETMETADATA %q (/private/comment "bob's")`,
		} {
			if _, status := bob.do(command, team); !strings.HasPrefix(status, tt.answer) {
				t.Errorf("%s with %q: %s, want %s", command, tt.rights, status, tt.answer)
			}
		}
	}
	// LIST leaves out the annotations that may not be read.
	for _, tt := range []struct {
		rights string
		want   int
	}{{"lr", 1}, {"l", 0}, {"lp", 1}} {
		alice.ok("SETACL Team %s %q", other, tt.rights)
		untagged, _ := bob.ok("LIST \"\" %q RETURN (METADATA (/shared/comment))", team)
		if n := strings.Count(strings.Join(untagged, "\n"), "* METADATA"); n != tt.want || len(untagged) != 1+n {
			t.Errorf("with %q: %q", tt.rights, untagged)
		}
	}
	bob.refused("USEATTR", `SETMETADATA %q (/private/specialuse "\\Flagged")`, team)
	for c, want := range map[*testClient]string{
		alice: `* METADATA Team (/private/comment "alice's" /shared/comment "all" /private/specialuse "\\Flagged")`,
		bob: fmt.Sprintf(`* METADATA %q (/private/comment "bob's" /shared/comment "all" /private/specialuse NIL)`,
			team),
	} {
		name := "Team"
		if c == bob {
			name = team
		}
		untagged, _ := c.ok("GETMETADATA %q (/private/comment /shared/comment /private/specialuse)", name)
		if diff := cmp.Diff([]string{want}, untagged); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMetadataLikeDovecot(t *testing.T) {
	d := dovecottest.Start(t, dovecottest.Metadata())
	s := newTestServer(t, func(o *Options) { o.Comment, o.AdminURI = "", "" })
	theirs, ours := dialIMAP(t, d.Addr, d.User, d.Password), s.login(t)
	for _, step := range []struct{ command, differs string }{
		{"GETMETADATA INBOX /private/comment", ""},
		{`SETMETADATA INBOX (/private/comment "mine" /shared/comment "all's")`, ""},
		{"GETMETADATA INBOX /private/comment", ""},
		{"GETMETADATA INBOX (/private/comment /shared/comment)", ""},
		{"GETMETADATA (MAXSIZE 4) INBOX (/private/comment)", ""},
		{"GETMETADATA (MAXSIZE 3) INBOX (/private/comment)", ""},
		{`SETMETADATA INBOX (/private/a/b "1")`, ""}, {`SETMETADATA INBOX (/private/a/b/c "2")`, ""},
		{"GETMETADATA (DEPTH 1) INBOX /private/a", ""},
		{"GETMETADATA (DEPTH infinity) INBOX /private/a/b/c", ""},
		{"GETMETADATA (DEPTH 0) INBOX /private/a", ""},
		{"SETMETADATA INBOX (/private/comment NIL)", ""}, {"GETMETADATA INBOX /private/comment", ""},
		{`GETMETADATA "" /shared/comment`, ""}, {`SETMETADATA "" (/private/vendor/a/b "x")`, ""},
		{`GETMETADATA "" /private/vendor/a/b`, ""},
		{"GETMETADATA nowhere /private/comment", ""}, {`SETMETADATA nowhere (/private/comment "x")`, ""},
		{"GETMETADATA INBOX /nonsense/comment", ""}, {"GETMETADATA INBOX /private//x", ""},
		{"GETMETADATA INBOX /private/x/", ""}, {`GETMETADATA INBOX "/private/*"`, ""},
		{`SETMETADATA INBOX (/private/vendor "x")`, "RFC 5464 section 3.2 wants four components"},
		{"GETMETADATA (DEPTH 2) INBOX /private/a", ""},
		{"GETMETADATA", ""}, {"SETMETADATA INBOX", ""},
	} {
		answer := func(c *testClient) []string {
			untagged, status := c.do("%s", step.command)
			kind, rest, _ := strings.Cut(status, " ")
			if strings.HasPrefix(rest, "[METADATA") {
				kind += " " + rest[:strings.IndexByte(rest, ']')+1]
			}
			for i, line := range untagged {
				untagged[i] = shortLiteral.ReplaceAllString(line, `"$1"`)
			}
			return append(untagged, kind)
		}
		if diff := cmp.Diff(answer(theirs), answer(ours)); (diff != "") != (step.differs != "") {
			t.Errorf("%s (-Dovecot +Gadwall)\n%s", step.command, diff)
		}
	}
}

// FuzzParseMetadata: whatever the arguments are, the parsers end, and what they let through is within
// the bounds and in the form of the store.
func FuzzParseMetadata(f *testing.F) {
	for _, seed := range []string{
		`(DEPTH 1) INBOX /private/a`, `INBOX (MAXSIZE 5 DEPTH infinity) (/private/a /Shared/b)`,
		`INBOX (/private/a "x" /shared/b NIL)`, `"" /private/a /private/b`, "INBOX (/private/a {1+}\r\nx)",
	} {
		f.Add(seed)
	}
	check := func(t *testing.T, name string, place bool) {
		if got, err := entryName(name, place); err != nil || got != name || len(name) > mailstore.MaxMetadataName {
			t.Errorf("%q was let through: %v", name, err)
		}
	}
	f.Fuzz(func(t *testing.T, args string) {
		decoder := func() *wire.Decoder {
			dec := wire.NewDecoder(strings.NewReader(" " + args + "\r\n"))
			if err := dec.Start(); err != nil {
				t.Skip(err) // an end in the middle
			}
			return dec
		}
		if req, err := parseGetMetadata(decoder()); err == nil {
			for _, name := range req.names {
				check(t, name, req.depth > 0)
			}
			if len(req.names) == 0 || len(req.names) > maxMetadataNames {
				t.Errorf("%d names", len(req.names))
			}
		}
		dec := decoder()
		if _, err := mailboxArgument(dec); err != nil || dec.SP() != nil {
			return
		}
		if entries, err := parseEntryValues(dec); err == nil {
			for _, e := range entries {
				check(t, e.Name, false)
				if len(e.Value) > mailstore.MaxMetadataValue {
					t.Errorf("a value of %d octets", len(e.Value))
				}
			}
		}
	})
}
