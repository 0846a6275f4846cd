package maintenance

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

const (
	// schedulesVariable sets how many schedules TestSchedules runs, seedVariable the first seed.
	schedulesVariable = "GADWALL_TEST_SCHEDULES"
	seedVariable      = "GADWALL_TEST_SEED"
	// completeSchedules are enough for everything to have happened.
	completeSchedules = 2000
	maxActors         = 6
)

// TestSchedules lets deliveries, copies, moves, expunges, deletions of users, collections and
// checks meet at every command to the database, with actors that stop for ever and answers that are
// lost. No check may find damage that there is not. At the end every message must be whole, and
// after a check and collections nothing may be left that nobody reaches.
//
// Every schedule has a seed. GADWALL_TEST_SEED=n GADWALL_TEST_SCHEDULES=1 repeats schedule n (but
// for the order of random ids).
func TestSchedules(t *testing.T) {
	n, first := number(t, schedulesVariable, defaultSchedules), number(t, seedVariable, 1)
	var next atomic.Int64
	next.Store(first)
	total := &stats{}
	var seen coverage
	var wg sync.WaitGroup
	began := time.Now()
	for range min(int64(runtime.GOMAXPROCS(0)), n) {
		w := newWorld(t, total, &seen)
		wg.Go(func() {
			for !t.Failed() {
				seed := next.Add(1) - 1
				if seed >= first+n {
					return
				}
				if err := w.schedule(seed); err != nil {
					t.Errorf("schedule %d: %v\n%s", seed, err, strings.Join(w.trace, "\n"))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules in %v: %d commands, %d crashes, %d lost answers, %d lost requests; %+v", n,
		time.Since(began).Round(time.Second), total.commands.Load(), total.crashes.Load(),
		total.lostAnswers.Load(), total.lostRequests.Load(), seen.String())
	if n >= completeSchedules && !t.Failed() {
		seen.complete(t)
	}
}

func number(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number", variable, v)
	}
	return n
}

// coverage counts the situations that the schedules are there for.
type coverage struct {
	leaksRepaired, checksBesideTraffic, undecided atomic.Int64
	collected, collectedBesideTraffic, orphans    atomic.Int64
}

func (c *coverage) String() string {
	return fmt.Sprintf("%d leaks repaired, %d checks beside traffic with %d documents undecided; "+
		"%d documents collected beside traffic and %d after it, %d orphan chunks",
		c.leaksRepaired.Load(), c.checksBesideTraffic.Load(), c.undecided.Load(),
		c.collectedBesideTraffic.Load(), c.collected.Load(), c.orphans.Load())
}

func (c *coverage) complete(t *testing.T) {
	for what, n := range map[string]*atomic.Int64{
		"leak repaired": &c.leaksRepaired, "check beside traffic": &c.checksBesideTraffic,
		"undecided document":                &c.undecided,
		"document collected":                &c.collected,
		"document collected beside traffic": &c.collectedBesideTraffic, "orphan chunk": &c.orphans,
	} {
		if n.Load() == 0 {
			t.Errorf("no schedule had a %s", what)
		}
	}
}

// A world is a database with two users, and instances on it.
type world struct {
	t         testing.TB
	stats     *stats
	seen      *coverage
	clock     *clock
	store     *store // without a gate
	instances []*instance
	users     [2]*mailstore.User
	initial   map[string][]any // documents of the users as they were created
	texts     [][]byte
	trace     []string
}

func newWorld(t *testing.T, total *stats, seen *coverage) *world {
	w := &world{t: t, stats: total, seen: seen, clock: &clock{start: time.Now()}}
	w.store = openStore(t, dbtest.Database(t), w.clock.now)
	for i := range w.users {
		w.users[i] = w.store.user(t, fmt.Sprintf("user%d@example.com", i))
	}
	if strings.Compare(w.users[0].ID.String(), w.users[1].ID.String()) > 0 {
		w.users[0], w.users[1] = w.users[1], w.users[0] // the same order for all seeds
	}
	w.initial = make(map[string][]any)
	for _, name := range []string{"users", "addresses", "mailboxes"} {
		cur, err := w.store.db.Collection(name).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.Raw
		if err := cur.All(t.Context(), &docs); err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			w.initial[name] = append(w.initial[name], doc)
		}
	}
	p, q, large := attachment(1, 5000), attachment(2, 6000), attachment(3, 300_000)
	w.texts = [][]byte{
		mailgen.Simple("twice the same", p, p), // one blob, two references
		mailgen.Simple("shared blob", p, q),
		mailgen.Simple("small"),
		mailgen.Simple("begins alike", large[:270_000]), // followed, then left
		mailgen.Simple("large", large),
	}
	for range maxActors {
		w.instances = append(w.instances, newInstance(t, w.store.db.Name(), w.clock))
	}
	t.Cleanup(func() {
		for _, in := range w.instances {
			in.close(t)
		}
	})
	return w
}

// reset makes the database what it was after creating the users.
func (w *world) reset(ctx context.Context) error {
	for _, name := range []string{"messages", "journal", "contents", "blobs.files", "blobs.chunks",
		"subscriptions", "users", "addresses", "mailboxes"} {
		c := w.store.db.Collection(name)
		if _, err := c.DeleteMany(ctx, bson.D{}); err != nil {
			return err
		}
		if docs := w.initial[name]; docs != nil {
			if _, err := c.InsertMany(ctx, docs); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) box(user, number int) mailkey.Mailbox {
	return w.users[user].ID.Mailbox(uint32(number))
}

// The numbers of mailboxes, as users are created with them.
const (
	inbox   = 1
	archive = 6
)

// schedule runs one schedule: two rounds of actors with a day between them, then the checks.
func (w *world) schedule(seed int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	w.trace = nil
	w.clock.days.Store(0) // it must not pass 2106, when the seconds in ids begin anew
	if err := w.reset(ctx); err != nil {
		return err
	}
	rng := rand.New(rand.NewSource(seed))
	m := &model{world: w, rng: rng, removing: make(map[mailkey.UserID]bool)}
	// Mail that is old when the first round begins.
	for range 1 + rng.Intn(4) {
		if err := m.deliver(ctx, w.store.Store, m.text(), rng.Intn(3)); err != nil {
			return err
		}
	}
	// What nobody uses, for collections and deliveries to meet.
	for user := range w.users {
		if rng.Intn(2) == 0 {
			m.remove(w.users[user].ID)
			if _, _, err := w.store.Expunge(ctx, w.box(user, inbox), uidset.All()); err != nil {
				return err
			}
		}
	}
	w.clock.days.Add(int64(rng.Intn(2)))
	for range 1 + rng.Intn(2) {
		if err := m.round(); err != nil {
			return err
		}
		w.clock.days.Add(1)
	}
	return m.verify(ctx)
}

// model is one schedule.
type model struct {
	*world
	rng *rand.Rand

	mu       sync.Mutex
	acked    []mailkey.Message
	removing map[mailkey.UserID]bool // users some of whose messages go
}

// text chooses a text; the large ones take long.
func (m *model) text() []byte {
	if m.rng.Intn(12) == 0 {
		return m.texts[3+m.rng.Intn(2)]
	}
	return m.texts[m.rng.Intn(3)]
}

// round lets some actors run beside each other.
func (m *model) round() error {
	s := &scheduler{rng: m.rng, clock: m.clock, events: make(chan *actor),
		faults: m.rng.Intn(4) > 0, steady: m.rng.Intn(2) == 0, stats: m.stats}
	defer func() { m.trace = append(append(m.trace, "-- round"), s.trace...) }()
	// Those that must not disturb each other would meet too rarely by chance alone.
	kinds := []int{m.rng.Intn(kindsOfActors), m.rng.Intn(kindsOfActors)}
	switch m.rng.Intn(4) {
	case 0, 1:
		kinds = []int{kindCollect, kindDeliver, kindDeliver}
	case 2:
		kinds = []int{kindCheck, kindMove, kindExpunge}
	}
	for range m.rng.Intn(maxActors - len(kinds) + 1) {
		kinds = append(kinds, m.rng.Intn(kindsOfActors))
	}
	for i, kind := range kinds {
		name, run := m.operation(kind)
		s.spawn(fmt.Sprintf("%d %s", i, name), m.instances[i], run)
	}
	if err := s.run(); err != nil {
		return err
	}
	for i, a := range s.actors {
		a.in.actor.Store(nil)
		if a.crashed.Load() {
			a.in.close(m.t)
			m.instances[i] = newInstance(m.t, m.store.db.Name(), m.clock)
		}
	}
	return nil
}

// Of the kinds of actors, some are more frequent than others.
const (
	kindDeliver   = 0
	kindMove      = 5
	kindExpunge   = 7
	kindCollect   = 9
	kindCheck     = 11
	kindsOfActors = 12
)

// operation chooses what an actor does. All choices are made before it begins.
func (m *model) operation(kind int) (string, func(context.Context, *actor) error) {
	user := m.rng.Intn(2)
	in, other := m.box(user, inbox), m.box(user, archive)
	switch kind {
	case kindDeliver, 1, 2:
		text, to := m.text(), m.rng.Intn(3)
		return "deliver", func(ctx context.Context, a *actor) error {
			return m.deliver(ctx,
				a.in.Store.Store, text, to)
		}
	case 3:
		return "copy", func(ctx context.Context, a *actor) error { return m.copy(ctx, a.in.Store.Store, in, other) }
	case 4:
		return "copy to itself", func(ctx context.Context, a *actor) error {
			return m.copy(ctx,
				a.in.Store.Store, in, in)
		}
	case kindMove, 6:
		m.remove(m.users[user].ID)
		if m.rng.Intn(2) == 0 {
			in, other = other, in
		}
		return "move", func(ctx context.Context, a *actor) error {
			_, err := a.in.Move(ctx, in, uidset.All(), other)
			return err
		}
	case kindExpunge:
		m.remove(m.users[user].ID)
		uids := uidset.All()
		if m.rng.Intn(2) == 0 {
			uids = uidset.Set{{First: 1, Last: 1}}
		}
		return "expunge", func(ctx context.Context, a *actor) error {
			_, _, err := a.in.Expunge(ctx, in, uids)
			return err
		}
	case 8:
		if m.rng.Intn(2) == 0 {
			m.remove(m.users[1].ID)
			return "delete user",
				func(ctx context.Context, a *actor) error { return a.in.DeleteUser(ctx, m.users[1].ID) }
		}
		m.remove(m.users[user].ID)
		return "delete mailbox", func(ctx context.Context, a *actor) error {
			return a.in.DeleteMailbox(ctx, m.users[user].ID, "Archive")
		}
	case kindCollect, 10:
		grace := time.Duration(0)
		if m.rng.Intn(3) == 0 {
			grace = dedupe.DefaultGrace
		}
		return "gc", func(ctx context.Context, a *actor) error {
			done, err := Collect(ctx, a.in.Store.Store, CollectOptions{Grace: grace,
				Deletions: true, Orphans: true, Workers: 1})
			m.seen.collectedBesideTraffic.Add(done.Contents.Deleted.Documents + done.Blobs.Deleted.Documents)
			m.seen.orphans.Add(done.Orphans.Documents)
			return err
		}
	default:
		size := 1 + m.rng.Intn(4)
		return "check", func(ctx context.Context, a *actor) error {
			var wrong error
			sum, err := Check(ctx, a.in.Store.Store, CheckOptions{Repair: true, TableSize: size,
				Wait: a.wait, Found: func(f Finding) {
					wrong = m.allowed(f, wrong)
				}})
			if err == nil && wrong == nil {
				m.seen.checksBesideTraffic.Add(1)
				m.seen.undecided.Add(sum.Undecided())
			}
			if wrong != nil {
				m.t.Errorf("a check beside traffic: %v", wrong)
			}
			return err
		}
	}
}

// allowed passes on what a check may find: what crashes and lost answers leave.
func (m *model) allowed(f Finding, before error) error {
	switch f.Kind {
	case "content leaked", "blob leaked", "orphan chunks":
		if f.Repaired {
			m.seen.leaksRepaired.Add(1)
		}
		return before
	}
	return fmt.Errorf("found %+v", f)
}

func (m *model) remove(user mailkey.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removing[user] = true
}

// deliver delivers to one user or both. The messages have \Deleted, so that they can be expunged.
func (m *model) deliver(ctx context.Context, s *mailstore.Store, text []byte, to int) error {
	boxes := []mailkey.Mailbox{m.box(0, inbox), m.box(1, inbox)}
	if to < 2 {
		boxes = boxes[to : to+1]
	}
	stored, err := write(ctx, s, text, len(boxes))
	if err != nil {
		return err
	}
	// One after the other: for several users, several transactions run at once, and an actor does
	// one thing at a time.
	var failed error
	for i, box := range boxes {
		results, err := s.Deliver(ctx, stored,
			[]mailstore.Delivery{{Mailbox: box, Flags: mailstore.Deleted, Magic: stored.Magics[i]}})
		if err != nil {
			return err
		}
		if r := results[0]; r.Err == nil {
			m.ack(box.Message(r.UID))
		} else if failed == nil || acceptable(failed) {
			failed = r.Err
		}
	}
	return failed
}

func (m *model) ack(keys ...mailkey.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked = append(m.acked, keys...)
}

func (m *model) copy(ctx context.Context, s *mailstore.Store, from, to mailkey.Mailbox) error {
	result, err := s.Copy(ctx, from, uidset.All(), to)
	if err != nil {
		return err
	}
	for _, uid := range result.Dest {
		m.ack(to.Message(uid))
	}
	return nil
}

// verify repairs and collects what was left, and checks that all is whole and nothing more is
// there.
func (m *model) verify(ctx context.Context) error {
	var wrong error
	healed := func(context.Context, time.Duration) error { return nil } // nothing is under way
	if err := m.store.FinishDeletions(ctx); err != nil {
		return err
	}
	m.clock.days.Add(1)
	sum, err := Check(ctx, m.store.Store, CheckOptions{Repair: true, Wait: healed,
		Found: func(f Finding) { wrong = m.allowed(f, wrong) }})
	if err != nil {
		return err
	}
	if wrong != nil {
		return wrong
	}
	if sum.Undecided() > 0 || sum.Damaged > 0 {
		return fmt.Errorf("a day later: %+v", sum)
	}
	for before := int64(-1); ; {
		done, err := Collect(ctx, m.store.Store, CollectOptions{Grace: dedupe.DefaultGrace, Orphans: true})
		if err != nil {
			return err
		}
		m.seen.collected.Add(done.Contents.Deleted.Documents + done.Blobs.Deleted.Documents)
		m.seen.orphans.Add(done.Orphans.Documents)
		n := done.Contents.Quarantined + done.Contents.Deleted.Documents + done.Blobs.Quarantined +
			done.Blobs.Deleted.Documents
		if n == 0 && before == 0 {
			break
		}
		before = n
		m.clock.days.Add(1)
	}
	if sum, err = Check(ctx, m.store.Store, CheckOptions{Deep: true, Wait: healed,
		Found: func(f Finding) { wrong = fmt.Errorf("in the end: %+v", f) }}); err != nil {
		return err
	}
	if wrong != nil || sum.Undecided() > 0 {
		return fmt.Errorf("in the end: %w; %+v", wrong, sum)
	}
	return m.whole(ctx)
}

// whole reads every message, and compares what is stored with what they need.
func (m *model) whole(ctx context.Context) error {
	needed := make(map[string]bool)
	present := make(map[mailkey.Message]bool)
	cur, err := m.store.db.Collection("messages").Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	var docs []struct {
		Key     bson.Binary `bson:"_id"`
		Content bson.Binary `bson:"c"`
	}
	if err := cur.All(ctx, &docs); err != nil {
		return err
	}
	for _, doc := range docs {
		key := mailkey.Message(doc.Key.Data)
		present[key] = true
		if needed[string(doc.Content.Data)] {
			continue
		}
		needed[string(doc.Content.Data)] = true
		id, err := dedupe.HashFromBytes(doc.Content.Data)
		if err != nil {
			return err
		}
		text, err := read(ctx, m.store.Store, [32]byte(id))
		if err != nil {
			return fmt.Errorf("message %v: %w", key, err)
		}
		if dedupe.Sum(text) != id {
			return fmt.Errorf("message %v has other bytes", key)
		}
	}
	for _, key := range m.acked {
		if !present[key] && !m.removing[key.User()] {
			return fmt.Errorf("message %v was acknowledged and is not there", key)
		}
	}
	n, err := m.store.db.Collection("contents").CountDocuments(ctx, bson.D{})
	if err != nil {
		return err
	}
	if n != int64(len(needed)) {
		return fmt.Errorf("%d contents, %d needed", n, len(needed))
	}
	return m.noneUnused(ctx, "contents", "refs", "blobs.files", "metadata.refs")
}

// noneUnused looks for documents without references: a clean check says that the counts are right.
func (m *model) noneUnused(ctx context.Context, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		n, err := m.store.db.Collection(pairs[i]).CountDocuments(ctx,
			bson.D{{Key: pairs[i+1], Value: bson.D{{Key: "$lte", Value: 0}}}})
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d unused documents of %s", n, pairs[i])
		}
	}
	return nil
}
