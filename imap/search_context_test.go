package imap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// contextModel is the results of a search as a client keeps them that is told what changes
// (RFC 5267 section 4.3).
type contextModel struct {
	tag, search string
	uid         bool
	results     []uint32
}

// hear takes in one untagged response.
func (m *contextModel) hear(t *rapid.T, line string) {
	if n, ok := strings.CutSuffix(line, " EXPUNGE"); ok && !m.uid {
		gone := parseNumber(t, strings.TrimPrefix(n, "* "))
		if slices.Contains(m.results, gone) {
			t.Fatalf("%s: %d is expunged, and was not removed: %v", m.search, gone, m.results)
		}
		for i, n := range m.results {
			if n > gone {
				m.results[i]--
			}
		}
	}
	prefix := fmt.Sprintf("* ESEARCH (TAG %q) ", m.tag)
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok {
		return
	}
	if m.uid {
		rest, ok = strings.CutPrefix(rest, "UID ")
	}
	item, list, found := strings.Cut(strings.TrimSuffix(rest, ")"), " (")
	if !ok || !found {
		t.Fatalf("%s: %q", m.search, line)
	}
	words := strings.Fields(list)
	for i := 0; i+1 < len(words); i += 2 {
		position := int(parseNumber(t, words[i]))
		for _, n := range parseSet(t, words[i+1]) {
			at := slices.Index(m.results, n)
			switch {
			case item == "REMOVEFROM" && at >= 0 && (position == 0 || position == at+1):
				m.results = slices.Delete(m.results, at, at+1)
			case item == "ADDTO" && at < 0 && position == 0:
				m.results = append(m.results, n)
				slices.Sort(m.results)
			case item == "ADDTO" && at < 0 && position <= len(m.results)+1:
				m.results = slices.Insert(m.results, position-1, n)
				position++
			default:
				t.Fatalf("%s: %q for %v", m.search, line, m.results)
			}
		}
	}
}

func parseNumber(t *rapid.T, s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func parseSet(t *rapid.T, s string) (list []uint32) {
	for part := range strings.SplitSeq(s, ",") {
		first, last, ok := strings.Cut(part, ":")
		if !ok {
			last = first
		}
		for n := parseNumber(t, first); n <= parseNumber(t, last); n++ {
			list = append(list, n)
		}
	}
	return list
}

// TestContextModel: a client that only hears of changes has what a new search would find, whatever
// sessions do, in SEARCH and SORT, by numbers and by UIDs.
func TestContextModel(t *testing.T) {
	s := newTestServer(t)
	admin := s.login(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		box := fmt.Sprint("box", run)
		admin.ok("CREATE %s", box)
		clients := []*testClient{s.login(admin.t), s.login(admin.t)}
		defer func() {
			for _, c := range clients {
				c.Close()
			}
		}()
		add := func(c *testClient) []string {
			lines, status := c.do("APPEND %s (%s) \"%02d-Jul-2026 00:00:00 +0000\" %s", box,
				rapid.SampledFrom([]string{"", `\Seen`, `\Flagged`, `\Seen \Deleted`}).Draw(t,
					"flags"),
				rapid.IntRange(1, 9).Draw(t, "day"),
				nonSync(message(rapid.SampledFrom(modelWords[:5]).Draw(t, "subject"))))
			if !strings.HasPrefix(status, "OK") {
				t.Fatal(status)
			}
			return lines
		}
		for range rapid.IntRange(0, 8).Draw(t, "messages") {
			add(admin)
		}
		for _, c := range clients {
			c.ok("SELECT %s", box)
		}
		var models []*contextModel
		hear := func(lines []string) {
			for _, line := range lines {
				for _, m := range models {
					m.hear(t, line)
				}
			}
		}
		for _, search := range []string{
			"SEARCH RETURN (%s) UNSEEN", "UID SEARCH RETURN (%s) OR FLAGGED SUBJECT invoice",
			"SORT RETURN (%s) (SUBJECT REVERSE ARRIVAL) UTF-8 UNDELETED",
			"UID SORT RETURN (%s) (REVERSE ARRIVAL) UTF-8 UNSEEN TEXT l",
			"UID SEARCH RETURN (%s) UID 3:999", "UID SEARCH RETURN (%s) NOT 1:2",
		} {
			m := &contextModel{search: search, uid: strings.HasPrefix(search, "UID ")}
			lines, _ := clients[0].ok(search, "UPDATE ALL")
			m.tag = strings.Split(lines[len(lines)-1], `"`)[1]
			if _, all, ok := strings.Cut(lines[len(lines)-1], " ALL "); ok {
				m.results = parseSet(t, all)
			}
			models = append(models, m)
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			mine := rapid.Bool().Draw(t, "mine")
			c := clients[1]
			if mine {
				c = clients[0]
			}
			var lines []string
			seq := rapid.IntRange(1, 9).Draw(t, "seq")
			switch rapid.SampledFrom([]string{"store", "store", "append", "expunge", "fetch",
				"noop", "move"}).Draw(t, "op") {
			case "store":
				lines, _ = c.do("STORE %d:* %sFLAGS.SILENT (%s)", seq,
					rapid.SampledFrom([]string{"+", "-", ""}).Draw(t, "sign"),
					rapid.SampledFrom([]string{`\Seen`, `\Flagged`, `\Deleted`,
						`\Seen \Flagged`}).Draw(t, "set"))
			case "append":
				lines = add(c)
			case "expunge":
				lines, _ = c.do("EXPUNGE")
			case "fetch":
				lines, _ = c.do("FETCH %d BODY[TEXT]", seq)
			case "noop":
				lines, _ = c.do("NOOP")
			case "move":
				lines, _ = c.do("MOVE %d %s", seq, box)
			}
			if mine {
				hear(lines)
			}
		}
		lines, _ := clients[0].do("NOOP")
		hear(lines)
		for i, m := range models {
			if strings.Contains(m.search, "NOT 1:2") {
				continue // the messages of then
			}
			lines, _ := clients[0].ok(m.search, "ALL")
			var want []uint32
			if _, all, ok := strings.Cut(lines[len(lines)-1], " ALL "); ok {
				want = parseSet(t, all)
			}
			if !slices.Equal(m.results, want) {
				t.Fatalf("search %d, %s: the client has %v, a new search finds %v", i, m.search,
					m.results, want)
			}
		}
	})
}
