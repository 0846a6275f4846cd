package imap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// strictTargets are the messages that a command names.
type strictTargets struct {
	uids []uint32
	set  string
	uid  bool // the set has UIDs
}

// form writes a command for the targets.
func (s *strictTargets) form(verb string) string {
	if s.uid {
		verb = "UID " + verb
	}
	return verb + " " + s.set
}

// pick draws messages whose UIDs the client knows, nil if it knows none.
func (m *strictClient) pick(numbers bool) *strictTargets {
	var known []int
	for i, msg := range m.msgs {
		if msg.uid != 0 {
			known = append(known, i)
		}
	}
	if len(known) == 0 {
		return nil
	}
	uid := m.uidOnly || !numbers || m.w.oneOf(2, "by UID") == 1
	if m.saved != nil && m.w.alone && m.w.oneOf(6, "saved") == 5 {
		return &strictTargets{uids: m.saved, set: "$", uid: uid}
	}
	from := m.w.oneOf(len(known), "from")
	known = known[from:min(len(known), from+1+m.w.oneOf(4, "more"))]
	s := &strictTargets{uid: uid}
	var sets []string
	for _, i := range known {
		s.uids = append(s.uids, m.msgs[i].uid)
		if s.uid {
			sets = append(sets, fmt.Sprint(m.msgs[i].uid))
		} else {
			sets = append(sets, fmt.Sprint(i+1))
		}
	}
	slices.Sort(s.uids)
	s.set = strings.Join(sets, ",")
	if first, last := known[0], known[len(known)-1]; !m.uidOnly && len(known) > 1 &&
		last-first == len(known)-1 {
		s.set = sets[0] + ":" + sets[len(sets)-1] // none that the client does not know lies between
	}
	return s
}

// in returns those of the targets that the client has not been told the end of.
func (m *strictClient) in(uids []uint32) (list []uint32) {
	for _, uid := range uids {
		if m.has(uid) {
			list = append(list, uid)
		}
	}
	return list
}

func (m *strictClient) has(uid uint32) bool {
	return slices.ContainsFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == uid })
}

func (m *strictClient) message(uid uint32) *strictMessage {
	i := slices.IndexFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == uid })
	if i < 0 {
		return nil
	}
	return &m.msgs[i]
}

// mustOK fails unless a command was done, or not if it must not.
func (m *strictClient) mustOK(c *strictCommand, status string, ok bool) bool {
	if got := strings.HasPrefix(status, "OK"); got != ok {
		m.fault("%.300q: %s", c.text, status)
	}
	return ok
}

// noop asks for all changes.
func (m *strictClient) noop() *strictCommand {
	verb := "NOOP"
	if m.box != nil && m.w.oneOf(3, "check") == 2 {
		verb = "CHECK"
	}
	c := &strictCommand{text: verb}
	c.end = func(_ []string, status string) {
		m.mustOK(c, status, true)
		m.current(verb)
	}
	return c
}

// look learns the UIDs and flags of all messages that the client knows nothing about.
func (m *strictClient) look() *strictCommand {
	at := slices.IndexFunc(m.msgs, func(msg strictMessage) bool {
		return msg.uid == 0 ||
			msg.flags == nil
	})
	if at < 0 {
		return nil
	}
	items := "(UID FLAGS)"
	if m.condstore {
		items = "(UID FLAGS MODSEQ)"
	}
	c := &strictCommand{text: fmt.Sprintf("FETCH %d:* %s", at+1, items)}
	if m.uidOnly {
		c.text = "UID FETCH 1:* " + items
		at = 0
	}
	var want []uint32
	c.begin = func() {
		want = m.box.uids()
		known := make([]uint32, 0, at)
		for _, msg := range m.msgs[:at] {
			known = append(known, msg.uid)
		}
		want = slices.DeleteFunc(want, func(uid uint32) bool {
			return slices.Contains(known, uid) || uid > m.lastFor()
		})
	}
	c.end = func(_ []string, status string) {
		m.mustOK(c, status, true)
		m.toldFlags(c, want)
	}
	return c
}

// lastFor is the greatest UID that the client's messages may have: with unknown ones the model
// cannot tell, so that it asks for none.
func (m *strictClient) lastFor() uint32 {
	last := uint32(0)
	for _, msg := range m.msgs {
		last = max(last, msg.uid)
	}
	return last
}

// toldFlags checks that the client knows the flags of messages.
func (m *strictClient) toldFlags(c *strictCommand, uids []uint32) {
	for _, uid := range uids {
		msg, truth := m.message(uid), m.box.find(uid)
		if msg == nil && truth == nil {
			continue
		}
		if msg == nil || truth == nil || !slices.Equal(msg.flags, truth.flags) || msg.flags == nil {
			m.fault("after %.200q the client knows %+v, there is %+v", c.text, msg, truth)
		}
	}
}

// answers returns the responses about each message, by UID. Of those with numbers alone the view
// tells the UID; it must not have changed since.
func (m *strictClient) answers(lines []string) map[uint32]string {
	found := make(map[uint32]string)
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 3 || words[2] != "FETCH" && words[2] != "UIDFETCH" {
			continue
		}
		n, _ := strconv.Atoi(words[1])
		uid, ok := number(line, "UID ")
		switch {
		case words[2] == "UIDFETCH":
			uid = uint64(n)
		case !ok:
			uid = uint64(m.msgs[n-1].uid)
		}
		found[uint32(uid)] += line
	}
	return found
}

// fetchSeries reads the same of some messages by several commands, which the server reads together.
func (m *strictClient) fetchSeries() (commands []*strictCommand) {
	items := []string{"FLAGS", "(FLAGS BODY.PEEK[])", "(UID BODY.PEEK[HEADER])", "BODY.PEEK[]", "BODY[]"}
	what, first := items[m.w.oneOf(len(items), "items")], m.pick(true)
	for s := first; s != nil && len(commands) < 4; s = m.pick(true) {
		if s.uid == first.uid {
			commands = append(commands, m.fetchOf(s, what))
		}
		if m.w.oneOf(5, "more commands") == 4 {
			break
		}
	}
	return commands
}

// fetch reads something of some messages.
func (m *strictClient) fetch() *strictCommand {
	s := m.pick(true)
	if s == nil {
		return m.look()
	}
	items := []string{"FLAGS", "(UID FLAGS)", "BODY[]", "(FLAGS BODY.PEEK[HEADER])",
		"BODY[TEXT]<0.9>",
		"(FLAGS ENVELOPE RFC822.SIZE)", "(INTERNALDATE EMAILID)", "UID", "ALL", "BINARY[1]",
		"(FLAGS PREVIEW SAVEDATE)",
		"(FLAGS MODSEQ)"}
	if !m.condstore {
		items = items[:len(items)-1]
	}
	return m.fetchOf(s, items[m.w.oneOf(len(items), "items")])
}

// fetchOf reads these items of the targets.
func (m *strictClient) fetchOf(s *strictTargets, what string) *strictCommand {
	c := &strictCommand{text: s.form("FETCH") + " " + what}
	var there []uint32
	c.begin = func() { there = m.box.existing(m.in(s.uids)) }
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		answers := m.answers(lines)
		seen := strings.HasPrefix(what, "BODY[") || strings.HasPrefix(what, "BINARY")
		for _, uid := range there {
			truth, answer := m.box.find(uid), answers[uid]
			if seen && !m.readOnly {
				m.box.set(truth, appliedFlags("+FLAGS", truth.flags, []string{`\Seen`}))
			}
			if answer == "" {
				m.fault("%.200q tells nothing of UID %d", c.text, uid)
			}
			if what == "BODY[]" && !strings.Contains(answer, literal(truth.mail)) {
				m.fault("%.200q of UID %d: %q, it is %q", c.text, uid, answer, truth.mail)
			}
			if strings.Contains(what, "FLAGS") || what == "ALL" {
				m.toldFlags(c, []uint32{uid})
			}
		}
	}
	return c
}

// changedSince asks for what changed (RFC 7162 sections 3.1.4.1 and 3.2.6).
func (m *strictClient) changedSince() *strictCommand {
	if !m.condstore || len(m.msgs) == 0 {
		return nil
	}
	since := uint64(1 + m.w.oneOf(int(m.box.highest), "since"))
	modifier := fmt.Sprintf("CHANGEDSINCE %d", since)
	if m.qresync && m.w.oneOf(2, "vanished") == 1 {
		modifier += " VANISHED"
	}
	c := &strictCommand{text: fmt.Sprintf("UID FETCH 1:* (FLAGS) (%s)", modifier)}
	var there, gone []uint32
	c.begin = func() {
		there, gone = nil, nil
		for _, msg := range m.box.msgs {
			if m.has(msg.uid) && (msg.modseq > since || msg.touched) {
				there = append(there, msg.uid)
			}
		}
		for uid, modseq := range m.box.removed {
			if modseq > since && !m.has(uid) && uid <= m.lastFor() {
				gone = append(gone, uid)
			}
		}
		if slices.ContainsFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == 0 }) {
			gone = nil // it may be one of those
		}
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		answers := m.answers(lines)
		for _, uid := range there {
			if answers[uid] == "" {
				m.fault("%.200q does not tell of UID %d: %+v", c.text, uid, *m.box.find(uid))
			}
		}
		m.toldFlags(c, there)
		told := make(map[uint32]bool)
		for _, line := range lines {
			if set, ok := strings.CutPrefix(line, "* VANISHED (EARLIER) "); ok {
				for _, uid := range uidsOf(set) {
					told[uid] = true
				}
			}
		}
		for _, uid := range gone {
			if strings.Contains(modifier, "VANISHED") && !told[uid] {
				m.fault("%.200q does not tell that UID %d vanished at %d", c.text, uid,
					m.box.removed[uid])
			}
		}
	}
	return c
}

// appliedFlags are flags after STORE.
func appliedFlags(op string, had, flags []string) []string {
	msg := modelMessage{flags: append([]string{}, had...)}
	msg.apply(op, flags)
	return msg.flags
}

// store changes flags.
func (m *strictClient) store() *strictCommand {
	s := m.pick(true)
	if s == nil {
		return m.look()
	}
	flags := [][]string{{`\Deleted`}, {`\Seen`}, {`\Flagged`}, {`\Answered`, "work"}, {"later"},
		{}}[m.w.oneOf(6, "flags")]
	op := []string{"+FLAGS", "-FLAGS", "FLAGS"}[m.w.oneOf(3, "op")]
	c := &strictCommand{text: s.form("STORE")}
	since, conditional := uint64(0), m.condstore && m.w.alone && m.w.oneOf(3, "conditional") == 2
	if conditional {
		since = uint64(m.w.oneOf(int(m.box.highest)+2, "unchanged since"))
		c.text += fmt.Sprintf(" (UNCHANGEDSINCE %d)", since)
	}
	silent := m.w.oneOf(2, "silent") == 1
	c.text += " " + op
	if silent {
		c.text += ".SILENT"
	}
	c.text += " (" + strings.Join(flags, " ") + ")"
	var there, modified []uint32
	c.begin = func() {
		there, modified = m.box.existing(m.in(s.uids)), nil
		if conditional {
			there = slices.DeleteFunc(there, func(uid uint32) bool {
				refused := m.box.find(uid).modseq > since
				if refused {
					modified = append(modified, uid)
				}
				return refused
			})
		}
		for _, uid := range there {
			if msg := m.message(uid); silent && msg.flags != nil {
				msg.flags = appliedFlags(op, msg.flags, flags)
			}
		}
	}
	c.end = func(lines []string, status string) {
		if m.readOnly {
			m.mustOK(c, status, false)
			for _, uid := range there {
				m.message(uid).flags = nil
			}
			return
		}
		if strings.HasPrefix(status, "NO [EXPUNGEISSUED]") && len(there)+len(modified) == 0 {
			return
		}
		m.mustOK(c, status, true)
		m.toldModified(c, s, status, modified)
		for _, uid := range there {
			truth := m.box.find(uid)
			m.box.set(truth, appliedFlags(op, truth.flags, flags))
			msg := m.message(uid)
			if msg == nil {
				continue // expunged by another client, which UID STORE may tell
			}
			if silent && msg.flags == nil {
				continue
			}
			m.toldFlags(c, []uint32{uid})
			if box := m.box; m.condstore && m.w.alone {
				m.later = append(m.later, func() {
					if got, want := m.message(uid), box.find(uid); got != nil && want != nil &&
						got.modseq != want.modseq {
						m.fault("after %.200q UID %d has mod-sequence %d, the client knows %d",
							c.text, uid, want.modseq, got.modseq)
					}
				})
			}
		}
	}
	return c
}

// toldModified checks the response code MODIFIED (RFC 7162 section 3.1.3).
func (m *strictClient) toldModified(c *strictCommand, s *strictTargets, status string,
	want []uint32) {
	var got []uint32
	if set, ok := between(status, "[MODIFIED ", "]"); ok {
		for _, n := range uidsOf(set) {
			if !s.uid {
				n = m.msgs[n-1].uid
			}
			got = append(got, n)
		}
	}
	if !slices.Equal(got, want) {
		m.fault("%.200q: %s, want MODIFIED of UIDs %v", c.text, status, want)
	}
}

// expunge removes messages.
func (m *strictClient) expunge() *strictCommand {
	c := &strictCommand{text: "EXPUNGE"}
	var among, gone []uint32
	if m.w.oneOf(2, "UID EXPUNGE") == 1 {
		s := m.pick(false)
		if s == nil {
			return nil
		}
		c.text, among = s.form("EXPUNGE"), s.uids
	}
	c.begin = func() {
		gone = m.box.deleted(nil)
		if among != nil {
			gone = m.box.deleted(append([]uint32{}, m.in(among)...)) // not nil, which is all
		}
	}
	c.end = func(lines []string, status string) {
		if !m.mustOK(c, status, !m.readOnly) {
			return
		}
		m.box.remove(gone)
		m.toldGone(c, gone, status)
	}
	return c
}

// toldGone checks that the client knows that the messages which its command removed are gone.
func (m *strictClient) toldGone(c *strictCommand, gone []uint32, status string) {
	for _, uid := range gone {
		if m.has(uid) {
			m.fault("%.200q removed UID %d and does not tell so", c.text, uid)
		}
	}
	if m.qresync && len(gone) > 0 && !strings.Contains(status, "[HIGHESTMODSEQ ") {
		m.fault("%.200q: %s", c.text, status) // RFC 7162 sections 3.2.7 and 3.2.8
	}
}

// status asks for the counters of a mailbox.
func (m *strictClient) status() *strictCommand {
	b := m.w.boxes[m.w.oneOf(len(m.w.boxes), "box")]
	c := &strictCommand{text: fmt.Sprintf("STATUS %s (MESSAGES UNSEEN UIDNEXT UIDVALIDITY DELETED)", b.path)}
	if m.w.oneOf(3, "LIST") == 2 {
		c.text = fmt.Sprintf(`LIST "" %s RETURN (STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY DELETED))`, b.path)
	}
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		unseen := 0
		for _, msg := range b.msgs {
			if !slices.Contains(msg.flags, `\Seen`) {
				unseen++
			}
		}
		want := fmt.Sprintf("* STATUS %s (MESSAGES %d UNSEEN %d UIDNEXT %d UIDVALIDITY %d DELETED %d)", b.path,
			len(b.msgs), unseen, b.next, b.validity, len(b.deleted(nil)))
		if m.w.alone && !slices.Contains(lines, want) {
			m.fault("%q, want %q", lines, want)
		}
	}
	return c
}
