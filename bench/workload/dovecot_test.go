package workload

import (
	"strings"
	"testing"

	"gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/internal/dovecottest"
)

// What is checked are the protocols, not one server's way to answer: a Dovecot passes, too.
func TestDovecot(t *testing.T) {
	dovecot := dovecottest.Start(t, dovecottest.LMTP(), dovecottest.MDBox(false))
	o, lines := small(t, &target.Target{
		Server: result.Server{Name: "dovecot"}, IMAP: dovecot.Addr, LMTP: dovecot.LMTPAddr,
		UserFormat: "bench%d@example.com", Password: "any",
	})
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	steps := make(map[string]bool)
	for _, l := range *lines {
		steps[l.Name()] = true
		values := len(l.Values)
		if l.Workload == "search" { // of the client, and of what it looks for
			values -= len([]string{"first-ms", "found-messages"})
		}
		if l.Workload == "footprint" {
			values -= len([]string{"received-bytes"})
		}
		if l.Errors > 0 || values > 0 {
			t.Errorf("%s: %d errors (%s), values %v", l.Name(), l.Errors, l.Example, l.Values)
		}
	}
	for _, w := range All() {
		found := false
		for name := range steps {
			found = found || name == w.Name || strings.HasPrefix(name, w.Name+" ")
		}
		if !found {
			t.Errorf("no line of %s", w.Name)
		}
	}
	depending := []string{"expunge many", "move many", "sync condstore", "sync condstore ten",
		"sync qresync", "sync qresync ten",
		"search sort size", "search sort date", "search thread"} // on capabilities
	for _, name := range depending {
		if !steps[name] {
			t.Errorf("no line of %s", name)
		}
	}
}
