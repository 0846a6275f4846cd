package imap

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
)

// pipelined returns commands for the messages, one after the other, with the tags s1, s2, and so on.
func pipelined(command string, messages ...int) string {
	var b strings.Builder
	for i, n := range messages {
		fmt.Fprintf(&b, "s%d "+command+"\r\n", i+1, n)
	}
	return b.String()
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

// TestFetchSeriesReadsTogether: FETCHes that arrive together wait for the database as one FETCH of all
// messages does, and each is answered as if it came alone.
func TestFetchSeriesReadsTogether(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	const n = 60
	for i := range n {
		s.deliver(t, message(fmt.Sprint("number ", i+1)), "")
	}
	newest := upTo(n)
	slices.Reverse(newest)
	c := s.login(t)
	c.ok("ENABLE CONDSTORE")
	c.ok("SELECT INBOX")
	c.ok(`STORE 5:9 +FLAGS (\Flagged later)`)
	for _, command := range []string{
		"UID FETCH %d BODY.PEEK[]", "UID FETCH %d (FLAGS BODY.PEEK[])", "FETCH %d (UID BODY.PEEK[HEADER])",
		"uid fetch %d (FLAGS INTERNALDATE RFC822.SIZE)", "UID FETCH %d (ENVELOPE BODYSTRUCTURE)",
		"FETCH %d (BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "FETCH %d BODY.PEEK[1]<3.5>", "FETCH %d ALL",
		"FETCH %d (MODSEQ PREVIEW)", "FETCH %d BINARY.PEEK[1]", "UID FETCH %d,1000 BODY.PEEK[]",
	} {
		for _, messages := range [][]int{upTo(n), newest} {
			var want []string
			cmds.Reset()
			for _, m := range messages {
				lines, status := c.ok(command, m)
				want = append(want, append(lines, status)...)
			}
			alone := cmds.Waits()
			cmds.Reset()
			c.send(pipelined(command, messages...))
			var got []string
			for i := range messages {
				lines, status := c.until(fmt.Sprintf("s%d", i+1))
				got = append(got, append(lines, status)...)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %q\nalone %q", command, got, want)
			}
			// How the commands arrive decides how many series there are.
			if together := cmds.Waits(); alone > 0 && together > alone/3 {
				t.Errorf("%s: %d waits, one by one %d\n%v", command, together, alone, cmds)
			}
		}
	}
}

// TestFetchSeriesOfLargeMessages: a series whose messages do not fit into a batch reads the documents
// once and the contents batch by batch.
func TestFetchSeriesOfLargeMessages(t *testing.T) {
	db, cmds := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	mails := corpusMails(t, s, 40)
	wait := s.watchMemory(t)
	c := s.login(t)
	c.ok("EXAMINE INBOX")
	cmds.Reset()
	c.send(pipelined("FETCH %d (BODY.PEEK[] RFC822.SIZE)", upTo(len(mails))...))
	for i, mail := range mails {
		lines, status := c.until(fmt.Sprintf("s%d", i+1))
		want := fmt.Sprintf("* %d FETCH (RFC822.SIZE %d BODY[] %s)", i+1, len(mail), literal(mail))
		if len(lines) != 1 || lines[0] != want || !strings.HasPrefix(status, "OK") {
			t.Fatalf("message %d: %d lines, %s", i+1, len(lines), status)
		}
	}
	if n := cmds.Documents(messagesCollection); n > 2*len(mails) {
		t.Errorf("%d documents were read of %d messages", n, len(mails))
	}
	wait("the end", func(c budgetCounts) bool { return c.used == 0 && c.waiting == 0 })
}

// TestFetchSeriesHearsChanges: what other sessions change while a series is answered is never told
// first and then taken back.
func TestFetchSeriesHearsChanges(t *testing.T) {
	for _, items := range []string{"BODY.PEEK[]", "(FLAGS BODY.PEEK[])", "(FLAGS)"} {
		t.Run(items, func(t *testing.T) { seriesHearsChanges(t, items) })
	}
}

func seriesHearsChanges(t *testing.T, items string) {
	s := newTestServer(t)
	for i := range 5 {
		s.deliver(t, message(fmt.Sprint(i)), "")
	}
	other := s.login(t)
	other.ok("SELECT INBOX")
	c := s.servePipes().login(t, testUser)
	c.send(pipelined("UID FETCH %d "+items, upTo(5)...))
	// The server cannot go on before all of the first answer is read.
	if b, err := c.In.ReadByte(); err != nil || b != '*' {
		t.Fatal(b, err)
	}
	other.ok(`STORE 3 +FLAGS.SILENT (\Flagged)`)
	other.ok(`STORE 4 +FLAGS.SILENT (\Deleted)`)
	other.ok("EXPUNGE")
	if err := c.In.UnreadByte(); err != nil {
		t.Fatal(err)
	}
	flags, expunged := "", false
	for i := range 5 {
		lines, status := c.until(fmt.Sprintf("s%d", i+1))
		if !strings.HasPrefix(status, "OK") {
			t.Fatal(status)
		}
		for _, line := range lines {
			if expunged && strings.Contains(line, "(UID 4 ") {
				t.Errorf("%q after its EXPUNGE", line)
			}
			if _, after, ok := strings.Cut(line, "FLAGS "); ok && strings.HasPrefix(line, "* 3 FETCH") {
				flags = after
			}
			expunged = expunged || line == "* 4 EXPUNGE"
		}
		if i == 4 && !strings.HasPrefix(lines[0], "* 4 FETCH (UID 5") {
			t.Errorf("the last message: %q", lines)
		}
	}
	if !strings.HasPrefix(flags, `(\Flagged)`) || !expunged {
		t.Errorf("the client was told of flags at last %q, of the EXPUNGE: %v", flags, expunged)
	}
}

// TestStatusBehindFetch: the server has done the command behind a FETCH before the client has read an
// octet of the FETCH, if the system takes what the client does not read.
func TestStatusBehindFetch(t *testing.T) {
	looked := make(chan struct{}, 100)
	armed := make(chan struct{})
	client := dbtest.NewClient(t, options.Client().SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			select {
			case <-armed:
				if e.CommandName == "find" && e.Command.Lookup("find").StringValue() == "mailboxes" {
					looked <- struct{}{}
				}
			default:
			}
		},
	}))
	s := newTestServerOn(t, client.Database(dbtest.Database(t).Name()))
	c := s.selectMails(t, withFile(20_000), withFile(20_000))
	c.ok("CREATE other")
	close(armed)
	c.send("a FETCH 1:* BODY.PEEK[]\r\nb STATUS other (MESSAGES)\r\n")
	select {
	case <-looked:
	case <-time.After(testWait):
		t.Fatal("STATUS waits until the client reads")
	}
	if lines, _ := c.until("a"); len(lines) != 2 {
		t.Errorf("FETCH: %d lines", len(lines))
	}
	if lines, _ := c.until("b"); !slices.Equal(lines, []string{"* STATUS other (MESSAGES 0)"}) {
		t.Errorf("STATUS: %q", lines)
	}
}

// TestFetchSeriesEnds: whatever stands behind the first command of a series, every command is answered
// as what it is, and nothing stays behind.
func TestFetchSeriesEnds(t *testing.T) {
	s := newTestServer(t)
	for i := range 5 {
		s.deliver(t, message(fmt.Sprint(i)), "")
	}
	wait := s.watchMemory(t)
	for _, tt := range []struct {
		behind string // of "FETCH 1 (UID BODY.PEEK[])"
		want   string // how the answers of the commands begin
	}{
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc NOOP\r\nd FETCH 3 (UID BODY.PEEK[])\r\n", "OK OK OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc FETCH 9 (UID BODY.PEEK[])\r\nd FETCH 3 (UID BODY.PEEK[])\r\n", "OK BAD OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc FETCH x (UID BODY.PEEK[])\r\nd FETCH 3 (UID BODY.PEEK[])\r\n", "OK BAD OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\n( FETCH 3 (UID BODY.PEEK[])\r\nd FETCH 4 (UID BODY.PEEK[])\r\n", "OK BAD OK"},
		{"b FETCH 1 (UID BODY.PEEK[])\r\nc FETCH 1:3 (UID BODY.PEEK[])\r\n", "OK OK"},
		{"b FETCH $ (UID BODY.PEEK[])\r\nc FETCH 3 (UID BODY.PEEK[])\r\n", "OK OK"},
		{"b FETCH * (UID BODY.PEEK[])\r\nc FETCH 2 (UID BODY.PEEK[])\r\n", "OK OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc STORE 3 +FLAGS (\\Deleted)\r\nd UID EXPUNGE 3\r\n" +
			"e FETCH 3 (UID BODY.PEEK[])\r\nf UID FETCH 3 (UID BODY.PEEK[])\r\n", "OK OK OK OK OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc UNSELECT\r\nd FETCH 2 (UID BODY.PEEK[])\r\n", "OK OK BAD"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc APPEND INBOX {33+}\r\nd FETCH 3 (UID BODY.PEEK[])\r\n\r\nx\r\n" +
			"d FETCH 3 (UID BODY.PEEK[])\r\n", "OK OK OK"},
		{"b FETCH 2 (UID BODY.PEEK[])\r\nc LOGOUT\r\nd FETCH 3 (UID BODY.PEEK[])\r\n", "OK OK"},
	} {
		c := s.login(t)
		c.ok("SELECT INBOX")
		c.send("a FETCH 1 (UID BODY.PEEK[])\r\n" + tt.behind)
		var got []string
		for len(got) < len(strings.Fields(tt.want))+1 {
			line := c.line()
			if tag, rest, _ := strings.Cut(line, " "); tag != "*" || strings.HasPrefix(rest, "BAD") {
				got = append(got, strings.Fields(rest)[0])
			}
		}
		if strings.Join(got, " ") != "OK "+tt.want {
			t.Errorf("%q: %q", tt.behind, got)
		}
		c.Close()
	}
	// A client that leaves in the middle.
	c := s.login(t)
	c.ok("SELECT INBOX")
	c.send(pipelined("FETCH %d (UID BODY.PEEK[])", 1, 2, 3))
	c.line()
	c.Close()
	wait("the end", func(c budgetCounts) bool { return c.used == 0 && c.waiting == 0 })
}

// latency delays what the database answers.
type latency struct {
	net.Conn
	d time.Duration
}

func (l latency) Write(p []byte) (int, error) {
	time.Sleep(l.d) // the way there and back, of each command: a benchmark's, not a test's
	return l.Conn.Write(p)
}

type latencyDialer struct {
	options.ContextDialer
	d time.Duration
}

func (l latencyDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := l.ContextDialer.DialContext(ctx, network, address)
	return latency{nc, l.d}, err
}

// BenchmarkPipelinedFetch: 100 FETCHes of a small body, one by one and pipelined, with a database that
// is 1 ms away.
func BenchmarkPipelinedFetch(b *testing.B) {
	dialer := dbtest.ClientOptions(b).Dialer
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	db := dbtest.NewClient(b, options.Client().SetDialer(latencyDialer{dialer, time.Millisecond})).
		Database(dbtest.Database(b).Name())
	s := newTestServerOn(b, db)
	const n = 100
	for i := range n {
		s.deliverTo(b, strings.NewReader(string(mailgen.Of(mailgen.Plain, uint64(i)))), mailstore.Delivery{})
	}
	c := s.login(b)
	c.ok("SELECT INBOX")
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "s%d UID FETCH %d BODY.PEEK[]\r\n", i+1, i+1)
	}
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for i := range n {
				c.drain(fmt.Sprintf("UID FETCH %d BODY.PEEK[]", i+1))
			}
		}
	})
	b.Run("pipelined", func(b *testing.B) {
		for b.Loop() {
			c.send(all.String())
			c.until(fmt.Sprintf("s%d", n))
		}
	})
}
