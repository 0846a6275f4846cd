package imap

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

// modelRounds is how many commands each client of TestConcurrentClients sends;
// GADWALL_TEST_ROUNDS says otherwise, and GADWALL_TEST_SEED what they are.
const modelRounds = 60

// TestConcurrentClients lets clients of two instances do all they can to the same mailboxes of one
// user, while mail is delivered. No client is ever told something that cannot be, what was told to
// be done is told to all, and in the end every message, counter and reference is accounted for.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	rounds, seed := setting(t, "GADWALL_TEST_ROUNDS", modelRounds), uint64(setting(t, "GADWALL_TEST_SEED", 1))
	srv := newTestServer(t)
	other := srv.secondServer(t)
	setup := srv.login(t)
	for _, box := range []string{"work", "work/sub", "scratch"} {
		setup.ok("CREATE %s", box)
	}
	w := newModelWorld()
	var clients, deliverers sync.WaitGroup
	var sessions []*modelClient
	const perServer = 4
	for i := range 2 * perServer {
		addr := srv.addr
		if i >= perServer {
			addr = other.addr
		}
		m, err := dialModel(w, addr, fmt.Sprintf("client %d", i), seed<<8|uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.conn.Close() })
		sessions = append(sessions, m)
		clients.Go(func() {
			if err := m.live(rounds); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	for i, store := range []*mailstore.Store{srv.store, other.store} {
		deliverers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := srv.deliverModel(w, store, rng); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(done)
	deliverers.Wait()

	for _, m := range sessions {
		if err := m.settle(); err != nil {
			t.Error(err)
		}
	}
	compareModels(t, srv, w, sessions)
	srv.recount(t)
	for i, f := range w.faults {
		if i == 20 {
			t.Errorf("and %d more", len(w.faults)-i)
			break
		}
		t.Error(f)
	}
	t.Logf("%d commands, %d messages, %d states of flags seen", 2*perServer*rounds, len(w.tokens), len(w.states))
}

// setting is a number from the environment.
func setting(t testing.TB, name string, otherwise int) int {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tokenMail is a message of a token.
func tokenMail(token string, size int) string {
	return "From: bob@example.com\r\nSubject: " + token + "\r\n\r\n" +
		strings.Repeat("All work and no play.\r\n", size/23+1)
}

// deliverModel delivers one message to INBOX.
func (s *testServer) deliverModel(w *modelWorld, store *mailstore.Store, rng *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	token := w.newToken(rng.IntN(2) == 0)
	writer := s.contents.NewWriter(ctx)
	defer writer.Abort(ctx)
	if _, err := io.WriteString(writer, tokenMail(token, rng.IntN(200))); err != nil {
		return err
	}
	stored, err := writer.Finish(ctx, 1)
	if err != nil {
		return err
	}
	inbox, err := store.MailboxByPath(ctx, s.user.ID, "INBOX")
	if err != nil {
		return err
	}
	got, err := store.Deliver(ctx, stored, []mailstore.Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
	if err != nil {
		return err
	}
	if got[0].Err != nil {
		return got[0].Err
	}
	w.added(token, messageID{got[0].UIDValidity, got[0].UID})
	return nil
}

// live sends random commands.
func (m *modelClient) live(rounds int) error {
	for range rounds {
		if m.bye { // its mailbox was deleted
			m.conn.Close()
			if err := m.connect(); err != nil {
				return err
			}
		}
		if m.box == "" {
			if err := m.selectBox(); err != nil {
				return err
			}
			continue
		}
		if err := m.act(); err != nil {
			return err
		}
	}
	return nil
}

// modelBoxes are where messages live that must not be lost; scratch is deleted now and then.
var modelBoxes = []string{"INBOX", "work", "work/sub", "Archive"}

func (m *modelClient) selectBox() error {
	m.world.mu.Lock()
	m.highestBefore, m.nextBefore = maps.Clone(m.world.highest), maps.Clone(m.world.next)
	m.world.mu.Unlock()
	box := "scratch"
	if m.rng.IntN(8) > 0 {
		box = modelBoxes[m.rng.IntN(len(modelBoxes))]
	}
	m.box, m.msgs, m.lastUID, m.readOnly = box, nil, 0, m.rng.IntN(10) == 0
	verb := "SELECT"
	if m.readOnly {
		verb = "EXAMINE"
	}
	status, err := m.run("%s %s", verb, box)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "OK") {
		m.box = ""
		return nil
	}
	if uint64(m.nextBefore[m.validity]) > m.uidNext {
		m.fault("UIDNEXT %d, but UID %d was given", m.uidNext, m.nextBefore[m.validity]-1)
	}
	return m.look()
}

// look learns UIDs, flags and tokens of all messages.
func (m *modelClient) look() error {
	if len(m.msgs) == 0 {
		return nil
	}
	_, err := m.run("FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
	return err
}

// settle brings a client up to date.
func (m *modelClient) settle() error {
	if m.bye || m.box == "" {
		m.box = ""
		return nil
	}
	_, err := m.run("NOOP")
	return err
}

// compareModels compares what the clients know with what is there, and counts what must not be
// lost.
func compareModels(t *testing.T, srv *testServer, w *modelWorld, sessions []*modelClient) {
	truth, err := dialModel(w, srv.addr, "the last client", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer truth.conn.Close()
	copies := make(map[string]int)
	boxes, err := srv.store.Mailboxes(t.Context(), srv.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		truth.box, truth.msgs = box.Path, nil
		if _, err := truth.run("EXAMINE %s", box.Path); err != nil {
			t.Fatal(err)
		}
		if err := truth.look(); err != nil {
			t.Fatal(err)
		}
		for i, msg := range truth.msgs {
			if msg.uid == 0 || msg.token == "" {
				t.Errorf("%s: message %d was not fetched: %+v", box.Path, i+1, msg)
			}
			copies[msg.token]++
		}
		for _, m := range sessions {
			if m.box != "" && m.validity == truth.validity {
				m.compare(truth.msgs)
			}
		}
	}
	for token, n := range w.copies {
		if got := copies[token]; keeper(token) && got != n {
			t.Errorf("message %s is there %d times, want %d", token, got, n)
		}
	}
}

// compare says where the client is wrong, who has just asked for changes.
func (m *modelClient) compare(want []modelMessage) {
	if len(m.msgs) != len(want) {
		m.fault("knows of %d messages, there are %d", len(m.msgs), len(want))
		return
	}
	for i, msg := range m.msgs {
		switch {
		case msg.uid != 0 && msg.uid != want[i].uid:
			m.fault("message %d is UID %d, not %d", i+1, want[i].uid, msg.uid)
		case msg.token != "" && msg.token != want[i].token:
			m.fault("UID %d is %s, not %s", msg.uid, want[i].token, msg.token)
		case msg.flags != nil && !slices.Equal(msg.flags, want[i].flags):
			m.fault("UID %d has flags %v at mod-sequence %d, the client knows %v at %d",
				want[i].uid, want[i].flags, want[i].modseq, msg.flags, msg.modseq)
		}
	}
}

// recount compares counters, quota and reference counts with the messages.
func (s *testServer) recount(t *testing.T) {
	ctx := t.Context()
	boxes, err := s.store.Mailboxes(ctx, s.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	type references struct{ refs, magic int64 }
	want := make(map[contents.ID]references)
	for _, box := range boxes {
		actual, recorded, err := s.store.Recount(ctx, box.Key, false)
		if err != nil {
			t.Fatal(err)
		}
		if actual != recorded {
			t.Errorf("%s: %+v recorded, %+v there", box.Path, recorded, actual)
		}
		for msg, err := range s.store.Messages(ctx, box.Key, mailstore.Query{}, mailstore.FieldContent) {
			if err != nil {
				t.Fatal(err)
			}
			r := want[msg.Content]
			want[msg.Content] = references{r.refs + 1, r.magic + int64(msg.Magic)}
		}
	}
	if diff, err := s.store.RecalculateQuota(ctx, s.user.ID); err != nil || diff.Bytes != 0 || diff.Messages != 0 {
		t.Errorf("quota was off by %+v, %v", diff, err)
	}
	cursor, err := s.db.Collection("contents").Find(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID          bson.Binary `bson:"_id"`
		Refs, Magic int64
	}
	if err := cursor.All(ctx, &docs); err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		id := contents.ID(d.ID.Data)
		if got := (references{d.Refs, d.Magic}); got != want[id] {
			t.Errorf("content %s has %+v, want %+v", id, got, want[id])
		}
		delete(want, id)
	}
	for id := range want {
		t.Errorf("content %s is gone", id)
	}
}

// secondServer serves the same database as another instance whose events do not arrive at the
// first.
func (s *testServer) secondServer(t *testing.T) *testServer {
	store := s.otherInstance(t)
	opts := s.opts
	opts.Authenticator = testAuthenticator(testAccounts(t, store, s.bus, s.log))
	return s.serve(t, opts, store)
}
