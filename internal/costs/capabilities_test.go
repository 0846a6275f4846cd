package costs

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gadwall/imap"
	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

// page has the table of capabilities.
const page = "../../docs/imap.md"

const (
	master = "root@example.com"
	// maxCapabilities is the longest line of capabilities in octets. RFC 2683 section 3.2.1.5 has 1,000
	// for a line that every implementation can be expected to take.
	maxCapabilities = 1000
)

// An example is a command that the page names beside a capability, with what it asks the database.
type example struct {
	label   string   // as the page has it; the command if empty
	before  []string // what the session has sent before; it has selected INBOX
	command string
	run     func(*testing.T, *imapconn.Conn) // instead of command
}

// capabilityRow are the examples of a row of the page, which may be about several capabilities.
type capabilityRow struct {
	names    string
	examples []example
}

func one(commands ...string) (list []example) {
	for _, c := range commands {
		list = append(list, example{command: c})
	}
	return list
}

// literal is a literal that does not wait.
func literal(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }

const draft = "Subject: draft\r\n\r\ntext\r\n"

// plain is the response of PLAIN.
var plain = base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + storetest.Password))

// capabilityRows are in the order of the page. UID 1 is a mail with an attachment.
var capabilityRows = []capabilityRow{
	{"IMAP4rev1", []example{{command: "SELECT INBOX"}, {command: "FETCH 2 (FLAGS ENVELOPE BODY.PEEK[])"},
		{command: `STORE 2 +FLAGS (\Flagged)`}, {label: "APPEND", command: "APPEND Drafts " + literal(draft)}}},
	{"IMAP4rev2", []example{{command: "ENABLE IMAP4rev2"},
		{before: []string{"ENABLE IMAP4rev2"}, command: "SELECT INBOX"}}},
	{"UTF8=ACCEPT", one("ENABLE UTF8=ACCEPT")},
	{"LITERAL+", []example{{label: "STATUS {5+}", command: "STATUS " + literal("INBOX") + " (MESSAGES)"}}},
	{"SASL-IR, AUTH=PLAIN, AUTH=LOGIN", []example{{label: "AUTHENTICATE PLAIN", before: []string{"UNAUTHENTICATE"},
		command: "AUTHENTICATE PLAIN " + plain}}},
	{"COMPRESS=DEFLATE", one("COMPRESS DEFLATE")},
	{"UNAUTHENTICATE", one("UNAUTHENTICATE")},
	{"ENABLE", one("ENABLE CONDSTORE QRESYNC")},
	{"ID", one("ID NIL")},
	{"IDLE", []example{{label: "IDLE", run: idle}}},
	{"NAMESPACE", one("NAMESPACE")},
	{"ACL, RIGHTS=kxte", one("MYRIGHTS INBOX", "GETACL INBOX", "SETACL Archive "+peer+" lrs")},
	{"LIST-MYRIGHTS", one(`LIST "" % RETURN (MYRIGHTS)`)},
	{"UNSELECT", one("UNSELECT")},
	{"UIDPLUS", []example{{before: []string{`UID STORE 30 +FLAGS (\Deleted)`}, command: "UID EXPUNGE 30"}}},
	{"MOVE", one("UID MOVE 29 Archive")},
	{"CHILDREN", one(`LIST "" %`)},
	{"SPECIAL-USE, CREATE-SPECIAL-USE", one(`LIST (SPECIAL-USE) "" *`, `CREATE Stars (USE (\Flagged))`)},
	{"METADATA", one("GETMETADATA INBOX /private/comment", `SETMETADATA INBOX (/private/comment "x")`)},
	{"LIST-METADATA", one(`LIST "" % RETURN (METADATA (/private/comment))`)},
	{"LIST-EXTENDED, LIST-STATUS", one(`LIST (SUBSCRIBED) "" *`, `LIST "" % RETURN (STATUS (MESSAGES UNSEEN))`)},
	{"STATUS=SIZE", one("STATUS INBOX (SIZE)")},
	{"MULTIAPPEND", []example{{label: "APPEND of three",
		command: "APPEND Drafts " + literal(draft) + " " + literal(draft+"2") + " " + literal(draft+"3")}}},
	{"CATENATE, URL-PARTIAL", []example{{label: "APPEND CATENATE (TEXT {n} URL attachment)",
		command: "APPEND Drafts CATENATE (TEXT " + literal("Content-Type: application/pdf\r\n"+
			"Content-Transfer-Encoding: base64\r\n\r\n") + ` URL "/INBOX/;UID=1/;SECTION=2")`}}},
	{"REPLACE", []example{{label: "UID REPLACE", command: "UID REPLACE 28 INBOX " + literal(draft+"4")}}},
	{"CONDSTORE, QRESYNC", []example{{command: "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 20)"},
		{before: []string{"ENABLE QRESYNC", "UNSELECT"}, label: "SELECT INBOX (QRESYNC ...)",
			command: "SELECT INBOX (QRESYNC (<uidvalidity> 20))"}}},
	{"UIDONLY", []example{{command: "ENABLE UIDONLY"},
		{before: []string{"ENABLE UIDONLY"}, command: "UID FETCH 1:* (FLAGS)"}}},
	{"ESEARCH", one("SEARCH RETURN (COUNT) UNSEEN", "SEARCH RETURN (MIN) SUBJECT mail")},
	{"SEARCHRES", []example{{command: "SEARCH RETURN (SAVE) FLAGGED"},
		{before: []string{"SEARCH RETURN (SAVE) FLAGGED"}, command: "FETCH $ (FLAGS)"}}},
	{"PARTIAL", one("UID SEARCH RETURN (PARTIAL 1:10) SUBJECT mail", "UID FETCH 1:* (FLAGS) (PARTIAL 1:10)")},
	{"WITHIN", one("SEARCH YOUNGER 3600")},
	{"BINARY", one("UID FETCH 1 (BINARY.SIZE[2])", "UID FETCH 1 (BINARY.PEEK[2])")},
	{"PREVIEW", one("FETCH 1:10 (PREVIEW)")},
	{"SAVEDATE", one("FETCH 1:10 (SAVEDATE)", "SEARCH SAVEDBEFORE 1-Jan-2020")},
	{"OBJECTID", one("FETCH 1:10 (EMAILID THREADID)", "STATUS INBOX (MAILBOXID)")},
	{"SORT, SORT=DISPLAY", one("SORT (SUBJECT) UTF-8 ALL", "SORT (DISPLAYFROM) UTF-8 ALL", "SORT (ARRIVAL) UTF-8 ALL")},
	{"ESORT", one("SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL")},
	{"CONTEXT=SEARCH, CONTEXT=SORT", one("SEARCH RETURN (UPDATE) UNSEEN")},
	{"THREAD=REFERENCES, THREAD=ORDEREDSUBJECT", one("THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL")},
	{"THREAD=REFS", one("THREAD REFS UTF-8 ALL")},
	{"MULTISEARCH", one("ESEARCH IN (mailboxes (INBOX Archive)) UNSEEN")},
	{"NOTIFY", one("NOTIFY SET (SELECTED (MessageNew MessageExpunge))",
		"NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange))", "NOTIFY NONE")},
	{"INPROGRESS", one("COPY 1:20 Archive")},
	{"QUOTA, QUOTA=RES-STORAGE, QUOTA=RES-MESSAGE", one("GETQUOTAROOT INBOX", `GETQUOTA "User quota"`)},
	{"APPENDLIMIT=n", one("STATUS INBOX (APPENDLIMIT)")},
}

func idle(t *testing.T, c *imapconn.Conn) {
	t.Helper()
	tag, err := c.Begin("IDLE")
	if err == nil {
		_, err = c.Response()
	}
	if err == nil {
		err = c.Send("DONE\r\n")
	}
	if err == nil {
		_, _, err = c.Finish(tag)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// uidValidity returns that of INBOX.
func uidValidity(t *testing.T, c *imapconn.Conn) string {
	t.Helper()
	lines, err := c.Must("STATUS INBOX (UIDVALIDITY)")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`\d+`).FindString(strings.Join(lines, ""))
}

// TestCapabilities: the page has a row for each capability that the server tells anybody, with what its
// examples ask the database; -update writes the figures.
func TestCapabilities(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	st := storetest.Open(t, storetest.Options{Database: db, RememberPasswords: wait, Scram: true})
	for _, name := range []string{user, peer, master} {
		st.User(t, name)
	}
	lmtp := newLMTP(t, serveLMTP(t, st))
	lmtp.deliver(mailgen.Simple("attached", mailgen.Random(1, 300<<10)), user)
	for n := range 40 {
		lmtp.deliver(mailgen.Simple(fmt.Sprint("mail ", n)), user)
	}
	log := slog.New(slog.DiscardHandler)
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Logger: log, Masters: []string{master}})
	if err != nil {
		t.Fatal(err)
	}
	options := imap.Options{Authenticator: sasl.New(sasl.Options{Accounts: accounts}), Logger: log,
		Hostname: "mail.example.com", MaxMessageSize: mailstore.MaxAppendBytes}
	addr := serve(t, imap.New(options), imap.ErrServerClosed)
	options.PlaintextFrom, options.TLSConfig = []netip.Prefix{}, selfSigned(t)
	guarded := serve(t, imap.New(options), imap.ErrServerClosed)

	measured := make(map[string][]string)
	measure := func(row, label string, f func()) {
		t.Helper()
		commands.Reset()
		f()
		measured[row] = append(measured[row], fmt.Sprintf("`%s` %d", label, commands.Total()))
	}
	login := func(name string) *imapconn.Conn {
		t.Helper()
		c, err := imapconn.Login(addr, name, storetest.Password, wait)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	must := func(c *imapconn.Conn, command string) {
		t.Helper()
		if _, err := c.Must("%s", command); err != nil {
			t.Fatal(err)
		}
	}

	// What the server tells, to whom.
	stranger, disabled := dial(t, addr), dial(t, guarded)
	before := union(t, told(t, stranger), told(t, disabled), told(t, upgraded(t, guarded)))
	session := told(t, login(user))
	asMaster := told(t, login(user+"*"+master))
	all := union(t, before, session, asMaster)
	mechanisms := mechanisms(t, accounts)
	for name := range mechanisms {
		all = append(all, "AUTH="+name)
	}
	all = union(t, all)

	validity := uidValidity(t, login(user))
	for _, row := range capabilityRows {
		if row.names == "NOTIFY" && !slices.Contains(all, "NOTIFY") {
			continue
		}
		for _, e := range row.examples {
			c := login(user)
			must(c, "SELECT INBOX")
			for _, command := range e.before {
				must(c, command)
			}
			if e.label == "" {
				e.label = e.command
			}
			e.command = strings.ReplaceAll(e.command, "<uidvalidity>", validity)
			measure(row.names, e.label, func() {
				if e.run != nil {
					e.run(t, c)
				} else {
					must(c, e.command)
				}
			})
			c.Close()
		}
	}
	const tls = "STARTTLS, LOGINDISABLED"
	measure(tls, "STARTTLS", func() { must(dial(t, guarded), "STARTTLS") })
	measure(tls, "LOGIN refused", func() {
		if _, status, err := disabled.Do("LOGIN %s %q", user, storetest.Password); err != nil ||
			!strings.HasPrefix(status, "NO [PRIVACYREQUIRED]") {
			t.Errorf("%s, %v", status, err)
		}
	})
	root := login(user + "*" + master)
	measure("QUOTASET", "SETQUOTA", func() { must(root, `SETQUOTA "User quota" (STORAGE 100000)`) })
	for _, name := range slices.Sorted(maps.Keys(mechanisms)) {
		f := mechanisms[name]
		if f == nil {
			continue
		}
		for _, row := range []string{"AUTH=EXTERNAL", "AUTH=SCRAM-SHA-256, AUTH=SCRAM-SHA-256-PLUS",
			"AUTH=OAUTHBEARER, AUTH=XOAUTH2"} {
			if slices.Contains(strings.Split(row, ", "), "AUTH="+name) {
				measure(row, "AUTHENTICATE "+name, f)
			}
		}
	}
	compareTable(t, all, measured)
}

// TestCapabilityLines: the server tells strangers what they need to log in, and nobody more than a
// client can take.
func TestCapabilityLines(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	st.User(t, user)
	addr := serveIMAP(t, st)
	c := dial(t, addr)
	// As Dovecot's, but for IMAP4rev2, and LOGIN-REFERRALS, which Dovecot has.
	want := []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ENABLE", "ID", "IDLE",
		"AUTH=PLAIN", "AUTH=LOGIN"}
	if got := told(t, c); !slices.Equal(got, want) {
		t.Errorf("before login: %q, want %q", got, want)
	}
	_, status, err := c.Do("LOGIN %s %q", user, storetest.Password)
	if err != nil {
		t.Fatal(err)
	}
	session := told(t, c)
	if line := "* CAPABILITY " + strings.Join(session, " "); len(line) > maxCapabilities {
		t.Errorf("after login: %d octets, more than %d", len(line), maxCapabilities)
	}
	// The answer to LOGIN has the same, so that no client has to ask.
	if !strings.HasPrefix(status, "OK [CAPABILITY "+strings.Join(session, " ")+"] ") {
		t.Errorf("LOGIN: %s, but CAPABILITY: %q", status, session)
	}
	for i, name := range session {
		if slices.Contains(session[:i], name) || strings.HasPrefix(name, "AUTH=") || name == "STARTTLS" {
			t.Errorf("%s has no place in %q", name, session)
		}
	}
}

func dial(t *testing.T, addr string) *imapconn.Conn {
	t.Helper()
	c, err := imapconn.Dial(addr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// told is what CAPABILITY tells.
func told(t *testing.T, c *imapconn.Conn) []string {
	t.Helper()
	lines, err := c.Must("CAPABILITY")
	if err != nil || len(lines) != 1 {
		t.Fatalf("%q, %v", lines, err)
	}
	return strings.Fields(strings.TrimPrefix(lines[0], "* CAPABILITY "))
}

// union is all names, without figures.
func union(t *testing.T, lists ...[]string) (all []string) {
	t.Helper()
	for _, name := range slices.Concat(lists...) {
		if strings.HasPrefix(name, "APPENDLIMIT=") {
			name = "APPENDLIMIT=n"
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// compareTable compares the table of the page with what was measured, or writes the figures.
func compareTable(t *testing.T, capabilities []string, measured map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const heading = "| capability | RFC | database commands | notes |\n"
	start := strings.Index(string(text), heading)
	if start < 0 {
		t.Fatalf("%s has no table of capabilities", page)
	}
	table, rest, _ := strings.Cut(string(text[start:]), "\n\n")
	lines := strings.Split(table, "\n")
	var rows []string
	for i, line := range lines[2:] {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			t.Errorf("%s: %q has not four cells", page, line)
			continue
		}
		names := strings.TrimSpace(cells[1])
		rows = append(rows, strings.Split(names, ", ")...)
		if cells[2] == "" {
			t.Errorf("%s: %s has no RFC", page, names)
		}
		want := strings.Join(measured[names], ", ")
		if want == "" {
			t.Errorf("%s: nothing is measured for %s", page, names)
		}
		if got := strings.TrimSpace(cells[3]); got != want && !*update {
			t.Errorf("%s: %s costs %s, not %s (-update accepts it)", page, names, want, got)
		}
		cells[3] = " " + want + " "
		lines[i+2] = strings.Join(cells, "|")
	}
	for _, name := range capabilities {
		if !slices.Contains(rows, name) {
			t.Errorf("%s has no row for %s", page, name)
		}
	}
	for _, name := range rows {
		if !slices.Contains(capabilities, name) {
			t.Errorf("%s has a row for %s, which the server tells nobody", page, name)
		}
	}
	if *update {
		changed := string(text[:start]) + strings.Join(lines, "\n") + "\n\n" + rest
		if err := os.WriteFile(page, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
