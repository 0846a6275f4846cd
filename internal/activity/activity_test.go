package activity_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/activity"
	"gadwall/internal/dbtest"
)

// values are all series with counters, and the counts of histograms as NAME_count.
func values(t *testing.T, c *activity.Counts) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			if h := m.GetHistogram(); h != nil {
				all[name] = float64(h.GetSampleCount())
				for _, b := range h.Bucket {
					all[fmt.Sprint(name, " <= ", b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
				continue
			}
			all[name] = m.GetCounter().GetValue()
		}
	}
	return all
}

func expect(t *testing.T, c *activity.Counts, want map[string]float64) {
	t.Helper()
	got := values(t, c)
	for name, n := range want {
		if v, ok := got[name]; v != n || !ok && n != 0 {
			t.Errorf("%s is %v, want %v", name, v, n)
		}
	}
}

// A command of the database counts for the operation at which the context's actor is when it ends,
// and its answer's octets do; without an actor it is background work.
func TestDatabaseCommandsOfOperations(t *testing.T) {
	c := activity.New()
	db := dbtest.Watched(t, c.Monitor())
	fetch, store := c.Operation("IMAP", "FETCH"), c.Operation("IMAP", "STORE")
	var actor activity.Actor
	session := actor.Context(t.Context())
	look := func(ctx context.Context) {
		t.Helper()
		if err := db.Collection("c").FindOne(ctx, bson.D{}).Err(); err != nil && err != mongo.ErrNoDocuments {
			t.Fatal(err)
		}
	}
	look(session)
	actor.At(fetch)
	look(session)
	long, err := db.Collection("c").InsertOne(session, bson.D{{Key: "text", Value: strings.Repeat("x", 10_000)}})
	if err != nil {
		t.Fatal(err)
	}
	look(session)
	actor.At(store)
	look(activity.Follow(t.Context(), context.WithoutCancel(session)))
	actor.At(nil)
	look(session)
	delivery := c.Operation("LMTP", "delivery")
	look(delivery.Context(t.Context()))
	if _, err := db.Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: long.InsertedID}}); err == nil {
		t.Error("inserted twice")
	}
	if err := db.RunCommand(t.Context(), bson.D{{Key: "noSuchCommand", Value: 1}}).Err(); err == nil {
		t.Error("an unknown command is no error")
	}
	const asked = "gadwall_command_database_commands_total"
	expect(t, c, map[string]float64{
		asked + "{command=FETCH,protocol=IMAP}":                              3,
		asked + "{command=STORE,protocol=IMAP}":                              1,
		asked + "{command=delivery,protocol=LMTP}":                           1,
		asked + "{command=other,protocol=background}":                        4,
		"gadwall_database_command_duration_seconds{command=find}":            6,
		"gadwall_database_command_duration_seconds{command=insert}":          2,
		"gadwall_database_command_duration_seconds{command=other}":           1,
		"gadwall_database_command_failures_total{command=find}":              0,
		"gadwall_database_command_failures_total{command=other}":             1,
		"gadwall_commands_total{command=FETCH,protocol=IMAP,result=ok}":      0,
		"gadwall_command_duration_seconds{command=FETCH,protocol=IMAP}":      0,
		"gadwall_command_database_bytes_total{command=none,protocol=nobody}": 0,
	})
	for _, o := range []*activity.Operation{fetch, store, delivery} {
		if _, bytes := o.Asked(); bytes < 10_000 || bytes > 12_000 {
			t.Errorf("%d octets for one document of 10,000", bytes)
		}
	}
}

// Operations are counted by how they ended, and by how long they took.
func TestOperations(t *testing.T) {
	c := activity.New()
	fetch := c.Operation("IMAP", "FETCH")
	if again := c.Operation("IMAP", "FETCH"); again != fetch {
		t.Error("two operations of one name")
	}
	idle := c.Untimed("IMAP", "IDLE")
	fetch.Done(activity.OK, 5*time.Millisecond)
	fetch.Done(activity.OK, 5*time.Millisecond+1)
	fetch.Done(activity.Refused, 0)
	fetch.Done(activity.Failed, time.Hour)
	idle.Done(activity.Aborted, time.Hour)
	traffic := c.Traffic("IMAP")
	traffic.Received.Add(3)
	c.Traffic("IMAP").Sent.Add(4)
	const commands, took = "gadwall_commands_total", "gadwall_command_duration_seconds{command=FETCH,protocol=IMAP}"
	want := map[string]float64{
		commands + "{command=FETCH,protocol=IMAP,result=ok}":           2,
		commands + "{command=FETCH,protocol=IMAP,result=refused}":      1,
		commands + "{command=FETCH,protocol=IMAP,result=failed}":       1,
		commands + "{command=FETCH,protocol=IMAP,result=aborted}":      0,
		commands + "{command=IDLE,protocol=IMAP,result=aborted}":       1,
		"gadwall_command_duration_seconds{command=IDLE,protocol=IMAP}": 0,
		"gadwall_client_received_bytes_total{protocol=IMAP}":           3,
		"gadwall_client_sent_bytes_total{protocol=IMAP}":               4,
		took:                4,
		took + " <= 0.0005": 1, took + " <= 0.0025": 1, took + " <= 0.005": 2, took + " <= 0.01": 3, took + " <= 60": 3,
	}
	expect(t, c, want)
	before := values(t, c)
	c.Operation("HTTP", "listUsers") // not used
	if after := values(t, c); !maps.Equal(before, after) {
		t.Errorf("series without use: %v", after)
	}
}

// Counting allocates nothing.
func TestCountingAllocatesNothing(t *testing.T) {
	c := activity.New()
	fetch := c.Operation("IMAP", "FETCH")
	var actor activity.Actor
	ctx, cancel := context.WithCancel(actor.Context(t.Context()))
	defer cancel()
	monitor := c.Monitor()
	found := &event.CommandSucceededEvent{Reply: make(bson.Raw, 100)}
	found.CommandName = "find"
	if n := testing.AllocsPerRun(100, func() {
		actor.At(fetch)
		monitor.Succeeded(ctx, found)
		fetch.Done(activity.OK, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if monitor.Started != nil {
		t.Error("the driver copies each command for Started")
	}
}

func BenchmarkCounting(b *testing.B) {
	c := activity.New()
	fetch := c.Operation("IMAP", "FETCH")
	var actor activity.Actor
	ctx := actor.Context(b.Context())
	for range 5 { // as many as there are between a connection and the driver
		ctx = context.WithValue(ctx, new(int), 1)
	}
	monitor := c.Monitor()
	found := &event.CommandSucceededEvent{Reply: make(bson.Raw, 100)}
	found.CommandName = "find"
	b.ReportAllocs()
	for b.Loop() {
		actor.At(fetch)
		monitor.Succeeded(ctx, found)
		fetch.Done(activity.OK, 3*time.Millisecond)
	}
}

// BenchmarkFind is a query with and without the monitor.
func BenchmarkFind(b *testing.B) {
	for _, monitor := range []*event.CommandMonitor{nil, activity.New().Monitor()} {
		b.Run(fmt.Sprint("monitored=", monitor != nil), func(b *testing.B) {
			coll := dbtest.Watched(b, monitor).Collection("c")
			b.ReportAllocs()
			for b.Loop() {
				if err := coll.FindOne(b.Context(), bson.D{}).Err(); err != mongo.ErrNoDocuments {
					b.Fatal(err)
				}
			}
		})
	}
}
