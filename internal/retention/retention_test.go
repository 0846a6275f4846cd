package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
)

type fixture struct {
	*storetest.Store
	db *mongo.Database
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db := dbtest.Database(t)
	return &fixture{storetest.Open(t, storetest.Options{Database: db}), db}
}

// fill puts messages into a mailbox that came in so long ago, the oldest first.
func (f *fixture) fill(t testing.TB, box mailkey.Mailbox, ages ...time.Duration) {
	t.Helper()
	for i, age := range ages {
		w := f.Contents.NewWriter(t.Context())
		defer w.Abort(context.WithoutCancel(t.Context()))
		if _, err := fmt.Fprintf(w, "Subject: %d of %v\r\n\r\nHello.\r\n", i, box); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		done, err := f.Deliver(t.Context(), stored,
			[]mailstore.Delivery{{Mailbox: box, Magic: stored.Magics[0], InternalDate: time.Now()}})
		if err != nil || done[0].Err != nil {
			t.Fatal(err, done)
		}
		_, err = f.db.Collection("messages").UpdateByID(t.Context(), box.Message(done[0].UID).Binary(),
			bson.D{{Key: "$set", Value: bson.D{{Key: mailstore.DocSaveDate, Value: time.Now().Add(-age).UTC()}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) uids(t testing.TB, box mailkey.Mailbox) (list []uint32) {
	t.Helper()
	list, err := f.UIDs(t.Context(), box, mailstore.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// consistent checks that quota, counters, journal and references are right.
func (f *fixture) consistent(t testing.TB, users ...*mailstore.User) {
	t.Helper()
	var first, last []byte
	if len(users) > 0 {
		first, last = users[0].ID[:], users[0].ID[:]
	}
	sum, err := f.Check(t.Context(), mailstore.CheckOptions{First: first, To: last,
		Found: func(found mailstore.Finding) { t.Errorf("found %+v", found) }})
	if err != nil || sum.Users == 0 || sum.Undecided > 0 {
		t.Errorf("checked %+v, %v", sum, err)
	}
}

func (f *fixture) expiry(limits Limits) *Expiry {
	log := slog.New(slog.DiscardHandler)
	e := New(f.Store.Store, Task(f.db, nil, log), limits)
	e.rest = func(context.Context, time.Duration) error { return nil }
	return e
}

func (f *fixture) expire(t testing.TB, limits Limits) int {
	t.Helper()
	n, err := f.expiry(limits).once(t.Context(), func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func days(n int64) *int64 { return &n }

// Messages go from mailboxes of the uses that have a limit, and from those with one of their own, which
// comes first. All others stay, whatever their age.
func TestLimits(t *testing.T) {
	f := newFixture(t)
	ada, eve := f.User(t, "ada@example.com"), f.User(t, "eve@example.com")
	lists, err := f.CreateMailbox(t.Context(), ada.ID, "Lists", mailstore.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	boxes := map[string]mailkey.Mailbox{"lists": lists.Key, "inbox": f.Mailbox(t, ada, "INBOX").Key,
		"trash": f.Mailbox(t, ada, "Trash").Key, "junk": f.Mailbox(t, ada, "Junk").Key,
		"eve trash": f.Mailbox(t, eve, "Trash").Key, "eve junk": f.Mailbox(t, eve, "Junk").Key}
	for _, box := range boxes {
		f.fill(t, box, 40*day, 30*day+time.Hour, 30*day-time.Hour, 8*day, 6*day, 0)
	}
	for box, n := range map[string]*int64{"lists": days(7), "eve trash": days(0), "eve junk": days(35)} {
		if err := f.SetExpiry(t.Context(), boxes[box], n); err != nil {
			t.Fatal(err)
		}
	}
	want := func(limits Limits, gone int, left map[string][]uint32) {
		t.Helper()
		if n := f.expire(t, limits); n != gone {
			t.Errorf("%d messages expired, want %d", n, gone)
		}
		for name, box := range boxes {
			uids := left[name]
			if uids == nil {
				uids = []uint32{1, 2, 3, 4, 5, 6}
			}
			if got := f.uids(t, box); !slices.Equal(got, uids) {
				t.Errorf("%s has %v, want %v", name, got, uids)
			}
		}
		f.consistent(t)
	}
	first := map[string][]uint32{"lists": {5, 6}, "eve junk": {2, 3, 4, 5, 6}}
	want(nil, 5, first)
	want(Limits{`\Trash`: 0, `\Junk`: 0}, 0, first)
	want(Limits{`\Trash`: 30 * day}, 2, map[string][]uint32{"lists": {5, 6}, "eve junk": {2, 3, 4, 5, 6},
		"trash": {3, 4, 5, 6}})
	if err := f.SetExpiry(t.Context(), boxes["eve junk"], nil); err != nil {
		t.Fatal(err)
	}
	want(Limits{`\Trash`: 30 * day, `\Junk`: 7 * day}, 7, map[string][]uint32{"lists": {5, 6}, "eve junk": {5, 6},
		"trash": {3, 4, 5, 6}, "junk": {5, 6}})
	for _, n := range []int64{-1, 1 << 40} {
		if err := f.SetExpiry(t.Context(), boxes["trash"], &n); !errors.Is(err, mailstore.ErrInvalidExpiry) {
			t.Errorf("%d days: %v", n, err)
		}
	}
	if err := f.SetExpiry(t.Context(), ada.ID.Mailbox(999), days(1)); !errors.Is(err, mailstore.ErrNoSuchMailbox) {
		t.Errorf("no such mailbox: %v", err)
	}
}

// COPY and MOVE give a message a new save date: it stays as long as a new one.
func TestMovedMessagesAreNew(t *testing.T) {
	f := newFixture(t)
	ada := f.User(t, "ada@example.com")
	inbox, trash := f.Mailbox(t, ada, "INBOX").Key, f.Mailbox(t, ada, "Trash").Key
	f.fill(t, inbox, 100*day)
	if _, err := f.Move(t.Context(), inbox, uidset.All(), trash); err != nil {
		t.Fatal(err)
	}
	if n := f.expire(t, Limits{`\Trash`: day}); n != 0 || len(f.uids(t, trash)) != 1 {
		t.Errorf("%d messages expired", n)
	}
}

// Whatever the ages are, exactly the old ones go: a run that is ended anywhere removes no others, and
// leaves quota, counters and journal right; the next one removes the rest.
func TestAnyAges(t *testing.T) {
	f := newFixture(t)
	limit := 10 * day
	user := f.User(t, "ada@example.com")
	random := rand.New(rand.NewPCG(1, 2))
	for range 25 {
		made, err := f.CreateMailbox(t.Context(), user.ID, "Lists", mailstore.CreateOptions{})
		if err == nil {
			err = f.SetExpiry(t.Context(), made.Key, days(10))
		}
		if err != nil {
			t.Fatal(err)
		}
		box := made.Key
		hours := make([]int, random.IntN(9))
		for i := range hours {
			hours[i] = random.IntN(480)
		}
		slices.Sort(hours)
		slices.Reverse(hours)
		var ages []time.Duration
		var young []uint32
		for i, h := range hours {
			// Not so near to the limit that the test's own duration counts.
			ages = append(ages, time.Duration(h)*time.Hour+30*time.Minute)
			if ages[i] < limit {
				young = append(young, uint32(i+1))
			}
		}
		f.fill(t, box, ages...)
		ends := errors.New("killed")
		after := random.IntN(7)
		_, err = f.expiry(nil).once(t.Context(), func(context.Context) error {
			if after--; after < 0 {
				return ends
			}
			return nil
		})
		if err != nil && !errors.Is(err, ends) {
			t.Fatal(err)
		}
		left := f.uids(t, box)
		for _, uid := range young {
			if !slices.Contains(left, uid) {
				t.Errorf("UID %d is gone", uid)
			}
		}
		f.consistent(t, user)
		f.expire(t, nil)
		if left = f.uids(t, box); !slices.Equal(left, young) {
			t.Errorf("left %v, want %v", left, young)
		}
		f.consistent(t, user)
		if err := f.DeleteMailbox(t.Context(), user.ID, "Lists"); err != nil {
			t.Error(err)
		}
	}
}

// A run is made once a day, by one instance, and not before the indexes are there by which it finds
// mailboxes.
func TestOncePerDay(t *testing.T) {
	f := newFixture(t)
	trash := f.Mailbox(t, f.User(t, "ada@example.com"), "Trash").Key
	one, two := f.expiry(Limits{`\Trash`: day}), f.expiry(Limits{`\Trash`: day})
	now := time.Now()
	clock := func() time.Time { return now }
	one.now, two.now = clock, clock
	left := func(want int) {
		t.Helper()
		if got := f.uids(t, trash); len(got) != want {
			t.Errorf("left %v, want %d", got, want)
		}
	}
	mailboxes := f.db.Collection("mailboxes").Indexes()
	if err := mailboxes.DropOne(t.Context(), "uses"); err != nil {
		t.Fatal(err)
	}
	f.fill(t, trash, 2*day)
	one.turn(t.Context())
	left(1)
	if err := f.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := two.task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one.turn(t.Context())
	left(1)
	held.Release(t.Context())
	one.turn(t.Context())
	left(0)
	f.fill(t, trash, 2*day)
	one.turn(t.Context())
	two.turn(t.Context())
	left(1)
	now = now.Add(day)
	two.turn(t.Context())
	left(0)
	for e, runs := range map[*Expiry]float64{one: 1, two: 1} {
		if got := value(t, e, "gadwall_expiry_runs_total", "ok"); got != runs {
			t.Errorf("%v runs, want %v", got, runs)
		}
		if got := value(t, e, "gadwall_expired_messages_total", `\Trash`); got != 1 {
			t.Errorf("%v messages", got)
		}
	}
}

func value(t *testing.T, e *Expiry, name, label string) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	e.Register(r)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && m.Label[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Errorf("no metric %s %s", name, label)
	return 0
}

// A run costs as much as there are mailboxes with a limit and messages: nothing is read of the others,
// and of those with nothing old only one message.
func TestCost(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	f := &fixture{storetest.Open(t, storetest.Options{Database: db}), db}
	for i := range 20 {
		user := f.User(t, fmt.Sprintf("user%d@example.com", i))
		if i < 5 {
			f.fill(t, f.Mailbox(t, user, "INBOX").Key, 90*day, 80*day)
			f.fill(t, f.Mailbox(t, user, "Trash").Key, 5*day, 4*day, 3*day)
		}
	}
	commands.Reset()
	if n := f.expire(t, Limits{`\Trash`: 30 * day}); n != 0 {
		t.Errorf("%d messages expired", n)
	}
	// One page of each walk, and one query for each of five mailboxes.
	if n := commands.Total(); n > 7 || commands.Documents("messages") > 5 {
		t.Errorf("%d commands:\n%s", n, commands)
	}
}
