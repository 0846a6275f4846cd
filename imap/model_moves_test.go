package imap

import (
	"fmt"
	"slices"
	"strings"
)

// transfer copies or moves messages.
func (m *strictClient) transfer() *strictCommand {
	s := m.pick(true)
	if s == nil {
		return m.look()
	}
	verb := []string{"COPY", "MOVE"}[m.w.oneOf(2, "verb")]
	dest := m.w.boxes[m.w.oneOf(len(m.w.boxes), "box")]
	c := &strictCommand{text: s.form(verb) + " " + dest.path}
	var there []uint32
	known := 0
	c.begin = func() {
		there, known = m.box.existing(m.in(s.uids)), len(m.in(s.uids))
	}
	c.end = func(lines []string, status string) {
		ok := s.uid || len(there) == known // RFC 2180 section 4.4.1
		if !m.mustOK(c, status, ok && (verb == "COPY" || !m.readOnly)) {
			return
		}
		code, told := between(strings.Join(append(lines, status), "\n"), "[COPYUID ", "]")
		if len(there) == 0 {
			if told {
				m.fault("%.200q: %s", c.text, code)
			}
			return
		}
		var copies []uint32
		for _, uid := range there {
			msg := *m.box.find(uid)
			copies = append(copies, dest.add(msg.flags, msg.mail))
		}
		words := strings.Fields(code)
		if len(words) != 3 || words[0] != fmt.Sprint(dest.validity) ||
			!slices.Equal(uidsOf(words[1]), there) ||
			!slices.Equal(uidsOf(words[2]), copies) {
			m.fault("%.200q: COPYUID %s, want %v to %v", c.text, code, there, copies)
		}
		if verb == "MOVE" {
			m.box.remove(there)
			m.toldGone(c, there, status)
		}
	}
	return c
}

// append stores one or two messages.
func (m *strictClient) append() *strictCommand {
	dest := m.w.boxes[m.w.oneOf(len(m.w.boxes), "box")]
	c := &strictCommand{text: "APPEND " + dest.path}
	flags := m.appendFlags()
	var mails []string
	for range 1 + m.w.oneOf(2, "messages") {
		mail := m.w.newMail()
		c.text += fmt.Sprintf(" (%s) %s", strings.Join(flags, " "), nonSync(mail))
		mails = append(mails, mail)
	}
	c.end = func(_ []string, status string) {
		m.mustOK(c, status, true)
		var uids []uint32
		for _, mail := range mails {
			uids = append(uids, dest.add(flags, mail))
		}
		m.toldUID(c, dest, uids, status)
		if dest == m.box && m.w.alone && len(m.msgs) != len(dest.msgs) &&
			!slices.ContainsFunc(m.msgs,
				func(msg strictMessage) bool { return msg.uid != 0 && dest.find(msg.uid) == nil }) {
			m.fault("%.100q into the selected mailbox did not tell EXISTS",
				c.text) // RFC 3501 section 6.3.11
		}
	}
	return c
}

func (m *strictClient) appendFlags() []string {
	return [][]string{{}, {`\Seen`}, {`\Deleted`}, {`\Flagged`, "work"}}[m.w.oneOf(4, "flags")]
}

// toldUID checks APPENDUID (RFC 4315 section 3).
func (m *strictClient) toldUID(c *strictCommand, b *truthBox, uids []uint32, told string) {
	code, _ := between(told, "[APPENDUID ", "]")
	words := strings.Fields(code)
	if len(words) != 2 || words[0] != fmt.Sprint(b.validity) || !slices.Equal(uidsOf(words[1]),
		uids) {
		m.fault("%.200q: %s, want UIDs %v", c.text, told, uids)
	}
}

// replace puts a message in the place of another one (RFC 8508).
func (m *strictClient) replace() *strictCommand {
	s := m.pick(true)
	if s == nil || s.set == "$" {
		return nil
	}
	s.uids = s.uids[:1]
	s.set, _, _ = strings.Cut(s.set, ":")
	s.set, _, _ = strings.Cut(s.set, ",")
	if s.uid {
		s.set = fmt.Sprint(s.uids[0])
	} else {
		s.set = fmt.Sprint(1 + slices.IndexFunc(m.msgs,
			func(msg strictMessage) bool { return msg.uid == s.uids[0] }))
	}
	dest, flags, mail := m.w.boxes[m.w.oneOf(len(m.w.boxes), "box")], m.appendFlags(), m.w.newMail()
	c := &strictCommand{text: fmt.Sprintf("%s %s (%s) %s", s.form("REPLACE"), dest.path,
		strings.Join(flags, " "),
		nonSync(mail))}
	there := false
	c.begin = func() { there = len(m.box.existing(m.in(s.uids))) == 1 }
	c.end = func(lines []string, status string) {
		if !m.mustOK(c, status, there && !m.readOnly) {
			return
		}
		m.box.remove(s.uids)
		m.toldUID(c, dest, []uint32{dest.add(flags, mail)}, strings.Join(append(lines, status),
			"\n"))
		m.toldGone(c, s.uids, status)
	}
	return c
}

// strictKey is a search key and what it means.
type strictKey struct {
	text string
	is   func(truthMessage) bool
}

func flagKey(text, flag string, set bool) strictKey {
	return strictKey{text, func(t truthMessage) bool {
		return slices.Contains(t.flags,
			flag) == set
	}}
}

func (m *strictClient) key() strictKey {
	keys := []strictKey{
		flagKey("UNSEEN", `\Seen`, false), flagKey("DELETED", `\Deleted`, true), flagKey("FLAGGED",
			`\Flagged`, true),
		flagKey("KEYWORD work", "work", true), {"ALL", func(truthMessage) bool { return true }},
		{"SUBJECT token1", func(t truthMessage) bool { return strings.Contains(t.mail, "token1") }},
		{"UID 3:5", func(t truthMessage) bool { return t.uid >= 3 && t.uid <= 5 }},
		{"NOT TEXT token2.", func(t truthMessage) bool {
			return !strings.Contains(t.mail,
				"token2.")
		}},
	}
	if m.condstore && m.w.alone {
		since := uint64(1 + m.w.oneOf(int(m.box.highest), "modseq"))
		keys = append(keys, strictKey{fmt.Sprintf("MODSEQ %d", since),
			func(t truthMessage) bool { return t.modseq >= since }})
	}
	if m.saved != nil && m.w.alone {
		saved := slices.Clone(m.saved)
		keys = append(keys, strictKey{"$",
			func(t truthMessage) bool { return slices.Contains(saved, t.uid) }})
	}
	return keys[m.w.oneOf(len(keys), "key")]
}

// search finds messages (RFC 3501 section 6.4.4, RFC 4731, RFC 5182).
func (m *strictClient) search() *strictCommand {
	if slices.ContainsFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == 0 }) {
		return m.look()
	}
	key := m.key()
	if m.w.oneOf(3, "or") == 2 {
		a, b := key, m.key()
		key = strictKey{"OR " + a.text + " " + b.text, func(t truthMessage) bool {
			return a.is(t) ||
				b.is(t)
		}}
	}
	uid := m.uidOnly || m.w.oneOf(2, "by UID") == 1
	returns := []string{"", "RETURN () ", "RETURN (COUNT ALL) ", "RETURN (SAVE) ",
		"RETURN (SAVE ALL) ",
		"RETURN (MIN SAVE) "}[m.w.oneOf(6, "return")]
	verb := "SEARCH"
	if uid {
		verb = "UID SEARCH"
	}
	c := &strictCommand{text: verb + " " + returns + key.text}
	var want, gone []uint32
	var before []strictMessage
	c.begin = func() {
		want, gone, before = nil, nil, slices.Clone(m.msgs)
		for _, msg := range m.msgs {
			if truth := m.box.find(msg.uid); truth == nil {
				gone = append(gone, msg.uid)
			} else if key.is(*truth) {
				want = append(want, msg.uid)
			}
		}
		slices.Sort(want)
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		if slices.ContainsFunc(before, func(msg strictMessage) bool { return msg.uid == 0 }) {
			m.saved = nil // commands before it in the pipeline told of messages about which nothing is known
			return
		}
		if strings.Contains(returns, "SAVE") {
			m.saved = append([]uint32{}, want...)
		}
		if returns == "RETURN (SAVE) " {
			return
		}
		got, count := m.foundIn(c, lines, uid, before)
		if strings.Contains(returns, "MIN") {
			m.saved = append([]uint32{}, got...)
			if len(got) == 1 && slices.Contains(gone, got[0]) && (len(want) == 0 ||
				got[0] < want[0]) {
				return // it was found before the client was told that it is gone
			}
		}
		got = slices.DeleteFunc(got, func(uid uint32) bool { return slices.Contains(gone, uid) })
		if strings.Contains(returns, "MIN") {
			want = want[:min(1, len(want))]
		}
		if !slices.Equal(got, want) || strings.Contains(returns, "COUNT") && count < len(want) {
			m.fault("%q: %q: found %v, want %v of %v", c.text, lines, got, want, m.msgs)
		}
	}
	return c
}

// foundIn reads SEARCH or ESEARCH as UIDs of the messages that the client had when it asked.
func (m *strictClient) foundIn(
	c *strictCommand, lines []string, uid bool, msgs []strictMessage,
) (uids []uint32, count int) {
	var numbers []uint32
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			rest, _, _ = strings.Cut(rest, " (")
			for _, word := range strings.Fields(rest) {
				numbers = append(numbers, uidsOf(word)...)
			}
		}
		if rest, ok := strings.CutPrefix(line, "* ESEARCH "); ok && !strings.Contains(line,
			"ADDTO") &&
			!strings.Contains(line, "REMOVEFROM") {
			if strings.Contains(rest, ") UID") != uid || !strings.HasPrefix(rest,
				fmt.Sprintf("(TAG %q)", c.tag)) {
				m.fault("%q", line)
			}
			words := strings.Fields(rest)
			for i, word := range words {
				switch word {
				case "ALL", "MIN":
					numbers = append(numbers, uidsOf(words[i+1])...)
				case "COUNT":
					_, _ = fmt.Sscan(words[i+1], &count)
				}
			}
		}
	}
	for _, n := range numbers {
		if !uid {
			if int(n) > len(msgs) {
				m.fault("%q of %d messages", lines, len(msgs))
			}
			n = msgs[n-1].uid
		}
		uids = append(uids, n)
	}
	return uids, count
}
