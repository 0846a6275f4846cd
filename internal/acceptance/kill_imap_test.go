package acceptance

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/contents"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

const (
	// killSessionCount is how often TestKillSessions ends the server; GADWALL_TEST_KILLS says
	// otherwise.
	killSessionCount = 30
	killClients      = 6
)

// TestKillSessions ends the server with SIGKILL again and again while clients append, copy, move,
// flag and expunge messages and create, rename and delete mailboxes. What was acknowledged must be
// so after the restart; the command that was cut off is done as a whole or not at all; no UID is
// given twice, and counters, quota and references are right in the end.
func TestKillSessions(t *testing.T) {
	kills := killTimes(t, killSessionCount)
	s := startServer(t)
	ack := make(chan struct{}, killClients)
	done := make(chan struct{})
	var clients sync.WaitGroup
	end := sync.OnceFunc(func() { close(done); clients.Wait() })
	defer end() // also when the test fails
	world, owners := newKillClients(s, 3)
	for _, c := range owners {
		clients.Go(func() { c.run(t, ack, done) })
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for range kills {
		for range 1 + rng.IntN(3*killClients) {
			awaitAck(t, ack)
		}
		s.restart(t, func() {})
	}
	end()
	commands := 0
	for _, c := range owners {
		commands += c.acked
		c.checkAnew(t)
	}
	s.checkAccounts(t)
	t.Logf("%d kills, %d commands acknowledged, %d messages", kills, commands, len(world.tokens))
}

// newKillClients returns clients that have not begun.
func newKillClients(s *server, seed uint64) (*killWorld, []*killClient) {
	world := &killWorld{tokens: map[uidOf]string{}}
	clients := make([]*killClient, killClients)
	for id := range clients {
		clients[id] = &killClient{
			world: world, server: s, id: id, rng: rand.New(rand.NewPCG(seed, uint64(id))),
			boxes: map[string][]killMessage{"INBOX": nil},
		}
	}
	return world, clients
}

// killWorld is the knowledge that all clients share: a UID belongs to one message for ever.
type killWorld struct {
	mu     sync.Mutex
	tokens map[uidOf]string
}

type uidOf struct{ validity, uid uint32 }

// identify notes which message has a UID.
func (w *killWorld) identify(id uidOf, token string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.tokens[id]; ok && before != token {
		return fmt.Errorf("UID %d of UIDVALIDITY %d was %s and is %s", id.uid, id.validity, before, token)
	}
	w.tokens[id] = token
	return nil
}

// killMessage is a message that a client knows. Its UID is not compared, because its place does not
// matter.
type killMessage struct {
	token string
	flags string
	uid   uint32
}

// killClient owns messages, some of them in INBOX beside those of others, and mailboxes below "cN".
// It alone changes them, so it knows exactly what must be there.
type killClient struct {
	world  *killWorld
	server *server
	id     int
	rng    *rand.Rand
	conn   *imapconn.Conn
	acked  int
	made   int

	boxes map[string][]killMessage
	// after is the state of boxes if the command under way is done; nil without a command.
	after map[string][]killMessage
}

var errRefused = errors.New("refused")

// run sends commands until done, whatever happens to the server.
func (c *killClient) run(t *testing.T, ack chan<- struct{}, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if c.conn == nil {
			c.server.awaitStart()
			conn, err := imapconn.Login(c.server.imap, testUser, testPassword, ioTimeout)
			if err != nil {
				continue // the server is down just now
			}
			c.conn = conn
			if err := c.check(); err != nil && !c.lost(err) {
				t.Errorf("client %d: %v", c.id, err)
				return
			}
			continue
		}
		if err := c.act(); err != nil {
			if c.lost(err) {
				continue
			}
			t.Errorf("client %d: %v", c.id, err)
			return
		}
		c.acked++
		select {
		case ack <- struct{}{}:
		case <-done:
			return
		}
	}
}

// lost reports whether an error is that of the connection, which then is closed.
func (c *killClient) lost(err error) bool {
	if errors.Is(err, errRefused) {
		return false
	}
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	return true
}

// command sends a command that must be OK; the boxes then are as after says.
func (c *killClient) command(format string, args ...any) (untagged []string, status string, err error) {
	untagged, status, err = c.conn.Do(format, args...)
	if err != nil {
		return nil, "", err
	}
	if !strings.HasPrefix(status, "OK") {
		return nil, "", fmt.Errorf("%w: %.100s: %s", errRefused, fmt.Sprintf(format, args...), status)
	}
	return untagged, status, nil
}

// commit sends the command that leads to after.
func (c *killClient) commit(after map[string][]killMessage, format string, args ...any) error {
	c.after = after
	_, _, err := c.command(format, args...)
	if err == nil {
		c.boxes, c.after = after, nil
	}
	return err
}

// list reads the client's messages of a mailbox, which stays selected.
func (c *killClient) list(box string) ([]killMessage, error) {
	untagged, _, err := c.command("SELECT %s", box)
	if err != nil {
		return nil, err
	}
	var validity, next uint32
	for _, line := range untagged {
		fmt.Sscanf(line, "* OK [UIDVALIDITY %d]", &validity) // most lines are others
		fmt.Sscanf(line, "* OK [UIDNEXT %d]", &next)
	}
	untagged, _, err = c.command("FETCH 1:* (UID FLAGS BODY.PEEK[])")
	if err != nil && !errors.Is(err, errRefused) { // refused when there are none
		return nil, err
	}
	var found []killMessage
	for _, line := range untagged {
		if !strings.Contains(line, "BODY[]") {
			continue // others are at work in INBOX, too
		}
		m, err := parseKillMessage(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errRefused, box, err)
		}
		if m.uid >= next {
			return nil, fmt.Errorf("%w: %s: UID %d, UIDNEXT %d", errRefused, box, m.uid, next)
		}
		if err := c.world.identify(uidOf{validity, m.uid}, m.token); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errRefused, box, err)
		}
		if strings.HasPrefix(m.token, fmt.Sprintf("%d-", c.id)) {
			found = append(found, m)
		}
	}
	return found, nil
}

// killLine returns the line before the literal, which may be large.
var killLine = regexp.MustCompile(`^\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) BODY\[\] \{\d+$`)

func parseKillMessage(line string) (m killMessage, err error) {
	head, body, _ := strings.Cut(line, "}\r\n")
	match := killLine.FindStringSubmatch(head)
	body, closed := strings.CutSuffix(body, ")")
	if match == nil || !closed {
		return m, fmt.Errorf("not understood: %.200q", line)
	}
	uid, err := strconv.ParseUint(match[1], 10, 32)
	if err != nil {
		return m, err
	}
	flags := strings.Fields(match[2])
	slices.Sort(flags)
	token, err := unseal([]byte(body))
	return killMessage{token, strings.Join(flags, " "), uint32(uid)}, err
}

// checkAnew compares the state over a new connection: the old one may belong to a server that is
// gone.
func (c *killClient) checkAnew(t *testing.T) {
	t.Helper()
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	if err := c.check(); err != nil {
		t.Errorf("client %d: %v", c.id, err)
	}
	if c.conn != nil {
		c.conn.Close()
	}
}

// check compares the server's state with the client's: before or after the command that was cut
// off.
func (c *killClient) check() error {
	if c.conn == nil {
		conn, err := imapconn.Login(c.server.imap, testUser, testPassword, ioTimeout)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	untagged, _, err := c.command(`LIST "" "c%d/*"`, c.id)
	if err != nil {
		return err
	}
	names := []string{"INBOX"}
	for _, line := range untagged {
		if !strings.Contains(line, `\Noselect`) && !strings.Contains(line, `\NonExistent`) {
			names = append(names, strings.Trim(line[strings.LastIndexByte(line, ' ')+1:], `"`))
		}
	}
	found := make(map[string][]killMessage)
	for _, name := range names {
		if found[name], err = c.list(name); err != nil {
			return err
		}
	}
	switch {
	case sameBoxes(found, c.boxes):
	case c.after != nil && sameBoxes(found, c.after):
	default:
		return fmt.Errorf("%w: there is\n%v\nwant\n%v\nor, if the last command was done,\n%v",
			errRefused, describe(found), describe(c.boxes), describe(c.after))
	}
	c.boxes, c.after = found, nil
	return nil
}

// sameBoxes compares mailboxes and the messages in them, but not their UIDs.
func sameBoxes(a, b map[string][]killMessage) bool { return describe(a) == describe(b) }

func describe(boxes map[string][]killMessage) string {
	var lines []string
	for name, list := range boxes {
		var messages []string
		for _, m := range list {
			messages = append(messages, m.token+"("+m.flags+")")
		}
		slices.Sort(messages)
		lines = append(lines, name+": "+strings.Join(messages, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// act does one random thing.
func (c *killClient) act() error {
	names := slices.Sorted(maps.Keys(c.boxes))
	box := names[c.rng.IntN(len(names))]
	switch c.rng.IntN(10) {
	case 0, 1, 2:
		return c.append(box)
	case 3, 4, 5:
		return c.transfer(box, names[c.rng.IntN(len(names))])
	case 6:
		return c.flag(box)
	case 7:
		return c.expunge(box)
	default:
		return c.manage(names)
	}
}

// clone copies the client's knowledge for a change.
func (c *killClient) clone() map[string][]killMessage {
	boxes := maps.Clone(c.boxes)
	for name := range boxes {
		boxes[name] = slices.Clone(boxes[name])
	}
	return boxes
}

func (c *killClient) append(box string) error {
	after := c.clone()
	command := "APPEND " + box
	for range 1 + c.rng.IntN(3) {
		c.made++
		token := fmt.Sprintf("%d-%d", c.id, c.made)
		msg := sealed(token, c.rng)
		command += fmt.Sprintf(" (\\Seen) {%d+}\r\n%s", len(msg), msg)
		after[box] = append(after[box], killMessage{token: token, flags: `\Seen`})
	}
	return c.commit(after, "%s", command)
}

// some selects the mailbox and some of the client's messages in it.
func (c *killClient) some(box string) (uids string, chosen []killMessage, err error) {
	list, err := c.list(box)
	if err != nil {
		return "", nil, err
	}
	var set []string
	for _, m := range list {
		if c.rng.IntN(3) > 0 {
			set, chosen = append(set, strconv.Itoa(int(m.uid))), append(chosen, m)
		}
	}
	return strings.Join(set, ","), chosen, nil
}

// without removes the chosen messages from a mailbox, each once.
func without(list, chosen []killMessage) []killMessage {
	list = slices.Clone(list)
	for _, m := range chosen {
		if i := slices.IndexFunc(list, func(o killMessage) bool {
			return o.token == m.token &&
				o.flags == m.flags
		}); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	return list
}

func (c *killClient) transfer(from, to string) error {
	uids, chosen, err := c.some(from)
	if err != nil || len(chosen) == 0 {
		return err
	}
	after := c.clone()
	verb := "MOVE"
	if len(chosen) < 20 && c.rng.IntN(3) == 0 {
		verb = "COPY"
	} else {
		after[from] = without(after[from], chosen)
	}
	after[to] = append(after[to], chosen...)
	return c.commit(after, "UID %s %s %s", verb, uids, to)
}

func (c *killClient) flag(box string) error {
	uids, chosen, err := c.some(box)
	if err != nil || len(chosen) == 0 {
		return err
	}
	flags := []string{``, `\Flagged`, `\Deleted \Seen`, `\Deleted`, `\Answered work`}[c.rng.IntN(5)]
	after := c.clone()
	after[box] = without(after[box], chosen)
	for _, m := range chosen {
		after[box] = append(after[box], killMessage{token: m.token, flags: flags})
	}
	return c.commit(after, "UID STORE %s FLAGS.SILENT (%s)", uids, flags)
}

func (c *killClient) expunge(box string) error {
	uids, chosen, err := c.some(box)
	if err != nil || len(chosen) == 0 {
		return err
	}
	after := c.clone()
	after[box] = without(after[box],
		slices.DeleteFunc(chosen, func(m killMessage) bool { return !strings.Contains(m.flags, `\Deleted`) }))
	return c.commit(after, "UID EXPUNGE %s", uids)
}

// manage changes the list of the client's own mailboxes.
func (c *killClient) manage(names []string) error {
	own := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "INBOX" })
	after := c.clone()
	if len(own) < 3 {
		name := fmt.Sprintf("c%d/%d", c.id, c.rng.IntN(1000))
		if _, ok := after[name]; ok {
			return nil
		}
		after[name] = nil
		return c.commit(after, "CREATE %s", name)
	}
	name := own[c.rng.IntN(len(own))]
	if c.rng.IntN(2) == 0 {
		delete(after, name)
		return c.commit(after, "DELETE %s", name)
	}
	to := fmt.Sprintf("c%d/%d", c.id, 1000+c.rng.IntN(1000))
	if _, ok := after[to]; ok {
		return nil
	}
	after[to] = after[name]
	delete(after, name)
	return c.commit(after, "RENAME %s %s", name, to)
}

// checkAccounts compares counters, quota and the reference counts of contents with the messages. A
// crash may leave references too many, never too few.
func (s *server) checkAccounts(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	db := s.database(t)
	store := openStore(t, db)
	user, err := store.UserByName(ctx, testUser)
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := store.Mailboxes(ctx, user.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[contents.ID]int64)
	for _, box := range boxes {
		actual, recorded, err := store.Recount(ctx, box.Key, false)
		if err != nil {
			t.Fatal(err)
		}
		if actual != recorded {
			t.Errorf("%s: %+v recorded, %+v there", box.Path, recorded, actual)
		}
		for m, err := range store.Messages(ctx, box.Key, mailstore.Query{}, mailstore.FieldContent) {
			if err != nil {
				t.Fatal(err)
			}
			want[m.Content]++
		}
	}
	if diff, err := store.RecalculateQuota(ctx, user.ID); err != nil || diff != (quota.Usage{}) {
		t.Errorf("quota was off by %+v, %v", diff, err)
	}
	for id, n := range want {
		var doc struct{ Refs int64 }
		if err := db.Collection("contents").FindOne(ctx,
			bson.D{{Key: "_id", Value: bson.Binary{Data: id[:]}}}).Decode(&doc); err != nil || doc.Refs < n {
			t.Errorf("content %s has %d references, %d messages have it, %v", id, doc.Refs, n, err)
		}
	}
}

// openStore opens what a running server has stored, as a command does.
func openStore(t testing.TB, db *mongo.Database) *mailstore.Store {
	t.Helper()
	return storetest.Open(t, storetest.Options{Database: db}).Store
}
