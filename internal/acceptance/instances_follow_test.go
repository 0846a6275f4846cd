package acceptance

import (
	"fmt"
	"slices"
	"strings"

	"gadwall/imap/wire"
	"gadwall/internal/imapconn"
)

// An instanceFollower is a client that follows INBOX by IDLE, and knows it from untagged responses
// alone. It fetches messages that are new to it, and nothing again, unless its connection broke.
type instanceFollower struct {
	world   *instanceWorld
	server  *server
	id      int
	qresync bool // is told VANISHED instead of EXPUNGE (RFC 7162 section 3.2.10)

	conn  *imapconn.Conn // the world's mu guards it
	known string         // the messages, for the test; the world's mu guards it

	messages []instanceMessage // by sequence number
	highest  uint64            // HIGHESTMODSEQ of SELECT; 0 before
}

// run follows until the end.
func (f *instanceFollower) run() {
	w := f.world
	for {
		f.server.awaitStart()
		err := f.follow()
		w.mu.Lock()
		ended, shaken := w.ended, w.shakes(f.id)
		w.mu.Unlock()
		if ended {
			return
		}
		if !shaken {
			w.fault("the client that follows instance %d: %v", f.id, err)
			return
		}
	}
}

// follow is one session.
func (f *instanceFollower) follow() error {
	c, err := imapconn.Login(f.server.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	f.world.mu.Lock()
	f.conn = c
	ended := f.world.ended
	f.world.mu.Unlock()
	if ended {
		return nil
	}
	if err := f.open(c); err != nil {
		return err
	}
	for {
		f.publish()
		if err := f.idle(c); err != nil {
			return err
		}
		if err := f.fetch(c); err != nil {
			return err
		}
	}
}

// open selects INBOX and reads it anew.
func (f *instanceFollower) open(c *imapconn.Conn) error {
	if f.qresync {
		if _, err := c.Must("ENABLE QRESYNC"); err != nil {
			return err
		}
	}
	lines, err := c.Must("SELECT INBOX (CONDSTORE)")
	if err != nil {
		return err
	}
	f.messages = nil
	f.take(lines)
	return f.fetch(c)
}

// take takes in responses.
func (f *instanceFollower) take(lines []string) {
	for _, line := range lines {
		f.untagged(line)
	}
}

// isIncomplete reports whether the client does not know all of some message.
func (f *instanceFollower) isIncomplete() bool {
	return slices.ContainsFunc(f.messages, func(m instanceMessage) bool { return m.token == "" })
}

// fetch asks for messages of which the client knows only that they exist, also for those of which the
// answers tell.
func (f *instanceFollower) fetch(c *imapconn.Conn) error {
	for {
		first := slices.IndexFunc(f.messages, func(m instanceMessage) bool { return m.token == "" })
		if first < 0 {
			return nil
		}
		n := len(f.messages)
		lines, err := c.Must("FETCH %d:%d %s", first+1, n, instanceItems)
		f.take(lines)
		if err != nil || len(f.messages) == n {
			return err
		}
	}
}

// idle waits until there are messages to be fetched.
func (f *instanceFollower) idle(c *imapconn.Conn) error {
	tag, err := c.Begin("IDLE")
	if err != nil {
		return err
	}
	for told := false; !told || c.In.Buffered() > 0 || !f.isIncomplete(); {
		line, err := c.Response()
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "+") {
			continue
		}
		if strings.HasPrefix(line, tag) || strings.HasPrefix(line, "* BYE") {
			return fmt.Errorf("IDLE ended: %s", line)
		}
		f.untagged(line)
		f.publish()
		told = true
	}
	if err := c.Send("DONE\r\n"); err != nil {
		return err
	}
	lines, status, err := c.Finish(tag)
	f.take(lines)
	if err == nil && !strings.HasPrefix(status, "OK") {
		err = &imapconn.StatusError{Command: "IDLE", Status: status}
	}
	return err
}

// publish shows the test what the client knows.
func (f *instanceFollower) publish() {
	known := describeMessages(f.messages)
	f.world.mu.Lock()
	f.known = known
	f.world.mu.Unlock()
	f.world.wake()
}

// untagged takes in a response.
func (f *instanceFollower) untagged(line string) {
	var n int
	var word string
	if _, err := fmt.Sscanf(line, "* %d %s", &n, &word); err != nil {
		f.other(line)
		return
	}
	switch word {
	case "EXISTS":
		if n < len(f.messages) {
			f.world.fault("instance %d: %s of %d messages", f.id, line, len(f.messages))
		}
		for len(f.messages) < n {
			f.messages = append(f.messages, instanceMessage{})
		}
	case "EXPUNGE":
		if n < 1 || n > len(f.messages) || f.qresync {
			f.world.fault("instance %d: %s of %d messages", f.id, line, len(f.messages))
			return
		}
		f.messages = slices.Delete(f.messages, n-1, n)
	case "FETCH":
		_, m, err := parseInstanceFetch(line)
		if err != nil || n < 1 || n > len(f.messages) {
			f.world.fault("instance %d: %q of %d messages (%v)", f.id, line, len(f.messages), err)
			return
		}
		f.learn(n-1, m, line)
	}
}

// other takes in a response without a number.
func (f *instanceFollower) other(line string) {
	var v instanceView
	if v.status(line); v.highest > 0 {
		if v.highest < f.highest {
			f.world.fault("instance %d: HIGHESTMODSEQ was %d and is %d", f.id, f.highest, v.highest)
		}
		f.highest = v.highest
		f.world.reached(v.highest)
	}
	set, vanished := strings.CutPrefix(line, "* VANISHED ")
	if !vanished {
		return
	}
	set, earlier := strings.CutPrefix(set, "(EARLIER) ")
	for _, uid := range uidsOfSet(set) {
		i := slices.IndexFunc(f.messages, func(m instanceMessage) bool { return m.uid == uid })
		if i < 0 && !earlier {
			i = f.unknownAt(uid)
		}
		switch {
		case i >= 0:
			f.messages = slices.Delete(f.messages, i, i+1)
		case !earlier:
			f.world.fault("instance %d: %s, UID %d is not known", f.id, line, uid)
		}
	}
}

// unknownAt finds the place of a message of which the client knows only that it exists: between
// messages with lower and higher UIDs; -1 is none.
func (f *instanceFollower) unknownAt(uid uint32) int {
	at := -1
	for i, m := range f.messages {
		if m.uid > uid {
			break
		}
		if at = -1; m.uid == 0 {
			at = i
		}
	}
	return at
}

// uidsOfSet reads a set of UIDs.
func uidsOfSet(set string) (uids []uint32) {
	dec := wire.NewDecoder(strings.NewReader("a " + set + "\r\n"))
	if dec.Start() != nil {
		return nil
	}
	_, _ = dec.Tag()
	_ = dec.SP()
	s, err := dec.UIDSet()
	if err != nil {
		return nil
	}
	nums, _ := s.Nums()
	for _, n := range nums {
		uids = append(uids, uint32(n))
	}
	return uids
}

// reached raises the mark of mod-sequences.
func (w *instanceWorld) reached(modseq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks.modseq = max(w.marks.modseq, modseq)
}

// learn takes in what a FETCH response says of a message. Its UID is above that of the message
// before, its mod-sequence never falls, and its flags at a mod-sequence are those that all see.
func (f *instanceFollower) learn(i int, m instanceMessage, line string) {
	w, before := f.world, f.messages[i]
	if m.uid == 0 {
		m.uid = before.uid
	}
	if m.uid == 0 {
		return // nothing is known of which message it is: it will be fetched
	}
	if m.token == "" {
		m.token = before.token
	}
	switch {
	case before.uid != 0 && before.uid != m.uid:
		w.fault("instance %d: %q was UID %d", f.id, line, before.uid)
	case i > 0 && f.messages[i-1].uid >= m.uid:
		w.fault("instance %d: %q after UID %d", f.id, line, f.messages[i-1].uid)
	case m.modseq == 0, m.modseq < before.modseq:
		w.fault("instance %d: %q after MODSEQ %d", f.id, line, before.modseq)
	}
	f.messages[i] = m
	if m.token != "" {
		w.identify(m.uid, m.token)
	}
	state := instanceState{m.uid, m.modseq}
	w.mu.Lock()
	flags, known := w.states[state]
	w.states[state] = m.flags
	w.marks.modseq = max(w.marks.modseq, m.modseq)
	w.mu.Unlock()
	if known && flags != m.flags {
		w.fault("instance %d: %q, others saw (%s) at this mod-sequence", f.id, line, flags)
	}
}
