package maintenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// testClock stands still but when told, or rested on.
type testClock struct{ at time.Time }

func (c *testClock) now() time.Time { return c.at }

func (c *testClock) rest(ctx context.Context, d time.Duration) error {
	c.at = c.at.Add(d)
	return ctx.Err()
}

// newTestCheck returns a weekly check by a clock, and its log.
func newTestCheck(s *store, clock *testClock) (*PeriodicCheck, *bytes.Buffer) {
	var log bytes.Buffer
	task := CheckTask(s.db, nil, slog.New(slog.NewTextHandler(&log, nil)))
	c := NewPeriodicCheck(s.Store, task, 7*24*time.Hour, 0)
	c.now, c.rest = clock.now, clock.rest
	return c, &log
}

// values are the metrics of a check by name and labels.
func (c *PeriodicCheck) values(t *testing.T) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	c.Register(r)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += "," + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func (s *store) change(t *testing.T, collection string, update bson.D) {
	t.Helper()
	res, err := s.db.Collection(collection).UpdateMany(t.Context(), bson.D{}, update)
	if err != nil || res.ModifiedCount == 0 {
		t.Fatalf("changed %+v, %v", res, err)
	}
}

// A scheduled check repairs leaks, tells of damage and leaves it, and is done once a week by one
// instance.
func TestPeriodicCheck(t *testing.T) {
	s := newStore(t)
	s.deliver(t, []byte("Subject: kept\r\n\r\nHello.\r\n"), 0, nil, s.box(t, s.user(t, "ada@example.com"), "INBOX"))
	clock := &testClock{at: time.Now()}
	c, log := newTestCheck(s, clock)
	other, _ := newTestCheck(s, clock)
	turn := func(c *PeriodicCheck, want map[string]float64) {
		t.Helper()
		log.Reset()
		if err := c.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := c.values(t)
		for name, n := range want {
			if got[name] != n {
				t.Errorf("%s is %v, want %v: %v", name, got[name], n, got)
			}
		}
	}
	first := float64(clock.at.Unix())
	turn(c,
		map[string]float64{"gadwall_check_runs_total,clean": 1, "gadwall_check_completed_timestamp_seconds": first})
	if !strings.Contains(log.String(), "level=INFO msg=checked") || !strings.Contains(log.String(), "messages=1") {
		t.Error(log)
	}

	// A reference that nobody has, and a counter that no crash makes wrong.
	if _, err := write(t.Context(), s.Store, []byte("Subject: never delivered\r\n\r\nHello.\r\n"), 1); err != nil {
		t.Fatal(err)
	}
	s.change(t, "contents", bson.D{{Key: "$set", Value: bson.D{{Key: "touched", Value: time.Now().
		Add(-25 * time.Hour)}}}})
	s.change(t, "mailboxes", bson.D{{Key: "$inc", Value: bson.D{{Key: "cm", Value: int64(1)}}}})
	clock.at = clock.at.Add(6 * 24 * time.Hour)
	turn(c, map[string]float64{"gadwall_check_runs_total,clean": 1, "gadwall_check_runs_total,damaged": 0})
	turn(other, map[string]float64{"gadwall_check_runs_total,clean": 0,
		"gadwall_check_completed_timestamp_seconds": first})

	clock.at = clock.at.Add(24 * time.Hour)
	held, err := other.task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	turn(c, map[string]float64{"gadwall_check_runs_total,damaged": 0})
	held.Release(t.Context())
	wrong := float64(len(mailboxesOf(t, s)))
	turn(c, map[string]float64{"gadwall_check_runs_total,damaged": 1, "gadwall_check_findings,content leaked,yes": 1,
		"gadwall_check_findings,wrong counters,no": wrong, "gadwall_check_undecided": 0})
	for _, want := range []string{`level=ERROR msg="damage found" kind="wrong counters"`,
		`level=ERROR msg="the check found damage`,
		"leaks_repaired=1", fmt.Sprintf("damaged=%v", wrong), fmt.Sprintf(`"found.wrong counters"=%v`, wrong)} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "content leaked") {
		t.Errorf("a leak is no damage:\n%s", log)
	}
	clock.at = clock.at.Add(7 * 24 * time.Hour)
	turn(other, map[string]float64{"gadwall_check_runs_total,damaged": 1,
		"gadwall_check_findings,content leaked,yes": 0,
		"gadwall_check_findings,wrong counters,no":  wrong})
	s.change(t, "mailboxes", bson.D{{Key: "$inc", Value: bson.D{{Key: "cm", Value: int64(-1)}}}})
	clock.at = clock.at.Add(7 * 24 * time.Hour)
	turn(c, map[string]float64{"gadwall_check_runs_total,clean": 2, "gadwall_check_findings,content leaked,yes": 0,
		"gadwall_check_findings,wrong counters,no": 0})
}

func mailboxesOf(t *testing.T, s *store) (docs []bson.Raw) {
	t.Helper()
	cur, err := s.db.Collection("mailboxes").Find(t.Context(), bson.D{})
	if err == nil {
		err = cur.All(t.Context(), &docs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// A server that stops ends the check at once, and the next one begins anew.
func TestPeriodicCheckStops(t *testing.T) {
	s := newStore(t)
	s.deliver(t, []byte("Subject: kept\r\n\r\nHello.\r\n"), 0, nil, s.box(t, s.user(t, "ada@example.com"), "INBOX"))
	clock := &testClock{at: time.Now()}
	c, _ := newTestCheck(s, clock)
	resting := make(chan struct{}, 1)
	c.now = func() time.Time { // every look at the clock is a second later, so that there is a rest
		clock.at = clock.at.Add(time.Second)
		return clock.at
	}
	c.rest = func(ctx context.Context, _ time.Duration) error {
		resting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, stop := context.WithCancel(t.Context())
	ticks, ended := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(ended)
		c.follow(ctx, ticks)
	}()
	ticks <- time.Time{}
	<-resting
	stop()
	<-ended
	for name, n := range c.values(t) { // no run has ended
		if n != 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
	l, err := c.task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release(t.Context())
	if !l.Done(partCheck).IsZero() {
		t.Error("recorded as done")
	}
}

// A check that fails, or loses its lease, begins again at the next look.
func TestPeriodicCheckGoesOn(t *testing.T) {
	s := newStore(t)
	clock := &testClock{at: time.Now()}
	c, log := newTestCheck(s, clock)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ticks, ended := make(chan time.Time), make(chan struct{})
	c.now = func() time.Time {
		clock.at = clock.at.Add(time.Second)
		return clock.at
	}
	c.rest = func(context.Context, time.Duration) error { return errors.New("no rest for the wicked") }
	go func() {
		defer close(ended)
		c.follow(ctx, ticks)
	}()
	ticks <- time.Time{}
	ticks <- time.Time{} // taken when the one before has ended
	stop()
	<-ended
	if n := strings.Count(log.String(), "no rest for the wicked"); n == 0 ||
		c.values(t)["gadwall_check_runs_total,failed"] != float64(n) {
		t.Errorf("failures logged: %d\n%s", n, log)
	}
}
