package imap

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
)

var inProgress = regexp.MustCompile(`^\* OK \[INPROGRESS \("([^"]*)" (\d+) (\d+)\)\] `)

// progressed checks the INPROGRESS responses among lines: they are of the tag, grow and do not pass
// the goal. It returns the last number.
func progressed(t *testing.T, lines []string, tag string, goal int) (last int) {
	t.Helper()
	for _, line := range lines {
		m := inProgress.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		if m[1] != tag || m[3] != strconv.Itoa(goal) || n < last || n > goal {
			t.Errorf("%q after %d", line, last)
		}
		last = n
	}
	return last
}

// TestSearchTellsProgress: a search that takes longer than the server waits with that tells how far
// it is (RFC 9585), over all mailboxes that it searches.
func TestSearchTellsProgress(t *testing.T) {
	s := newTestServer(t)
	for i := range 300 {
		s.deliverTo(t, strings.NewReader(message(fmt.Sprint("number ", i))), mailstore.Delivery{})
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	c.ok("COPY 1:200 Archive")
	s.progressEvery = 24 * time.Hour
	c.send("quick SEARCH TEXT nothing\r\n")
	if lines, _ := c.until("quick"); progressed(t, lines, "quick", 300) != 0 {
		t.Errorf("a quick search: %q", lines)
	}
	s.progressEvery = time.Nanosecond
	for _, tt := range []struct {
		command string
		goal    int
		least   int
	}{
		{"SEARCH TEXT nothing", 300, 300},
		{"UID SEARCH 1:200 BODY nothing", 300, 200},
		{"SEARCH RETURN (MIN) TEXT nothing", 300, 300},
		{"SEARCH RETURN (MAX) TEXT nothing", 300, 300}, // from the end
		{"SEARCH RETURN (PARTIAL -1:-5) TEXT nothing", 300, 300},
		{"ESEARCH IN (mailboxes (INBOX Archive)) RETURN (MAX) TEXT nothing", 500, 490},
		{"SORT (DATE) UTF-8 TEXT nothing", 300, 300},
		{"THREAD REFS UTF-8 TEXT nothing", 300, 300},
		{"SEARCH UNSEEN", 300, 0},
		{"ESEARCH IN (mailboxes (INBOX Archive)) TEXT nothing", 500, 490},
	} {
		c.send("tag1 " + tt.command + "\r\n")
		lines, status := c.until("tag1")
		if last := progressed(t, lines, "tag1",
			tt.goal); last < tt.least || !strings.HasPrefix(status, "OK") {
			t.Errorf("%s: %d of %d: %q, %s", tt.command, last, tt.goal, lines, status)
		}
	}
}

// TestSearchEndsWithItsClient: a search that reads texts ends when the client goes.
func TestSearchEndsWithItsClient(t *testing.T) {
	reached, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	armed := make(chan struct{})
	client := dbtest.NewClient(t, options.Client().SetMonitor(&event.CommandMonitor{
		Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			select {
			case <-armed:
			default:
				return
			}
			if e.CommandName != "find" || e.Command.Lookup("find").StringValue() != "contents" {
				return
			}
			reached <- struct{}{}
			select {
			case <-ctx.Done():
				ended <- struct{}{}
			case <-time.After(testWait):
			}
		},
	}))
	s := newTestServerOn(t, client.Database(dbtest.Database(t).Name()))
	c := s.selectMails(t, message("a"), message("b"))
	close(armed)
	c.send("a SEARCH TEXT nothing\r\n")
	<-reached
	c.Close()
	select {
	case <-ended:
	case <-time.After(testWait):
		t.Error("the search goes on")
	}
}

// TestContextsAreBounded: beyond the bound a search is answered and not updated, and the client is
// told so (RFC 5267 section 4.3.1).
func TestContextsAreBounded(t *testing.T) {
	s := newTestServer(t)
	c := s.selectMails(t, message("a"))
	for i := range maxContexts {
		if lines, _ := c.ok("SEARCH RETURN (UPDATE COUNT) UNSEEN"); len(lines) != 1 {
			t.Fatalf("search %d: %q", i, lines)
		}
	}
	c.send("more SEARCH RETURN (UPDATE COUNT) UNSEEN\r\n")
	lines, status := c.until("more")
	if len(lines) != 2 || lines[0] != `* ESEARCH (TAG "more") COUNT 1` ||
		lines[1] != `* NO [NOUPDATE "more"] Too many contexts` || !strings.HasPrefix(status, "OK") {
		t.Errorf("%q, %s", lines, status)
	}
	if lines, _ := c.ok("STORE 1 +FLAGS.SILENT (\\Seen)"); len(lines) != maxContexts {
		t.Errorf("%d updates: %q", len(lines), lines)
	}
	// CANCELUPDATE makes room.
	c.send("again SEARCH RETURN (UPDATE COUNT) SEEN\r\n")
	c.until("again")
	lines, _ = c.ok("STORE 1 -FLAGS.SILENT (\\Seen)")
	tag := strings.Split(lines[0], `"`)[1]
	c.ok("CANCELUPDATE %q", tag)
	c.send("last SEARCH RETURN (UPDATE COUNT) SEEN\r\n")
	if lines, _ := c.until("last"); len(lines) != 1 {
		t.Errorf("after CANCELUPDATE: %q", lines)
	}
}

// TestCopyTellsProgress: COPY and MOVE tell how many messages are done, after each transaction.
func TestCopyTellsProgress(t *testing.T) {
	s := newTestServer(t)
	for i := range 150 {
		s.deliverTo(t, strings.NewReader(message(fmt.Sprint("number ", i))), mailstore.Delivery{})
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	s.progressEvery = 24 * time.Hour
	const all = 150 << 3
	for range 3 { // a transaction has 1,000 messages at most
		c.ok("COPY 1:* INBOX")
	}
	c.send("quick COPY 1:* Archive\r\n")
	if lines, _ := c.until("quick"); progressed(t, lines, "quick", all) != 0 {
		t.Errorf("a quick COPY: %q", lines)
	}
	s.progressEvery = time.Nanosecond
	for _, command := range []string{"UID COPY 1:* Archive", "MOVE 1:* Archive"} {
		c.send("tag1 " + command + "\r\n")
		lines, status := c.until("tag1")
		told := 0
		for _, line := range lines {
			if inProgress.MatchString(line) {
				told++
			}
		}
		if last := progressed(t, lines, "tag1", all); last != all || told < 2 || !strings.HasPrefix(status, "OK") {
			t.Errorf("%s: %d of %d, told %d times, %s", command, last, all, told, status)
		}
	}
	// A MOVE tells so before COPYUID and EXPUNGE; nothing is moved now.
	c.send("tag2 UID MOVE 1:* Archive\r\n")
	if lines, status := c.until("tag2"); len(lines) > 0 || !strings.HasPrefix(status, "OK") {
		t.Errorf("%q, %s", lines, status)
	}
}

// TestAppendTellsProgress: APPEND tells how many KiB it has, of all parts and messages; how many there
// will be it does not know.
func TestAppendTellsProgress(t *testing.T) {
	s := newTestServer(t)
	s.progressEvery = 24 * time.Hour
	c := s.login(t)
	large := string(mailgen.Simple("large", mailgen.Random(1, 200<<10)))
	data := fmt.Sprintf("{%d+}\r\n%s", len(large), large)
	counting := regexp.MustCompile(`^\* OK \[INPROGRESS \("tag1" (\d+) NIL\)\] Storing$`)
	for i, tt := range []struct {
		command string
		octets  int
	}{
		{"APPEND INBOX " + data, 0}, // quick
		{"APPEND INBOX " + data, len(large)},
		{"APPEND INBOX " + data + " () " + data, 2 * len(large)},
		{"APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT " + data + ")", 2 * len(large)},
		{"UID REPLACE 1 INBOX " + data, len(large)},
	} {
		if i > 0 {
			s.progressEvery = time.Nanosecond
		}
		c.ok("SELECT INBOX")
		c.send("tag1 " + tt.command + "\r\n")
		lines, status := c.until("tag1")
		last := 0
		for _, line := range lines {
			if m := counting.FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[1])
				if n < last {
					t.Errorf("%q after %d", line, last)
				}
				last = n
			} else if strings.Contains(line, "INPROGRESS") {
				t.Errorf("%q", line)
			}
		}
		if last != tt.octets>>10 || !strings.HasPrefix(status, "OK") {
			t.Errorf("%.60q: %d KiB of %d, %s", tt.command, last, tt.octets>>10, status)
		}
	}
}
