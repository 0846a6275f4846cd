package imap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// modelSteps is how many steps a run of TestSessionsModel has at most; GADWALL_TEST_STEPS says
// otherwise. The flags of package rapid say how many runs there are (-rapid.checks), and which ones
// (-rapid.seed).
const modelSteps = 28

// sessionWorld is one run: clients of two instances, and the mailboxes of one user.
type sessionWorld struct {
	t       *rapid.T
	outer   testing.TB
	servers [2]*testServer
	relay   *modelRelay
	boxes   []*truthBox
	clients []*strictClient
	serial  int
	alone   bool // no pipeline: the model has all mod-sequences
}

// oneOf draws a number below n.
func (w *sessionWorld) oneOf(n int, label string) int {
	return rapid.IntRange(0, n-1).Draw(w.t,
		label)
}

// settle compares the mailboxes with the store.
func (w *sessionWorld) settle() {
	for _, b := range w.boxes {
		b.settle(w.t, w.servers[0].store)
	}
}

func (w *sessionWorld) newMail() string {
	w.serial++
	return tokenMail(tokenOf(w.serial)+".", w.oneOf(3, "size")*40)
}

// TestSessionsModel lets clients of two instances send random commands of all extensions to the same
// mailboxes, one after the other, while events between the instances come at once, late, or never.
// Each client knows only what it was told, and checks every answer: nothing is told that cannot be,
// every command does what the model does, and what a client knows after NOOP, after IDLE, or when
// it comes back with QRESYNC is what there is.
func TestSessionsModel(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	steps := setting(t, "GADWALL_TEST_STEPS", modelSteps)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		w.t = t
		w.begin(runs)
		defer w.end()
		for range rapid.IntRange(1, steps).Draw(t, "steps") {
			w.step()
		}
		w.quiesce()
	})
}

// newSessionWorld starts two instances on one database.
func newSessionWorld(t testing.TB) *sessionWorld {
	db := dbtest.Database(t)
	errs := &errorLog{t: t}
	log := slog.New(errs)
	w := &sessionWorld{outer: t, relay: &modelRelay{}}
	local := [2]events.Bus{events.NewLocal(), events.NewLocal()}
	var user *mailstore.User
	for i := range w.servers {
		bus := &modelBus{Bus: local[i], relay: w.relay, other: local[1-i]}
		st := storetest.Open(t, storetest.Options{Database: db, Bus: bus, Logger: log,
			RememberPasswords: time.Hour, MinRoll: 2}) // as if the mailboxes were large
		if user == nil {
			user = st.User(t, testUser)
		}
		accounts := testAccounts(t, st.Store, bus, log)
		s := &testServer{db: db, contents: st.Contents, bus: bus, accounts: accounts, user: user,
			errs: errs}
		w.servers[i] = s.serve(t, Options{
			Authenticator: testAuthenticator(accounts), Logger: log, Hostname: "mail.example.com",
			MaxMessageSize: 1 << 20}, st.Store)
	}
	w.relay.resync = func() {
		for _, bus := range local {
			_ = bus.Publish(context.Background(), events.Event{User: user.ID, Kind: events.Resync})
		}
	}
	return w
}

// strictKinds are what clients enable.
var strictKinds = [][]string{
	nil, {"CONDSTORE"}, {"QRESYNC"}, {"QRESYNC", "UIDONLY"}, {"UIDONLY"}, {"IMAP4rev2"},
	{"IMAP4rev2", "QRESYNC"},
	{"UTF8=ACCEPT"},
}

// begin makes mailboxes and clients.
func (w *sessionWorld) begin(run int) {
	w.relay.change("at once")
	w.boxes, w.clients, w.serial, w.alone = nil, nil, 0, true
	s := w.servers[0]
	for i := range 2 {
		box, err := s.store.CreateMailbox(context.Background(), s.user.ID,
			fmt.Sprintf("run%d/box%d", run, i),
			mailstore.CreateOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		w.boxes = append(w.boxes, &truthBox{path: box.Path, key: box.Key,
			validity: box.UIDValidity, next: box.UIDNext,
			highest: box.HighestModSeq, states: map[uint32][]truthState{},
			removed: map[uint32]uint64{}})
	}
	for range w.oneOf(6, "mails") {
		w.deliver(w.boxes[0])
	}
	for i := range 3 + w.oneOf(3, "clients") {
		m := &strictClient{w: w, at: i % 2, wants: strictKinds[w.oneOf(len(strictKinds), "kind")],
			compress: w.oneOf(5, "compress") == 4, notify: w.oneOf(5, "notify") == 4,
			memory: map[*truthBox]strictMemory{}}
		m.name = fmt.Sprintf("client %d %v", i, m.wants)
		if m.notify {
			m.name += " NOTIFY"
		}
		w.clients = append(w.clients, m)
		m.connect()
		m.selectBox(w.boxes[0])
	}
}

// end ends the sessions and deletes the mailboxes.
func (w *sessionWorld) end() {
	for _, m := range w.clients {
		if m.conn != nil {
			m.conn.Close()
		}
	}
	s := w.servers[0]
	for _, b := range w.boxes {
		if err := s.store.DeleteMailbox(context.Background(), s.user.ID, b.path); err != nil {
			w.outer.Error(err)
		}
	}
}

// deliver puts a message into a mailbox, from one of the instances.
func (w *sessionWorld) deliver(b *truthBox) {
	ctx := context.Background()
	mail := w.newMail()
	writer := w.servers[0].contents.NewWriter(ctx)
	defer writer.Abort(ctx)
	if _, err := io.WriteString(writer, mail); err != nil {
		w.t.Fatal(err)
	}
	stored, err := writer.Finish(ctx, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := w.servers[w.oneOf(2, "instance")].store.Deliver(ctx, stored,
		[]mailstore.Delivery{{Mailbox: b.key, Magic: stored.Magics[0]}})
	if err != nil || got[0].Err != nil {
		w.t.Fatal(err, got)
	}
	if uid := b.add(nil, mail); uid != got[0].UID {
		w.t.Fatalf("UID %d was delivered, want %d", got[0].UID, uid)
	}
	w.settle()
}

// strictActs are commands of a client with a selected mailbox, each as often as it stands here.
var strictActs = []func(*strictClient) *strictCommand{
	(*strictClient).noop, (*strictClient).look, (*strictClient).look, (*strictClient).look,
	(*strictClient).fetch, (*strictClient).fetch, (*strictClient).fetch,
	(*strictClient).store, (*strictClient).store, (*strictClient).store, (*strictClient).store,
	(*strictClient).expunge, (*strictClient).expunge, (*strictClient).transfer,
	(*strictClient).transfer,
	(*strictClient).append, (*strictClient).replace, (*strictClient).search, (*strictClient).search,
	(*strictClient).status, (*strictClient).changedSince, (*strictClient).context,
	(*strictClient).context,
	(*strictClient).sort, (*strictClient).partial, (*strictClient).multisearch,
	(*strictClient).rename,
}

// step lets something happen.
func (w *sessionWorld) step() {
	m := w.clients[w.oneOf(len(w.clients), "client")]
	if m.notify && m.idling == "" {
		// What is pushed may be on its way: the client cannot tell what comes before its command.
		m.run(m.noop())
	}
	switch what := w.oneOf(30, "what"); {
	case what == 29:
		w.relay.change([]string{"at once", "late", "never"}[w.oneOf(3, "relay")])
	case what == 28:
		w.deliver(w.boxes[w.oneOf(len(w.boxes), "box")])
	case m.idling != "":
		m.done()
	case what == 27:
		m.idle()
	case what == 26 && m.box != nil:
		m.close()
	case what == 25:
		w.t.Logf("%s: leaves", m.name)
		m.conn.Close()
		m.leave()
		m.connect()
	case what == 24 || m.box == nil:
		m.selectBox(w.boxes[w.oneOf(len(w.boxes), "box")])
	case what == 23 && w.oneOf(4, "journal") == 3:
		w.t.Logf("the journal ends")
		if _, err := w.servers[0].db.Collection("journal").DeleteMany(context.Background(),
			map[string]any{}); err != nil {
			w.t.Fatal(err)
		}
	case what >= 21:
		m.pipeline()
	default:
		if c := strictActs[w.oneOf(len(strictActs), "act")](m); c != nil {
			m.run(c)
		}
	}
}

// pipeline sends commands without waiting for answers. None has message numbers after one that may
// change them (RFC 3501 section 5.5).
func (m *strictClient) pipeline() {
	m.w.alone = false
	defer func() { m.w.alone = true }()
	var commands []*strictCommand
	if m.w.oneOf(3, "series") == 2 {
		commands = m.fetchSeries()
	}
	for range 2 + m.w.oneOf(3, "commands") {
		c := strictActs[m.w.oneOf(len(strictActs), "act")](m)
		if c == nil {
			continue
		}
		if first, _, _ := strings.Cut(c.text, " "); len(commands) > 0 && slices.Contains(
			[]string{"FETCH", "STORE", "SEARCH", "COPY", "MOVE", "REPLACE"}, first) {
			continue
		}
		commands = append(commands, c)
	}
	if len(commands) > 0 {
		m.run(commands...)
	}
}

// idle begins IDLE.
func (m *strictClient) idle() {
	m.n++
	m.idling = fmt.Sprintf("x%d", m.n)
	m.w.t.Logf("%s: %s IDLE", m.name, m.idling)
	if err := m.conn.Send(m.idling + " IDLE\r\n"); err != nil {
		m.fault("%v", err)
	}
	for c := (&strictCommand{text: "IDLE", verb: "IDLE"}); ; {
		line, err := m.conn.Response()
		if err != nil {
			m.fault("IDLE: %v", err)
		}
		if m.hear(c, line); strings.HasPrefix(line, "+") {
			return
		}
	}
}

// done ends IDLE: what happened meanwhile was told, if events arrived.
func (m *strictClient) done() {
	sure := !m.w.relay.owes()
	if err := m.conn.Send("DONE\r\n"); err != nil {
		m.fault("%v", err)
	}
	_, status := m.until(m.idling, &strictCommand{text: "IDLE", verb: "IDLE"})
	m.idling = ""
	if !strings.HasPrefix(status, "OK") {
		m.fault("IDLE: %s", status)
	}
	if sure {
		m.current("IDLE")
	}
	m.w.settle()
	m.compareHeard()
}

// close leaves the mailbox.
func (m *strictClient) close() {
	verb := []string{"CLOSE", "UNSELECT"}[m.w.oneOf(2, "verb")]
	c := &strictCommand{text: verb}
	c.end = func(_ []string, status string) {
		m.mustOK(c, status, true)
		if verb == "CLOSE" && !m.readOnly {
			gone := m.box.deleted(nil)
			m.box.remove(gone)
			m.msgs = slices.DeleteFunc(m.msgs,
				func(msg strictMessage) bool { return slices.Contains(gone, msg.uid) })
		}
		m.leave()
	}
	m.run(c)
}

// quiesce ends all that is under way. What clients know, and what a new one finds, is what there is.
func (w *sessionWorld) quiesce() {
	for _, m := range w.clients {
		if m.idling != "" {
			m.done()
		}
		m.run(m.noop())
	}
	last := &strictClient{w: w, name: "the last client", memory: map[*truthBox]strictMemory{}}
	w.clients = append(w.clients, last)
	last.connect()
	for _, b := range w.boxes {
		last.selectBox(b)
		if c := last.look(); c != nil {
			last.run(c)
		}
		last.current("FETCH")
		last.compareHeard()
	}
}
