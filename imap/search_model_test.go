package imap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gadwall/internal/mailstore"
)

// modelMail is a message as a search of the model sees it.
type modelMail struct {
	uid      uint32
	flags    mailstore.Flags
	keywords []string
	date     time.Time
	sent     time.Time // day; zero: no Date field
	size     int
	fields   map[string]string // lower case
	body     string            // lower case
}

var (
	modelWords    = []string{"invoice", "Rechnung", "größe", "日本", "lunch", "x1", "The", "a.b"}
	modelKeywords = []string{"$Work", "Junk", "later"}
)

// drawnMail is a message, its model, and how it is delivered.
type drawnMail struct {
	model    modelMail
	text     string
	delivery mailstore.Delivery
}

func drawMail(t *rapid.T) drawnMail {
	words := func(label string, most int) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(modelWords), 0, most).Draw(t, label), " ")
	}
	m := modelMail{fields: map[string]string{}}
	m.flags = mailstore.Flags(rapid.Uint32Range(0, uint32(mailstore.AllFlags)).Draw(t, "flags"))
	for _, k := range modelKeywords {
		if rapid.Bool().Draw(t, k) {
			m.keywords = append(m.keywords, k)
		}
	}
	m.date = time.Date(2026, 3, rapid.IntRange(1, 9).Draw(t, "day"), rapid.IntRange(0, 23).
		Draw(t, "hour"), 59, 59, 0, time.UTC)
	var b strings.Builder
	for _, name := range []string{"From", "To", "Cc", "Bcc", "Subject", "X-Tag"} {
		if value := words(name, 2); rapid.Bool().Draw(t, "has "+name) {
			m.fields[strings.ToLower(name)] = strings.ToLower(value)
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if rapid.Bool().Draw(t, "dated") {
		day := rapid.IntRange(1, 9).Draw(t, "sent")
		m.sent = time.Date(2026, 2, day, 0, 0, 0, 0, time.UTC)
		// Late in the evening far in the west: the next day in UTC.
		fmt.Fprintf(&b, "Date: %d Feb 2026 23:30:00 -1000\r\n", day)
	}
	body := words("body", 6) + strings.Repeat("\r\nfill", rapid.IntRange(0, 20).Draw(t, "fill")) + "\r\n"
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n\r\n" + body)
	m.body = strings.ToLower(body)
	m.size = b.Len()
	return drawnMail{m, b.String(), mailstore.Delivery{Flags: m.flags, Keywords: m.keywords, InternalDate: m.date}}
}

// modelKey is a search key as IMAP writes it, and what it means.
type modelKey struct {
	text  string
	match func(*modelMail) bool
}

func drawModelKey(t *rapid.T, uids []uint32, depth int) modelKey {
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "op") {
		case 0:
			k := drawModelKey(t, uids, depth-1)
			return modelKey{"NOT " + k.text, func(m *modelMail) bool { return !k.match(m) }}
		case 1:
			a, b := drawModelKey(t, uids, depth-1), drawModelKey(t, uids, depth-1)
			return modelKey{"OR " + a.text + " " + b.text, func(m *modelMail) bool { return a.match(m) || b.match(m) }}
		case 2:
			a, b := drawModelKey(t, uids, depth-1), drawModelKey(t, uids, depth-1)
			return modelKey{"(" + a.text + " " + b.text + ")",
				func(m *modelMail) bool { return a.match(m) && b.match(m) }}
		}
	}
	word := rapid.SampledFrom(append(modelWords, "", "fill", "ille", "INVOICE l", "GRÖSSE", "GRÖ",
		"nothing")).Draw(t, "word")
	lower := strings.ToLower(word)
	switch rapid.IntRange(0, 8).Draw(t, "key") {
	case 0:
		bit := mailstore.Flags(1) << rapid.IntRange(0, 4).Draw(t, "bit")
		name := strings.ToUpper(strings.TrimPrefix(bit.String(), `\`))
		if rapid.Bool().Draw(t, "un") {
			return modelKey{"UN" + name, func(m *modelMail) bool { return m.flags&bit == 0 }}
		}
		return modelKey{name, func(m *modelMail) bool { return m.flags&bit != 0 }}
	case 1:
		k := rapid.SampledFrom(append(modelKeywords, "none")).Draw(t, "keyword")
		return modelKey{"KEYWORD " + strings.ToLower(k),
			func(m *modelMail) bool { return slices.Contains(m.keywords, k) }}
	case 2:
		return drawModelSet(t, uids)
	case 3:
		return drawModelDate(t)
	case 4:
		n := rapid.IntRange(0, 300).Draw(t, "size")
		if rapid.Bool().Draw(t, "larger") {
			return modelKey{fmt.Sprintf("LARGER %d", n), func(m *modelMail) bool { return m.size > n }}
		}
		return modelKey{fmt.Sprintf("SMALLER %d", n), func(m *modelMail) bool { return m.size < n }}
	case 5, 6:
		name := rapid.SampledFrom([]string{"FROM", "TO", "CC", "BCC", "SUBJECT", "HEADER X-Tag",
			"HEADER Subject"}).Draw(t, "field")
		field := strings.ToLower(name[strings.LastIndex(name, " ")+1:])
		return modelKey{name + " " + nonSync(word), func(m *modelMail) bool {
			value, ok := m.fields[field]
			return ok && strings.Contains(value, lower)
		}}
	case 7:
		return modelKey{"BODY " + nonSync(word), func(m *modelMail) bool { return strings.Contains(m.body, lower) }}
	}
	return modelKey{"TEXT " + nonSync(word), func(m *modelMail) bool {
		for _, value := range m.fields {
			if strings.Contains(value, lower) {
				return true
			}
		}
		return strings.Contains(m.body, lower)
	}}
}

func drawModelSet(t *rapid.T, uids []uint32) modelKey {
	i := rapid.IntRange(0, len(uids)-1).Draw(t, "first")
	j := rapid.IntRange(i, len(uids)-1).Draw(t, "last")
	match := func(m *modelMail) bool { return uids[i] <= m.uid && m.uid <= uids[j] }
	if rapid.Bool().Draw(t, "uid") {
		return modelKey{fmt.Sprintf("UID %d:%d", uids[i], uids[j]), match}
	}
	return modelKey{fmt.Sprintf("%d:%d", i+1, j+1), match}
}

func drawModelDate(t *rapid.T) modelKey {
	n := rapid.IntRange(1, 9).Draw(t, "day")
	op := rapid.SampledFrom([]string{"BEFORE", "ON", "SINCE"}).Draw(t, "when")
	compare := func(date, day time.Time) bool {
		switch date = date.Truncate(24 * time.Hour); op {
		case "BEFORE":
			return date.Before(day)
		case "ON":
			return date.Equal(day)
		}
		return !date.Before(day)
	}
	if rapid.Bool().Draw(t, "sent") {
		day := time.Date(2026, 2, n, 0, 0, 0, 0, time.UTC)
		return modelKey{fmt.Sprintf("SENT%s %d-Feb-2026", op, n), func(m *modelMail) bool {
			return !m.sent.IsZero() && compare(m.sent, day)
		}}
	}
	day := time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC)
	return modelKey{fmt.Sprintf("%s %d-Mar-2026", op, n), func(m *modelMail) bool { return compare(m.date, day) }}
}

// drawModelOrder draws sort criteria, and what they mean.
func drawModelOrder(t *rapid.T) (criteria string, compare func(a, b modelMail) int) {
	sent := func(m modelMail) time.Time {
		if m.sent.IsZero() {
			return m.date
		}
		return m.sent.Add(33*time.Hour + 30*time.Minute) // 23:30 in the zone -1000
	}
	orders := map[string]func(a, b modelMail) int{
		"ARRIVAL": func(a, b modelMail) int { return a.date.Compare(b.date) },
		"SIZE":    func(a, b modelMail) int { return cmp.Compare(a.size, b.size) },
		"DATE":    func(a, b modelMail) int { return sent(a).Compare(sent(b)) },
	}
	var words []string
	var all []func(a, b modelMail) int
	for range rapid.IntRange(1, 3).Draw(t, "criteria") {
		name := rapid.SampledFrom([]string{"ARRIVAL", "SIZE", "DATE"}).Draw(t, "criterion")
		one := orders[name]
		if rapid.Bool().Draw(t, "reverse") {
			forward := one
			name, one = "REVERSE "+name, func(a, b modelMail) int { return -forward(a, b) }
		}
		words, all = append(words, name), append(all, one)
	}
	return strings.Join(words, " "), func(a, b modelMail) int {
		for _, one := range all {
			if c := one(a, b); c != 0 {
				return c
			}
		}
		return 0
	}
}

// TestSearchModel: random searches of a random mailbox, which has gaps in its
// UIDs, answer what a plain evaluation of each message does, as SEARCH and as
// UID SEARCH.
func TestSearchModel(t *testing.T) {
	const messages = 60
	s := newTestServer(t)
	var mails []modelMail
	for uid := 1; uid <= messages; uid++ {
		m := rapid.Custom(drawMail).Example(uid)
		s.deliverTo(t, strings.NewReader(m.text), m.delivery)
		m.model.uid = uint32(uid)
		mails = append(mails, m.model)
	}
	c := s.login(t)
	c.ok("SELECT INBOX")
	c.ok("STORE 3,10:19,%d +FLAGS.SILENT (\\Deleted)", messages)
	c.ok("UID EXPUNGE 3,10:19,%d", messages)
	mails = slices.DeleteFunc(mails, func(m modelMail) bool {
		return m.uid == 3 || m.uid >= 10 && m.uid <= 19 || m.uid == messages
	})
	var uids []uint32
	for _, m := range mails {
		uids = append(uids, m.uid)
	}
	for _, from := range []string{"database", "columns"} {
		t.Run(from, func(t *testing.T) {
			if from == "columns" {
				c.ok("FETCH 1:* FLAGS") // loads them
			}
			rapid.Check(t, func(t *rapid.T) {
				key := drawModelKey(t, uids, 4)
				var seqs, found []string
				for i := range mails {
					if key.match(&mails[i]) {
						seqs = append(seqs, strconv.Itoa(i+1))
						found = append(found, strconv.Itoa(int(mails[i].uid)))
					}
				}
				order, compare := drawModelOrder(t)
				sorted := slices.DeleteFunc(slices.Clone(mails), func(m modelMail) bool { return !key.match(&m) })
				slices.SortStableFunc(sorted, compare)
				var inOrder []string
				for _, m := range sorted {
					inOrder = append(inOrder, strconv.Itoa(int(m.uid)))
				}
				for _, q := range []struct {
					command, answer string
					want            []string
				}{
					{"SEARCH CHARSET UTF-8", "* SEARCH ", seqs}, {"UID SEARCH CHARSET UTF-8", "* SEARCH ", found},
					{"UID SORT (" + order + ") UTF-8", "* SORT ", inOrder},
				} {
					lines, status := c.do("%s %s", q.command, key.text)
					want := strings.TrimSpace(q.answer + strings.Join(q.want, " "))
					if !strings.HasPrefix(status, "OK") || len(lines) != 1 || lines[0] != want {
						t.Fatalf("%s %q:\n got %q, %s\nwant %q", q.command, key.text, lines, status, want)
					}
				}
			})
		})
	}
}
