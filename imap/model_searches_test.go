package imap

import (
	"fmt"
	"slices"
	"strings"
)

// knowsAll reports whether the client knows the UIDs of all its messages.
func knowsAll(msgs []strictMessage) bool {
	return !slices.ContainsFunc(msgs, func(msg strictMessage) bool { return msg.uid == 0 })
}

// fixedKey draws a key whose meaning does not depend on the client.
func (m *strictClient) fixedKey() strictKey {
	keys := []strictKey{
		flagKey("UNSEEN", `\Seen`, false), flagKey("UNDELETED", `\Deleted`, false),
		flagKey("KEYWORD work", "work", true),
		{"SUBJECT token1", func(t truthMessage) bool { return strings.Contains(t.mail, "token1") }},
	}
	return keys[m.w.oneOf(len(keys), "key")]
}

// context begins a search that is updated (RFC 5267 section 4.3), in the place of an earlier one.
func (m *strictClient) context() *strictCommand {
	if !m.w.alone || !knowsAll(m.msgs) {
		return nil
	}
	if m.results != nil {
		return &strictCommand{text: fmt.Sprintf("CANCELUPDATE %q", m.results.tag),
			begin: func() { m.results = nil }}
	}
	key := m.fixedKey()
	c := &strictCommand{text: "UID SEARCH RETURN (UPDATE ALL) " + key.text}
	gone := false
	c.begin = func() {
		gone = slices.ContainsFunc(m.msgs,
			func(msg strictMessage) bool { return m.box.find(msg.uid) == nil })
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		m.results = &contextModel{tag: c.tag, search: c.text, uid: true}
		for _, line := range lines {
			if !strings.HasPrefix(line, "* ESEARCH (TAG ") {
				continue
			}
			if _, all, ok := strings.Cut(line, " ALL "); ok {
				m.results.results = parseSet(m.w.t, all)
			} else if strings.HasSuffix(line, ")") {
				m.results.hear(m.w.t, line)
			}
		}
		m.wanted = key.is
		if !gone && !slices.ContainsFunc(lines,
			func(line string) bool { return strings.Contains(line, "EXISTS") }) {
			m.sameResults(c.text)
		}
	}
	return c
}

// sameResults checks that the client has the results of its context: it knows what there is.
func (m *strictClient) sameResults(after string) {
	if m.results == nil {
		return
	}
	var want []uint32
	for _, truth := range m.box.msgs {
		if m.wanted(truth) && (m.has(truth.uid) || !knowsAll(m.msgs)) {
			want = append(want, truth.uid)
		}
	}
	if !slices.Equal(m.results.results, want) {
		m.fault("after %s the results of %q are %v, the client has %v", after, m.results.search,
			want,
			m.results.results)
	}
}

// sort finds messages by size.
func (m *strictClient) sort() *strictCommand {
	if !knowsAll(m.msgs) {
		return m.look()
	}
	key, reverse, verb := m.fixedKey(), "", "SORT"
	if m.w.oneOf(2, "reverse") == 1 {
		reverse = "REVERSE "
	}
	uid := m.uidOnly || m.w.oneOf(2, "by UID") == 1
	if uid {
		verb = "UID SORT"
	}
	c := &strictCommand{text: fmt.Sprintf("%s (%sSIZE) UTF-8 %s", verb, reverse, key.text)}
	var want []truthMessage
	var before []strictMessage
	c.begin = func() {
		want, before = nil, slices.Clone(m.msgs)
		for _, truth := range m.box.msgs {
			if m.has(truth.uid) && key.is(truth) {
				want = append(want, truth)
			}
		}
		slices.SortStableFunc(want, func(a, b truthMessage) int {
			if reverse != "" {
				return len(b.mail) - len(a.mail)
			}
			return len(a.mail) - len(b.mail)
		})
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		if !knowsAll(before) {
			return
		}
		var got, uids []uint32
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(line, "* SORT"); ok {
				for _, word := range strings.Fields(rest) {
					got = append(got, parseNumber(m.w.t, word))
				}
			}
		}
		for i, n := range got {
			if !uid {
				got[i] = before[n-1].uid
			}
		}
		for _, truth := range want {
			uids = append(uids, truth.uid)
		}
		if !slices.Equal(got, uids) {
			m.fault("%q: UIDs %v, want %v", c.text, got, uids)
		}
	}
	return c
}

// partial fetches the first or the last messages (RFC 9394 section 3.3).
func (m *strictClient) partial() *strictCommand {
	if !knowsAll(m.msgs) || !m.w.alone || len(m.msgs) == 0 {
		return m.look()
	}
	n := 1 + m.w.oneOf(4, "messages")
	c := &strictCommand{text: fmt.Sprintf("UID FETCH 1:* (FLAGS) (PARTIAL 1:%d)", n)}
	uids := make([]uint32, 0, len(m.msgs))
	for _, msg := range m.msgs {
		uids = append(uids, msg.uid)
	}
	slices.Sort(uids)
	asked := uids[:min(n, len(uids))]
	if m.w.oneOf(2, "from the end") == 1 {
		c.text = fmt.Sprintf("UID FETCH 1:* (FLAGS) (PARTIAL -1:-%d)", n)
		asked = uids[max(0, len(uids)-n):]
	}
	var there []uint32
	c.begin = func() { there = m.box.existing(asked) }
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		answers := m.answers(lines)
		for _, uid := range there {
			if answers[uid] == "" {
				m.fault("%q does not tell of UID %d: %q", c.text, uid, lines)
			}
		}
		m.toldFlags(c, there)
	}
	return c
}

// multisearch searches all mailboxes (RFC 7377).
func (m *strictClient) multisearch() *strictCommand {
	key := m.fixedKey()
	c := &strictCommand{}
	var paths []string
	for _, b := range m.w.boxes {
		paths = append(paths, b.path)
	}
	c.text = fmt.Sprintf("ESEARCH IN (mailboxes (%s)) RETURN (COUNT) %s", strings.Join(paths, " "),
		key.text)
	var want []string
	c.begin = func() {
		want = nil
		for _, b := range m.w.boxes {
			if b == m.box {
				continue // of the selected one those that the client knows of, as for SEARCH
			}
			count := 0
			for _, truth := range b.msgs {
				if key.is(truth) {
					count++
				}
			}
			if count > 0 {
				want = append(want,
					fmt.Sprintf("* ESEARCH (TAG %q MAILBOX %s UIDVALIDITY %d) UID COUNT %d", c.tag,
						b.path, b.validity, count))
			}
		}
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		for _, line := range want {
			if m.w.alone && !slices.Contains(lines, line) {
				m.fault("%q: %q, want %q", c.text, lines, line)
			}
		}
	}
	return c
}

// rename gives a mailbox another name, which those that have selected it do not notice.
func (m *strictClient) rename() *strictCommand {
	if !m.w.alone {
		return nil
	}
	b := m.w.boxes[m.w.oneOf(len(m.w.boxes), "box")]
	name, ok := strings.CutSuffix(b.path, "x")
	if !ok {
		name += "x"
	}
	c := &strictCommand{text: fmt.Sprintf("RENAME %s %s", b.path, name)}
	c.end = func(_ []string, status string) {
		m.mustOK(c, status, true)
		b.path = name
	}
	return c
}
