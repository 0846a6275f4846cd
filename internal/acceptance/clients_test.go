package acceptance

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/mailgen"
)

// clientMails is how many messages the sync tests begin with.
const clientMails = 60

// seed delivers mail as people send it. (Of broken mail some clients make less than the server
// does: mbsync skips a message whose header has no end.)
func (s *server) seed(t testing.TB, n int) {
	t.Helper()
	corpus := mailgen.NewCorpus(3, mailgen.CorpusOptions{})
	msgs := make([][]byte, n)
	for i := range msgs {
		msgs[i] = corpus.Message(i)
	}
	s.deliver(t, msgs...)
}

func hostPort(t testing.TB, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// maildirFiles lists the messages of the maildir at path.
func maildirFiles(t testing.TB, path string) []string {
	t.Helper()
	var files []string
	for _, sub := range []string{"cur", "new"} {
		found, err := filepath.Glob(filepath.Join(path, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// TestMbsync syncs a mailbox down, a new message and flags up, and a third time with nothing to do.
func TestMbsync(t *testing.T) {
	mbsync := tool(t, "mbsync")
	s := startServer(t)
	s.seed(t, clientMails)
	home := t.TempDir()
	host, port := hostPort(t, s.imap)
	rc := filepath.Join(home, "mbsyncrc")
	writeFile(t, rc, fmt.Sprintf(`IMAPAccount gadwall
Host %s
Port %s
User %s
Pass "%s"
SSLType None
AuthMechs LOGIN

IMAPStore far
Account gadwall

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, host, port, testUser, testPassword, home, home))
	if err := os.Mkdir(filepath.Join(home, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	sync := func() string { return command(t, nil, nil, mbsync, "-c", rc, "-V", "all") }

	// It flushes its commands with Z_PARTIAL_FLUSH.
	if said := command(t, nil, nil, mbsync, "-c", rc, "-Dn", "all"); !strings.Contains(said, "COMPRESS DEFLATE") {
		t.Errorf("mbsync did not compress")
	}
	inbox := filepath.Join(home, "mail", "INBOX")
	files := maildirFiles(t, inbox)
	if len(files) != clientMails {
		t.Fatalf("%d messages came down, want %d", len(files), clientMails)
	}

	// Up: one message is marked seen, one deleted, one is new.
	slices.Sort(files)
	rename := func(file, flags string) {
		base, _, _ := strings.Cut(filepath.Base(file), ":2,")
		if err := os.Rename(file, filepath.Join(inbox, "cur", base+":2,"+flags)); err != nil {
			t.Fatal(err)
		}
	}
	rename(files[0], "S")
	rename(files[1], "ST")
	writeFile(t, filepath.Join(inbox, "cur", "1000000000.1_1.local:2,F"), "Subject: from the maildir\n\nUp it goes.\n")
	sync()
	c := s.login(t)
	st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if *st.NumMessages != clientMails || *st.NumUnseen != clientMails-1 {
		t.Errorf("after the second sync: %d messages, %d unseen; want %d, %d", *st.NumMessages,
			*st.NumUnseen, clientMails, clientMails-1)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found, err := c.Search(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.AllSeqNums()) != 1 {
		t.Errorf("SEARCH FLAGGED finds %v, want the uploaded message", found.AllSeqNums())
	}

	before := snapshot(t, filepath.Join(home, "mail"))
	sync()
	if after := snapshot(t, filepath.Join(home, "mail")); !slices.Equal(before, after) {
		t.Errorf("the third sync changed the maildir:\n%v\n%v", before, after)
	}
}

// snapshot lists the messages of all maildirs below dir, with their flags.
func snapshot(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"*/cur/*", "*/new/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	slices.Sort(list)
	return list
}

// TestOfflineimap does the same with offlineimap3.
func TestOfflineimap(t *testing.T) {
	offlineimap := tool(t, "offlineimap")
	s := startServer(t)
	s.seed(t, clientMails)
	home := t.TempDir()
	host, port := hostPort(t, s.imap)
	rc := filepath.Join(home, "offlineimaprc")
	writeFile(t, rc, fmt.Sprintf(`[general]
accounts = gadwall
metadata = %[1]s/meta
ui = basic

[Account gadwall]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[1]s/mail

[Repository far]
type = IMAP
remotehost = %[2]s
remoteport = %[3]s
remoteuser = %[4]s
remotepass = %[5]s
ssl = no
starttls = no
auth_mechanisms = LOGIN
`, home, host, port, testUser, testPassword))
	sync := func() string { return command(t, []string{"HOME=" + home}, nil, offlineimap, "-c", rc, "-o") }

	sync()
	inbox := filepath.Join(home, "mail", "INBOX")
	files := maildirFiles(t, inbox)
	if len(files) != clientMails {
		t.Fatalf("%d messages came down, want %d", len(files), clientMails)
	}
	writeFile(t, filepath.Join(inbox, "cur", "1000000000.1_1.local:2,F"), "Subject: from the maildir\n\nUp it goes.\n")
	sync()
	c := s.login(t)
	st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if *st.NumMessages != clientMails+1 {
		t.Errorf("after the second sync: %d messages, want %d", *st.NumMessages, clientMails+1)
	}
	before := snapshot(t, filepath.Join(home, "mail"))
	out := sync()
	if after := snapshot(t, filepath.Join(home, "mail")); !slices.Equal(before, after) {
		t.Errorf("the third sync changed the maildir:\n%v\n%v", before, after)
	}
	if m := regexp.MustCompile(`(?i)copy message|adding flags|deleting`).FindString(out); m != "" {
		t.Errorf("the third sync still had something to do (%s):\n%s", m, out)
	}
}

// TestCurl lists, searches and reads with curl, and reads one part by section.
func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	s := startServer(t)
	msg := []byte("Subject: hello\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\n\r\nfirst part\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>second part</p>\r\n--b--\r\n")
	s.deliver(t, msg)
	get := func(args ...string) string {
		return command(t, nil, nil, curl, append([]string{"-sS", "-u", testUser + ":" + testPassword}, args...)...)
	}
	base := "imap://" + s.imap
	whole := get(base + "/INBOX;UID=1")
	if _, rest, err := splitTrace([]byte(whole)); err != nil || !bytes.Equal(rest, msg) {
		t.Errorf("curl got %q (%v), want %q after the trace", whole, err, msg)
	}
	if got := get(base + "/INBOX;UID=1;SECTION=2"); got != "<p>second part</p>" {
		t.Errorf("SECTION=2 is %q", got)
	}
	if got := get(base+"/INBOX", "-X", "SEARCH SUBJECT HELLO"); !strings.Contains(got, "* SEARCH 1") {
		t.Errorf("SEARCH answered %q", got)
	}
	if got := get(base); !strings.Contains(got, "Drafts") || !strings.Contains(got, "INBOX") {
		t.Errorf("LIST answered %q", got)
	}
	upload := filepath.Join(t.TempDir(), "upload.eml")
	writeFile(t, upload, "Subject: uploaded\r\n\r\nBy curl.\r\n")
	get(base+"/Sent", "-T", upload)
	if got := get(base + "/Sent;UID=1"); got != "Subject: uploaded\r\n\r\nBy curl.\r\n" {
		t.Errorf("what curl uploaded comes back as %q", got)
	}
}

// TestMutt opens the mailbox with mutt, and with neomutt, told to use QRESYNC.
func TestMutt(t *testing.T) {
	for _, name := range []string{"mutt", "neomutt"} {
		t.Run(name, func(t *testing.T) { muttCopies(t, name) })
	}
}

// muttCopies opens the mailbox with mutt or what came of it, copies every message to a local mbox,
// marks the first as flagged, and leaves.
func muttCopies(t *testing.T, name string) {
	mutt, script := tool(t, name), tool(t, "script")
	s := startServer(t)
	s.seed(t, 10)
	home := t.TempDir()
	host, port := hostPort(t, s.imap)
	rc := filepath.Join(home, "muttrc")
	more := ""
	if name == "neomutt" {
		more = "set imap_qresync=yes"
	}
	settings := fmt.Sprintf(`set imap_user="%s"
set imap_pass="%s"
set ssl_starttls=no
set ssl_force_tls=no
set folder="imap://%s:%s/"
set spoolfile="+INBOX"
set mbox_type=mbox
set confirmcreate=no
set confirmappend=no
set sort=mailbox-order
%s
set quit=yes
set wait_key=no`, testUser, testPassword, host, port, more)
	mbox := filepath.Join(home, "copied")
	// mutt wants a terminal: script(1) gives it one.
	writeFile(t, rc, fmt.Sprintf(`%s
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>%s<enter><first-entry><flag-message><quit>"
`, settings, mbox))
	command(t, []string{"HOME=" + home, "TERM=xterm"}, nil, script, "-qefc", mutt+" -n -F "+rc, "/dev/null")
	got, err := os.ReadFile(mbox)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`(?m)^Return-Path: `).FindAll(got, -1)); n != 10 {
		t.Errorf("%s copied %d messages, want 10", name, n)
	}
	c := s.login(t)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found, err := c.Search(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if got := found.AllSeqNums(); !slices.Equal(got, []uint32{1}) {
		t.Errorf("SEARCH FLAGGED finds %v after %s, want the first message", got, name)
	}
}

// TestImaplib runs a session with Python's imaplib that uses most commands it has.
func TestImaplib(t *testing.T) {
	python := tool(t, "python3")
	s := startServer(t)
	s.seed(t, 10)
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imaplib_session.py")
	if err != nil {
		t.Fatal(err)
	}
	out := command(t, nil, nil, python, script, host, port, testUser, testPassword)
	if !strings.Contains(out, "imaplib: all good") {
		t.Errorf("imaplib said:\n%s", out)
	}
}

// TestSwaks delivers with swaks over LMTP.
func TestSwaks(t *testing.T) {
	swaks := tool(t, "swaks")
	s := startServer(t)
	host, port := hostPort(t, s.lmtp)
	out := command(t, nil, nil, swaks, "--protocol", "LMTP", "--server", host, "--port", port,
		"--from", "grace@example.net", "--to", testUser, "--header", "Subject: by swaks", "--body", "Hello from swaks")
	if !strings.Contains(out, "250") {
		t.Errorf("swaks said:\n%s", out)
	}
	n := 0
	fetchAll(t, s.login(t), "INBOX", func(m fetched) {
		n++
		if !bytes.Contains(m.body, []byte("Subject: by swaks")) {
			t.Errorf("message is %q", m.body)
		}
	})
	if n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestFetchmail fetches new messages with fetchmail and leaves them, then fetches all and deletes them.
// fetchmail hands each message to a program, which appends it to a file.
func TestFetchmail(t *testing.T) {
	fetchmail := tool(t, "fetchmail")
	s := startServer(t)
	const n = 10
	s.seed(t, n)
	home := t.TempDir()
	host, port := hostPort(t, s.imap)
	rc, fetched := filepath.Join(home, "fetchmailrc"), filepath.Join(home, "fetched")
	writeFile(t, rc, fmt.Sprintf(`poll %s service %s protocol imap auth password
  username "%s" password "%s"
  sslproto "" no rewrite no stripcr pass8bits
  mda "cat >> %s"
`, host, port, testUser, testPassword, fetched))
	run := func(args ...string) string {
		args = append([]string{"-f", rc, "--pidfile", filepath.Join(home, "pid"), "-v"}, args...)
		return command(t, []string{"HOME=" + home, "FETCHMAILHOME=" + home}, nil, fetchmail, args...)
	}
	// count is how often the trace of a delivery stands in the file.
	count := func() int {
		b, err := os.ReadFile(fetched)
		if err != nil {
			t.Fatal(err)
		}
		return len(regexp.MustCompile(`(?m)^Delivered-To: `).FindAll(b, -1))
	}

	out := run("--keep")
	if got := count(); got != n {
		t.Errorf("fetchmail --keep fetched %d messages, want %d:\n%s", got, n, out)
	}
	c := s.login(t)
	status := func() (messages, unseen uint32) {
		st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true}).Wait()
		if err != nil {
			t.Fatal(err)
		}
		return *st.NumMessages, *st.NumUnseen
	}
	if messages, unseen := status(); messages != n || unseen != 0 {
		t.Errorf("after --keep: %d messages, %d unseen; want %d, 0", messages, unseen, n)
	}
	out = run("--all", "--nokeep")
	if got := count(); got != 2*n {
		t.Errorf("fetchmail --all fetched %d messages, want %d:\n%s", got-n, n, out)
	}
	if messages, _ := status(); messages != 0 {
		t.Errorf("after --all --nokeep %d messages are left:\n%s", messages, out)
	}
}

// TestNeomuttReturns opens a mailbox with neomutt, which keeps the headers, and opens it again after a
// message went and another came. VANISHED tells it what went. (If flags changed, too, this neomutt loses
// count of the message numbers after VANISHED (EARLIER), notices, and opens the mailbox once more.)
func TestNeomuttReturns(t *testing.T) {
	neomutt, script := tool(t, "neomutt"), tool(t, "script")
	s := startServer(t)
	for _, subject := range []string{"one", "two", "three", "four"} {
		s.deliver(t, []byte("Subject: "+subject+"\r\n\r\nIt was there before.\r\n"))
	}
	home := t.TempDir()
	host, port := hostPort(t, s.imap)
	rc, trace := filepath.Join(home, "muttrc"), filepath.Join(home, "trace")
	if err := os.Mkdir(filepath.Join(home, "headers"), 0o700); err != nil {
		t.Fatal(err)
	}
	// visit opens the mailbox, copies what is there to an mbox, and returns its subjects and what
	// neomutt logged.
	visit := func(mbox string) (subjects []string, log string) {
		path := filepath.Join(home, mbox)
		writeFile(t, rc, fmt.Sprintf(`set imap_user="%s"
set imap_pass="%s"
set ssl_starttls=no
set ssl_force_tls=no
set folder="imap://%s:%s/"
set spoolfile="+INBOX"
set mbox_type=mbox
set header_cache="%s/headers/"
set imap_qresync=yes
set confirmcreate=no
set confirmappend=no
set sort=mailbox-order
set quit=yes
set wait_key=no
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>%s<enter><quit>"
`, testUser, testPassword, host, port, home, path))
		command(t, []string{"HOME=" + home, "TERM=xterm"}, nil, script, "-qefc",
			fmt.Sprintf("%s -n -F %s -d 3 -l %s", neomutt, rc, trace), "/dev/null")
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// neomutt numbers its logs; the latest is 0.
		said, err := os.ReadFile(trace + "0")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^Subject: (.*)$`).FindAllSubmatch(got, -1) {
			subjects = append(subjects, string(m[1]))
		}
		return subjects, string(said)
	}
	want := []string{"one", "two", "three", "four"}
	if got, _ := visit("first"); !slices.Equal(got, want) {
		t.Fatalf("the first visit copied %v, want %v", got, want)
	}
	c := s.login(t)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := c.Store(imap.UIDSetNum(2), deleted, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
	s.deliver(t, []byte("Subject: five\r\n\r\nIt came between the visits.\r\n"))
	got, log := visit("second")
	if want := []string{"one", "three", "four", "five"}; !slices.Equal(got, want) {
		t.Errorf("the second visit copied %v, want %v", got, want)
	}
	if !strings.Contains(log, "Handling VANISHED") {
		t.Errorf("the second visit heard of no VANISHED:\n%s", log)
	}
}
