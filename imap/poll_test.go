package imap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// idle begins IDLE.
func (c *testClient) idle() {
	c.t.Helper()
	c.send("i IDLE\r\n")
	if line := c.line(); line != "+ idling" {
		c.t.Fatal(line)
	}
}

// waitFor waits until as many sessions are in the poller's list.
func (p *poller) waitFor(t *testing.T, n int) {
	t.Helper()
	deadline := time.NewTimer(testWait)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		got := len(p.waiting)
		p.mu.Unlock()
		if got == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d sessions wait, not %d", got, n)
		}
	}
}

// However many sessions idle on however many mailboxes, a look for changes is one query. It wakes the
// sessions whose mailboxes have changed, or are gone, and no others.
func TestPollOfAllViews(t *testing.T) {
	db, commands := dbtest.Monitored(t)
	s := newTestServerOn(t, db)
	st := storetest.Open(t, storetest.Options{Database: db, Bus: s.bus, Logger: s.log, RememberPasswords: time.Hour})
	s = s.serve(t, Options{Authenticator: testAuthenticator(testAccounts(t, st.Store, s.bus, s.log)),
		Logger: s.log, PollInterval: time.Hour}, st.Store)
	const n = 300
	clients := make([]*testClient, n)
	keys := make([]mailstore.Mailbox, n)
	for i := range n {
		box, err := s.store.CreateMailbox(t.Context(), s.user.ID, fmt.Sprintf("box %d", i), mailstore.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = *box
		clients[i] = s.login(t)
		clients[i].ok("SELECT %q", box.Path)
		clients[i].idle()
	}
	look := func() {
		t.Helper()
		s.views.waitFor(t, n)
		commands.Reset()
		if err := s.views.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		look()
		s.views.waitFor(t, n)
		if got := commands.Sequence(); commands.Total() != 1 || commands.Count("find", "mailboxes") != 1 {
			t.Fatalf("a look of %d sessions that miss nothing: %s", n, got)
		}
	}

	// Another instance, whose events do not arrive, changes one mailbox and removes another.
	elsewhere := s.otherInstance(t)
	const changed, removed = 7, 11
	w := s.contents.NewWriter(t.Context())
	if _, err := w.Write([]byte(message("elsewhere"))); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Deliver(t.Context(), stored,
		[]mailstore.Delivery{{Mailbox: keys[changed].Key, Magic: stored.Magics[0]}}); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.DeleteMailbox(t.Context(), s.user.ID, keys[removed].Path); err != nil {
		t.Fatal(err)
	}
	look()
	if line := clients[changed].line(); line != "* 1 EXISTS" {
		t.Errorf("in the mailbox that changed: %s", line)
	}
	if line := clients[removed].line(); !strings.HasPrefix(line, "* BYE ") {
		t.Errorf("in the mailbox that is gone: %s", line)
	}
	s.views.waitFor(t, n-1)
	if got := commands.Count("find", "mailboxes"); got > 3 {
		t.Errorf("%d queries of mailboxes: %s", got, commands.Sequence())
	}

	// What the client was told is looked for no more.
	commands.Reset()
	if err := s.views.look(t.Context()); err != nil || commands.Total() != 1 {
		t.Errorf("%v, %s", err, commands.Sequence())
	}
	for i, c := range clients {
		if i == removed {
			continue
		}
		c.send("DONE\r\n")
		if said, status := c.until("i"); !strings.HasPrefix(status, "OK") || i != changed && len(said) > 0 {
			t.Errorf("session %d: %q, %s", i, said, status)
		}
	}
	s.views.waitFor(t, 0)
	commands.Reset()
	if err := s.views.look(t.Context()); err != nil || commands.Total() != 0 {
		t.Errorf("without sessions: %v, %s", err, commands.Sequence())
	}
}
