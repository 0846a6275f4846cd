package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// mailClient is an IMAP client with INBOX selected.
type mailClient struct {
	*imapclient.Client
	t        *testing.T
	selected *imap.SelectData
}

func dialMail(t *testing.T, addr string) *mailClient {
	t.Helper()
	client, err := imapclient.DialInsecure(addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.Login("ada@example.com", "correct horse").Wait(); err != nil {
		t.Fatal(err)
	}
	selected, err := client.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	return &mailClient{client, t, selected}
}

// mail returns subjects and flags by UID, of messages that changed after the mod-sequence since.
func (c *mailClient) mail(since uint64) map[imap.UID]string {
	c.t.Helper()
	var all imap.UIDSet
	all.AddRange(1, 0)
	messages, err := c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, Envelope: true, ModSeq: true, ChangedSince: since}).Collect()
	if err != nil {
		c.t.Fatal(err)
	}
	mail := map[imap.UID]string{}
	for _, m := range messages {
		mail[m.UID] = strings.TrimSpace(fmt.Sprint(m.Envelope.Subject, " ", m.Flags))
	}
	return mail
}

func (c *mailClient) flag(uid imap.UID, flag imap.Flag) {
	c.t.Helper()
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}
	if err := c.Store(imap.UIDSetNum(uid), store, nil).Close(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *mailClient) expunge() {
	c.t.Helper()
	if err := c.Expunge().Close(); err != nil {
		c.t.Fatal(err)
	}
}

// deliverMails delivers messages with subjects prefix1 to prefixN over LMTP.
func deliverMails(t *testing.T, addr, prefix string, n int) {
	t.Helper()
	client, err := dialLMTP(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.conn.Close()
	for i := range n {
		text := fmt.Sprintf("Subject: %s%d\r\n\r\n%s\r\n", prefix, i+1, strings.Repeat(prefix, 100))
		got, err := client.deliver("", []string{"ada@example.com"}, strings.NewReader(text))
		if err != nil || got[0].reply.code != 250 {
			t.Fatalf("%v, %v", got, err)
		}
	}
}

// A client that knows mail from after the backup finds the mail that comes after the restore, and
// does no harm to it.
func TestRestoreGivesNoUIDOutTwice(t *testing.T) {
	dir, restored := dataDir(t), dataDir(t)
	backup := filepath.Join(t.TempDir(), "backup")
	env := []string{"GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com", "--data-dir", dir).want(t, 0)
	deliverMails(t, server.ports["LMTP"], "old", 3)
	gadwall(t, "", env, "backup", backup, "--data-dir", dir).want(t, 0)
	before := hashFiles(t, backup)

	deliverMails(t, server.ports["LMTP"], "A", 5)
	client := dialMail(t, server.ports["IMAP"])
	client.flag(1, imap.FlagFlagged)
	client.flag(2, imap.FlagDeleted)
	client.expunge()
	known := client.mail(0)
	if len(known) != 7 {
		t.Fatalf("the client knows %v", known)
	}
	status, err := client.Status("INBOX", &imap.StatusOptions{HighestModSeq: true, UIDValidity: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	server.stop(t)

	gadwall(t, "", env, "restore", backup, "--data-dir", restored).
		want(t, 0, "restored: 1 user, 6 mailboxes, 3 messages")
	if !bytes.Equal(before, hashFiles(t, backup)) {
		t.Error("the backup changed")
	}
	gadwall(t, "", env, "check", "--database", "--data-dir", restored).want(t, 0, "clean: ")
	server = startServer(t, "--data-dir", restored)
	deliverMails(t, server.ports["LMTP"], "B", 5)
	client = dialMail(t, server.ports["IMAP"])
	if client.selected.UIDValidity != status.UIDValidity {
		t.Errorf("UIDVALIDITY changed from %d to %d", status.UIDValidity, client.selected.UIDValidity)
	}
	// Who asks for what changed is told of everything: flags and messages of the backup, and all
	// new mail.
	changed := client.mail(status.HighestModSeq)
	if changed[1] != "old1 []" || changed[2] != "old2 []" || changed[3] != "old3 []" || len(changed) != 8 {
		t.Errorf("changed since the client knew the mailbox: %v", changed)
	}
	// Who asks for UIDs above those it knows gets all new mail.
	for uid, mail := range changed {
		if _, ok := known[uid]; strings.HasPrefix(mail, "B") && (ok || uid <= 8) {
			t.Errorf("%s has UID %d, which the client knows as %s", mail, uid, known[uid])
		}
	}
	// The client deletes A1 to A5, which are no longer there.
	for uid := imap.UID(4); uid <= 8; uid++ {
		client.flag(uid, imap.FlagDeleted)
	}
	client.expunge()
	if left := client.mail(0); len(left) != 8 {
		t.Errorf("left is %v", left)
	}
	server.stop(t)
	gadwall(t, "", env, "check", "--data-dir", restored).want(t, 0, "clean: ")

	gadwall(t, "", env, "restore", backup, "--data-dir", restored).want(t, exitUsage, "not empty")
	gadwall(t, "", env, "restore", "--data-dir", restored, "--resume").want(t, exitUsage, "no advance")
	// A database that was put there by other means.
	gadwall(t, "", env, "restore", "--data-dir", restored, "--new-uidvalidity").
		want(t, 0, "new UIDVALIDITY in 6 mailboxes")
	server = startServer(t, "--data-dir", restored)
	gadwall(t, "", env, "restore", "--data-dir", restored).want(t, exitFailure, "stop the server first")
	gadwall(t, "", env, "restore", restored, "--data-dir", filepath.Join(t.TempDir(), "x")).
		want(t, exitUsage, "running server")
	client = dialMail(t, server.ports["IMAP"])
	if client.selected.UIDValidity <= status.UIDValidity || len(client.mail(0)) != 8 {
		t.Errorf("UIDVALIDITY %d after %d", client.selected.UIDValidity, status.UIDValidity)
	}
}

// hashFiles is a hash of names, modes and bytes of the files in a directory.
func hashFiles(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(hash, entry.Name(), info.Mode(), info.ModTime(), sha256.Sum256(data))
	}
	return hash.Sum(nil)
}

// What a user lost comes back from a backup beside the running server, once.
func TestRestoreUser(t *testing.T) {
	dir := dataDir(t)
	backup := filepath.Join(t.TempDir(), "backup")
	env := []string{"GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn", "GADWALL_DATA_DIR=" + dir}
	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	deliverMails(t, server.ports["LMTP"], "old", 4)
	client := dialMail(t, server.ports["IMAP"])
	client.flag(2, imap.FlagFlagged)
	client.flag(3, "todo")
	if _, err := client.Copy(imap.UIDSetNum(1, 2), "Archive").Wait(); err != nil {
		t.Fatal(err)
	}
	gadwall(t, "", env, "backup", backup).want(t, 0)
	before := hashFiles(t, backup)
	whole := subjects(client)

	client.flag(2, imap.FlagDeleted)
	client.flag(3, imap.FlagDeleted)
	client.expunge()
	if err := client.Delete("Archive").Wait(); err != nil {
		t.Fatal(err)
	}
	deliverMails(t, server.ports["LMTP"], "new", 1)
	restore := func(args ...string) outcome {
		return gadwall(t, "", env, append([]string{"restore", backup, "--user", "ada@example.com"}, args...)...)
	}
	restore().want(t, 0, "restored: 4 messages in 6 mailboxes", "2 were there")
	restore().want(t, 0, "restored: 0 messages in 6 mailboxes", "6 were there")
	if !bytes.Equal(before, hashFiles(t, backup)) {
		t.Error("the backup changed")
	}
	want := append(whole, "new1 []")
	slices.Sort(want)
	if got := subjects(client); !slices.Equal(got, want) {
		t.Errorf("INBOX has %q, want %q", got, want)
	}
	archive, err := client.Status("Archive", &imap.StatusOptions{NumMessages: true}).Wait()
	if err != nil || *archive.NumMessages != 2 {
		t.Errorf("Archive: %+v, %v", archive, err)
	}
	boxes, err := client.List("", "Archive", &imap.ListOptions{ReturnSpecialUse: true, ReturnSubscribed: true}).
		Collect()
	if err != nil || len(boxes) != 1 || !slices.Contains(boxes[0].Attrs, imap.MailboxAttrArchive) {
		t.Errorf("Archive is listed as %+v, %v", boxes, err)
	}

	restore("--mailbox", "INBOX", "--as", "Found/old").want(t, 0, "restored: 4 messages in 1 mailbox")
	restore("--as", "All").want(t, 0, "restored: 6 messages in 6 mailboxes")
	for name, n := range map[string]uint32{"Found/old": 4, "All/INBOX": 4, "All/Archive": 2, "All/Sent": 0} {
		status, err := client.Status(name, &imap.StatusOptions{NumMessages: true}).Wait()
		if err != nil || *status.NumMessages != n {
			t.Errorf("%s: %+v, %v", name, status, err)
		}
	}
	gadwall(t, "", env, "quota", "set", "ada@example.com", "--messages", "20").want(t, 0)
	restore("--as", "More").want(t, exitFailure, "quota")
	restore("--mailbox", "Nothing").want(t, exitFailure, "in the backup: no such mailbox: Nothing")
	gadwall(t, "", env, "restore", backup, "--user", "bob@example.com").
		want(t, exitFailure, "bob@example.com", "user add")
	gadwall(t, "", env, "restore", backup+"x", "--user", "ada@example.com").want(t, exitUsage, "no backup in")
	gadwall(t, "", env, "check").want(t, 0, "clean: ")
}

// subjects lists what is in INBOX.
func subjects(c *mailClient) (list []string) {
	c.t.Helper()
	if err := c.Noop().Wait(); err != nil {
		c.t.Fatal(err)
	}
	for _, mail := range c.mail(0) {
		list = append(list, mail)
	}
	slices.Sort(list)
	return list
}

func TestRestoreRefusesWhatMakesNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"--mailbox", "INBOX"},
		{"--user", "ada@example.com"},
		{"x", "--user", "ada@example.com", "--resume"},
		{"--resume", "--anew"},
		{"--advance-uids", "0"},
		{"x", "--mongodb-uri", "mongodb://localhost"},
	} {
		gadwall(t, "", nil, append([]string{"restore"}, args...)...).want(t, exitUsage)
	}
}
