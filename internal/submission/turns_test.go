package submission

import (
	"sync/atomic"
	"testing"

	"gadwall/internal/smarthost"
)

// turns is a relay that knows whose turn it is.
type turns struct {
	relay
	servers atomic.Bool
}

func (t *turns) ServerTurn() { t.servers.Store(true); t.relay.ServerTurn() }
func (t *turns) ClientTurn() { t.servers.Store(false); t.relay.ClientTurn() }

var _ relay = (*smarthost.Transaction)(nil)

// The work with the database for a message is not its client's time.
func TestWorkIsNotClientTime(t *testing.T) {
	e := newFaultyEnv(t)
	if err := e.store.AddAlias(t.Context(), e.user.ID, "alias@example.com"); err != nil {
		t.Fatal(err)
	}
	m, err := e.Begin(t.Context(), e.who, Envelope{From: "ada@example.com",
		Received: func([]string) string { return "Received: here\r\n" }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Abort()
	if err := m.Rcpt(Recipient{Address: "bob@example.net"}); err != nil {
		t.Fatal(err)
	}
	now := &turns{relay: m.relay}
	m.relay = now
	var asked atomic.Int32 // commands on the server's turn
	e.mu.Lock()
	e.seen = func() {
		if now.servers.Load() {
			asked.Add(1)
		}
	}
	e.mu.Unlock()
	for _, step := range []struct {
		name string
		do   func() error
		last bool
	}{
		{"Start", m.Start, false},
		{"Write", func() error {
			_, err := m.Write([]byte("From: alias@example.com\r\n\r\ntext\r\n"))
			return err
		}, false},
		{"Finish", func() error { _, err := m.Finish(); return err }, true},
	} {
		asked.Store(0)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if asked.Load() == 0 {
			t.Errorf("%s: no command on the server's turn", step.name)
		}
		if now.servers.Load() && !step.last {
			t.Errorf("%s: it is not the client's turn after it", step.name)
		}
	}
}
