package imap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/uidset"
)

// modelReturn is what an ESEARCH response says of results, given in the order of the answer.
type modelReturn struct {
	options  []string
	from, to int // of PARTIAL
}

// numbers are the results of a search, as text.
func numbers(set []uint32) string { return uidset.Format(set) }

// response is the response and what SAVE saves, in the order of the answer.
func (r modelReturn) response(found []uint32) (items []string, saved []uint32) {
	var partial []uint32
	has := func(option string) bool { return slices.Contains(r.options, option) }
	if n := len(found); n > 0 && has("MIN") {
		items, saved = append(items, fmt.Sprint("MIN ", found[0])), append(saved, found[0])
	}
	if n := len(found); n > 0 && has("MAX") {
		items, saved = append(items, fmt.Sprint("MAX ", found[n-1])), append(saved, found[n-1])
	}
	if has("ALL") && len(found) > 0 {
		items = append(items, "ALL "+numbers(found))
	}
	if has("PARTIAL") {
		for i, n := range found {
			place := i + 1
			if r.from < 0 {
				place = i - len(found)
			}
			if min(r.from, r.to) <= place && place <= max(r.from, r.to) {
				partial = append(partial, n)
			}
		}
		text := "NIL"
		if len(partial) > 0 {
			text = numbers(partial)
		}
		items = append(items, fmt.Sprintf("PARTIAL (%d:%d %s)", r.from, r.to, text))
		saved = append(saved, partial...)
	}
	if has("COUNT") {
		items = append(items, fmt.Sprint("COUNT ", len(found)))
	}
	if has("ALL") || has("COUNT") || len(r.options) == 1 {
		saved = slices.Clone(found)
	}
	slices.Sort(saved)
	return items, slices.Compact(saved)
}

func drawReturn(t *rapid.T, n int) modelReturn {
	r := modelReturn{options: []string{"SAVE"}}
	for _, option := range []string{"MIN", "MAX", "COUNT"} {
		if rapid.Bool().Draw(t, option) {
			r.options = append(r.options, option)
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "list") {
	case 0:
		r.options = append(r.options, "ALL")
	case 1, 2:
		r.options = append(r.options, "PARTIAL")
		r.from, r.to = rapid.IntRange(1, n+3).Draw(t, "from"), rapid.IntRange(1, n+3).Draw(t, "to")
		if rapid.Bool().Draw(t, "from the end") {
			r.from, r.to = -r.from, -r.to
		}
	}
	return r
}

// TestSearchReturnModel: whatever RETURN asks for, in SEARCH, SORT and ESEARCH, is taken from what
// the plain search finds, and so is what SAVE saves; with texts that are read, with filters of the
// database, and from columns.
func TestSearchReturnModel(t *testing.T) {
	s := newTestServer(t)
	for uid := 1; uid <= 40; uid++ {
		m := rapid.Custom(drawMail).Example(uid)
		s.deliverTo(t, strings.NewReader(m.text), m.delivery)
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	c.ok("STORE 3,10:15,40 +FLAGS.SILENT (\\Deleted)")
	c.ok("UID EXPUNGE 3,10:15,40")
	plain := func(t *rapid.T, command string) (found []uint32) {
		lines, status := c.do("%s", command)
		if !strings.HasPrefix(status, "OK") || len(lines) != 1 {
			t.Fatalf("%s: %q, %s", command, lines, status)
		}
		for _, word := range strings.Fields(lines[0])[2:] {
			n, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, uint32(n))
		}
		return found
	}
	lines, _ := c.ok("UID SEARCH ALL")
	var uids []uint32
	for _, word := range strings.Fields(lines[0])[2:] {
		n, _ := strconv.Atoi(word)
		uids = append(uids, uint32(n))
	}
	for _, from := range []string{"database", "columns"} {
		t.Run(from, func(t *testing.T) {
			if from == "columns" {
				c.ok("FETCH 1:* FLAGS") // loads them
			}
			rapid.Check(t, func(t *rapid.T) {
				key := drawModelKey(t, uids, 3).text
				r := drawReturn(t, len(uids))
				options := strings.Replace(strings.Join(r.options, " "), "PARTIAL",
					fmt.Sprintf("PARTIAL %d:%d", r.from, r.to), 1)
				command := rapid.SampledFrom([]string{"SEARCH", "UID SEARCH", "SORT", "UID SORT",
					"ESEARCH"}).Draw(t, "command")
				uid, before := " UID", " CHARSET UTF-8 "
				if !strings.HasPrefix(command, "UID") && command != "ESEARCH" {
					uid = ""
				}
				if strings.HasSuffix(command, "SORT") {
					before = rapid.SampledFrom([]string{" (REVERSE SIZE) ", " (SUBJECT FROM) ",
						" (DATE) ", " (ARRIVAL SIZE) "}).
						Draw(t, "order") + "UTF-8 "
				}
				unextended := command
				if command == "ESEARCH" {
					unextended = "UID SEARCH"
				}
				found := plain(t, unextended+before+key)
				items, saved := r.response(found)
				lines, status := c.do("%s RETURN (%s)%s%s", command, options, before, key)
				if !strings.HasPrefix(status, "OK") {
					t.Fatalf("%s RETURN (%s)%s%s: %s", command, options, before, key, status)
				}
				got := ""
				if len(lines) > 0 {
					got = lines[0][strings.Index(lines[0], ")")+1:]
				}
				want := ""
				if len(items) > 0 {
					want = uid + " " + strings.Join(items, " ")
				} else if len(r.options) > 1 {
					want = uid
				}
				if command == "ESEARCH" && len(found) == 0 {
					want = "" // nothing is said of such a mailbox
				}
				if got != want {
					t.Fatalf("%s RETURN (%s)%s%s:\n got %q\nwant %q", command, options, before,
						key, got, want)
				}
				form := "SEARCH"
				if uid != "" {
					form = "UID SEARCH"
				}
				if now := plain(t, form+" $"); !slices.Equal(now, saved) {
					t.Fatalf("%s RETURN (%s)%s%s saved %v, not %v", command, options, before, key,
						now, saved)
				}
			})
		})
	}
}
