package imap

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gadwall/internal/imapconn"
)

// A strictClient knows of a mailbox what responses told it, as RFC 3501, RFC 7162 and RFC 9586 have
// it, and nothing else. It fails the test when the server says what it must not say.
type strictClient struct {
	w    *sessionWorld
	name string
	at   int // the instance
	conn *imapconn.Conn
	n    int // commands of all connections

	// What the client enables when it connects.
	wants    []string
	compress bool
	notify   bool // is told of changes between commands, too (RFC 5465)
	// What is enabled now.
	condstore, qresync, uidOnly, rev2 bool

	box      *truthBox // the selected mailbox
	readOnly bool
	idling   string // the tag of IDLE
	msgs     []strictMessage
	saved    []uint32 // "$"

	// The mod-sequence with which the client would come back (RFC 7162 section 3.1.1), and of what
	// came since the last tagged response: the greatest of FETCH, and that of HIGHESTMODSEQ.
	highest, seen, code uint64
	memory              map[*truthBox]strictMemory

	results *contextModel           // of the search that is updated, nil without one
	wanted  func(truthMessage) bool // by it

	heard []heardState // to be compared with the model
	later []func()     // to be done when the model has all mod-sequences
}

// A strictMessage is what the client knows of a message; uid is 0 and flags nil as long as it does
// not.
type strictMessage struct {
	uid    uint32
	flags  []string
	modseq uint64
}

// strictMemory is what a client keeps of a mailbox when it leaves it.
type strictMemory struct {
	whole   bool // the client knew all messages: their places are their numbers
	highest uint64
	msgs    []strictMessage // by UID
}

type heardState struct {
	box    *truthBox
	uid    uint32
	flags  string
	modseq uint64
	line   string
}

// A strictCommand is a command with what must be true before and after it.
type strictCommand struct {
	text  string
	begin func()                              // when the commands before it are answered
	end   func(lines []string, status string) // when it is

	tag, verb string // "UID FETCH"
}

func (m *strictClient) fault(format string, args ...any) {
	m.w.t.Helper()
	m.w.t.Fatalf("%s: %s", m.name, fmt.Sprintf(format, args...))
}

// connect begins a session.
func (m *strictClient) connect() {
	conn, err := imapconn.Dial(m.w.servers[m.at].addr, testWait)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.conn, m.condstore, m.qresync, m.uidOnly, m.rev2 = conn, false, false, false, false
	m.idling = ""
	m.leave()
	m.ok("LOGIN %s %q", testUser, testPassword)
	if m.compress {
		c := &testClient{m.conn, m.w.outer}
		c.compress()
	}
	if m.notify {
		m.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
	}
	if len(m.wants) == 0 {
		return
	}
	m.ok("ENABLE %s", strings.Join(m.wants, " "))
	m.qresync, m.uidOnly = slices.Contains(m.wants, "QRESYNC"), slices.Contains(m.wants, "UIDONLY")
	m.rev2 = slices.Contains(m.wants, "IMAP4rev2")
	m.condstore = m.qresync || slices.Contains(m.wants, "CONDSTORE")
}

// leave forgets the selected mailbox but for what a client keeps of it.
func (m *strictClient) leave() {
	if m.box != nil && m.highest > 0 && m.qresync {
		kept := strictMemory{highest: m.highest}
		for _, msg := range m.msgs {
			if msg.uid != 0 && msg.flags != nil {
				kept.msgs = append(kept.msgs, msg)
			}
		}
		slices.SortFunc(kept.msgs, func(a, b strictMessage) int { return int(a.uid) - int(b.uid) })
		kept.whole = len(kept.msgs) == len(m.msgs)
		m.memory[m.box] = kept
	}
	m.box, m.msgs, m.saved, m.highest, m.results = nil, nil, nil, 0, nil
}

// ok runs a command about which the model knows nothing.
func (m *strictClient) ok(format string, args ...any) (lines []string) {
	m.run(&strictCommand{text: fmt.Sprintf(format, args...), end: func(got []string,
		status string) {
		lines = got
		if !strings.HasPrefix(status, "OK") {
			m.fault("%s", status)
		}
	}})
	return lines
}

// run sends commands in one piece and takes in their answers one after the other.
func (m *strictClient) run(commands ...*strictCommand) {
	var text strings.Builder
	for _, c := range commands {
		m.n++
		words := strings.Fields(c.text)
		if c.verb = words[0]; c.verb == "UID" {
			c.verb += " " + words[1]
		}
		c.tag = fmt.Sprintf("x%d", m.n)
		fmt.Fprintf(&text, "%s %s\r\n", c.tag, c.text)
		m.w.t.Logf("%s: %s %.300q", m.name, c.tag, c.text)
	}
	if _, err := io.WriteString(m.conn, text.String()); err != nil {
		m.fault("%v", err)
	}
	for _, c := range commands {
		if c.begin != nil {
			c.begin()
		}
		lines, status := m.until(c.tag, c)
		if c.end != nil {
			c.end(lines, status)
		}
	}
	m.w.settle()
	m.compareHeard()
}

// compareHeard compares what was told with the model, which has all mod-sequences now.
func (m *strictClient) compareHeard() {
	for _, h := range m.heard {
		if !h.box.was(h.uid, h.flags, h.modseq) {
			m.fault("%.200q was never so: %v", h.line, h.box.states[h.uid])
		}
	}
	later := m.later
	m.heard, m.later = nil, nil
	for _, f := range later {
		f()
	}
}

// until takes in responses up to a tagged one.
func (m *strictClient) until(tag string, c *strictCommand) (lines []string, status string) {
	for {
		line, err := m.conn.Response()
		if err != nil {
			m.fault("%.200s: %v after %q", c.text, err, lines)
		}
		m.w.t.Logf("%s:    %.300q", m.name, line)
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if strings.HasPrefix(status, "BAD") {
				m.fault("%.300s: %s", c.text, status)
			}
			if code, ok := number(status, "[HIGHESTMODSEQ "); ok {
				m.code = code
			}
			if m.highest = max(m.highest, m.seen); m.code != 0 {
				m.highest = m.code
			}
			m.seen, m.code = 0, 0
			return lines, status
		}
		lines = append(lines, line)
		m.hear(c, line)
	}
}

// hear takes in an untagged response.
func (m *strictClient) hear(c *strictCommand, line string) {
	words := strings.Fields(line)
	if words[0] == "+" {
		return
	}
	if words[0] != "*" || len(words) < 2 {
		m.fault("not a response to %s: %q", c.text, line)
	}
	n, err := strconv.Atoi(words[1])
	word := words[1]
	if err == nil {
		word = words[2]
	}
	noExpunge := slices.Contains([]string{"FETCH", "STORE", "SEARCH", "SORT", "THREAD"},
		c.verb) // RFC 3501 section 7.4.1
	switch word {
	case "EXISTS":
		if n < len(m.msgs) {
			m.fault("%s of %d messages during %s", line, len(m.msgs), c.text)
		}
		m.msgs = append(m.msgs, make([]strictMessage, n-len(m.msgs))...)
	case "EXPUNGE":
		if m.qresync || m.uidOnly || noExpunge || n < 1 || n > len(m.msgs) {
			m.fault("%s of %d messages during %s", line, len(m.msgs), c.text)
		}
		m.expunged(m.msgs[n-1].uid, line)
		m.msgs = slices.Delete(m.msgs, n-1, n)
	case "VANISHED":
		m.vanished(c, words[2:], noExpunge, line)
	case "FETCH":
		if m.uidOnly || n < 1 || n > len(m.msgs) {
			m.fault("%.200s of %d messages during %s", line, len(m.msgs), c.text)
		}
		uid, ok := number(line, "UID ")
		asked := strings.HasSuffix(c.verb, "FETCH") && (strings.Contains(c.text, "FLAGS") ||
			strings.HasSuffix(c.text, " ALL"))
		if m.qresync && !ok && !asked && strings.Contains(line, "FLAGS (") {
			m.fault("%.200s has no UID", line)
		}
		if ok {
			m.learn(n, uint32(uid), line)
		}
		m.fetched(c, &m.msgs[n-1], line)
	case "UIDFETCH":
		if !m.uidOnly {
			m.fault("%.200s without UIDONLY", line)
		}
		m.fetched(c, m.known(uint32(n), line), line)
	case "OK", "NO":
		if code, ok := number(line, "[HIGHESTMODSEQ "); ok {
			m.code = code
		}
	case "BYE":
		if c.verb != "LOGOUT" {
			m.fault("%q", line)
		}
	case "ESEARCH":
		if m.results != nil {
			m.results.hear(m.w.t, line)
		}
	case "SEARCH", "SORT", "FLAGS", "STATUS", "LIST", "ENABLED", "CAPABILITY":
	case "RECENT":
		if m.rev2 {
			m.fault("%q", line)
		}
	default:
		m.fault("%q during %s", line, c.text)
	}
}

// expunged checks that a message is gone.
func (m *strictClient) expunged(uid uint32, line string) {
	box := m.box
	if uid == 0 || box == nil {
		return
	}
	if m.results != nil && slices.Contains(m.results.results, uid) {
		m.fault("%s: UID %d is still among the results of %q", line, uid, m.results.search)
	}
	m.later = append(m.later, func() {
		if box.find(uid) != nil {
			m.fault("%s: UID %d is there", line, uid)
		}
	})
}

// vanished takes in VANISHED (RFC 7162 section 3.2.10, RFC 9586 section 3.4).
func (m *strictClient) vanished(c *strictCommand, words []string, noExpunge bool, line string) {
	earlier := words[0] == "(EARLIER)"
	if earlier {
		words = words[1:]
	}
	asked := strings.Contains(c.text, "QRESYNC (") || strings.Contains(c.text, " VANISHED")
	if !m.qresync && !m.uidOnly || earlier && !asked || noExpunge && !earlier || len(words) != 1 {
		m.fault("%q during %s", line, c.text)
	}
	for _, uid := range uidsOf(words[0]) {
		at := slices.IndexFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == uid })
		m.expunged(uid, line)
		switch {
		case earlier && at >= 0:
			m.fault("%q: the client was told that UID %d is there", line, uid)
		case earlier:
		case at >= 0:
			m.msgs = slices.Delete(m.msgs, at, at+1)
		default: // one that the client knows nothing about
			m.forget(uid, line)
		}
	}
}

// forget takes out a message of which the client does not know that it has this UID.
func (m *strictClient) forget(uid uint32, line string) {
	at := -1
	for i, msg := range m.msgs {
		if msg.uid > uid && !m.uidOnly {
			break
		}
		if msg.uid == 0 {
			at = i
		} else if msg.uid < uid && !m.uidOnly {
			at = -1
		}
	}
	if at < 0 {
		m.fault("%q: the client does not have UID %d: %v", line, uid, m.msgs)
	}
	m.msgs = slices.Delete(m.msgs, at, at+1)
}

// learn takes in the UID of a message number.
func (m *strictClient) learn(n int, uid uint32, line string) {
	msg := &m.msgs[n-1]
	if msg.uid != 0 && msg.uid != uid {
		m.fault("message %d was UID %d: %.200q", n, msg.uid, line)
	}
	for i, other := range m.msgs {
		if other.uid != 0 && (i < n-1 && other.uid >= uid || i > n-1 && other.uid <= uid) {
			m.fault("UID %d at %d, but %d at %d", uid, n, other.uid, i+1)
		}
	}
	msg.uid = uid
}

// known returns a message by UID. With UIDONLY there are no positions: those that the client does
// not know are counted alone.
func (m *strictClient) known(uid uint32, line string) *strictMessage {
	at := slices.IndexFunc(m.msgs, func(msg strictMessage) bool { return msg.uid == uid })
	if at < 0 {
		if at = slices.IndexFunc(m.msgs,
			func(msg strictMessage) bool { return msg.uid == 0 }); at < 0 {
			m.fault("%.200q: EXISTS did not tell of it: %v", line, m.msgs)
		}
		m.msgs[at].uid = uid
	}
	return &m.msgs[at]
}

// fetched takes in the items of a message.
func (m *strictClient) fetched(c *strictCommand, msg *strictMessage, line string) {
	modseq, hasModSeq := number(line, "MODSEQ (")
	if hasModSeq {
		if modseq < msg.modseq {
			m.fault("%.200q: the mod-sequence was %d", line, msg.modseq)
		}
		msg.modseq = modseq
		m.seen = max(m.seen, modseq)
	}
	list, ok := between(line, "FLAGS (", ")")
	if !ok {
		return
	}
	if m.condstore && !hasModSeq && !strings.HasSuffix(c.verb, "FETCH") {
		m.fault("%.200q: no MODSEQ during %s", line, c.text) // RFC 7162 section 3.2.4
	}
	msg.flags = strings.Fields(list)
	slices.Sort(msg.flags)
	if msg.uid != 0 {
		m.heard = append(m.heard, heardState{m.box, msg.uid, strings.Join(msg.flags, " "), modseq,
			line})
	}
}

// current checks that the client knows what there is.
func (m *strictClient) current(after string) {
	if m.box == nil {
		return
	}
	want := m.box.msgs
	if len(m.msgs) != len(want) {
		m.fault("after %s it knows of %d messages, there are UIDs %v", after, len(m.msgs),
			m.box.uids())
	}
	uids := make(map[uint32]bool)
	for i, msg := range m.msgs {
		if msg.uid == 0 {
			continue
		}
		truth := m.box.find(msg.uid)
		if truth == nil || !m.uidOnly && want[i].uid != msg.uid || uids[msg.uid] {
			m.fault("after %s UID %d is at %d, there are %v", after, msg.uid, i+1, m.box.uids())
		}
		uids[msg.uid] = true
		if msg.flags != nil && !slices.Equal(msg.flags, truth.flags) {
			m.fault("after %s UID %d has flags %v, the client knows %v", after, msg.uid,
				truth.flags, msg.flags)
		}
	}
	m.sameResults(after)
	if !m.w.alone {
		return // the model does not have the mod-sequences that there were at this command
	}
	msgs, box := slices.Clone(m.msgs), m.box
	m.later = append(m.later, func() {
		for _, msg := range msgs {
			if truth := box.find(msg.uid); truth != nil && msg.modseq != 0 && m.condstore &&
				msg.modseq != truth.modseq {
				m.fault("after %s UID %d has mod-sequence %d, the client knows %d", after, msg.uid,
					truth.modseq, msg.modseq)
			}
		}
		if m.qresync && m.box == box && m.highest > box.highest {
			m.fault("after %s HIGHESTMODSEQ is %d, the client has %d", after, box.highest,
				m.highest)
		}
	})
}
