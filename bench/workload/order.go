package workload

import (
	"cmp"
	"context"
	netmail "net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gadwall/mimestream"
)

// sent is when a mail was sent, by its own account; zero if that does not tell the time zone in
// digits, since servers may then order it otherwise (RFC 5256 section 2.2).
func sent(header mimestream.Header) time.Time {
	text, _ := header.Get("date")
	at, err := netmail.ParseDate(strings.TrimSpace(text))
	if err != nil || !numericZone.MatchString(text) {
		return time.Time{}
	}
	return at
}

// sentDay is the day of the Date field in its own zone, at midnight UTC; zero if there is none.
func sentDay(header mimestream.Header) time.Time {
	text, _ := header.Get("date")
	at, err := netmail.ParseDate(strings.TrimSpace(text))
	if err != nil {
		return time.Time{}
	}
	year, month, day := at.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

var numericZone = regexp.MustCompile(`[+-]\d{4}`)

// references are the message IDs in References.
func references(header mimestream.Header) []string {
	text, _ := header.Get("references")
	return messageID.FindAllString(text, -1)
}

var messageID = regexp.MustCompile(`<[^<>\s]+>`)

// orders has the steps of servers that order messages (RFC 5256).
func orders(ctx context.Context, s *suite, f *folder, p *pool) (steps []step, err error) {
	of := func(name, capability, command string, check func(c *session, command string) error) error {
		can, err := s.can(ctx, capability)
		if err != nil || !can {
			return err
		}
		steps = append(steps, step{name: name, calls: s.callsOf(orderCalls), warm: int64(s.Connections),
			op: func(ctx context.Context, worker int, _ int64) (int64, error) {
				return 0, p.do(ctx, worker, func(c *session) error { return check(c, command) })
			}})
		return nil
	}
	if err := of("sort size", "SORT", "SORT (SIZE) UTF-8 ALL", f.sortedBySize); err != nil {
		return nil, err
	}
	if err := of("sort date", "SORT", "SORT (DATE) UTF-8 ALL", f.sortedByDate); err != nil {
		return nil, err
	}
	return steps, of("thread", "THREAD=REFERENCES", "THREAD REFERENCES UTF-8 ALL", f.threaded)
}

// sortedBySize compares the answer with the order of sizes; equal ones stay in theirs.
func (f *folder) sortedBySize(c *session, command string) error {
	got, err := listed(c, "SORT", command)
	if err != nil {
		return err
	}
	want := make([]int, len(f.expected))
	for n := range want {
		want[n] = n + 1
	}
	slices.SortStableFunc(want, func(a, b int) int {
		return cmp.Compare(f.spool.mails[a-1].size, f.spool.mails[b-1].size)
	})
	if !slices.Equal(got, want) {
		return wrong("%s: not the order of sizes: %d messages of %d", command, len(got), len(want))
	}
	return nil
}

// sortedByDate looks whether each message is there, and none before an earlier one. Those without a
// date have the one of their arrival, and may be anywhere.
func (f *folder) sortedByDate(c *session, command string) error {
	got, err := listed(c, "SORT", command)
	if err != nil {
		return err
	}
	if err := f.each(got, command); err != nil {
		return err
	}
	var last time.Time
	for _, seq := range got {
		at := f.expected[seq-1].sent
		if at.IsZero() {
			continue
		}
		if at.Before(last) {
			return wrong("%s: message %d comes after a later one", command, seq)
		}
		last = at
	}
	return nil
}

// each looks whether numbers are those of all messages, each once.
func (f *folder) each(numbers []int, command string) error {
	sorted := slices.Sorted(slices.Values(numbers))
	for n, seq := range sorted {
		if seq != n+1 {
			return wrong("%s: number %d of the answer is message %d", command, n+1, seq)
		}
	}
	if len(sorted) != len(f.expected) {
		return wrong("%s: %d messages of %d", command, len(sorted), len(f.expected))
	}
	return nil
}

// threaded looks whether each message is in one thread, the same one as those to which it refers.
func (f *folder) threaded(c *session, command string) error {
	untagged, err := c.Must("%s", command)
	if err != nil {
		return err
	}
	var numbers []int
	threads := make(map[int]int) // by message
	for _, line := range untagged {
		answer, ok := strings.CutPrefix(line, "* THREAD")
		if !ok {
			continue
		}
		depth, thread := 0, 0
		for _, word := range threadWord.FindAllString(answer, -1) {
			switch word {
			case "(":
				if depth++; depth == 1 {
					thread++
				}
			case ")":
				depth--
			default:
				seq, err := strconv.Atoi(word)
				if err != nil || depth < 1 {
					return wrong("%s: %s", command, shown(line))
				}
				numbers = append(numbers, seq)
				threads[seq] = thread
			}
		}
	}
	if err := f.each(numbers, command); err != nil {
		return err
	}
	first := make(map[string]int) // message by message ID
	for n, e := range f.expected {
		if _, twice := first[e.messageID]; !twice && e.messageID != "" {
			first[e.messageID] = n + 1
		}
	}
	for n, e := range f.expected {
		for _, id := range e.references {
			if seq, ok := first[id]; ok && threads[seq] != threads[n+1] {
				return wrong("%s: message %d is not in the thread of message %d, to which it refers",
					command, n+1, seq)
			}
		}
	}
	return nil
}

// threadWord is a parenthesis or a number of an answer to THREAD.
var threadWord = regexp.MustCompile(`[()]|[^() ]+`)
