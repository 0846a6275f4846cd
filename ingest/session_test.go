package ingest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
	"gadwall/internal/storetest"
)

// A submission session is listed from its login on, and ends when it is told to, after the message that
// is being transferred.
func TestSubmissionSessions(t *testing.T) {
	registry := sessions.NewRegistry()
	e := newSubmission(t, func(o *submissionSetup) { o.Sessions = registry })
	x := sessions.New(sessions.Options{Database: e.store.Database, Registry: registry,
		Logger: slog.New(slog.DiscardHandler), Patience: time.Minute})
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { x.Run(ctx) })
	t.Cleanup(func() {
		end()
		running.Wait()
	})
	nobody := e.dial(t)
	nobody.want("220 ")
	waits, sends, leaves := e.login(t), e.login(t), e.login(t)
	leaves.cmd("QUIT", "221 ")
	leaves.wantClosed()
	sends.cmd("MAIL FROM:<ada@example.com>", "250 ")
	sends.cmd("RCPT TO:<x@example.net>", "250 ")
	sends.cmd("DATA", "354 ")
	var a sessions.Answer
	for len(a.Sessions) != 2 { // until the instance has said that it is one
		var err error
		if a, err = x.List(t.Context(), sessions.Target{User: &e.user.ID}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range a.Sessions {
		if s.Username != ada || s.Protocol != "smtp" || s.Remote != "127.0.0.1" || s.By != "password" || s.TLS {
			t.Errorf("listed: %+v", s)
		}
	}
	if ended, err := x.Kick(t.Context(), sessions.Target{User: &e.user.ID}); err != nil || ended.Ended != 2 {
		t.Errorf("%+v, %v", ended, err)
	}
	const bye = "421 4.7.0 The session was ended by the server"
	waits.want(bye)
	waits.wantClosed()
	sends.cmd(dotted(mailFromAda), "250 ")
	sends.want(bye)
	sends.wantClosed()
	nobody.cmd("NOOP", "250 ")
	if a, err := x.List(t.Context(), sessions.Target{}); err != nil || len(a.Sessions) != 0 {
		t.Errorf("at the end: %+v, %v", a, err)
	}
}

// A submission session of a master user ends with the others of that user, and one of an application
// password with it.
func TestSubmissionSessionsOfCredentialsEnd(t *testing.T) {
	const master = "root@example.com"
	registry := sessions.NewRegistry()
	e := newSubmission(t, func(o *submissionSetup) { o.Sessions, o.masters = registry, []string{master} })
	root := e.store.User(t, master)
	_, phone, err := e.store.AddAppPassword(t.Context(), e.user.ID, "phone", mailstore.ScopeSMTP)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := e.store.Authenticate(t.Context(), ada, phone, mailstore.ScopeSMTP)
	if err != nil {
		t.Fatal(err)
	}
	x := sessions.New(sessions.Options{Database: e.store.Database, Registry: registry,
		Logger: slog.New(slog.DiscardHandler)})
	login := func(username, password string) *client {
		c := e.dial(t)
		c.want("220 ")
		c.cmd("EHLO client.example", "250 ")
		c.cmd("AUTH PLAIN "+plain(username, password), "235 ")
		return c
	}
	own, star, byPhone := e.login(t), login(ada+"*"+master, storetest.Password), login(ada, phone)
	for _, end := range []struct {
		target sessions.Target
		client *client
	}{
		{sessions.Target{User: &root.ID}, star},
		{sessions.Target{User: &e.user.ID, Credential: string(proof.Credential)}, byPhone},
		{sessions.Target{User: &e.user.ID}, own},
	} {
		own.cmd("NOOP", "250 ")
		if err := x.End(t.Context(), end.target); err != nil {
			t.Fatal(err)
		}
		end.client.want("421 4.7.0 The session was ended by the server")
		end.client.wantClosed()
	}
}
