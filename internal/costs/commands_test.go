package costs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/imap"
	"gadwall/ingest"
	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const (
	user = "ada@example.com"
	peer = "bob@example.com"
	// wait bounds every wait for a server.
	wait = 2 * time.Minute
	// many is the size of the larger sets of messages.
	many = 50
)

// The commands of each operation are those of testdata/commands.txt.
func TestCommands(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	st := storetest.Open(t, storetest.Options{Database: db, RememberPasswords: time.Hour})
	for _, name := range []string{user, peer} {
		st.User(t, name)
	}
	lmtp := newLMTP(t, serveLMTP(t, st))
	imapAddr := serveIMAP(t, st)

	var table bytes.Buffer
	table.WriteString("commands  waits  operation: commands in their order\n")
	measure := func(operation string, f func()) {
		t.Helper()
		commands.Reset()
		f()
		fmt.Fprintf(&table, "%8d  %5d  %s: %s\n", commands.Total(), commands.Waits(), operation, commands.Sequence())
	}

	lmtp.deliver(mailgen.Simple("first"), user) // reads the dictionaries
	// Deliveries.
	measure("RCPT", func() { lmtp.recipients(user) })
	lmtp.command(250, "RSET")
	measure("RCPT, unknown", func() {
		lmtp.command(250, "MAIL FROM:<g@example.net>")
		lmtp.command(550, "RCPT TO:<nobody@example.com>")
	})
	lmtp.command(250, "RSET")
	deliver := func(operation string, raw []byte, to ...string) {
		t.Helper()
		measure("delivery, "+operation, func() { lmtp.deliver(raw, to...) })
	}
	large := mailgen.Random(1, 1<<20)
	deliver("small", mailgen.Simple("small"), user)
	deliver("small, to two users", mailgen.Simple("two"), user, peer)
	deliver("the same mail again", mailgen.Simple("small"), user)
	deliver("a new attachment of 20 KB", mailgen.Simple("a", mailgen.Random(2, 20<<10)), user)
	deliver("the same attachment of 20 KB", mailgen.Simple("b", mailgen.Random(2, 20<<10)), user)
	deliver("a new attachment of 1 MB", mailgen.Simple("c", large), user)
	deliver("the same attachment of 1 MB", mailgen.Simple("d", large), user)
	for n := range 2*many + 10 {
		lmtp.deliver(mailgen.Simple(fmt.Sprint("mail", n)), user)
	}

	// Sessions.
	c, err := imapconn.Dial(imapAddr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	do := func(operation, format string, args ...any) {
		t.Helper()
		measure(operation, func() {
			if _, err := c.Must(format, args...); err != nil {
				t.Fatal(err)
			}
		})
	}
	do("LOGIN", "LOGIN %s %q", user, storetest.Password)
	do("SELECT, first", "SELECT INBOX")
	do("SELECT, again", "SELECT INBOX")
	do("STATUS", "STATUS Sent (MESSAGES UNSEEN)")
	do("NOOP", "NOOP")
	do("FETCH of flags, all", "FETCH 1:* (UID FLAGS)")
	do("FETCH of ENVELOPE, one", "FETCH 1 (ENVELOPE)")
	do("FETCH of a small body, one", "FETCH 1 (BODY.PEEK[])")

	// Annotations.
	do("SETMETADATA, one", `SETMETADATA Sent (/private/comment "sent")`)
	do("SETMETADATA, three", `SETMETADATA INBOX (/private/a "1" /private/b "2" /shared/a "3")`)
	do("SETMETADATA, removed", `SETMETADATA INBOX (/private/a NIL)`)
	do("SETMETADATA, special use", `SETMETADATA Junk (/private/specialuse NIL)`)
	do("GETMETADATA, two", `GETMETADATA INBOX (/private/b /shared/a)`)
	do("GETMETADATA, DEPTH", `GETMETADATA (DEPTH infinity) INBOX /private`)
	do("GETMETADATA of the server", `GETMETADATA "" /shared/comment`)
	do("LIST of 6 with METADATA", `LIST "" %% RETURN (METADATA (/private/comment /shared/a))`)
	do("ENABLE METADATA", "ENABLE METADATA")
	do("NOOP with METADATA", "NOOP")

	// Changes.
	measure("APPEND", func() {
		if _, err := c.Append("Sent", "", mailgen.Simple("sent")); err != nil {
			t.Fatal(err)
		}
	})
	do("STORE, one", `STORE 1 +FLAGS.SILENT (\Seen)`)
	do("STORE, one, nothing to change", `STORE 1 +FLAGS.SILENT (\Seen)`)
	do("STORE, 50", `STORE 1:%d +FLAGS.SILENT (\Flagged)`, many)
	do("STORE, one, a new keyword", `STORE %d +FLAGS.SILENT ($Label1)`, 2*many+5)
	do("COPY, one", "COPY 1 Archive")
	do("UID COPY, one", "UID COPY 2 Archive")
	do("COPY, 50", "COPY 1:%d Archive", many)
	do("UID MOVE, one", "UID MOVE 1 Archive")
	do("MOVE, 50", "MOVE 1:%d Archive", many)
	do("STORE of \\Deleted, one", `STORE 1 +FLAGS.SILENT (\Deleted)`)
	do("EXPUNGE, one", "EXPUNGE")
	do("STORE of \\Deleted, one more", `UID STORE %d +FLAGS.SILENT (\Deleted)`, many+5)
	do("UID EXPUNGE, one", "UID EXPUNGE %d", many+5)
	do("STORE of \\Deleted, 50", `STORE 1:%d +FLAGS.SILENT (\Deleted)`, many)
	do("EXPUNGE, 50", "EXPUNGE")
	do("EXPUNGE, nothing to remove", "EXPUNGE")

	again, err := imapconn.Dial(imapAddr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	c = again
	do("LOGIN, again", "LOGIN %s %q", user, storetest.Password)

	// Submission.
	sender := newSubmitter(t, st)
	measure("AUTH of submission", sender.login)
	sender.submit("first@client")
	measure("submission", func() { sender.submit("1@client") })
	measure("submission, the client has saved it", func() {
		if _, err := c.Append("Sent", "", []byte(sentMail("2@client"))); err != nil {
			t.Fatal(err)
		}
		commands.Reset()
		sender.submit("2@client")
	})
	measure("APPEND of what was submitted", func() {
		if _, err := c.Append("Sent", "", []byte(sentMail("1@client"))); err != nil {
			t.Fatal(err)
		}
	})

	// Mailboxes of other users.
	do("LIST, of a user with whom nothing is shared", `LIST "" *`)
	do("LIST of names of the user's own", `LIST "" Ar%%`)
	do("SETACL", "SETACL Archive %s lrswit", peer)
	do("MYRIGHTS", "MYRIGHTS Archive")
	theirs, err := imapconn.Dial(imapAddr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	c = theirs
	const shared = `"Other Users/` + user + `/Archive"`
	do("LOGIN of another user", "LOGIN %s %q", peer, storetest.Password)
	do("LIST, with a shared mailbox", `LIST "" *`)
	do("STATUS of a shared mailbox", "STATUS %s (MESSAGES)", shared)
	do("SELECT of a shared mailbox", "SELECT %s", shared)
	do("FETCH of flags there, all", "FETCH 1:* (UID FLAGS)")
	do("STORE there, one", `STORE 1 +FLAGS.SILENT (\Answered)`)
	do("COPY from there, 50", "COPY 1:%d INBOX", many)
	do("COPY to there, one", "COPY 1 %s", shared)

	compare(t, "commands.txt", table.String())
}

// On a database of one log only the commit waits: what precedes it becomes durable with it.
func TestOnlyTheCommitWaits(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	st := storetest.Open(t, storetest.Options{Database: db, Ordered: true})
	st.User(t, user)
	lmtp := newLMTP(t, serveLMTP(t, st))
	large := mailgen.Random(1, 1<<20)
	for _, raw := range [][]byte{
		mailgen.Simple("small"), mailgen.Simple("small"), mailgen.Simple("c", large), mailgen.Simple("d", large),
	} {
		commands.Reset()
		lmtp.deliver(raw, user)
		if n := commands.Waits(); n != 1 {
			t.Errorf("%d commands waited: %s", n, commands.Sequence())
		}
	}
}

// compare compares a table with its golden file, or writes it.
func compare(t *testing.T, file, got string) {
	t.Helper()
	golden := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", file, diff)
	}
}

func serveLMTP(t *testing.T, st *storetest.Store) string {
	t.Helper()
	srv, err := ingest.New(ingest.Options{Store: st.Store, LMTP: true, Hostname: "mail.example.com",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, srv, nil)
}

func serveIMAP(t *testing.T, st *storetest.Store) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Logger: log,
		GroupsKept: time.Hour}) // else there is a further query every two seconds
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, imap.New(imap.Options{
		Authenticator: sasl.New(sasl.Options{Accounts: accounts}), Logger: log, Hostname: "mail.example.com",
		MaxMessageSize: mailstore.MaxAppendBytes}), imap.ErrServerClosed)
}

// server is what both protocols have.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// serve runs a server until the test ends, and returns its address. ended is what Serve returns then.
func serve(t *testing.T, srv server, ended error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, ended) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// lmtpClient is a client of LMTP whose every reply must be the wanted one.
type lmtpClient struct {
	t *testing.T
	*textproto.Conn
}

func newLMTP(t *testing.T, addr string) *lmtpClient {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	c := &lmtpClient{t, textproto.NewConn(nc)}
	c.reply(220)
	c.command(250, "LHLO client.example.net")
	return c
}

func (c *lmtpClient) reply(code int) {
	c.t.Helper()
	if _, _, err := c.ReadResponse(code); err != nil {
		c.t.Fatal(err)
	}
}

func (c *lmtpClient) command(code int, line string) {
	c.t.Helper()
	if err := c.PrintfLine("%s", line); err != nil {
		c.t.Fatal(err)
	}
	c.reply(code)
}

// recipients begins a transaction.
func (c *lmtpClient) recipients(to ...string) {
	c.t.Helper()
	c.command(250, "MAIL FROM:<g@example.net>")
	for _, rcpt := range to {
		c.command(250, "RCPT TO:<"+rcpt+">")
	}
}

func (c *lmtpClient) deliver(raw []byte, to ...string) {
	c.t.Helper()
	c.recipients(to...)
	c.command(354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write(raw); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	for range to { // RFC 2033 section 4.2: a reply for each recipient
		c.reply(250)
	}
}
