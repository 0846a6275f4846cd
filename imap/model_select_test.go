package imap

import (
	"fmt"
	"slices"
	"strings"
)

// selectBox opens a mailbox. A client with QRESYNC that was there before comes back with what it
// remembers, and knows after it what there is (RFC 7162 section 3.2.5).
func (m *strictClient) selectBox(b *truthBox) {
	readOnly := m.w.oneOf(6, "read-only") == 5
	verb := "SELECT"
	if readOnly {
		verb = "EXAMINE"
	}
	c := &strictCommand{text: verb + " " + b.path}
	m.leave()
	memory, returns := m.memory[b]
	returns = returns && m.qresync
	var remembered []strictMessage
	if returns {
		remembered = slices.Clone(memory.msgs)
		c.text += " (QRESYNC (" + m.resyncData(b, memory, &remembered) + "))"
	} else if m.condstore && m.w.oneOf(2, "CONDSTORE") == 1 {
		c.text += " (CONDSTORE)"
	}
	earlier := make(map[uint32]bool)
	c.begin = func() { m.box, m.readOnly, m.msgs, m.saved = b, readOnly, nil, nil }
	c.end = func(lines []string, status string) {
		m.mustOK(c, status, true)
		m.opened(b, lines)
		for _, line := range lines {
			if set, ok := strings.CutPrefix(line, "* VANISHED (EARLIER) "); ok {
				for _, uid := range uidsOf(set) {
					earlier[uid] = true
				}
			}
		}
		if returns {
			m.returned(c, b, remembered, earlier)
		}
	}
	m.run(c)
}

// resyncData is the argument of QRESYNC. With a part of the UIDs that the client knows it asks for
// those alone.
func (m *strictClient) resyncData(b *truthBox, memory strictMemory,
	remembered *[]strictMessage) string {
	data := fmt.Sprintf("%d %d", b.validity, memory.highest)
	if len(memory.msgs) == 0 {
		return data
	}
	var uids []string
	for _, msg := range memory.msgs {
		uids = append(uids, fmt.Sprint(msg.uid))
	}
	how := m.w.oneOf(4, "known UIDs")
	if how >= 1 {
		part := uids
		if how == 2 {
			part = uids[:1+m.w.oneOf(len(uids), "part")]
			*remembered = slices.Clone(memory.msgs[:len(part)])
		}
		data += " " + strings.Join(part, ",")
	}
	if how == 3 && !m.uidOnly {
		// The client does not remember numbers: it takes those of the messages that it knows.
		var seqs []string
		for i := range uids {
			seqs = append(seqs, fmt.Sprint(i+1))
		}
		if memory.whole {
			data += fmt.Sprintf(" (%s %s)", strings.Join(seqs, ","), strings.Join(uids, ","))
		}
	}
	return data
}

// opened checks what SELECT tells of the mailbox.
func (m *strictClient) opened(b *truthBox, lines []string) {
	want := []string{
		fmt.Sprintf("* %d EXISTS", len(b.msgs)), fmt.Sprintf("* OK [UIDVALIDITY %d]", b.validity),
		fmt.Sprintf("* OK [UIDNEXT %d]", b.next), fmt.Sprintf("* OK [HIGHESTMODSEQ %d]", b.highest),
	}
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasPrefix(line,
				w)
		}) {
			m.fault("SELECT: %q, want %q", lines, w)
		}
	}
}

// returned compares what a client that came back knows with what there is.
func (m *strictClient) returned(c *strictCommand, b *truthBox, remembered []strictMessage,
	earlier map[uint32]bool) {
	for _, old := range remembered {
		truth, told := b.find(old.uid), m.message(old.uid)
		switch {
		case (truth == nil) != earlier[old.uid]:
			m.fault("%q: the client knows UID %d, VANISHED %v, there are %v", c.text, old.uid,
				earlier, b.uids())
		case truth == nil:
		case told != nil && told.flags != nil:
			old.flags = told.flags
			fallthrough
		default:
			if !slices.Equal(old.flags, truth.flags) {
				m.fault("%q: the client knows UID %d with %v, it has %v", c.text, old.uid,
					old.flags, truth.flags)
			}
		}
	}
}
