package maintenance

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/faultnet"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// A scheduler lets actors use the database in an order that a random source chooses, one command at
// a time. An actor is a goroutine with a store of its own, as if each were a process. Before every
// command the actor waits at the gate, so all but one stand still at any time; the one that goes on
// is awaited at its next command, or its end.
//
// What can happen to a command: it takes place; it takes place and its answer is lost; it is lost
// itself; the actor stops for ever before it (and so, after the one before).
type scheduler struct {
	rng    *rand.Rand
	clock  *clock
	actors []*actor
	events chan *actor // of an actor that has come to the gate, or to its end
	trace  []string
	faults bool
	steady bool // an actor mostly goes on, so that others stand still in between for long
	stats  *stats
}

// stats count what a test has seen, over all schedules.
type stats struct {
	commands, crashes, lostAnswers, lostRequests atomic.Int64
}

// clock is the time of a schedule: it stands still, but for days that pass when nothing is under
// way.
type clock struct {
	start time.Time
	days  atomic.Int64
}

const day = 25 * time.Hour // more than any grace period

func (c *clock) now() time.Time { return c.start.Add(time.Duration(c.days.Load()) * day) }

// An instance is a store with a client of its own, whose commands come to the gate.
type instance struct {
	*storetest.Store
	client *mongo.Client
	actor  atomic.Pointer[actor] // who uses it; nil: no gate
}

// An actor is one process.
type actor struct {
	name   string
	s      *scheduler
	in     *instance
	cancel context.CancelFunc
	resume chan verdict

	command  string          // that it wants to send
	writes   string          // the collection, if outside of a transaction
	inTx     bool            // or about to begin one
	wroteTx  map[string]bool // to which collections
	txs      int             // transactions begun
	aborts   int             // transactions in a row that ended so
	avoids   map[*actor]int  // whose transactions are to end before it tries once more
	ended    bool
	crashed  atomic.Bool
	lose     loss
	audits   bool
	settling map[*actor]bool // whom it waits for
}

type verdict int

const (
	proceed verdict = iota
	crash
	loseAnswer
	loseRequest
)

// loss is what is to happen to the command being sent.
type loss struct {
	mu sync.Mutex
	v  verdict
}

func (l *loss) set(v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.v = v
}

// take returns what is to happen, once.
func (l *loss) take() faultnet.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.v
	l.v = proceed
	switch v {
	case loseAnswer:
		return faultnet.LoseAnswer
	case loseRequest:
		return faultnet.LoseRequest
	}
	return faultnet.Pass
}

// newInstance opens a store on the database.
func newInstance(t testing.TB, database string, clk *clock) *instance {
	t.Helper()
	in := &instance{}
	opts := dbtest.ClientOptions(t)
	network := faultnet.Use(opts, func(c faultnet.Command) faultnet.Verdict {
		if a := in.actor.Load(); a != nil && c.InSession() {
			return a.lose.take()
		}
		return faultnet.Pass
	})
	network.Slow = true // or the driver would wait for its next look at the server
	opts.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if a := in.actor.Load(); a != nil {
			a.gate(e)
		}
	}})
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	st, err := storetest.OpenIn(context.Background(), storetest.Options{
		Database: client.Database(database), Clock: clk.now,
		OneChunkAtATime: true, // an actor has one command at a time
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Store, in.client = st, client
	return in
}

func (in *instance) close(t testing.TB) {
	in.actor.Store(nil)
	if err := in.Store.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := in.client.Disconnect(ctx); err != nil {
		t.Error(err)
	}
}

// gate is where an actor waits before a command.
func (a *actor) gate(e *event.CommandStartedEvent) {
	if a.crashed.Load() {
		if e.CommandName == "abortTransaction" {
			return // as the server does by itself
		}
		runtime.Goexit()
	}
	a.note(e)
	a.s.events <- a
	switch v := <-a.resume; v {
	case crash:
		a.crashed.Store(true)
		a.cancel() // ends what waits for the goroutine that ends here
		if e.CommandName != "abortTransaction" {
			runtime.Goexit()
		}
	default:
		a.lose.set(v)
	}
}

// note remembers what the command is.
func (a *actor) note(e *event.CommandStartedEvent) {
	collection, _ := e.Command.Lookup(e.CommandName).StringValueOK()
	a.command = e.CommandName + " " + collection
	write := slices.Contains([]string{"insert", "update", "delete", "findAndModify"}, e.CommandName)
	_, err := e.Command.LookupErr("autocommit")
	tx := err == nil
	a.writes = ""
	switch {
	case e.CommandName == "abortTransaction":
		a.aborts++
	case e.CommandName == "commitTransaction":
		a.aborts = 0
	case tx:
		if starts, _ := e.Command.Lookup("startTransaction").BooleanOK(); starts {
			a.avoid()
			a.inTx, a.wroteTx = true, make(map[string]bool)
			a.txs++
		}
		if write {
			a.wroteTx[collection] = true
		}
	default:
		// Whatever transaction there was is over.
		a.inTx = false
		if write {
			a.writes = collection
		}
	}
}

// avoid lets an actor whose transaction has failed twice stand aside until those that are in its
// way have ended. To try again would change nothing, but the driver pauses before each try, longer
// every time. Who stands aside itself is in nobody's way.
func (a *actor) avoid() {
	a.avoids = nil
	if a.aborts < 2 {
		return
	}
	a.avoids = make(map[*actor]int)
	for _, o := range a.s.actors {
		if o != a && !o.ended && o.inTx && len(o.wroteTx) > 0 && len(o.avoids) == 0 {
			a.avoids[o] = o.txs
		}
	}
}

// spawn starts an actor.
func (s *scheduler) spawn(name string, in *instance, run func(ctx context.Context, a *actor) error) {
	ctx, cancel := context.WithCancel(context.Background())
	a := &actor{name: name, s: s, in: in, cancel: cancel, resume: make(chan verdict),
		audits: strings.HasSuffix(name, "check")}
	in.actor.Store(a)
	s.actors = append(s.actors, a)
	go func() {
		defer func() {
			cancel()
			a.ended = true
			s.events <- a
		}()
		if err := run(ctx, a); err != nil && !a.crashed.Load() && !acceptable(err) {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
	}()
	<-s.events
}

// acceptable errors are those of an operation that met another, or lost its connection.
func acceptable(err error) bool {
	return mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.Is(err, context.Canceled) ||
		errors.Is(err, mailstore.ErrNoSuchMailbox) || errors.Is(err, mailstore.ErrNoSuchUser) || retryable(err)
}

func retryable(err error) bool {
	var labeled mongo.LabeledError
	return errors.As(err, &labeled) && (labeled.HasErrorLabel("TransientTransactionError") ||
		labeled.HasErrorLabel("NetworkError"))
}

// wait is how an audit waits for releases on their way: for all who are under way, but for other
// audits, which have no references.
func (a *actor) wait(context.Context, time.Duration) error {
	a.settling = make(map[*actor]bool)
	for _, o := range a.s.actors {
		if o != a && !o.ended && !o.audits {
			a.settling[o] = true
		}
	}
	a.command, a.writes = "wait", ""
	a.s.events <- a
	if <-a.resume == crash {
		a.crashed.Store(true)
		runtime.Goexit()
	}
	a.settling = nil
	return nil
}

// eligible reports whether the actor may go on now.
func (a *actor) eligible() bool {
	if a.ended {
		return false
	}
	for o := range a.settling {
		if !o.ended {
			return false
		}
	}
	for o, tx := range a.avoids {
		if !o.ended && o.inTx && o.txs == tx {
			return false
		}
	}
	if a.writes != "" {
		// The server would make it wait for the end of a transaction that has written the same
		// document.
		for _, o := range a.s.actors {
			if o != a && !o.ended && o.inTx && o.wroteTx[a.writes] {
				return false
			}
		}
	}
	return true
}

// run lets all actors go on until they have ended.
func (s *scheduler) run() error {
	var last *actor
	for steps := 0; ; steps++ {
		if steps > 5000 {
			return errors.New("no end after 5000 commands")
		}
		var ready []*actor
		alive := 0
		for _, a := range s.actors {
			if !a.ended {
				alive++
			}
			if a.eligible() {
				ready = append(ready, a)
			}
		}
		if alive == 0 {
			return nil
		}
		if len(ready) == 0 {
			return fmt.Errorf("all %d actors wait for each other", alive)
		}
		a := ready[s.rng.Intn(len(ready))]
		if s.steady && last != nil && last.eligible() && s.rng.Intn(15) > 0 {
			a = last
		}
		last = a
		v := s.fate(a)
		s.trace = append(s.trace, fmt.Sprintf("%s: %s%s", a.name, a.command,
			[]string{"", " CRASH", " ANSWER LOST", " REQUEST LOST"}[v]))
		s.stats.commands.Add(1)
		a.avoids = nil
		a.resume <- v
		if got := <-s.events; got != a {
			return fmt.Errorf("%s moved while %s should", got.name, a.name)
		}
		if a.crashed.Load() && !a.ended {
			return fmt.Errorf("%s came back after its crash", a.name)
		}
	}
}

// fate chooses what happens to an actor's command.
func (s *scheduler) fate(a *actor) verdict {
	if !s.faults || a.command == "abortTransaction " {
		return proceed
	}
	switch n := s.rng.Intn(400); {
	case n < 5:
		s.stats.crashes.Add(1)
		return crash
	case n < 10 && a.command != "wait":
		s.stats.lostAnswers.Add(1)
		return loseAnswer
	case n < 12 && a.command != "wait":
		s.stats.lostRequests.Add(1)
		return loseRequest
	}
	return proceed
}
