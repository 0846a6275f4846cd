package imap

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
)

// A session is listed with what its client does, on every instance, and ends when it is told to:
// while it waits for a command, and in IDLE.
func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	base := newTestServer(t)
	instance := func() (*testServer, *sessions.Exchange) {
		registry := sessions.NewRegistry()
		x := sessions.New(sessions.Options{Database: base.db, Registry: registry, Logger: slog.New(slog.DiscardHandler),
			Patience: testWait})
		ctx, end := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { x.Run(ctx) })
		t.Cleanup(func() {
			end()
			running.Wait()
		})
		return base.serve(t, Options{Authenticator: testAuthenticator(base.accounts), Logger: base.log,
			Sessions: registry}, base.store), x
	}
	one, x := instance()
	two, _ := instance()
	waits := one.login(t)
	waits.ok(`ID ("name" "Test" "version" "1")`)
	waits.ok("EXAMINE INBOX")
	idles := two.login(t)
	idles.ok("SELECT INBOX")
	idles.send("i IDLE\r\n")
	if line := idles.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatal(line)
	}
	stays := two.login(t)

	// Until the second instance has said that it is one, nobody waits for it.
	var a sessions.Answer
	for len(a.Sessions) < 3 {
		var err error
		if a, err = x.List(t.Context(), sessions.Target{User: &base.user.ID}); err != nil || len(a.Silent) > 0 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	first := a.Sessions[0]
	if len(a.Sessions) != 3 || first.Username != testUser || first.Mailbox != "INBOX" || first.Client != "Test 1" ||
		first.Remote != "127.0.0.1" || first.Protocol != "imap" || first.By != "password" || first.Instance == "" ||
		first.User != base.user.ID || first.Since.IsZero() || first.Active.Before(first.Since) {
		t.Errorf("listed: %+v", a.Sessions)
	}
	for i, c := range []*testClient{waits, idles} {
		ended, err := x.Kick(t.Context(), sessions.Target{ID: a.Sessions[i].ID})
		if err != nil || ended.Ended != 1 {
			t.Errorf("%+v, %v", ended, err)
		}
		lines := c.closed()
		if len(lines) == 0 || lines[len(lines)-1] != "* BYE The session was ended by the server" {
			t.Errorf("session %d said %q", i, lines)
		}
	}
	stays.ok("NOOP")
	if ended, err := x.Kick(t.Context(), sessions.Target{ID: a.Sessions[0].ID}); err != nil || ended.Ended != 0 {
		t.Errorf("a session that has ended: %+v, %v", ended, err)
	}
	if err := x.End(t.Context(), sessions.Target{User: &base.user.ID}); err != nil {
		t.Fatal(err)
	}
	if lines := stays.closed(); len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], "* BYE The session") {
		t.Errorf("all of the user: %q", lines)
	}
}

// The sessions of a master user end with the others of that user, and those of an application password
// with it; all others stay.
func TestSessionsOfCredentialsEnd(t *testing.T) {
	t.Parallel()
	base := newTestServer(t)
	root, err := base.store.CreateUser(t.Context(),
		mailstore.NewUser{Username: "root@example.com", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	app, phone, err := base.store.AddAppPassword(t.Context(), base.user.ID, "phone", mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.New(account.Options{Store: base.store, Bus: base.bus, Logger: base.log,
		Masters: []string{"root@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	registry := sessions.NewRegistry()
	x := sessions.New(sessions.Options{Database: base.db, Registry: registry, Logger: slog.New(slog.DiscardHandler)})
	srv := base.serve(t, Options{Authenticator: testAuthenticator(accounts), Logger: base.log, Sessions: registry},
		base.store)
	own, star, byPhone := srv.login(t), srv.dial(t), srv.dial(t)
	star.ok(`LOGIN "%s*root@example.com" %q`, testUser, testPassword)
	byPhone.ok(`LOGIN %q %q`, testUser, phone)
	proof, err := base.store.Authenticate(t.Context(), testUser, phone, mailstore.ScopeIMAP)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		target sessions.Target
		client *testClient
	}{
		{sessions.Target{User: &root.ID}, star},
		{sessions.Target{User: &base.user.ID, Credential: string(proof.Credential)}, byPhone},
		{sessions.Target{User: &base.user.ID}, own},
	} {
		own.ok("NOOP")
		if err := x.End(t.Context(), end.target); err != nil {
			t.Fatal(err)
		}
		lines := end.client.closed()
		if len(lines) == 0 || lines[len(lines)-1] != "* BYE The session was ended by the server" {
			t.Errorf("%+v, password %s: the session said %q", end.target, app.ID, lines)
		}
	}
}

// A server without UNAUTHENTICATE does not name it, and takes it for a bad command (RFC 8437 section
// 8): the session goes on.
func TestNoUnauthenticate(t *testing.T) {
	c := newTestServer(t, func(o *Options) { o.NoUnauthenticate = true }).login(t)
	if said, _ := c.ok("CAPABILITY"); strings.Contains(said[0], "UNAUTHENTICATE") {
		t.Errorf("%q", said)
	}
	c.refused("BAD", "UNAUTHENTICATE")
	c.ok("SELECT INBOX")
}
