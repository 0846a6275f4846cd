package workload

import (
	"bufio"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/bench/load"
	"gadwall/internal/imapconn"
)

// liar stands before a server and changes its answers, from the command on that after matches.
type liar struct {
	after  *regexp.Regexp
	change func(line string) string
	lies   atomic.Bool
}

// stand listens before a server until the test ends.
func (l *liar) stand(t *testing.T, server string) (addr string) {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		front.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			running.Go(func() {
				defer behind.Close()
				l.copy(behind, client, func(line string) string {
					if l.after.MatchString(line) {
						l.lies.Store(true)
					}
					return line
				})
			})
			running.Go(func() {
				defer client.Close()
				l.copy(client, behind, func(line string) string {
					if l.lies.Load() {
						return l.change(line)
					}
					return line
				})
			})
		}
	})
	return front.Addr().String()
}

// copy copies lines until either side ends.
func (l *liar) copy(to io.Writer, from io.Reader, change func(string) string) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if _, writeErr := io.WriteString(to, change(line)); err != nil || writeErr != nil {
			return
		}
	}
}

// replaced changes every match in the lines of answers.
func replaced(pattern, by string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(line string) string { return re.ReplaceAllString(line, by) }
}

// Each step notices a server that answers wrongly, and writes no line of it.
func TestWrongAnswers(t *testing.T) {
	to := serve(t)
	// With one message the folder has one marker, and every call asks for it.
	for name, test := range map[string]struct {
		workload, after string
		change          func(string) string
		want            string // in the error
	}{
		"fill":              {"fetch", `APPEND`, replaced(`^\* 1 EXISTS`, "* 2 EXISTS"), "after 1 APPENDs"},
		"size":              {"fetch", `RFC822.SIZE`, replaced(`RFC822.SIZE \d+`, "RFC822.SIZE 7"), "size"},
		"flags":             {"fetch", `UID FLAGS`, replaced(`\\Answered`, `\Draft`), "fetch: flags: "},
		"another UID":       {"fetch", `UID FLAGS`, replaced(`UID 1\b`, `UID 2`), "fetch: flags: "},
		"message left out":  {"fetch", `UID FLAGS`, replaced(`^\* 1 F.*\r`, "* OK no\r"), "wrong answer: 0 messages of 1"},
		"message twice":     {"fetch", `UID FLAGS`, replaced(`^(\* 1 F.*\n)`, "$1$1"), "fetch: flags: "},
		"not a response":    {"fetch", `UID FLAGS`, replaced(`^\* 1 FETCH .*\r`, "* 1 FETCH (UID\r"), "fetch: flags: "},
		"envelope":          {"fetch", `ENVELOPE`, replaced(`marker\.0@`, "marker.9@"), "fetch: envelope: "},
		"size of a part":    {"fetch", `BODYSTRUCTURE`, replaced(`(?i)("7bit") \d+ `, `$1 1 `), "fetch: bodystructure: "},
		"type of a part":    {"fetch", `BODYSTRUCTURE`, replaced(`(?i)"plain"`, `"HTML"`), "fetch: bodystructure: "},
		"header fields":     {"fetch", `HEADER.FIELDS`, replaced(`Subject:`, "Sabject:"), "fetch: header: "},
		"whole message":     {"fetch", `PEEK\[\]`, replaced(`to be found`, "to be lost!"), "fetch: whole: "},
		"no whole message":  {"fetch", `PEEK\[\]`, replaced(`BODY\[\]`, "BODY[1]"), "fetch: whole: "},
		"unseen":            {"search", `SEARCH UNSEEN`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: unseen: "},
		"from":              {"search", `SEARCH FROM`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: from: "},
		"subject":           {"search", `SEARCH SUBJECT`, replaced(`^\* SEARCH.*\r`, "* SEARCH 2\r"), "search: subject: "},
		"rare word":         {"search", `SEARCH BODY`, replaced(`^\* SEARCH.*\r`, "* SEARCH x\r"), "search: rare: "},
		"absent word":       {"search", `SEARCH TEXT`, replaced(`^\* SEARCH.*\r`, "* SEARCH 1\r"), "search: absent: "},
		"arrival":           {"search", `SEARCH SINCE`, replaced(`^\* SEARCH.*\r`, "* SEARCH 1\r"), "search: arrived: "},
		"sent":              {"search", `SEARCH SENTSINCE`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: sent: "},
		"Message-ID":        {"search", `SEARCH HEADER`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: message-id: "},
		"two words":         {"search", `BODY "\w+ nord`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: 2 words: "},
		"frequent word":     {"search", `TEXT "found"`, replaced(`^\* SEARCH.*\r`, "* SEARCH\r"), "search: word 1 %: "},
		"no answer":         {"search", `SEARCH TEXT`, replaced(`^\* SEARCH.*\r`, "* OK no\r"), "search: absent: "},
		"login":             {"login", `SELECT`, replaced(`^\* 1 EXISTS`, "* 0 EXISTS"), "login: "},
		"select":            {"select", `SELECT`, replaced(`^\* 1 EXISTS`, "* 0 EXISTS"), "select: "},
		"no EXISTS":         {"select", `SELECT`, replaced(`^\* 1 EXISTS`, "* OK"), "select: "},
		"status":            {"status", `STATUS`, replaced(`UNSEEN 1`, "UNSEEN 0"), "status: "},
		"UIDNEXT":           {"status", `STATUS`, replaced(`UIDNEXT \d+`, "UIDNEXT 1"), "status: "},
		"flag not set":      {"store", `STORE`, replaced(`\\Flagged`, `\Draft`), "store: one: "},
		"untold change":     {"store", `STORE`, replaced(`^\* 1 FETCH .*\r`, "* OK no\r"), "store: one: "},
		"flag not kept":     {"store", `FETCH 1:1 \(FLAGS\)`, replaced(`FLAGS \(`, `FLAGS (\Draft `), ""},
		"other flag kept":   {"store", `FETCH 1:1 \(FLAGS\)`, toggled, "store: one: wrong answer: another session"},
		"lost delivery":     {"ingest", `FETCH`, replaced(`Date:`, "Dote:"), "ingest: wrong answer: message"},
		"changed APPEND":    {"append", `FETCH`, replaced(`Date:`, "Dote:"), "append: wrong answer: message"},
		"APPEND not stored": {"append", `EXAMINE`, replaced(`^\* (\d+) EXISTS`, "* 1$1 EXISTS"), "append: wrong answer: "},

		"expunge copies": {"expunge", `FETCH 1:\* \(UID RFC822`, replaced(`RFC822.SIZE \d+`, "RFC822.SIZE 1"), "size"},
		"no EXPUNGE":     {"expunge", `UID EXPUNGE`, replaced(`^\* 1 EXPUNGE\r`, "* OK\r"), "expunge: one: "},
		"other EXPUNGE":  {"expunge", `UID EXPUNGE`, replaced(`^\* 1 EXPUNGE\r`, "* 2 EXPUNGE\r"), "expunge: one: "},
		"not expunged":   {"expunge", `UID EXPUNGE`, replaced(`^\* 0 EXISTS`, "* 1 EXISTS"), "expunge: one: "},
		"lost copy":      {"move", `COPY.*move-to`, replaced(`^\* 4 EXISTS`, "* 3 EXISTS"), "move: copy one: "},
		"changed copy":   {"move", `COPY.*move-to`, replaced(`RFC822.SIZE \d+`, "RFC822.SIZE 1"), "move: copy one: "},
		"flags of copy":  {"move", `COPY.*move-to`, replaced(`\\Answered`, `\Draft`), "move: copy one: "},
		"not moved away": {"move", `UID MOVE`, replaced(`^\* 1 EXPUNGE\r`, "* OK\r"), "move: one: "},
		"lost move":      {"move", `UID MOVE`, replaced(`^\* 3 EXISTS`, "* 2 EXISTS"), "move: one: "},
		"sort left out":  {"search", `SORT \(SIZE`, replaced(`^\* SORT 1\r`, "* SORT\r"), "search: sort size: "},
		"sort other":     {"search", `SORT \(DATE`, replaced(`^\* SORT 1\r`, "* SORT 2\r"), "search: sort date: "},
		"thread twice":   {"search", `THREAD`, replaced(`^\* THREAD \(1\)`, "* THREAD (1)(1)"), "search: thread: "},
		"sync vanished":  {"sync", `QRESYNC \(`, replaced(`^\* 1 FETCH .*\r`, "* OK no\r"), "sync: qresync: "},
		"idle EXISTS":    {"idle", `IDLE`, replaced(`^\* 1 EXISTS`, "* 2 EXISTS"), "idle: delivery: "},
		"idle message":   {"idle", `FETCH \* BODY`, replaced(`Date:`, "Dote:"), "idle: delivery: "},
		"large mail":     {"bigmail", `FETCH \* BODY`, replaced(`--=_big--`, "--=_big-x"), "bigmail: lmtp: "},
		"slice":          {"bigmail", `PEEK\[2\]`, replaced(`^\w\w([\w+/]{74}\r)`, "!!$1"), "bigmail: slice: "},
		"cut large mail": {"bigmail", `FETCH \* BODY`, replaced(`\{3\d+\}`, "{299999}"), "bigmail: lmtp: "},
		"no large mail":  {"bigmail", `FETCH \* BODY`, replaced(`BODY\[\]`, "BODY[1]"), "bigmail: lmtp: "},
		"sync flags":     {"sync", `SELECT "bench-sync[^"]*"\r`, replaced(`\\Flagged`, `\Draft`), "sync: flags: "},
		"sync EXISTS":    {"sync", `EXPUNGE`, replaced(`^\* 1 EXISTS`, "* 2 EXISTS"), "sync: flags: "},
		"sync unchanged": {"sync", `CHANGEDSINCE`, replaced(`^\* 1 FETCH .*\r`, "* OK no\r"), "sync: condstore: "},
		"sync no MODSEQ": {"sync", `CHANGEDSINCE`, replaced(`MODSEQ`, "MADSEQ"), "sync: condstore: "},
		"sync gone":      {"sync", `UID SEARCH ALL`, replaced(`^\* SEARCH 1`, "* SEARCH 2"), "sync: condstore: "},
		"churn LIST":     {"churn", `LIST`, replaced(`bench-churn`, "bench-chxrn"), "churn: list: "},
		"churn STATUS":   {"churn", `STATUS`, replaced(`UNSEEN `, "UNSEEN 9"), "churn: status: "},
		"churn SELECT":   {"churn", `SELECT`, replaced(`EXISTS`, "RECENT"), "churn: select: "},
		"churn FETCH":    {"churn", `ENVELOPE`, replaced(`FLAGS \(`, `FLAGS (\Draft \Flagged `), "churn: fetch: "},
		"churn body":     {"churn", `PEEK\[\]`, replaced(`Date:`, "Dote:"), "churn: body: "},
		"churn STORE":    {"churn", `(?i) STORE .*[+-]FLAGS \(`, replaced(`FETCH`, "FOTCH"), "churn: store: "},
		"churn EXPUNGE":  {"churn", `EXPUNGE`, replaced(`EXPUNGE\r`, "EXPONGE\r"), "churn: "},
		"churn COPY":     {"churn", ` COPY `, replaced(`^\* \d+ EXISTS`, "* 99 EXISTS"), "churn: "},
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{after: regexp.MustCompile(test.after), change: test.change}
			o, lines := small(t, to)
			behind := *to
			behind.IMAP, behind.Create = l.stand(t, to.IMAP), nil
			behind.UserFormat = strings.ReplaceAll(strings.ToLower(name), " ", "-") + "%d@example.com"
			if err := to.Create(t.Context(), behind.User(0), to.Password); err != nil {
				t.Fatal(err)
			}
			o.Target, o.Users, o.Connections, o.Messages, o.Calls, o.Repeats = &behind, 1, 1, 1, 3, 1
			if test.workload == "churn" {
				o.Calls = 100
			}
			err := Run(t.Context(), o, test.workload)
			if test.want == "" {
				if err != nil { // another flag does not matter
					t.Errorf("%v", err)
				}
				return
			}
			if !errors.Is(err, load.ErrWrong) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
			for _, line := range *lines {
				if strings.HasPrefix(test.want, line.Workload+": "+line.Step+": ") {
					t.Errorf("a line of a wrong step: %+v", line)
				}
			}
		})
	}
}

// toggled has the flag where there is none, and has it not where there is.
func toggled(line string) string {
	if strings.Contains(line, flagged) {
		return strings.ReplaceAll(line, flagged, "")
	}
	return strings.Replace(line, "FLAGS (", "FLAGS ("+flagged+" ", 1)
}

// A slice from elsewhere is noticed as soon as the slice has what was changed.
func TestWrongSlice(t *testing.T) {
	to := serve(t)
	l := &liar{after: regexp.MustCompile(`PEEK\[1\]<`), change: replaced(`word\.`, "wxrd.")}
	o, _ := small(t, to)
	behind := *to
	behind.IMAP = l.stand(t, to.IMAP)
	o.Target, o.Users, o.Connections, o.Messages, o.Calls, o.Repeats = &behind, 1, 1, 1, 50, 1
	if err := Run(t.Context(), o, "fetch"); !errors.Is(err, load.ErrWrong) ||
		!strings.Contains(err.Error(), "fetch: slice: ") {
		t.Errorf("%v", err)
	}
}

// An LMTP server that takes mail and stores nothing is wrong.
func TestLostDelivery(t *testing.T) {
	to := serve(t)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer front.Close()
	running.Go(func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				takeAll(c)
			})
		}
	})
	o, lines := small(t, to)
	to.LMTP = front.Addr().String()
	if err := Run(t.Context(), o, "ingest"); !errors.Is(err, load.ErrWrong) || len(*lines) > 0 ||
		!strings.Contains(err.Error(), "has 0 new messages, and 62 were delivered") {
		t.Errorf("%v, %d lines", err, len(*lines))
	}
}

// takeAll is an LMTP server that says yes to everything.
func takeAll(c net.Conn) {
	lines := bufio.NewReader(c)
	answer := "220 yes\r\n"
	for data := false; ; {
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
		line, err := lines.ReadString('\n')
		for ; data && err == nil && line != ".\r\n"; line, err = lines.ReadString('\n') {
		}
		if err != nil {
			return
		}
		answer = "250 yes\r\n"
		if data = line == "DATA\r\n"; data {
			answer = "354 yes\r\n"
		}
	}
}

// A refusal is an error of its call. The worker goes on with another connection.
func TestRefusals(t *testing.T) {
	to := serve(t)
	var statuses atomic.Int64
	var refuse atomic.Bool // the tagged response that comes next
	l := &liar{after: regexp.MustCompile(`STATUS`), change: func(line string) string {
		if strings.HasPrefix(line, "* STATUS") {
			n := statuses.Add(1)
			refuse.Store(n == 2 || n == 4) // the warm-up asks once
		} else if refuse.Swap(false) {
			return strings.Replace(line, " OK ", " NO ", 1)
		}
		return line
	}}
	o, lines := small(t, to)
	behind := *to
	behind.IMAP = l.stand(t, to.IMAP)
	o.Target, o.Users, o.Connections, o.Messages, o.Calls, o.Repeats = &behind, 1, 1, 1, 6, 1
	if err := Run(t.Context(), o, "status"); err != nil {
		t.Fatal(err)
	}
	if line := (*lines)[0]; line.Errors != 2 || line.Calls != 4 || !strings.Contains(line.Example, "NO") {
		t.Errorf("%+v", line)
	}
}

// What a server says of a message must not change from one call to the next.
func TestSame(t *testing.T) {
	r := &fetch{f: &folder{expected: make([]expected, 2)}, first: make(map[string][][32]byte)}
	for _, value := range []string{"a", "a"} {
		if err := r.same("ENVELOPE", 2, value); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(r.same("ENVELOPE", 1, "b"), r.same("BODYSTRUCTURE", 2, "c")); err != nil {
		t.Error(err)
	}
	if err := r.same("ENVELOPE", 2, "b"); !errors.Is(err, load.ErrWrong) {
		t.Errorf("%v", err)
	}
}

// Orders and threads that are not those of the folder are wrong.
func TestWrongOrder(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	f := &folder{spool: &spool{mails: []mail{{size: 30}, {size: 10}, {size: 10}}}, expected: []expected{
		{messageID: "<a@x>", sent: at}, {sent: at.Add(time.Hour)}, {references: []string{"<a@x>"}}}}
	for _, test := range []struct {
		answer string
		check  func(c *session, command string) error
		right  bool
	}{
		{"SORT 2 3 1", f.sortedBySize, true}, {"SORT 3 2 1", f.sortedBySize, false},
		{"SORT 1 3 2", f.sortedByDate, true}, {"SORT 3 1 2", f.sortedByDate, true},
		{"SORT 2 1 3", f.sortedByDate, false}, {"SORT 1 2", f.sortedByDate, false},
		{"SORT 1 2 2", f.sortedByDate, false},
		{"THREAD (1 3)(2)", f.threaded, true}, {"THREAD (1 (3)(2))", f.threaded, true},
		{"THREAD (1)(2 3)", f.threaded, false}, {"THREAD (1 3)", f.threaded, false},
		{"THREAD (1 3)(2)(2)", f.threaded, false}, {"THREAD (1 3)(x)", f.threaded, false},
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := bufio.NewReader(server).ReadString('\n'); err == nil {
				_, _ = io.WriteString(server, "* "+test.answer+"\r\nt1 OK done\r\n")
			}
		}()
		err := test.check(&session{Conn: imapconn.New(client, within)}, "ORDER")
		if client.Close(); (err == nil) != test.right || err != nil && !errors.Is(err, load.ErrWrong) {
			t.Errorf("%s: %v", test.answer, err)
		}
	}
}
