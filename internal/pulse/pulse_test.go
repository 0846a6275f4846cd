package pulse

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gadwall_ingest_deliveries_total"},
			[]string{"protocol", "result"})
		commands := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gadwall_commands_total"},
			[]string{"protocol", "command", "result"})
		database := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gadwall_database_command_duration_seconds"}, []string{"command"})
		open := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gadwall_imap_connections"})
		reg.MustRegister(deliveries, commands, database, open)
		s := NewSampler(reg)
		if s.Figures() != nil || len(s.Samples(time.Time{})) != 0 {
			t.Error("samples before the first")
		}
		deliveries.WithLabelValues("lmtp", "ok").Add(1000) // before the instance was looked at
		done := make(chan struct{})
		go func() { s.Run(t.Context()); close(done) }()
		synctest.Wait()
		deliveries.WithLabelValues("lmtp", "ok").Add(10)
		deliveries.WithLabelValues("smtp", "ok").Add(5)
		deliveries.WithLabelValues("smtp", "quota").Add(100)
		commands.WithLabelValues("IMAP", "FETCH", "ok").Add(20)
		commands.WithLabelValues("http", "getMessage", "ok").Add(100)
		database.WithLabelValues("find").Observe(1)
		open.Set(7)
		time.Sleep(Interval) // of the bubble's clock
		synctest.Wait()
		all := s.Samples(time.Time{})
		if len(all) != 2 || all[0].Deliveries != 0 {
			t.Fatalf("%+v", all)
		}
		last := all[1]
		if last.Deliveries != 3 || last.IMAPCommands != 4 || last.Database != 0.2 || last.IMAPConnections != 7 ||
			last.At.Sub(all[0].At) != Interval {
			t.Errorf("%+v", last)
		}
		if f := s.Figures(); f["deliveries"] != 3 || f["imapConnections"] != 7 {
			t.Errorf("%v", f)
		}
		if after := s.Samples(all[0].At); len(after) != 1 || after[0] != last {
			t.Errorf("%+v", after)
		}
		time.Sleep(maxSamples * Interval)
		synctest.Wait()
		if all = s.Samples(time.Time{}); len(all) != maxSamples || all[0].At.Before(last.At.Add(Interval)) {
			t.Errorf("%d samples from %v", len(all), all[0].At)
		}
	})
}

func TestTail(t *testing.T) {
	tail := NewTail(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	log := slog.New(tail)
	log.Debug("not logged")
	log.With("user", "ada").WithGroup("http").Info("changed", "status", 200, slog.Group("by", "token", "t1"))
	log.Error("failed", "error", errors.New("no disk"))
	got := tail.Lines(0, 10)
	for i := range got {
		got[i].At = time.Time{}
	}
	want := []Line{
		{Number: 1, Level: "INFO", Text: "changed",
			Attrs: []Attr{{"user", "ada"}, {"http.status", "200"}, {"http.by.token", "t1"}}},
		{Number: 2, Level: "ERROR", Text: "failed", Attrs: []Attr{{"error", "no disk"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	log.Info("after")
	if after := tail.Lines(2, 10); len(after) != 1 || after[0].Text != "after" {
		t.Errorf("%+v", after)
	}
	if after := tail.Lines(3, 10); after == nil || len(after) != 0 {
		t.Errorf("%+v", after)
	}
}

// The ring keeps the latest lines, and bounds what one takes.
func TestTailIsBounded(t *testing.T) {
	tail := NewTail(slog.NewTextHandler(io.Discard, nil))
	log := slog.New(tail)
	var attrs []any
	for i := range 2 * maxAttrs {
		attrs = append(attrs, fmt.Sprint(i), strings.Repeat("x", maxText+1))
	}
	for range maxLines + 7 {
		log.Info(strings.Repeat("y", maxText+1), attrs...)
	}
	all := tail.Lines(0, maxLines)
	if len(all) != maxLines || all[0].Number != 8 || all[len(all)-1].Number != maxLines+7 {
		t.Fatalf("%d lines, from %d to %d", len(all), all[0].Number, all[len(all)-1].Number)
	}
	if l := all[3]; len(l.Text) > maxText+4 || len(l.Attrs) != maxAttrs || len(l.Attrs[0].Value) > maxText+4 {
		t.Errorf("%d octets, %d attributes", len(l.Text), len(l.Attrs))
	}
	if last := tail.Lines(0, 3); len(last) != 3 || last[2].Number != maxLines+7 {
		t.Errorf("%d", len(last))
	}
}
