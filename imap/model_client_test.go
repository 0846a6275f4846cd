package imap

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gadwall/internal/imapconn"
)

// A modelClient follows a mailbox as a careful client does, from untagged responses alone, and
// notes whatever a client could not understand. Its methods belong to one goroutine.
type modelClient struct {
	world     *modelWorld
	name      string
	addr      string
	conn      *imapconn.Conn
	rng       *rand.Rand
	condstore bool
	qresync   bool // with condstore
	n         int  // commands
	bye       bool // the server ended the session

	// What was acknowledged before SELECT was sent.
	highestBefore map[uint32]uint64
	nextBefore    map[uint32]uint32
	uidNext       uint64

	copied string // the response with COPYUID

	// The selected mailbox; box is "" without one.
	box      string
	validity uint32
	readOnly bool
	msgs     []modelMessage // by sequence number
	lastUID  uint32         // the highest that was ever in msgs
}

// modelMessage is what the client knows; uid is 0 and flags nil as long as it does not.
type modelMessage struct {
	uid    uint32
	flags  []string // sorted
	modseq uint64
	token  string // the subject
}

// message identity and state, as every client must see them.
type (
	messageID    struct{ validity, uid uint32 }
	messageState struct {
		messageID
		modseq uint64
	}
)

// modelWorld is what the clients have learnt together.
type modelWorld struct {
	mu      sync.Mutex
	tokens  map[messageID]string    // a UID is of one message for ever
	states  map[messageState]string // flags at a mod-sequence are of one value
	gone    map[messageID]bool      // somebody was told that they are gone
	latest  map[messageID]uint64    // the greatest mod-sequence that anybody was told of
	highest map[uint32]uint64       // HIGHESTMODSEQ by UIDVALIDITY
	next    map[uint32]uint32       // one more than the greatest acknowledged UID
	copies  map[string]int          // by token: how many there are of a message that nobody deletes
	serial  int
	faults  []string
}

func newModelWorld() *modelWorld {
	return &modelWorld{
		tokens: map[messageID]string{}, states: map[messageState]string{}, gone: map[messageID]bool{},
		latest: map[messageID]uint64{}, highest: map[uint32]uint64{}, next: map[uint32]uint32{},
		copies: map[string]int{},
	}
}

// fault notes what must not be.
func (w *modelWorld) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// keeper reports whether no client may delete messages of this token.
func keeper(token string) bool { return strings.HasPrefix(token, "keep") }

// newToken names a new message.
func (w *modelWorld) newToken(keep bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	if keep {
		return fmt.Sprintf("keep%d", w.serial)
	}
	return fmt.Sprintf("drop%d", w.serial)
}

// added notes acknowledged copies of a message.
func (w *modelWorld) added(token string, id messageID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copies[token]++
	w.next[id.validity] = max(w.next[id.validity], id.uid+1)
}

// identify notes that a message has this token; it returns what was known of it.
func (w *modelWorld) identify(id messageID, token string) (before string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before = w.tokens[id]
	w.tokens[id] = token
	return before
}

func dialModel(w *modelWorld, addr, name string, seed uint64) (*modelClient, error) {
	m := &modelClient{world: w, name: name, addr: addr, rng: rand.New(rand.NewPCG(seed, 1))}
	return m, m.connect()
}

// connect begins a session.
func (m *modelClient) connect() error {
	conn, err := imapconn.Dial(m.addr, testWait)
	if err != nil {
		return err
	}
	m.box, m.msgs, m.bye = "", nil, false
	m.conn = conn
	if _, err := m.run("LOGIN %s %q", testUser, testPassword); err != nil {
		return err
	}
	enable := []string{"", "", "CONDSTORE", "QRESYNC"}[m.rng.IntN(4)]
	m.condstore, m.qresync = enable != "", enable == "QRESYNC"
	if enable != "" {
		_, err = m.run("ENABLE %s", enable)
	}
	return err
}

// line reads a response.
func (m *modelClient) line() (string, error) {
	line, err := m.conn.Response()
	if err != nil {
		return "", fmt.Errorf("%s: after %q: %w", m.name, line, err)
	}
	return line, nil
}

func (m *modelClient) fault(format string, args ...any) {
	m.world.fault("%s in %s (%d): %s", m.name, m.box, m.validity, fmt.Sprintf(format, args...))
}

// run sends a command, takes in what is answered, and returns the tagged answer.
func (m *modelClient) run(format string, args ...any) (status string, err error) {
	command := fmt.Sprintf(format, args...)
	verb, _, _ := strings.Cut(command, " ")
	m.n++
	tag := fmt.Sprintf("t%d", m.n)
	gone, latest := m.known()
	if _, err := io.WriteString(m.conn, tag+" "+command+"\r\n"); err != nil {
		return "", err
	}
	if verb == "IDLE" {
		// A server that has said BYE meanwhile does not take it: what comes next tells.
		_, _ = io.WriteString(m.conn, "DONE\r\n")
	}
	for {
		line, err := m.line()
		if err != nil && m.bye && verb == "IDLE" {
			return "", nil // BYE is the whole answer, when the server ends IDLE
		}
		if err != nil {
			return "", fmt.Errorf("%.200s: %w", command, err)
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") && !strings.HasPrefix(rest, "NO ") {
				m.fault("%.200s: %s", command, rest)
			}
			if !m.bye {
				m.acknowledged(verb, rest, gone, latest)
			}
			return rest, nil
		}
		m.untagged(verb, command, line, gone)
	}
}

// known is what was acknowledged to anybody before a command is sent.
func (m *modelClient) known() (gone map[messageID]bool, latest map[messageID]uint64) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	return maps.Clone(m.world.gone), maps.Clone(m.world.latest)
}

var fetchLine = regexp.MustCompile(`(?s)^\* (\d+) FETCH \((.*)\)$`)

// untagged takes in one response.
func (m *modelClient) untagged(verb, command, line string, gone map[messageID]bool) {
	var n int
	word := ""
	if f := strings.Fields(line); len(f) >= 3 {
		n, _ = strconv.Atoi(f[1])
		word = f[2]
	}
	switch {
	case word == "EXISTS" && n >= 0:
		if n < len(m.msgs) && m.box != "" {
			m.fault("EXISTS went from %d to %d at %.200s", len(m.msgs), n, command)
		}
		for len(m.msgs) < n {
			m.msgs = append(m.msgs, modelMessage{})
		}
	case word == "EXPUNGE":
		if verb == "FETCH" || verb == "STORE" || verb == "SEARCH" || m.qresync {
			m.fault("EXPUNGE during %s", verb) // RFC 3501 section 7.4.1
		}
		if n < 1 || n > len(m.msgs) {
			m.fault("%s of %d messages", line, len(m.msgs))
			return
		}
		if uid := m.msgs[n-1].uid; uid != 0 {
			m.expunged(messageID{m.validity, uid}, m.msgs[n-1].token)
		}
		m.msgs = slices.Delete(m.msgs, n-1, n)
	case strings.HasPrefix(line, "* VANISHED "):
		m.vanished(verb, line)
	case word == "FETCH":
		m.fetched(n, line, command, gone)
	case word == "[UIDVALIDITY":
		v, _ := number(line, word+" ")
		m.validity = uint32(v)
	case word == "[HIGHESTMODSEQ":
		v, _ := number(line, word+" ")
		m.world.reached(m, v)
	case word == "[UIDNEXT":
		m.uidNext, _ = number(line, word+" ")
	case word == "[COPYUID":
		m.copied = line
	case strings.HasPrefix(line, "* SEARCH"):
		m.found(verb, line)
	case word == "[CLOSED]" && verb != "SELECT" && verb != "EXAMINE":
		m.box, m.msgs = "", nil
	case strings.HasPrefix(line, "* BYE"):
		m.box, m.bye = "", true
	}
}

// vanished takes in VANISHED, which is in the place of EXPUNGE (RFC 7162 section 3.2.10).
func (m *modelClient) vanished(verb, line string) {
	if verb == "FETCH" || verb == "STORE" || verb == "SEARCH" || !m.qresync {
		m.fault("%s during %s", line, verb)
	}
	for _, uid := range uidsOf(strings.TrimPrefix(line, "* VANISHED ")) {
		at := slices.IndexFunc(m.msgs, func(msg modelMessage) bool { return msg.uid == uid })
		if at < 0 { // one of those whose UIDs the client does not know, before the next that it knows
			end := slices.IndexFunc(m.msgs, func(msg modelMessage) bool { return msg.uid > uid })
			if end < 0 {
				end = len(m.msgs)
			}
			if at = end - 1; at < 0 || m.msgs[at].uid != 0 {
				m.fault("%s: UID %d is not known: %v", line, uid, m.msgs)
				continue
			}
		}
		m.expunged(messageID{m.validity, uid}, m.msgs[at].token)
		m.msgs = slices.Delete(m.msgs, at, at+1)
	}
}

// reached checks that HIGHESTMODSEQ of a mailbox does not go back.
func (w *modelWorld) reached(m *modelClient, modseq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := m.highestBefore[m.validity]; modseq < before {
		w.faults = append(w.faults, fmt.Sprintf("%s: HIGHESTMODSEQ %d of %s, was %d", m.name, modseq, m.box, before))
	}
	w.highest[m.validity] = max(w.highest[m.validity], modseq)
}

// expunged notes that a message was told to be gone.
func (m *modelClient) expunged(id messageID, token string) {
	m.world.mu.Lock()
	m.world.gone[id] = true
	m.world.mu.Unlock()
}

// fetched takes in a FETCH response.
func (m *modelClient) fetched(n int, line, command string, gone map[messageID]bool) {
	if n < 1 || n > len(m.msgs) {
		m.fault("%.100s of %d messages at %.200s", line, len(m.msgs), command)
		return
	}
	match := fetchLine.FindStringSubmatch(line)
	if match == nil {
		m.fault("not understood: %.200q", line)
		return
	}
	msg := &m.msgs[n-1]
	if uid, ok := number(line, "UID "); ok {
		m.learnUID(n, uint32(uid), line)
	}
	if msg.uid == 0 {
		return // nothing is known of which message it is
	}
	id := messageID{m.validity, msg.uid}
	if gone[id] && strings.Contains(line, "FLAGS (") {
		m.fault("UID %d was expunged, but answers %.200s with %.100q", msg.uid, command, line)
	}
	if token, ok := between(line, "Subject: ", "\r\n"); ok {
		if msg.token != "" && msg.token != token {
			m.fault("UID %d was %s and is %s", msg.uid, msg.token, token)
		}
		msg.token = token
		if before := m.world.identify(id, token); before != "" && before != token {
			m.fault("UID %d was %s to others and is %s", msg.uid, before, token)
		}
	}
	modseq, hasModSeq := number(line, "MODSEQ (")
	if list, ok := between(line, "FLAGS (", ")"); ok {
		msg.flags = strings.Fields(list)
		slices.Sort(msg.flags)
		msg.modseq = 0
		if hasModSeq {
			m.checkState(messageState{id, modseq}, strings.Join(msg.flags, " "))
		}
	}
	if hasModSeq {
		msg.modseq = modseq
		m.world.mu.Lock()
		m.world.latest[id] = max(m.world.latest[id], modseq)
		m.world.mu.Unlock()
	}
}

// learnUID checks the UID of a sequence number.
func (m *modelClient) learnUID(n int, uid uint32, line string) {
	msg := &m.msgs[n-1]
	if msg.uid != 0 && msg.uid != uid {
		m.fault("sequence number %d was UID %d: %.200q", n, msg.uid, line)
	}
	for i := n - 2; i >= 0; i-- { // the next known one below
		if m.msgs[i].uid != 0 {
			if m.msgs[i].uid >= uid {
				m.fault("UID %d at %d, but %d at %d", uid, n, m.msgs[i].uid, i+1)
			}
			break
		}
	}
	msg.uid = uid
	m.lastUID = max(m.lastUID, uid)
}

// checkState compares flags with what others saw at the same mod-sequence.
func (m *modelClient) checkState(s messageState, flags string) {
	m.world.mu.Lock()
	before, ok := m.world.states[s]
	m.world.states[s] = flags
	m.world.mu.Unlock()
	if ok && before != flags {
		m.fault("UID %d at mod-sequence %d has flags (%s), others saw (%s)", s.uid, s.modseq, flags, before)
	}
}

// found checks the result of SEARCH.
func (m *modelClient) found(verb, line string) {
	last := 0
	for _, f := range strings.Fields(strings.SplitN(line, "(", 2)[0])[2:] {
		n, err := strconv.Atoi(f)
		if err != nil || n <= last {
			m.fault("%.200s is not ascending", line)
		}
		last = n
	}
	if verb == "SEARCH" && last > len(m.msgs) {
		m.fault("%.200s of %d messages", line, len(m.msgs))
	}
}

// acknowledged checks what must be known when a command is done.
func (m *modelClient) acknowledged(verb, status string, gone map[messageID]bool, latest map[messageID]uint64) {
	if verb != "NOOP" && verb != "CHECK" || !strings.HasPrefix(status, "OK") {
		return
	}
	for _, msg := range m.msgs {
		id := messageID{m.validity, msg.uid}
		if msg.uid == 0 {
			continue
		}
		if gone[id] {
			m.fault("%s did not tell that UID %d is gone", verb, msg.uid)
		}
		if m.condstore && msg.modseq != 0 && msg.modseq < latest[id] {
			m.fault("%s left UID %d at mod-sequence %d, others changed it at %d", verb, msg.uid, msg.modseq, latest[id])
		}
	}
}

// number finds a number after a word.
func number(line, word string) (uint64, bool) {
	i := strings.Index(line, word)
	if i < 0 {
		return 0, false
	}
	rest := line[i+len(word):]
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.ParseUint(rest[:end], 10, 64)
	return n, err == nil
}

// between finds what stands between two words.
func between(line, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(line, before)
	if !ok {
		return "", false
	}
	found, _, ok := strings.Cut(rest, after)
	return found, ok
}
