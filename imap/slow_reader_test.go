package imap

import (
	"strings"
	"testing"
	"time"
)

// TestSlowReader: a client that stops reading holds up nobody, is cut off when it has read nothing for
// the time limit, and leaves nothing behind.
func TestSlowReader(t *testing.T) {
	s := newTestServer(t)
	s.randomMails(t, s.user, 20)
	wait := s.watchMemory(t)
	heard := make(chan string, 1000)
	s.errs.heard.Store(&heard)
	s.mu.Lock()
	s.writeTimeout = 10 * time.Millisecond
	s.mu.Unlock()
	other := s.login(t)
	other.ok("SELECT INBOX")
	stalled := s.login(t)
	stalled.ok("SELECT INBOX")
	before := len(s.open())
	// More than the system takes for a client that reads nothing.
	stalled.send(strings.Repeat("x FETCH 1:* BODY.PEEK[]\r\n", 60))
	for range 20 {
		other.ok("STORE 1:* +FLAGS (\\Flagged)")
		other.ok("STORE 1:* -FLAGS (\\Flagged)")
		other.append("INBOX", "", message("hello"))
	}
	timeout := time.After(testWait)
	for line := ""; !strings.Contains(line, "imap: logout"); {
		select {
		case line = <-heard:
		case <-timeout:
			t.Fatal("the server does not end the session")
		}
		if strings.Contains(line, "imap: logout") && !strings.Contains(line, "client reads nothing") {
			t.Errorf("%s", line)
		}
	}
	wait("the end", func(c budgetCounts) bool { return c.used == 0 && c.waiting == 0 })
	if after := len(s.open()); after != before-1 {
		t.Errorf("%d connections, there were %d", after, before)
	}
	checkGoroutines(t)
	other.ok("NOOP")
}
