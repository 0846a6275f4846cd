package imap

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// scriptConn is a connection whose client has said everything and left, or
// waits for the answers.
type scriptConn struct {
	mu  sync.Mutex
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *scriptConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.Read(p)
}

func (c *scriptConn) Write(p []byte) (int, error)    { return c.out.Write(p) }
func (*scriptConn) Close() error                     { return nil }
func (*scriptConn) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (*scriptConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (*scriptConn) SetDeadline(time.Time) error      { return nil }
func (*scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (*scriptConn) SetWriteDeadline(time.Time) error { return nil }

var (
	responseLine = regexp.MustCompile(`^(\* |\+ |[^ (){%*"\\\x00-\x1f\x7f+]+ (OK|NO|BAD) )`)
	literalMark  = regexp.MustCompile(`\{(\d+)\}$`)
)

// checkOutput fails unless out is whole responses only. It returns their lines without literals.
func checkOutput(t *testing.T, in, out string) (lines []string) {
	t.Helper()
	continued := false
	for out != "" {
		line, rest, ok := strings.Cut(out, "\r\n")
		if !ok {
			t.Fatalf("after %q the output ends in the middle of a line: %q", in, line)
		}
		if strings.ContainsAny(line, "\x00\r\n") {
			t.Fatalf("after %q: line with a control character: %q", in, line)
		}
		if !continued && !responseLine.MatchString(line) {
			t.Fatalf("after %q: not a response: %q", in, line)
		}
		continued = false
		if m := literalMark.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, "* ") {
			n, err := strconv.Atoi(m[1])
			if err != nil || n > len(rest) {
				t.Fatalf("after %q: literal of %s bytes, %d are there", in, m[1], len(rest))
			}
			rest, continued = rest[n:], true
		}
		lines, out = append(lines, line), rest
	}
	return lines
}

// checkAnswers is checkOutput, and fails unless each command has an answer, up to BYE. Which bytes of a
// client are commands is plain if it sends no literals, and does not change what its bytes mean.
func checkAnswers(t *testing.T, in, out string) {
	t.Helper()
	answers := 0
	for _, line := range checkOutput(t, in, out) {
		if strings.HasPrefix(line, "* BYE") {
			return
		}
		if line == "* BAD No valid tag" || !strings.HasPrefix(line, "* ") && !strings.HasPrefix(line, "+ ") &&
			responseLine.MatchString(line) {
			answers++
		}
	}
	if otherMeaning.MatchString(in) {
		return
	}
	if commands := strings.Count(in, "\n"); answers != commands {
		t.Fatalf("after %q: %d commands have %d answers: %q", in, commands, answers, out)
	}
}

// otherMeaning is what may make lines something else than commands.
var otherMeaning = regexp.MustCompile(`(?i)\{|IDLE|AUTHENTICATE|COMPRESS|STARTTLS`)

// checkGoroutines fails unless the goroutines of sessions end.
func checkGoroutines(t *testing.T) {
	t.Helper()
	for begun := time.Now(); ; runtime.Gosched() {
		stacks := goroutines()
		if !strings.Contains(stacks, "imap.(*input)") && !strings.Contains(stacks, "imap.(*fetcher)") {
			return
		}
		if time.Since(begun) > testWait {
			t.Fatalf("goroutines are left:\n%s", stacks)
		}
	}
}

// goroutines returns the stacks of all goroutines but those of other connections, which wait for a
// command.
func goroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var own []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if !strings.Contains(stack, "imap.(*conn).serve") {
			own = append(own, stack)
		}
	}
	return strings.Join(own, "\n\n")
}

// FuzzSession sends any bytes to a session with a selected mailbox: it never
// panics, never sends half a response, and always ends.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"a NOOP\r\nb FETCH 1:* (FLAGS BODY[])\r\nc STORE 1 +FLAGS (\\Seen x)\r\n",
		"a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc\r\nb APPEND INBOX {5}\r\n",
		"a LIST (SUBSCRIBED) \"\" (% *) RETURN (STATUS (MESSAGES))\r\nb LSUB \"\" %\r\n",
		"a IDLE\r\nDONE\r\nb IDLE\r\n", "a UID SEARCH OR (TEXT \"x\" UNSEEN) NOT 1:3,* SINCE 1-Jan-2020\r\n",
		"a STORE 1 (UNCHANGEDSINCE 5) -FLAGS.SILENT x y\r\nb UID MOVE * Archive\r\nc EXPUNGE\r\n",
		"a SELECT Archive (CONDSTORE)\r\nb UNSELECT\r\nc EXAMINE INBOX\r\nd CLOSE\r\n",
		"a CREATE &AOk- (USE (\\All))\r\nb RENAME &AOk- x/y\r\nc DELETE x/y\r\nd STATUS INBOX (SIZE UNSEEN)\r\n",
		"a ID (\"a\" NIL)\r\nb ENABLE CONDSTORE\r\nc NAMESPACE\r\nd UID EXPUNGE 1:*\r\n",
		"a FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT {4+}\r\nFROM)]<0.10> ENVELOPE BODYSTRUCTURE)\r\n",
		"a GETMETADATA (DEPTH infinity MAXSIZE 3) INBOX (/private)\r\n" +
			"b SETMETADATA INBOX (/private/a {1+}\r\nx /shared/b NIL)\r\n",
		"a GETMETADATA \"\" (DEPTH 1) /shared/x\r\nb ENABLE METADATA\r\n" +
			"c SETMETADATA \"\" (/private/a ~{1+}\r\n\x00)\r\n",
		"a SORT RETURN (UPDATE PARTIAL -1:-2) (REVERSE SUBJECT DISPLAYTO) UTF-8 OR $ UNSEEN\r\n" +
			"b STORE $ +FLAGS (\\Seen)\r\nc EXPUNGE\r\nd CANCELUPDATE \"a\"\r\n",
		"a UID THREAD REFS UTF-8 EMAILID M1\r\nb UID FETCH 1:* (SAVEDATE THREADID) (PARTIAL 1:2 CHANGEDSINCE 1)\r\n",
		"a NOTIFY SET STATUS (selected (MessageNew (uid flags) MessageExpunge)) (personal (MailboxName))\r\n" +
			"b APPEND INBOX {3+}\r\nabc\r\nc CREATE x\r\nd NOTIFY NONE\r\ne NOTIFY SET (selected NONE)\r\n",
		"a ESEARCH IN (selected subtree-one (INBOX x) personal) RETURN (SAVE COUNT) SAVEDON 1-Jan-2026\r\n",
	} {
		f.Add([]byte(seed))
	}
	srv := newTestServer(f)
	c := srv.login(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4<<10 {
			return
		}
		c.t = t
		if untagged, _ := c.ok("STATUS INBOX (MESSAGES)"); untagged[0] == "* STATUS INBOX (MESSAGES 0)" {
			c.append("INBOX", `\Seen key`, message("fuzz"))
		}
		script := append([]byte("s SELECT INBOX\r\n"), in...)
		conn := &scriptConn{in: bytes.NewReader(script)}
		run(t, scripted(t, srv, conn, true))
		checkAnswers(t, string(script), conn.out.String())
		checkGoroutines(t)
	})
}

// scripted returns the session of a client, also as it is after a login.
func scripted(t *testing.T, srv *testServer, nc net.Conn, loggedIn bool) *conn {
	t.Helper()
	c := newConn(srv.Server, nc)
	c.identify()
	if !loggedIn {
		return c
	}
	account := srv.accounts.Of(srv.user)
	if !srv.admitUser(account.UserID()) {
		t.Fatal("too many connections")
	}
	t.Cleanup(func() {
		if c.account != nil {
			srv.leaveUser(c)
		}
	})
	c.account, c.state = account, imap.ConnStateAuthenticated
	c.in.limitTo(time.Time{})
	c.dec.LineLimit, c.dec.LiteralLimit, c.dec.LongLine = 0, 0, nil
	return c
}

// run serves a connection to its end.
func run(t *testing.T, c *conn) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.serve(context.Background())
	}()
	select {
	case <-done:
	case <-time.After(testWait):
		t.Fatal("the connection does not end")
	}
}

var _ io.ReadWriteCloser = (*scriptConn)(nil)
