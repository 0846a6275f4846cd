package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/internal/imapconn"
)

// instanceBoxes are the mailboxes of TestInstances: the one that is followed, and another for moves.
var instanceBoxes = []string{"INBOX", "Away"}

// instanceItems is what clients fetch of each message.
const instanceItems = "(UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"

// instanceMessage is a message as a client sees it.
type instanceMessage struct {
	uid    uint32 // 0: not known yet
	modseq uint64
	flags  string // sorted
	token  string // of its Message-ID
}

// instanceView is a mailbox as a client sees it that has just selected it.
type instanceView struct {
	validity, uidNext uint32
	highest           uint64
	messages          []instanceMessage
}

// instanceState is a message at a mod-sequence; its flags are the same for everybody.
type instanceState struct {
	uid    uint32
	modseq uint64
}

// instanceMail is what has been acknowledged about a message. One place is certain; with several, a
// command that was not answered may have been done or not.
type instanceMail struct {
	token  string
	places []string // mailboxes; "" is none
	uid    uint32   // if one place is certain
	// keywords says by instance whether its keyword is set: "on", "off", or "" if that is not known.
	// Only the client of the instance changes it.
	keywords [instanceCount]string
	holders  int // clients that have a command about it under way; -1 is one that takes it away
}

func (m *instanceMail) isIn(box string) bool { return len(m.places) == 1 && m.places[0] == box }

func instanceKeyword(id int) string { return fmt.Sprintf("instance%d", id) }

// instanceWorld is what the clients know together.
type instanceWorld struct {
	t         *testing.T
	d         *instanceDeployment
	validity  uint32 // of INBOX
	actors    []*instanceActor
	followers []*instanceFollower
	following sync.WaitGroup
	changed   chan struct{} // wakes the test: something below has changed

	mu      sync.Mutex
	phase   instancePhase
	stopped bool // clients that act stop
	ended   bool // all stop
	acked   int
	mails   map[string]*instanceMail
	order   []*instanceMail
	tokens  map[uidOf]string
	states  map[instanceState]string
	marks   instanceMarks
	faults  []string
}

// instanceMarks are the highest UID and mod-sequence of INBOX of which any client was told.
type instanceMarks struct {
	uid    uint32
	modseq uint64
}

// shakes reports whether clients of the instance may lose their connections. mu is held.
func (w *instanceWorld) shakes(id int) bool { return slices.Contains(w.phase.shaken, id) }

// fault notes what must not be.
func (w *instanceWorld) fault(format string, args ...any) {
	w.mu.Lock()
	w.faults = append(w.faults, w.phase.name+": "+fmt.Sprintf(format, args...))
	w.mu.Unlock()
	w.wake()
}

func (w *instanceWorld) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// await waits until done, or until there is a fault. It calls done with mu held.
func (w *instanceWorld) await(done func() bool) bool {
	deadline := time.NewTimer(instanceWait)
	defer deadline.Stop()
	for {
		w.mu.Lock()
		ok, faulty := done(), len(w.faults) > 0
		w.mu.Unlock()
		if ok || faulty {
			return ok
		}
		select {
		case <-w.changed:
		case <-deadline.C:
			return false
		}
	}
}

// act lets the clients work, and disturbs them in the meantime.
func (w *instanceWorld) act(phase instancePhase) {
	w.mu.Lock()
	w.phase, w.stopped, w.acked = phase, false, 0
	w.mu.Unlock()
	var acting sync.WaitGroup
	for _, a := range w.actors {
		acting.Go(a.run)
	}
	acted := func(n int) {
		if !w.await(func() bool { return w.acked >= n }) {
			w.fault("no %d commands within %v", n, instanceWait)
		}
	}
	switch {
	case phase.disturb == nil && w.d.duration > 0:
		<-time.After(w.d.duration)
	case phase.disturb == nil:
		acted(2 * instanceActs)
	default:
		acted(instanceActs / 3)
		phase.disturb()
		begun := w.count()
		switch {
		case w.d.duration > 0:
			<-time.After(w.d.duration / 3)
		case phase.name == outOfReach:
			<-time.After(instanceOutage)
		default:
			acted(begun + instanceActs/3)
		}
		phase.heal()
		acted(w.count() + instanceActs/3)
	}
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	acting.Wait()
}

func (w *instanceWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// killInstance ends an instance with SIGKILL and starts it again: amid a command of its client, or
// between two of them. In the first case the database may keep a transaction of the dead one for a
// minute and a half, for which the others wait.
func (w *instanceWorld) killInstance(id int, amid bool) {
	a := w.actors[id]
	if !amid {
		a.busy.Lock()
		defer a.busy.Unlock()
	}
	a.server.restart(w.t, func() {})
}

// cutDatabase takes the database out of reach of all instances: amid commands, or between them. In
// the first case the database may keep transactions as after killInstance.
func (w *instanceWorld) cutDatabase(amid bool) {
	if !amid {
		for _, a := range w.actors {
			a.busy.Lock()
			defer a.busy.Unlock()
		}
	}
	w.d.toDatabase.SetDown(true)
}

// report fails the test if there are faults.
func (w *instanceWorld) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, f := range w.faults {
		if i == 20 {
			w.t.Errorf("and %d more", len(w.faults)-i)
			break
		}
		w.t.Error(f)
	}
}

// end ends the clients.
func (w *instanceWorld) end() {
	w.mu.Lock()
	w.ended, w.stopped = true, true
	for _, f := range w.followers {
		if f.conn != nil {
			f.conn.Close()
		}
	}
	w.mu.Unlock()
	w.following.Wait()
	for _, a := range w.actors {
		a.hangUp()
	}
}

// settle waits until all clients see the same, and compares it with what was acknowledged.
func (w *instanceWorld) settle() {
	var first map[string]*instanceView
	for deadline := time.Now().Add(instanceWait); ; {
		var differ string
		first, differ = w.compare()
		if differ == "" {
			break
		}
		w.mu.Lock()
		shaken := len(w.phase.shaken) > 0
		w.mu.Unlock()
		if !shaken || time.Now().After(deadline) {
			w.fault("instances differ: %s", differ)
			return
		}
		select { // a change, or after a while a change that nobody follows
		case <-w.changed:
		case <-time.After(100 * time.Millisecond):
		}
	}
	w.checkAcknowledged(first)
	want := describeMessages(first["INBOX"].messages)
	for _, f := range w.followers {
		if !w.await(func() bool { return f.known == want }) {
			w.mu.Lock()
			known := f.known
			w.mu.Unlock()
			w.fault("the client that follows instance %d knows\n%s\nwant\n%s", f.id, known, want)
		}
	}
}

// compare selects the mailboxes anew at each instance.
func (w *instanceWorld) compare() (first map[string]*instanceView, differ string) {
	for id, s := range w.d.servers {
		seen, err := w.fresh(s)
		if err != nil {
			return nil, fmt.Sprintf("instance %d: %v", id, err)
		}
		if first == nil {
			first = seen
			continue
		}
		for _, box := range instanceBoxes {
			if a, b := first[box].String(), seen[box].String(); a != b {
				return nil, fmt.Sprintf("%s at instance 0:\n%s\nat instance %d:\n%s", box, a, id, b)
			}
		}
	}
	return first, ""
}

// String tells all of a view.
func (v *instanceView) String() string {
	return fmt.Sprintf("UIDVALIDITY %d UIDNEXT %d HIGHESTMODSEQ %d\n%s", v.validity, v.uidNext, v.highest,
		describeMessages(v.messages))
}

func describeMessages(list []instanceMessage) string {
	var b strings.Builder
	for i, m := range list {
		fmt.Fprintf(&b, "%d: UID %d MODSEQ %d %s (%s)\n", i+1, m.uid, m.modseq, m.token, m.flags)
	}
	return b.String()
}

// fresh reads the mailboxes over a new connection.
func (w *instanceWorld) fresh(s *server) (map[string]*instanceView, error) {
	c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	seen := make(map[string]*instanceView)
	for _, box := range instanceBoxes {
		if seen[box], err = examine(c, box); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func examine(c *imapconn.Conn, box string) (*instanceView, error) {
	lines, err := c.Must("EXAMINE %s (CONDSTORE)", box)
	if err != nil {
		return nil, err
	}
	v := &instanceView{}
	for _, line := range lines {
		v.status(line)
	}
	if lines, err = c.Must("UID FETCH 1:* %s", instanceItems); err != nil {
		return nil, err
	}
	for _, line := range lines {
		if !strings.Contains(line, " FETCH (") {
			continue
		}
		n, m, err := parseInstanceFetch(line)
		if err != nil {
			return nil, err
		}
		if n != len(v.messages)+1 || m.uid >= v.uidNext || m.modseq > v.highest ||
			n > 1 && m.uid <= v.messages[n-2].uid {
			return nil, fmt.Errorf("%s: %q out of order", box, line)
		}
		v.messages = append(v.messages, m)
	}
	return v, nil
}

// status takes in what SELECT tells.
func (v *instanceView) status(line string) {
	// Most lines are others.
	_, _ = fmt.Sscanf(line, "* OK [UIDVALIDITY %d]", &v.validity)
	_, _ = fmt.Sscanf(line, "* OK [UIDNEXT %d]", &v.uidNext)
	_, _ = fmt.Sscanf(line, "* OK [HIGHESTMODSEQ %d]", &v.highest)
}

// parseInstanceFetch reads a FETCH response; what it does not have stays empty.
func parseInstanceFetch(line string) (n int, m instanceMessage, err error) {
	if _, err := fmt.Sscanf(line, "* %d FETCH (", &n); err != nil {
		return 0, m, fmt.Errorf("%q: %w", line, err)
	}
	for _, item := range []struct {
		name string
		into any
	}{{"(UID ", &m.uid}, {" UID ", &m.uid}, {"MODSEQ (", &m.modseq}} {
		if _, rest, ok := strings.Cut(line, item.name); ok {
			if _, err := fmt.Sscan(strings.SplitN(rest, ")", 2)[0], item.into); err != nil {
				return 0, m, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	if _, rest, ok := strings.Cut(line, "FLAGS ("); ok {
		list, _, _ := strings.Cut(rest, ")")
		flags := strings.Fields(list)
		slices.Sort(flags)
		m.flags = strings.Join(flags, " ")
	}
	if _, rest, ok := strings.Cut(line, "Message-ID: <"); ok {
		m.token, _, _ = strings.Cut(rest, "@")
	}
	return n, m, nil
}

// checkAcknowledged compares what is there with what was acknowledged. What was not certain is
// certain then.
func (w *instanceWorld) checkAcknowledged(seen map[string]*instanceView) {
	found := make(map[string][]string)
	for box, v := range seen {
		for _, m := range v.messages {
			found[m.token] = append(found[m.token], box)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong := func(format string, args ...any) {
		w.faults = append(w.faults, w.phase.name+": "+fmt.Sprintf(format, args...))
	}
	for token := range found {
		if w.mails[token] == nil {
			wrong("nobody sent message %q", token)
		}
	}
	for _, mail := range w.order {
		place := ""
		if boxes := found[mail.token]; len(boxes) > 1 {
			wrong("message %s is in %v", mail.token, boxes)
		} else if len(boxes) == 1 {
			place = boxes[0]
		}
		if !slices.Contains(mail.places, place) {
			wrong("message %s is in %q, want one of %q", mail.token, place, mail.places)
			continue
		}
		certain := len(mail.places) == 1
		mail.places, mail.holders = []string{place}, 0
		if place == "" {
			continue
		}
		i := slices.IndexFunc(seen[place].messages, func(m instanceMessage) bool { return m.token == mail.token })
		m := seen[place].messages[i]
		if certain && mail.uid != m.uid {
			wrong("message %s is UID %d of %s, was %d", mail.token, m.uid, place, mail.uid)
		}
		mail.uid = m.uid
		for id := range mail.keywords {
			set := "off"
			if slices.Contains(strings.Fields(m.flags), instanceKeyword(id)) {
				set = "on"
			}
			if known := mail.keywords[id]; known != "" && known != set {
				wrong("message %s: %s is %s, acknowledged was %s", mail.token, instanceKeyword(id), set, known)
			}
			mail.keywords[id] = set
		}
	}
}
