package imap

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestCommandsKeepPace: the commands of all sessions of a user wait when they are too many, those of
// others do not, and a session whose client goes meanwhile ends.
func TestCommandsKeepPace(t *testing.T) {
	const limit = 4
	s := newTestServer(t, func(o *Options) { o.MaxCommandsPerMinute = limit })
	s.addUser(t, other)
	heard := make(chan string, 1000)
	s.errs.heard.Store(&heard)
	hear := func(text string) {
		t.Helper()
		timeout := time.After(testWait)
		for {
			select {
			case line := <-heard:
				if strings.Contains(line, text) {
					return
				}
			case <-timeout:
				t.Fatalf("no %q in the log", text)
			}
		}
	}
	one, two := s.login(t), s.login(t)
	for range limit / 2 {
		one.ok("NOOP")
		two.ok("NOOP")
	}
	for len(heard) > 0 {
		if line := <-heard; strings.Contains(line, "commands wait") {
			t.Errorf("within the limit: %s", line)
		}
	}
	one.send("x NOOP\r\n")
	hear("commands wait")
	dialIMAP(t, s.addr, other, testPassword).ok("NOOP")
	one.Close()
	hear("imap: logout")
	if conns := len(s.open()); conns != 2 {
		t.Errorf("%d sessions, want that of %s and of the other user", conns, testUser)
	}
	// A server that stops does not wait for it, either: the cleanup has a limit.
	two.send("y NOOP\r\n")
}

// A user cannot have a new pace by leaving; one who has rested is forgotten. Without a limit there is no
// pace.
func TestPaceOfUsers(t *testing.T) {
	if newPace(0) != nil {
		t.Error("there is a pace without a limit")
	}
	s := newTestServer(t, func(o *Options) { o.MaxCommandsPerMinute = 1000 })
	c := s.login(t)
	c.ok("NOOP")
	if pace := s.paceOf(s.user.ID); pace == nil || pace.Burst() != 1000 {
		t.Errorf("pace %v", pace)
	}
	before := s.paceOf(s.user.ID)
	c.ok("UNAUTHENTICATE")
	c.ok("LOGIN %q %q", testUser, testPassword)
	if pace := s.paceOf(s.user.ID); pace != before {
		t.Error("UNAUTHENTICATE gives a new pace")
	}
	c.ok("UNAUTHENTICATE")
	s.mu.Lock()
	defer s.mu.Unlock()
	before.ReserveN(time.Now(), 1000) // it has not rested, however long the test takes
	s.pruneUsers()
	if _, ok := s.perUser[s.user.ID]; !ok {
		t.Error("a user who has not rested is forgotten")
	}
	before.SetLimit(rate.Inf)
	before.SetBurst(0)
	s.pruneUsers()
	if u, ok := s.perUser[s.user.ID]; ok {
		t.Errorf("a user who has rested is not forgotten: %+v", u)
	}
}
