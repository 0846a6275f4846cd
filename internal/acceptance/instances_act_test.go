package acceptance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"gadwall/internal/imapconn"
)

// instanceCrowd is how many messages INBOX has before clients rather remove some.
const instanceCrowd = 40

// An instanceActor is a client of one instance that changes the mailboxes.
type instanceActor struct {
	world    *instanceWorld
	server   *server
	id       int
	rng      *rand.Rand
	busy     sync.Mutex // held during a step
	conn     *imapconn.Conn
	selected string
	made     int
}

// run takes steps until the phase is over.
func (a *instanceActor) run() {
	w := a.world
	for {
		w.mu.Lock()
		over, shaken := w.stopped || len(w.faults) > 0, w.shakes(a.id)
		w.mu.Unlock()
		if over {
			return
		}
		a.server.awaitStart()
		a.busy.Lock()
		err := a.step()
		a.busy.Unlock()
		if err == nil {
			w.mu.Lock()
			w.acked++
			w.mu.Unlock()
			w.wake()
			continue
		}
		var refused *imapconn.StatusError
		switch {
		case errors.As(err, &refused):
			if !shaken || !strings.Contains(refused.Status, "[UNAVAILABLE]") {
				w.fault("client of instance %d: %v", a.id, err)
			}
		case !shaken:
			w.fault("client of instance %d: %v", a.id, err)
		default:
			a.hangUp()
		}
	}
}

func (a *instanceActor) hangUp() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

// step does one random thing.
func (a *instanceActor) step() error {
	if a.conn == nil {
		conn, err := imapconn.Login(a.server.imap, testUser, testPassword, ioTimeout)
		if err != nil {
			return err
		}
		a.conn, a.selected = conn, ""
	}
	acts := []func() error{a.append, a.append, a.append, a.flag, a.flag, a.flag, a.move, a.expunge, a.status}
	if a.world.crowded() {
		acts = append(acts, a.move, a.expunge, a.expunge, a.expunge)
	}
	return acts[a.rng.IntN(len(acts))]()
}

func (w *instanceWorld) crowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, m := range w.order {
		if m.isIn("INBOX") {
			n++
		}
	}
	return n > instanceCrowd
}

// told returns the marks.
func (w *instanceWorld) told() instanceMarks {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.marks
}

// identify notes which message has a UID of INBOX, and raises the mark.
func (w *instanceWorld) identify(uid uint32, token string) {
	w.mu.Lock()
	id := uidOf{w.validity, uid}
	before, known := w.tokens[id]
	w.tokens[id] = token
	w.marks.uid = max(w.marks.uid, uid)
	w.mu.Unlock()
	if known && before != token {
		w.fault("UID %d was %s and is %s", uid, before, token)
	}
}

// pick chooses a message that is in a mailbox for certain; alone means that nobody else may do
// anything with it meanwhile. nil is none.
func (a *instanceActor) pick(box string, alone bool) *instanceMail {
	w := a.world
	w.mu.Lock()
	defer w.mu.Unlock()
	var free []*instanceMail
	for _, m := range w.order {
		if m.isIn(box) && (m.holders == 0 || !alone && m.holders > 0) {
			free = append(free, m)
		}
	}
	if len(free) == 0 {
		return nil
	}
	m := free[a.rng.IntN(len(free))]
	if m.holders++; alone {
		m.holders = -1
	}
	return m
}

// release ends what pick began; know notes what was learnt.
func (a *instanceActor) release(m *instanceMail, know func()) {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	know()
	if m.holders--; m.holders < 0 {
		m.holders = 0
	}
}

func nothingLearnt() {}

// look selects a mailbox, asks what is new, and makes sure that the message is there.
func (a *instanceActor) look(box string, m *instanceMail) error {
	if a.selected != box {
		a.selected = ""
		if _, err := a.conn.Must("SELECT %s", box); err != nil {
			return err
		}
		a.selected = box
	} else if _, err := a.conn.Must("NOOP"); err != nil {
		return err
	}
	lines, err := a.conn.Must("UID FETCH %d (UID)", m.uid)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if strings.HasSuffix(line, fmt.Sprintf("FETCH (UID %d)", m.uid)) {
			return nil
		}
	}
	a.world.mu.Lock()
	shaken := a.world.shakes(a.id)
	a.world.mu.Unlock()
	if !shaken {
		a.world.fault("instance %d has no UID %d in %s, which was acknowledged", a.id, m.uid, box)
	}
	// NOOP succeeds also when the server could not look at the database: another session looks again.
	return errors.New("a message is not there yet")
}

func (a *instanceActor) append() error {
	w := a.world
	a.made++
	m := &instanceMail{token: fmt.Sprintf("m%d-%d", a.id, a.made), places: []string{"INBOX", ""}, holders: -1}
	for id := range m.keywords {
		m.keywords[id] = "off"
	}
	w.mu.Lock()
	w.mails[m.token], w.order = m, append(w.order, m)
	before := w.marks
	w.mu.Unlock()
	text := fmt.Sprintf("From: ada@example.com\r\nMessage-ID: <%s@example.com>\r\n\r\nmessage\r\n", m.token)
	_, status, err := a.conn.Do("APPEND INBOX {%d+}\r\n%s", len(text), text)
	if err == nil && !strings.HasPrefix(status, "OK") {
		err = &imapconn.StatusError{Command: "APPEND", Status: status}
	}
	if err != nil {
		a.release(m, nothingLearnt)
		return err
	}
	var validity, uid uint32
	if _, err := fmt.Sscanf(status, "OK [APPENDUID %d %d]", &validity, &uid); err != nil || validity != w.validity ||
		uid <= before.uid {
		w.fault("APPEND: %s, UID %d was told before", status, before.uid)
	}
	a.release(m, func() { m.places, m.uid = []string{"INBOX"}, uid })
	w.identify(uid, m.token)
	return nil
}

// flag changes the keyword of the instance, and a flag that all change.
func (a *instanceActor) flag() error {
	m := a.pick("INBOX", false)
	if m == nil {
		return a.append()
	}
	if err := a.look("INBOX", m); err != nil {
		a.release(m, nothingLearnt)
		return err
	}
	sign, set := "+", "on"
	if a.rng.IntN(3) == 0 {
		sign, set = "-", "off"
	}
	others := []string{"", ` \Seen`, ` \Flagged`}[a.rng.IntN(3)]
	_, err := a.conn.Must("UID STORE %d %sFLAGS.SILENT (%s%s)", m.uid, sign, instanceKeyword(a.id), others)
	if err != nil {
		set = ""
	}
	a.release(m, func() { m.keywords[a.id] = set })
	return err
}

func (a *instanceActor) move() error {
	from, to := "INBOX", "Away"
	if a.rng.IntN(3) == 0 {
		from, to = to, from
	}
	m := a.pick(from, true)
	if m == nil {
		return a.append()
	}
	if err := a.look(from, m); err != nil {
		a.release(m, nothingLearnt)
		return err
	}
	before := a.world.told()
	lines, err := a.conn.Must("UID MOVE %d %s", m.uid, to)
	if err != nil {
		a.release(m, func() { m.places = []string{from, to} })
		return err
	}
	var validity, source, uid uint32
	for _, line := range lines {
		_, _ = fmt.Sscanf(line, "* OK [COPYUID %d %d %d]", &validity, &source, &uid) // most lines are others
	}
	if source != m.uid || to == "INBOX" && (uid <= before.uid || validity != a.world.validity) {
		a.world.fault("UID MOVE %d: %q, UID %d was told before", m.uid, lines, before.uid)
	}
	a.release(m, func() { m.places, m.uid = []string{to}, uid })
	if to == "INBOX" {
		a.world.identify(uid, m.token)
	}
	return nil
}

func (a *instanceActor) expunge() error {
	m := a.pick("INBOX", true)
	if m == nil {
		return a.append()
	}
	err := a.look("INBOX", m)
	if err == nil {
		_, err = a.conn.Must(`UID STORE %d +FLAGS.SILENT (\Deleted)`, m.uid)
	}
	if err != nil {
		a.release(m, nothingLearnt)
		return err
	}
	if _, err := a.conn.Must("UID EXPUNGE %d", m.uid); err != nil {
		a.release(m, func() { m.places = []string{"INBOX", ""} })
		return err
	}
	a.release(m, func() { m.places = []string{""} })
	return nil
}

// status checks that an instance knows what clients of any instance were told.
func (a *instanceActor) status() error {
	before := a.world.told()
	lines, err := a.conn.Must("STATUS INBOX (UIDNEXT HIGHESTMODSEQ)")
	if err != nil {
		return err
	}
	for _, line := range lines {
		var next uint32
		var highest uint64
		if _, err := fmt.Sscanf(line, "* STATUS INBOX (UIDNEXT %d HIGHESTMODSEQ %d)", &next, &highest); err == nil &&
			(next <= before.uid || highest < before.modseq) {
			a.world.fault("instance %d: %s, but UID %d and MODSEQ %d were told before", a.id, line, before.uid,
				before.modseq)
		}
	}
	return nil
}
