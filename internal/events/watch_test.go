package events

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/mailkey"
)

// everything is what a Watch wants that wants all.
func everything(Event) bool { return true }

// took waits until a Watch has a change of a user, and returns all that it has.
func took(t *testing.T, w *Watch, user mailkey.UserID) (all []Change) {
	t.Helper()
	timeout := time.After(within)
	for {
		select {
		case <-w.C():
		case <-timeout:
			t.Fatalf("no change within %v", within)
		}
		changes, _, open := w.Take()
		if !open {
			t.Fatal("the watch has ended")
		}
		all = append(all, changes...)
		if slices.ContainsFunc(all, func(c Change) bool { return c.User == user }) {
			return all
		}
	}
}

func TestWatch(t *testing.T) {
	b := NewLocal()
	w := b.Watch(3, func(ev Event) bool { return ev.User != mailkey.UserID{9} })
	level := &QuotaLevel{Resource: "STORAGE", Level: 80}
	for _, ev := range []Event{
		{User: ada, Mailbox: 1, ModSeq: 8, Kind: New, UIDs: []uint32{5, 6}},
		{User: ada, Mailbox: 1, ModSeq: 8, Kind: Junk, UIDs: []uint32{5}}, // New says it
		{User: ada, Mailbox: 1, ModSeq: 7, Kind: Changed},                 // of another instance, and late
		{User: ada, Mailbox: 1, ModSeq: 10, Kind: New, UIDs: []uint32{8}},
		{User: bob, Kind: MailboxList, ModSeq: 3},
		{User: mailkey.UserID{9}, Mailbox: 1, ModSeq: 4, Kind: Changed}, // not wanted
		{User: bob, Kind: MailboxList, ModSeq: 4},
		{User: bob, Kind: Quota, Quota: level},
		{User: bob, Kind: Metadata},
		{User: bob, Mailbox: 1, ModSeq: 3, Kind: Changed}, // no room
		{User: ada, Mailbox: 1, ModSeq: 11, Kind: Changed},
		{User: bob, Kind: Resync}, // lost on the way
	} {
		_ = b.Publish(t.Context(), ev)
	}
	<-w.C()
	changes, leftOut, open := w.Take()
	want := []Change{
		{User: ada, Mailbox: 1, Kind: New, From: 7, To: 11, First: 5, Last: 8, Altered: true},
		{User: bob, Kind: MailboxList, From: 3, To: 4},
		{User: bob, Kind: Quota, Quota: level},
	}
	if diff := cmp.Diff(want, changes); diff != "" || leftOut != 2 || !open {
		t.Errorf("%s, %d left out", diff, leftOut)
	}
	if changes, leftOut, _ := w.Take(); changes != nil || leftOut != 0 {
		t.Errorf("%v, %d left out: again", changes, leftOut)
	}
	// New messages that no event names are a change of their own.
	for _, ev := range []Event{
		{User: ada, Mailbox: 1, ModSeq: 12, Kind: New, UIDs: []uint32{9}},
		{User: ada, Mailbox: 1, ModSeq: 13, Kind: New, UIDs: make([]uint32, MaxUIDs+1)},
		{User: ada, Mailbox: 1, ModSeq: 14, Kind: Changed},
	} {
		_ = b.Publish(t.Context(), ev)
	}
	changes, _, _ = w.Take()
	want = []Change{
		{User: ada, Mailbox: 1, Kind: New, From: 12, To: 14, First: 9, Last: 9, Altered: true},
		{User: ada, Mailbox: 1, Kind: New, From: 13, To: 13},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	w.Close()
	w.Close()
	_ = b.Publish(t.Context(), Event{User: ada, Mailbox: 1, ModSeq: 15, Kind: Changed})
	if changes, _, open := w.Take(); changes != nil || open {
		t.Errorf("a closed watch has %v", changes)
	}
	other := b.Watch(1, everything)
	b.Close()
	<-other.C()
	if _, _, open := other.Take(); open {
		t.Error("the bus was closed, and the watch is open")
	}
	if _, _, open := b.Watch(1, everything).Take(); open {
		t.Error("a watch of a closed bus is open")
	}
}

// A Watch hears what all instances publish, once each, and whether it does.
func TestWatchOfAllInstances(t *testing.T) {
	r := newRedisServer(t)
	one, two := r.bus(), r.bus()
	// Who subscribes to the user, too, hears of the other instance by two connections.
	s := one.Subscribe(ada)
	expect(t, s, Resync)
	w := one.Watch(100, everything)
	defer w.Close()
	hears := func(want bool) {
		t.Helper()
		eventually(t, "the connection for all users", func() bool { return w.Others() == want })
	}
	hears(true)
	one.Publish(t.Context(), Event{User: ada, Mailbox: 1, ModSeq: 2, Kind: New, UIDs: []uint32{1}})
	two.Publish(t.Context(), Event{User: ada, Mailbox: 2, ModSeq: 3, Kind: Changed})
	two.Publish(t.Context(), Event{User: bob, Mailbox: 3, ModSeq: 4, Kind: Changed})
	two.Publish(t.Context(), Event{User: mailkey.UserID{3}, Kind: Quota, Quota: &QuotaLevel{Level: 80}})
	want := []Change{
		{User: ada, Mailbox: 1, Kind: New, From: 2, To: 2, First: 1, Last: 1},
		{User: ada, Mailbox: 2, Kind: Changed, From: 3, To: 3, Altered: true},
		{User: bob, Mailbox: 3, Kind: Changed, From: 4, To: 4, Altered: true},
		{User: mailkey.UserID{3}, Kind: Quota, Quota: &QuotaLevel{Level: 80}},
	}
	if diff := cmp.Diff(want, took(t, w, mailkey.UserID{3})); diff != "" {
		t.Error(diff)
	}
	// While Redis is away, the own events come, and afterwards the others' again; that some are missing
	// is told.
	r.kill()
	hears(false)
	one.Publish(t.Context(), Event{User: bob, Mailbox: 1, ModSeq: 5, Kind: Changed})
	took(t, w, bob)
	r.start()
	hears(true)
	two.Publish(t.Context(), Event{User: mailkey.UserID{4}, Mailbox: 1, ModSeq: 6, Kind: Changed})
	took(t, w, mailkey.UserID{4})
}

// As long as nobody watches, nobody hears of all users: there is no connection for it, and an event is
// one command to Redis, as it is while somebody watches.
func TestUnwatchedCostsNothing(t *testing.T) {
	r := newRedisServer(t)
	one, two := r.bus(), r.bus()
	admin := SocketClient(r.socket)
	defer admin.Close()
	patterns := func(want int64) {
		t.Helper()
		eventually(t, "patterns", func() bool {
			n, err := admin.PubSubNumPat(t.Context()).Result()
			return err == nil && n == want
		})
	}
	// commands counts what Redis was asked, by the names of commands.
	commands := func() string {
		t.Helper()
		info, err := admin.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		var calls []string
		for line := range strings.SplitSeq(info, "\r\n") {
			name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
			if n, _, ok := strings.Cut(rest, ","); ok && (strings.Contains(name, "subscribe") || name == "publish") {
				calls = append(calls, name+" "+n)
			}
		}
		slices.Sort(calls)
		return strings.Join(calls, ", ")
	}
	publish := func() {
		t.Helper()
		before := two.Stats().Published
		for range 100 {
			two.Publish(t.Context(), Event{User: ada, Mailbox: 1, ModSeq: 2, Kind: Changed})
		}
		eventually(t, "published", func() bool { return two.Stats().Published == before+100 })
	}
	eventually(t, "connected", func() bool { return one.Connected() && two.Connected() })
	patterns(0)
	publish()
	if got, want := commands(), "publish 100, subscribe 2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if n := one.Stats().Overheard; n != 0 {
		t.Errorf("%d events arrived though nobody watches", n)
	}
	w, second := one.Watch(10, everything), one.Watch(10, everything)
	patterns(1)
	publish()
	if got, want := commands(), "psubscribe 1, publish 200, subscribe 2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	took(t, w, ada)
	took(t, second, ada)
	w.Close()
	took(t, func() *Watch {
		two.Publish(t.Context(), Event{User: bob, Mailbox: 1, ModSeq: 2, Kind: Changed})
		return second
	}(), bob)
	second.Close()
	patterns(0)
	// And again.
	third := one.Watch(10, everything)
	defer third.Close()
	patterns(1)
}

// The embedded Redis carries the events of all users, too.
func TestWatchEmbedded(t *testing.T) {
	socket := filepath.Join(socketDir(t), "s")
	e, err := StartEmbedded(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	one := e.Bus(slog.New(slog.DiscardHandler))
	client := SocketClient(socket)
	two := NewRedis(client, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		one.Close()
		two.Close()
		client.Close()
	})
	for _, b := range []*Redis{one, two} {
		w := b.Watch(10, everything)
		defer w.Close()
		eventually(t, "the connection for all users", w.Others)
		one.Publish(t.Context(), Event{User: ada, Mailbox: 1, ModSeq: 2, Kind: Changed})
		took(t, w, ada)
		two.Publish(t.Context(), Event{User: bob, Mailbox: 1, ModSeq: 2, Kind: Changed})
		took(t, w, bob)
	}
}

// Publishing allocates nothing for watches that are not there.
func TestPublishAllocatesNothing(t *testing.T) {
	b := NewLocal()
	defer b.Close()
	ev := Event{User: ada, Mailbox: 1, ModSeq: 2, Kind: Changed}
	if n := testing.AllocsPerRun(100, func() { _ = b.Publish(t.Context(), ev) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
