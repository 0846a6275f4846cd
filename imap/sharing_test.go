package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

const (
	public = "public@example.com"
	third  = "carol@example.com"
)

// publicServer starts a server whose public mailboxes are those of the user public.
func publicServer(t *testing.T) *testServer {
	t.Helper()
	s := newTestServer(t)
	accounts, err := account.New(account.Options{Store: s.store, Bus: s.bus, PublicUser: public})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{other, third, public} {
		s.addUser(t, name)
	}
	return s.serve(t, Options{Authenticator: testAuthenticator(accounts), Logger: s.log}, s.store)
}

func names(untagged []string) (list []string) {
	for _, line := range untagged {
		if rest, ok := strings.CutPrefix(line, "* LIST "); ok {
			_, name, _ := strings.Cut(rest, ` "/" `)
			list = append(list, strings.Trim(name, `"`))
		}
	}
	return list
}

// A user sees the mailboxes that are shared with the user, with groups of the user, and with anyone,
// below the names of their owners.
func TestListsOfSharedMailboxes(t *testing.T) {
	s := publicServer(t)
	alice, bob, carol := s.login(t), dialIMAP(t, s.addr, other, testPassword), dialIMAP(t, s.addr, third, testPassword)
	admin := dialIMAP(t, s.addr, public, testPassword)
	bobID, err := s.store.UserByName(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.SetGroups(t.Context(), bobID.ID, []string{"team"}); err != nil {
		t.Fatal(err)
	}
	bob.ok("LOGOUT")
	bob = dialIMAP(t, s.addr, other, testPassword)

	for _, c := range []*testClient{alice, bob, carol} {
		if got, _ := c.ok(`LIST "" *`); slices.ContainsFunc(names(got), func(n string) bool { return strings.Contains(n, "/") }) {
			t.Fatalf("before anything is shared: %q", got)
		}
	}
	alice.ok("CREATE a/b")
	alice.ok("SETACL a/b bob@example.com lr")
	carol.ok("CREATE t")
	carol.ok("SETACL t $Team lr")
	carol.ok("SETACL t -bob@example.com r")
	admin.ok("CREATE news")
	admin.ok("SETACL news anyone lrs")
	admin.ok("CREATE secret")

	got, _ := bob.ok(`LIST "" * RETURN (MYRIGHTS CHILDREN SUBSCRIBED)`)
	shared := []string{"Other Users", "Other Users/alice@example.com", "Other Users/alice@example.com/a",
		"Other Users/alice@example.com/a/b", "Other Users/carol@example.com", "Other Users/carol@example.com/t",
		"Shared", "Shared/news"}
	own := []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}
	want := slices.Concat(own[:4], shared[:6], own[4:5], shared[6:], own[5:])
	if list := names(got); !slices.Equal(list, want) {
		t.Errorf("bob sees %q, want %q", list, want)
	}
	for _, line := range []string{
		`* LIST (\NonExistent \HasChildren) "/" "Other Users"`,
		`* LIST (\NonExistent \HasChildren) "/" "Other Users/alice@example.com/a"`,
		`* LIST (\HasNoChildren) "/" "Other Users/alice@example.com/a/b"`,
		`* MYRIGHTS "Other Users/alice@example.com/a/b" lr`, `* MYRIGHTS "Other Users/carol@example.com/t" l`,
		`* MYRIGHTS Shared/news lrs`, `* MYRIGHTS INBOX lrswipkxtecda`,
	} {
		if !slices.Contains(got, line) {
			t.Errorf("%s is missing in %q", line, got)
		}
	}
	for pattern, want := range map[string][]string{
		"%":                    slices.Concat(own[:4], shared[:1], own[4:5], shared[6:7], own[5:]),
		`"Other Users/%"`:      {shared[1], shared[4]},
		"Shared/*":             {"Shared/news"},
		`"Other Users/*/t"`:    {shared[5]},
		`"Other Users"`:        {"Other Users"},
		"Archive":              {"Archive"},
		`"Other Users/nobody"`: nil,
	} {
		if list, _ := bob.ok(`LIST "" %s`, pattern); !slices.Equal(names(list), want) {
			t.Errorf("LIST %s: %q, want %q", pattern, names(list), want)
		}
	}
	if got, _ := carol.ok(`LIST "" *`); slices.Contains(names(got), shared[3]) || !slices.Contains(names(got), "Shared/news") {
		t.Errorf("carol sees %q", got)
	}
	if got, _ := admin.ok(`LIST "" *`); slices.Contains(names(got), "Shared/news") || !slices.Contains(names(got), "news") {
		t.Errorf("the public user sees %q", got)
	}
	if got, _ := bob.ok("NAMESPACE"); got[0] != `* NAMESPACE (("" "/")) (("Other Users/" "/")) (("Shared/" "/"))` {
		t.Errorf("%q", got)
	}
	// Subscriptions to names of others' mailboxes are the actor's own.
	bob.ok(`SUBSCRIBE "Other Users/alice@example.com/a/b"`)
	bob.ok(`SUBSCRIBE "Other Users/alice@example.com/secret"`)
	got, _ = bob.ok(`LIST (SUBSCRIBED) "" "Other*"`)
	if !slices.Equal(got, []string{
		`* LIST (\Subscribed \HasNoChildren) "/" "Other Users/alice@example.com/a/b"`,
		`* LIST (\NonExistent \Subscribed \HasNoChildren) "/" "Other Users/alice@example.com/secret"`,
	}) {
		t.Errorf("subscribed: %q", got)
	}
	if got, _ := alice.ok(`LIST (SUBSCRIBED) "" a*`); len(got) != 0 {
		t.Errorf("alice is subscribed to %q", got)
	}
	// Names that nobody can have, and names of nobody, are told apart by no answer.
	for _, name := range []string{"Other Users/alice@example.com/secret", "Other Users/nobody@example.com/x",
		"Other Users/bob@example.com/INBOX", "Other Users/public@example.com/news", "Shared/secret",
		"Other Users/ALICE@example.com/a/b", "Other Users", "Other Users/", "Other Users/alice@example.com", "Shared"} {
		for _, command := range []string{"SELECT", "MYRIGHTS", "GETACL", "DELETE", "GETQUOTAROOT"} {
			bob.refused("[NONEXISTENT]", "%s %q", command, name)
		}
		bob.refused("[NOPERM]", "CREATE %q", name+"/new")
	}
	bob.refused("[NOPERM]", `CREATE "Other Users"`)
}

// What the commands of RFC 4314 section 3 take and answer.
func TestAccessControlLists(t *testing.T) {
	s := newTestServer(t)
	s.addUser(t, other)
	c := s.login(t)
	acl := func(want string) {
		t.Helper()
		if got, _ := c.ok("GETACL INBOX"); got[0] != "* ACL INBOX"+want {
			t.Errorf("%q, want %q", got[0], want)
		}
	}
	const owner = ` "alice@example.com" lrswipkxtecda`
	acl(owner)
	c.ok("SETACL INBOX bob@example.com lrk")
	c.ok("SETACL INBOX anyone l")
	c.ok("SETACL INBOX -$team +ra")
	acl(owner + ` "bob@example.com" lrkc "anyone" l "-$team" ra`)
	c.ok("SETACL INBOX bob@example.com +cda")
	acl(owner + ` "bob@example.com" lrkxtecda "anyone" l "-$team" ra`)
	c.ok("SETACL INBOX bob@example.com -cd")
	c.ok(`SETACL INBOX anyone ""`)
	c.ok("DELETEACL INBOX -$TEAM")
	c.ok("DELETEACL INBOX -$team")
	acl(owner + ` "bob@example.com" lra`)
	if got, _ := c.ok("LISTRIGHTS INBOX Anyone"); got[0] != `* LISTRIGHTS INBOX "Anyone" "" l r s w i p k x t e c d a` {
		t.Errorf("%q", got)
	}
	if got, _ := c.ok("LISTRIGHTS INBOX alice@example.com"); got[0] != `* LISTRIGHTS INBOX "alice@example.com" lrswipkxtecda` {
		t.Errorf("%q", got)
	}
	for command, want := range map[string]string{
		"SETACL INBOX bob@example.com lrQ": "BAD", "SETACL INBOX bob@example.com lrq": "BAD",
		`SETACL INBOX "" lr`: "BAD", "SETACL INBOX - lr": "BAD", "SETACL INBOX $ lr": "BAD", "SETACL INBOX a\x01b lr": "BAD",
		"SETACL INBOX \"$a b\" lr": "BAD", "SETACL INBOX bob@example.com": "BAD", "GETACL INBOX x": "BAD",
		"SETACL INBOX nobody@example.com lr": "NO [CANNOT]", "DELETEACL INBOX nobody@example.com": "NO [CANNOT]",
		"SETACL INBOX alice@example.com lr": "NO [CANNOT]", "SETACL nothing bob@example.com lr": "NO [NONEXISTENT]",
		"DELETEACL INBOX alice@example.com": "NO [CANNOT]", `LISTRIGHTS INBOX ""`: "BAD",
		`SETACL INBOX "` + strings.Repeat("x", account.MaxIdentifier+1) + `" lr`: "BAD",
	} {
		if _, status := c.do("%s", command); !strings.HasPrefix(status, want) {
			t.Errorf("%.60s: %s, want %s", command, status, want)
		}
	}
	acl(owner + ` "bob@example.com" lra`)
	for i := range mailstore.MaxACLEntries - 1 {
		c.ok("SETACL INBOX $group%d l", i)
	}
	c.refused("[LIMIT]", "SETACL INBOX $more l")
}

// A session loses a mailbox with its rights: at the next command, and in IDLE at once.
func TestRightsAreTakenFromASession(t *testing.T) {
	s := newTestServer(t, func(o *Options) { o.PollInterval = time.Hour })
	s.addUser(t, other)
	alice := s.login(t)
	alice.append("INBOX", "", message("x"))
	alice.ok("SETACL INBOX bob@example.com lrswte")
	const inbox = `"Other Users/alice@example.com/INBOX"`
	bob := dialIMAP(t, s.addr, other, testPassword)
	bob.ok("SELECT %s", inbox)
	alice.ok("SETACL INBOX bob@example.com lr")
	untagged, status := bob.do(`STORE 1 +FLAGS (\Seen)`)
	if !strings.HasPrefix(status, "NO [NOPERM]") ||
		!slices.Contains(untagged, "* OK [PERMANENTFLAGS ()] Flags permitted") {
		t.Errorf("%q %s", untagged, status)
	}
	bob.refused("[NOPERM]", "EXPUNGE")
	// Through another instance, whose events do not arrive.
	revoke := func() {
		t.Helper()
		box, err := s.store.MailboxByPath(t.Context(), s.user.ID, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.otherInstance(t).ChangeACL(t.Context(), box.Key,
			func([]mailstore.ACLEntry) ([]mailstore.ACLEntry, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	revoke()
	bob.send("x FETCH 1 BODY[]\r\n")
	lines := bob.closed()
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "* BYE") || !strings.HasPrefix(lines[1], "x NO [NONEXISTENT]") {
		t.Errorf("%q", lines)
	}
	alice.ok("SETACL INBOX bob@example.com lr")
	bob = dialIMAP(t, s.addr, other, testPassword)
	bob.ok("SELECT %s", inbox)
	bob.send("y IDLE\r\n")
	if line := bob.line(); !strings.HasPrefix(line, "+") {
		t.Fatal(line)
	}
	alice.ok("DELETEACL INBOX bob@example.com")
	if lines := bob.closed(); len(lines) != 1 || !strings.HasPrefix(lines[0], "* BYE") {
		t.Errorf("%q", lines)
	}
}

// Sessions of two users in one mailbox see each other's changes.
func TestChangesInASharedMailbox(t *testing.T) {
	s := newTestServer(t)
	s.addUser(t, other)
	alice := s.login(t)
	alice.ok("SETACL INBOX bob@example.com lrswite")
	const inbox = `"Other Users/alice@example.com/INBOX"`
	bob := dialIMAP(t, s.addr, other, testPassword)
	bob.ok("SELECT %s", inbox)
	alice.ok("SELECT INBOX")
	bob.send("i IDLE\r\n")
	bob.line()
	alice.append("INBOX", "", message("x"))
	if line := bob.line(); line != "* 1 EXISTS" {
		t.Errorf("in IDLE: %q", line)
	}
	bob.send("DONE\r\n")
	bob.until("i")
	bob.ok(`STORE 1 +FLAGS (\Flagged)`)
	if got, _ := alice.ok("NOOP"); !slices.Equal(got, []string{`* 1 FETCH (UID 1 FLAGS (\Flagged))`}) {
		t.Errorf("alice hears %q", got)
	}
	// Own mailboxes are heard again.
	bob.ok("SELECT INBOX")
	bob.send("j IDLE\r\n")
	bob.line()
	bob2 := dialIMAP(t, s.addr, other, testPassword)
	bob2.append("INBOX", "", message("y"))
	if line := bob.line(); line != "* 1 EXISTS" {
		t.Errorf("in IDLE: %q", line)
	}
	bob.send("DONE\r\n")
	bob.until("j")
}

// What one user puts into another's mailbox is charged to the owner, and costs no bytes.
func TestQuotaIsTheOwners(t *testing.T) {
	s := newTestServer(t)
	bobUser := s.addUser(t, other)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	for _, u := range []*mailstore.User{s.user, bobUser} {
		if err := s.store.SetLimits(t.Context(), u.ID, quota.Limits{Messages: 2}); err != nil {
			t.Fatal(err)
		}
	}
	alice.ok("SETACL INBOX bob@example.com lri")
	const inbox = `"Other Users/alice@example.com/INBOX"`
	bob.append("INBOX", "", message("x"))
	bob.append("INBOX", "", message("y"))
	bob.ok("SELECT INBOX")
	before := s.stored(t)
	bob.ok("COPY 1 %s", inbox)
	bob.ok("MOVE 1 %s", inbox)
	if after := s.stored(t); after != before {
		t.Errorf("%d contents were %d before", after, before)
	}
	got, _ := bob.ok("GETQUOTAROOT %s", inbox)
	if !slices.Equal(got, []string{
		`* QUOTAROOT "Other Users/alice@example.com/INBOX" "User quota of alice@example.com"`,
		`* QUOTA "User quota of alice@example.com" (MESSAGE 2 2)`}) {
		t.Errorf("%q", got)
	}
	if got, _ := bob.ok(`GETQUOTA "User quota of alice@example.com"`); got[0] != `* QUOTA "User quota of alice@example.com" (MESSAGE 2 2)` {
		t.Errorf("%q", got)
	}
	if got, _ := bob.ok(`GETQUOTA "User quota"`); got[0] != `* QUOTA "User quota" (MESSAGE 1 2)` {
		t.Errorf("%q", got)
	}
	alice.refused("[NONEXISTENT]", `GETQUOTA "User quota of bob@example.com"`)
	text := message("z")
	for _, command := range []string{"COPY 1 " + inbox, "MOVE 1 " + inbox,
		fmt.Sprintf("APPEND %s {%d+}\r\n%s", inbox, len(text), text)} {
		if _, status := bob.do("%s", command); status != "NO [OVERQUOTA] Quota exceeded: that of the mailbox's owner" {
			t.Errorf("%.20s: %s", command, status)
		}
	}
}

// stored is how many contents there are.
func (s *testServer) stored(t *testing.T) int64 {
	t.Helper()
	n, err := s.db.Collection("contents").EstimatedDocumentCount(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Ids of mailboxes and messages are unique in all that a client sees, and searches know them.
func TestObjectIDsOfSharedMailboxes(t *testing.T) {
	s := newTestServer(t)
	s.addUser(t, other)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	alice.append("INBOX", "", message("x"))
	bob.append("INBOX", "", message("y"))
	alice.ok("SETACL INBOX bob@example.com lr")
	const inbox = `"Other Users/alice@example.com/INBOX"`
	suffix := "_" + s.user.ID.String()
	if got, _ := bob.ok("STATUS %s (MAILBOXID)", inbox); got[0] != "* STATUS "+inbox+" (MAILBOXID (F1"+suffix+"))" {
		t.Errorf("%q", got)
	}
	bob.ok("SELECT %s", inbox)
	want := fmt.Sprintf("* 1 FETCH (EMAILID (M1%s) THREADID (T1%s))", suffix, suffix)
	if got, _ := bob.ok("FETCH 1 (EMAILID THREADID)"); got[0] != want {
		t.Errorf("%q, want %q", got[0], want)
	}
	for _, search := range []struct{ key, want string }{
		{"EMAILID M1" + suffix, "* SEARCH 1"}, {"EMAILID M1", "* SEARCH"}, {"THREADID T1" + suffix, "* SEARCH 1"},
		{"NOT EMAILID M1", "* SEARCH 1"}, {"1 EMAILID M1" + suffix, "* SEARCH 1"},
	} {
		if got, _ := bob.ok("SEARCH %s", search.key); got[0] != search.want {
			t.Errorf("SEARCH %s: %q", search.key, got)
		}
	}
	got, _ := bob.ok(`ESEARCH IN (MAILBOXES (INBOX %s)) EMAILID M1%s`, inbox, suffix)
	if len(got) != 1 || !strings.Contains(got[0], "MAILBOX "+inbox) {
		t.Errorf("ESEARCH: %q", got)
	}
	bob.ok("UNSELECT")
	for source, want := range map[string]int{
		"PERSONAL": 1, "INBOXES": 1, `SUBTREE "Other Users"`: 1, "MAILBOXES " + inbox: 1, "SUBSCRIBED": 1,
		"MAILBOXES INBOX": 1, `SUBTREE ("Other Users" INBOX)`: 2,
	} {
		if got, _ := bob.ok("ESEARCH IN (%s) ALL", source); len(got) != want {
			t.Errorf("ESEARCH IN (%s): %q", source, got)
		}
	}
}
