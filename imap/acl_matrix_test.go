package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// other is the user with whom alice shares mailboxes in tests.
const other = "bob@example.com"

// addUser creates a user.
func (s *testServer) addUser(t testing.TB, name string) *mailstore.User {
	t.Helper()
	user, err := s.store.CreateUser(t.Context(), mailstore.NewUser{Username: name, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// rightsToTest are no right, each alone, all but each, and all.
func rightsToTest() []account.Rights {
	sets := []account.Rights{0, account.AllRights}
	for r := account.Rights(1); r < account.AllRights; r <<= 1 {
		sets = append(sets, r, account.AllRights&^r)
	}
	return sets
}

// matrix is a session of bob with a mailbox of alice's that gives some rights.
type matrix struct {
	*testing.T
	alice, bob *testClient
	rights     account.Rights
	tree       string // of alice's, in which bob may create mailboxes
	boxes      int
}

const othersTree = account.OthersPrefix + testUser + "/"

// box makes a mailbox with the rights and a message with each of \Seen, \Deleted, \Flagged. The names
// are alice's and bob's.
func (m *matrix) box() (name, shared string) {
	m.Helper()
	m.boxes++
	name = fmt.Sprintf("%s/%d", m.tree, m.boxes)
	m.alice.ok("CREATE %s", name)
	for _, flags := range []string{`\Seen`, `\Deleted`, `\Flagged $Label`} {
		m.alice.append(name, flags, message("x"))
	}
	m.alice.ok(`SETACL %s %s "%s"`, name, other, m.rights)
	return name, `"` + othersTree + name + `"`
}

func (m *matrix) has(r account.Rights) bool { return m.rights.Has(r) }

// want checks the answer to a command that needs all of these rights.
func (m *matrix) want(needed account.Rights, format string, args ...any) (untagged []string, done bool) {
	m.Helper()
	command := fmt.Sprintf(format, args...)
	untagged, status := m.bob.do("%s", command)
	want := "NO [NOPERM]"
	switch {
	case m.has(needed):
		want = "OK"
	case m.rights&(account.Lookup|account.Read) == 0:
		want = "NO [NONEXISTENT]"
		for _, into := range []string{"APPEND", "COPY", "MOVE"} {
			if strings.HasPrefix(command, into) || strings.HasPrefix(command, "UID "+into) {
				want = "NO [TRYCREATE]"
			}
		}
	}
	if !strings.HasPrefix(status, want) {
		m.Errorf("with %q, %.100s: %s, want %s", m.rights, command, status, want)
	}
	return untagged, want == "OK"
}

// flags are those of the message of this number in a mailbox, as alice sees them.
func (m *matrix) flags(box string, number int) []string {
	m.Helper()
	m.alice.ok("EXAMINE %s", box)
	untagged, _ := m.alice.ok("FETCH %d (FLAGS)", number)
	text := strings.TrimSuffix(untagged[0], "))")
	return strings.Fields(text[strings.LastIndexByte(text, '(')+1:])
}

// allowed are those of the flags that bob may set.
func (m *matrix) allowed(flags ...string) (kept []string) {
	for _, f := range flags {
		need := account.Write
		switch f {
		case `\Seen`:
			need = account.KeepSeen
		case `\Deleted`:
			need = account.DeleteMessages
		}
		if m.has(need) {
			kept = append(kept, f)
		}
	}
	return kept
}

func (m *matrix) sameFlags(what string, got, want []string) {
	m.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		m.Errorf("with %q, %s: flags %q, want %q", m.rights, what, got, want)
	}
}

// Every command needs the rights of RFC 4314 section 4: with each right alone, with all others, with
// none and with all.
func TestRightsOfCommands(t *testing.T) {
	s := newTestServer(t)
	s.addUser(t, other)
	alice, bob := s.login(t), dialIMAP(t, s.addr, other, testPassword)
	bob.append("INBOX", `\Seen \Deleted \Flagged $Label`, message("mine"))
	for i, rights := range rightsToTest() {
		m := &matrix{T: t, alice: alice, bob: bob, rights: rights, tree: fmt.Sprintf("tree%d", i)}
		alice.ok("CREATE %s", m.tree)
		alice.ok("SETACL %s %s lk", m.tree, other)
		m.mailboxes()
		m.lists()
		m.selected()
		m.into()
	}
}

// lists tests the commands about access control lists.
func (m *matrix) lists() {
	box, shared := m.box()
	m.want(account.Administer, "GETACL %s", shared)
	m.want(account.Administer, "LISTRIGHTS %s anyone", shared)
	m.want(account.Administer, "SETACL %s $team lr", shared)
	m.want(account.Administer, "DELETEACL %s $team", shared)
	untagged, status := m.bob.do("MYRIGHTS %s", shared)
	any := m.rights&(account.Lookup|account.Read|account.Insert|account.CreateMailbox|account.DeleteMailbox|
		account.Administer) != 0
	switch {
	case !any && !strings.HasPrefix(status, "NO [NONEXISTENT]"):
		m.Errorf("with %q, MYRIGHTS: %s", m.rights, status)
	case any && (len(untagged) != 1 || untagged[0] != "* MYRIGHTS "+shared+" "+shownRights(m.rights)):
		m.Errorf("with %q, MYRIGHTS: %q %s", m.rights, untagged, status)
	}
	listed, _ := m.bob.ok(`LIST "" %s RETURN (STATUS (MESSAGES) MYRIGHTS)`, shared)
	want := 0
	if m.has(account.Lookup) {
		if want = 2; m.has(account.Read) {
			want = 3
		}
	}
	if len(listed) != want {
		m.Errorf("with %q, LIST: %q", m.rights, listed)
	}
	m.bob.ok("SUBSCRIBE %s", shared)
	m.bob.ok("UNSUBSCRIBE %s", shared)
	m.want(account.Read, "STATUS %s (MESSAGES)", shared)
	m.want(account.Read, "GETQUOTAROOT %s", shared)
	m.want(account.Read, "EXAMINE %s", shared)
	m.bob.do("UNSELECT")
	m.alice.ok("DELETEACL %s %s", box, other)
}

// mailboxes tests CREATE, RENAME and DELETE.
func (m *matrix) mailboxes() {
	_, shared := m.box()
	child := strings.TrimSuffix(shared, `"`) + `/child"`
	_, status := m.bob.do("CREATE %s", child)
	want := map[bool]string{true: "OK", false: "NO [NOPERM]"}[m.has(account.CreateMailbox)]
	if !strings.HasPrefix(status, want) {
		m.Errorf("with %q, CREATE below: %s", m.rights, status)
	}
	if strings.HasPrefix(status, "OK") {
		if _, status := m.bob.do("MYRIGHTS %s", child); !strings.HasPrefix(status, "OK") {
			m.Errorf("with %q, the child has no list of its parent: %s", m.rights, status)
		}
	}
	renamed := strings.TrimSuffix(shared, `"`) + `renamed"`
	if _, ok := m.want(account.DeleteMailbox, "RENAME %s %s", shared, renamed); ok {
		shared = renamed
	}
	if _, status := m.bob.do(`RENAME %s "%s"`, shared, "mine"); strings.HasPrefix(status, "OK") {
		m.Errorf("with %q, RENAME to another user: %s", m.rights, status)
	}
	m.want(account.DeleteMailbox, "DELETE %s", shared)
}

// selected tests the commands on the selected mailbox.
func (m *matrix) selected() {
	box, shared := m.box()
	_, status := m.bob.do("SELECT %s", shared)
	if !m.has(account.Read) {
		m.bob.do("UNSELECT")
		m.want(account.Read, "SELECT %s", shared)
		return
	}
	writing := m.rights&(account.Insert|account.Expunge|account.KeepSeen|account.Write|account.DeleteMessages) != 0
	want := map[bool]string{true: "OK [READ-WRITE]", false: "OK [READ-ONLY]"}[writing]
	if !strings.HasPrefix(status, want) {
		m.Errorf("with %q, SELECT: %s", m.rights, status)
	}
	m.bob.ok("FETCH 3 BODY[]")
	m.sameFlags("FETCH BODY[]", m.flags(box, 3), append(m.allowed(`\Seen`), `\Flagged`, "$Label"))
	m.want(account.KeepSeen, `STORE 2 +FLAGS (\Seen)`)
	m.want(account.Write, `STORE 2 +FLAGS (\Answered)`)
	m.want(account.Write, `STORE 2 +FLAGS ($Label)`)
	m.want(account.DeleteMessages, `STORE 1 +FLAGS (\Deleted)`)
	m.sameFlags("STORE", m.flags(box, 2), append(m.allowed(`\Seen`, `\Answered`, "$Label"), `\Deleted`))
	_, status = m.bob.do(`STORE 3 +FLAGS (\Seen \Deleted \Draft)`)
	if some := len(m.allowed(`\Seen`, `\Deleted`, `\Draft`)) > 0; strings.HasPrefix(status, "OK") != some {
		m.Errorf("with %q, STORE of several flags: %s", m.rights, status)
	}
	m.sameFlags("STORE of several", m.flags(box, 3),
		append(m.allowed(`\Seen`, `\Deleted`, `\Draft`), `\Flagged`, "$Label"))
	m.bob.ok("UID SEARCH FLAGGED")
	m.bob.ok("COPY 1 Archive")
	m.want(account.DeleteMessages|account.Expunge, "MOVE 3 Archive")
	text := message("new")
	m.want(account.DeleteMessages|account.Expunge, "REPLACE 1 Archive {%d+}\r\n%s", len(text), text)
	m.want(account.Expunge, "EXPUNGE")
	m.bob.ok("CLOSE")
}

// into tests what puts messages into the mailbox.
func (m *matrix) into() {
	box, shared := m.box()
	text, flags := message("new"), []string{`\Seen`, `\Deleted`, `\Flagged`, "$Label"}
	_, ok := m.want(account.Insert, "APPEND %s (%s) {%d+}\r\n%s", shared, strings.Join(flags, " "), len(text), text)
	if ok {
		m.sameFlags("APPEND", m.flags(box, 4), m.allowed(flags...))
	}
	m.bob.ok("SELECT INBOX")
	if _, ok = m.want(account.Insert, "COPY 1 %s", shared); ok {
		m.sameFlags("COPY", m.flags(box, 5), m.allowed(flags...))
	}
	if _, ok = m.want(account.Insert, "UID MOVE 1:* %s", shared); ok {
		m.sameFlags("MOVE", m.flags(box, 6), m.allowed(flags...))
		m.bob.append("INBOX", strings.Join(flags, " "), message("mine"))
	}
	m.bob.ok("UNSELECT")
}
