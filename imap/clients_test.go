package imap

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/google/go-cmp/cmp"
)

// TestGoIMAPClient runs a whole session with go-imap's client.
func TestGoIMAPClient(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	updates := make(chan string, 16)
	conn, err := net.Dial("tcp", srv.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(conn, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				updates <- "exists"
			}
		},
		Expunge: func(uint32) { updates <- "expunge" },
	}})
	defer c.Close()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("authenticate", c.Authenticate(sasl.NewPlainClient("", testUser, testPassword)))
	check("create", c.Create("Größe/a",
		&imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrFlagged}}).Wait())
	boxes, err := c.List("", "*", &imap.ListOptions{
		ReturnSubscribed: true, ReturnSpecialUse: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, Size: true},
	}).Collect()
	check("list", err)
	var names []string
	for _, b := range boxes {
		names = append(names, b.Mailbox)
		if b.Mailbox == "Größe/a" && (b.Status == nil || b.Status.Size == nil || *b.Status.Size != 0) {
			t.Errorf("status of %s: %+v", b.Mailbox, b.Status)
		}
	}
	if want := []string{"INBOX", "Archive", "Drafts", "Größe", "Größe/a", "Junk", "Sent",
		"Trash"}; !cmp.Equal(names, want) {
		t.Errorf("list: %q, want %q", names, want)
	}

	text := message("one")
	add := func(mailbox string) *imap.AppendData {
		t.Helper()
		cmd := c.Append(mailbox, int64(len(text)), &imap.AppendOptions{
			Flags: []imap.Flag{imap.FlagSeen, "$Label"}, Time: time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC)})
		_, err := cmd.Write([]byte(text))
		check("append", err)
		check("append", cmd.Close())
		data, err := cmd.Wait()
		check("append", err)
		return data
	}
	if data := add("Größe/a"); data.UID != 1 || data.UIDValidity == 0 {
		t.Errorf("append: %+v", data)
	}
	add("Größe/a")
	selected, err := c.Select("Größe/a", &imap.SelectOptions{CondStore: true}).Wait()
	check("select", err)
	if selected.NumMessages != 2 || selected.UIDNext != 3 || selected.HighestModSeq == 0 {
		t.Errorf("select: %+v", selected)
	}
	messages, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{}, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	check("fetch", err)
	if len(messages) != 2 {
		t.Fatalf("%d messages", len(messages))
	}
	m := messages[1]
	if m.UID != 2 || m.Envelope.Subject != "one" || m.RFC822Size != int64(len(text)) || m.ModSeq == 0 ||
		m.BodyStructure.MediaType() != "text/plain" || string(m.BodySection[0].Bytes) != text ||
		!m.InternalDate.Equal(time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC)) ||
		!cmp.Equal(m.Flags, []imap.Flag{imap.FlagSeen, "$Label"}) {
		t.Errorf("fetch: %+v", m)
	}
	check("store", c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd,
		Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	found, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagDeleted}}, nil).Wait()
	check("search", err)
	if !cmp.Equal(found.AllUIDs(), []imap.UID{1}) {
		t.Errorf("search: %v", found.AllUIDs())
	}
	copied, err := c.Copy(imap.SeqSetNum(1, 2), "INBOX").Wait()
	check("copy", err)
	if copied.SourceUIDs.String() != "1:2" || copied.DestUIDs.String() != "1:2" {
		t.Errorf("copy: %+v", copied)
	}
	moved, err := c.Move(imap.UIDSetNum(2), "Trash").Wait()
	check("move", err)
	if moved.SourceUIDs.String() != "2" {
		t.Errorf("move: %+v", moved)
	}
	expunged, err := c.Expunge().Collect()
	check("expunge", err)
	if !cmp.Equal(expunged, []uint32{1}) {
		t.Errorf("expunge: %v", expunged)
	}
	status, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true,
		NumDeleted: true, UIDNext: true}).Wait()
	check("status", err)
	if *status.NumMessages != 2 || *status.NumUnseen != 0 || *status.NumDeleted != 1 || status.UIDNext != 3 {
		t.Errorf("status: %+v", status)
	}

	_, err = c.Select("INBOX", nil).Wait()
	check("select", err)
	for len(updates) > 0 {
		<-updates
	}
	idle, err := c.Idle()
	check("idle", err)
	other := srv.login(t)
	other.append("INBOX", "", text)
	if u := <-updates; u != "exists" {
		t.Errorf("in IDLE: %s", u)
	}
	check("idle", idle.Close())
	check("idle", idle.Wait())
	ns, err := c.Namespace().Wait()
	check("namespace", err)
	if len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("namespace: %+v", ns)
	}
	_, err = c.ID(&imap.IDData{Name: "test"}).Wait()
	check("id", err)
	check("unselect", c.Unselect().Wait())
	check("logout", c.Logout().Wait())
}

// TestImaplib runs a session with the client of Python's standard library.
func TestImaplib(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	srv := newTestServer(t)
	host, port, _ := strings.Cut(srv.addr, ":")
	cmd := exec.CommandContext(t.Context(), python, "testdata/session.py", host, port, testUser, testPassword)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "done" {
		t.Errorf("%v\n%s", err, out)
	}
}
