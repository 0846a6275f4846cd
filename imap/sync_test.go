package imap

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// deliverElsewhere delivers a message to INBOX as an instance does whose events do not arrive.
func (s *testServer) deliverElsewhere(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	w := s.contents.NewWriter(ctx)
	if _, err := io.WriteString(w, message("elsewhere")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.otherInstance(t).Deliver(ctx, stored,
		[]mailstore.Delivery{{Mailbox: s.inbox(t).Key, Magic: stored.Magics[0]}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
}

// inbox is the user's INBOX as it is now.
func (s *testServer) inbox(t testing.TB) *mailstore.Mailbox {
	t.Helper()
	box, err := s.store.MailboxByPath(context.Background(), s.user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// announce publishes an event of a change of INBOX that the database does not show yet.
func (s *testServer) announce(t testing.TB) {
	t.Helper()
	box := s.inbox(t)
	err := s.bus.Publish(context.Background(), events.Event{User: s.user.ID, Mailbox: box.Key.Number(),
		Kind: events.Changed, ModSeq: box.HighestModSeq + 1})
	if err != nil {
		t.Fatal(err)
	}
}

// A session looks again as long as the database shows less than an event told of, with its next
// command or within IDLE, though no other event comes and it is not time to poll.
func TestEventIsAheadOfDatabase(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, func(o *Options) { o.PollInterval = time.Hour })
	s.trustEvents = time.Hour
	c, idle := s.login(t), s.login(t)
	c.ok("SELECT INBOX")
	idle.ok("SELECT INBOX")
	s.announce(t)
	if lines, _ := c.ok("NAMESPACE"); len(lines) != 1 {
		t.Errorf("the session that looks too early: %q", lines)
	}
	idle.send("i IDLE\r\n")
	if line := idle.line(); line != "+ idling" {
		t.Fatal(line)
	}
	s.deliverElsewhere(t)
	if lines, _ := c.ok("NAMESPACE"); !slices.Contains(lines, "* 1 EXISTS") {
		t.Errorf("the next command tells %q", lines)
	}
	if line := idle.line(); line != "* 1 EXISTS" {
		t.Errorf("IDLE tells %q", line)
	}
	idle.send("DONE\r\n")
	idle.until("i")
}

// What the database never confirms is forgotten: then a command without news costs no query again.
func TestEventThatIsWrong(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	db := dbtest.Watched(t, &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if e.CommandName == "find" && e.Command.Lookup("find").StringValue() == "mailboxes" {
			asked.Add(1)
		}
	}})
	s := newTestServerOn(t, db, func(o *Options) { o.PollInterval = time.Hour })
	c := s.login(t)
	c.ok("SELECT INBOX")
	asks := func() int64 {
		before := asked.Load()
		c.ok("CAPABILITY")
		return asked.Load() - before
	}
	s.trustEvents = time.Hour
	s.announce(t)
	if a, b := asks(), asks(); a != 1 || b != 1 {
		t.Errorf("while the event is believed commands ask %d and %d times", a, b)
	}
	s.trustEvents = 0
	if a, b := asks(), asks(); a != 1 || b != 0 {
		t.Errorf("then they ask %d and %d times", a, b)
	}
}

// A look that fails is made up for by the next command, though that would not look by itself.
func TestLookThatFails(t *testing.T) {
	t.Parallel()
	set := dbtest.OpenReplicaSet(t, 1)
	s := newTestServerOn(t, set.Database(t), func(o *Options) { o.PollInterval = time.Hour })
	c := s.login(t)
	c.ok("SELECT INBOX")
	s.deliverElsewhere(t)
	set.FailPoint(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"find"}},
		{Key: "errorCode", Value: 11601}, {Key: "namespace", Value: "test.mailboxes"}}) // Interrupted
	if lines, _ := c.ok("NOOP"); len(lines) != 0 {
		t.Errorf("NOOP, which cannot look, tells %q", lines)
	}
	set.FailPoint(t, "off", nil)
	if lines, _ := c.ok("NAMESPACE"); !slices.Contains(lines, "* 1 EXISTS") {
		t.Errorf("the next command tells %q", lines)
	}
}

// What changes while SELECT with QRESYNC is at work, after it read the mailbox and before it reads
// what changed since the client left, the next command tells.
func TestChangesDuringResync(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(t *testing.T, s *testServer, store *mailstore.Store)
		want   string
	}{
		"flags": {func(t *testing.T, s *testServer, store *mailstore.Store) {
			_, err := store.StoreFlags(context.Background(), s.inbox(t).Key,
				uidset.Of(uidset.Range{First: 1, Last: 1}),
				mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Flagged})
			if err != nil {
				t.Error(err)
			}
		}, `FLAGS (\Flagged)`},
		"expunge": {func(t *testing.T, s *testServer, store *mailstore.Store) {
			if _, _, err := store.Expunge(context.Background(), s.inbox(t).Key, nil); err != nil {
				t.Error(err)
			}
		}, "* VANISHED 2"},
		"delivery": {func(t *testing.T, s *testServer, _ *mailstore.Store) {
			s.deliverElsewhere(t)
		}, "* 3 EXISTS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// At 1 the next find of messages is that of SELECT, at 2 the next find of mailboxes that
			// of the changes.
			var step atomic.Int32
			var during func()
			db := dbtest.Watched(t, &event.CommandMonitor{
				Started: func(_ context.Context, e *event.CommandStartedEvent) {
					if e.CommandName != "find" {
						return
					}
					switch e.Command.Lookup("find").StringValue() {
					case "messages":
						step.CompareAndSwap(1, 2)
					case "mailboxes":
						if step.CompareAndSwap(2, 3) {
							during()
						}
					}
				},
			})
			s := newTestServerOn(t, db, func(o *Options) { o.PollInterval = time.Hour })
			c := s.selectMails(t, message("a"), message("b"))
			c.ok(`STORE 2 +FLAGS (\Deleted)`)
			c.ok("ENABLE QRESYNC")
			c.ok("UNSELECT")
			other := s.otherInstance(t)
			during = func() { tt.change(t, s, other) }
			known := s.inbox(t)
			step.Store(1)
			lines, _ := c.ok("SELECT INBOX (QRESYNC (%d %d))", known.UIDValidity, known.HighestModSeq-1)
			if step.Load() != 3 {
				t.Fatalf("step %d", step.Load())
			}
			for _, line := range lines {
				if strings.Contains(line, tt.want) {
					t.Errorf("SELECT tells %q of a later state", line)
				}
			}
			lines, _ = c.ok("NAMESPACE")
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, tt.want) }) {
				t.Errorf("the next command tells %q, want %s", lines, tt.want)
			}
		})
	}
}
