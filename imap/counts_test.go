package imap

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/activity"
	"gadwall/internal/dbtest"
)

// commandCounts are gadwall_commands_total by command and result.
func commandCounts(t *testing.T, c *activity.Counts) map[[2]string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[[2]string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "gadwall_commands_total" { // labels are sorted: command, protocol, result
				all[[2]string{m.Label[0].GetValue(), m.Label[2].GetValue()}] = m.GetCounter().GetValue()
			}
		}
	}
	return all
}

// Each command counts once, by its name and by how it ended; names that are no commands are one.
// What a session asks of the database counts for the command at which it is.
func TestCommandCounts(t *testing.T) {
	counts := activity.New()
	s := newTestServerOn(t, dbtest.Watched(t, counts.Monitor()), func(o *Options) { o.Activity = counts })
	c := s.dial(t)
	for _, line := range []string{
		"LOGIN alice@example.com wrong", "LOGIN alice@example.com {13+}\r\n" + testPassword, "NOOP",
		"SELECT INBOX", "UID FETCH 1:* FLAGS",
		"SELECT Nowhere", "FETCH", "XYZZY", "UID XYZZY", "UID", "STARTTLS",
	} {
		c.do("%s", line)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := commandCounts(t, counts)
	want := map[[2]string]float64{
		{"LOGIN", "refused"}: 1, {"LOGIN", "ok"}: 1, {"NOOP", "ok"}: 1, {"SELECT", "ok"}: 1, {"SELECT", "refused"}: 1,
		{"UID FETCH", "ok"}: 1, {"FETCH", "refused"}: 1, {"unknown", "refused"}: 3, {"STARTTLS", "refused"}: 1,
	}
	for key, n := range want {
		if got[key] != n {
			t.Errorf("%v: %v, want %v", key, got[key], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("commands %v", got)
	}
	if n, bytes := counts.Operation(protocolName, "SELECT").Asked(); n < 2 || bytes == 0 {
		t.Errorf("SELECT sent %d commands to the database, and got %d octets", n, bytes)
	}
	if n, _ := counts.Operation(protocolName, "NOOP").Asked(); n != 0 {
		t.Errorf("NOOP without a mailbox sent %d commands to the database", n)
	}
	traffic := counts.Traffic(protocolName)
	if in, out := traffic.Received.Load(), traffic.Sent.Load(); in < 150 || in > 400 || out < 400 || out > 4000 {
		t.Errorf("%d octets from the client, %d to it", in, out)
	}
}
