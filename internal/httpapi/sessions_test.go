package httpapi

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/sessions"
	"gadwall/internal/storetest"
)

// Operators see and end all sessions, users their own.
func TestSessions(t *testing.T) {
	registry := sessions.NewRegistry()
	var x *sessions.Exchange
	a := newLoginAPI(t, time.Millisecond, func(o *Options) {
		x = sessions.New(sessions.Options{Database: o.Users.(*storetest.Store).Database, Registry: registry,
			Logger: slog.New(slog.DiscardHandler), Patience: within})
		o.Sessions = x
	})
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { x.Run(ctx) })
	t.Cleanup(func() {
		end()
		running.Wait()
	})
	kicked := make(chan string, 10)
	for _, name := range []string{"ada@example.com", "bob@example.com", "bob@example.com"} {
		user, err := a.UserByName(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		var s *sessions.Session
		s = registry.Open(sessions.Info{User: user.ID, Username: name, Protocol: "imap", Remote: "192.0.2.1"},
			func(string) {
				s.Close()
				kicked <- name
			})
	}
	root, ada := "Authorization: Bearer 0123456789abcdef", as("ada@example.com", storetest.Password)
	var all, own sessionList
	for len(all.Sessions) < 3 { // until the instance has said that it is one
		a.call(t, "GET", "/sessions", "", 200, &all, root)
	}
	a.call(t, "GET", "/users/ada@example.com/sessions", "", 200, &own, ada)
	if len(all.Sessions) != 3 || len(own.Sessions) != 1 || own.Sessions[0].Username != "ada@example.com" ||
		own.Sessions[0].Remote != "192.0.2.1" || own.Sessions[0].Instance == "" {
		t.Errorf("all %+v, own %+v", all, own)
	}
	bobs := ""
	for _, s := range all.Sessions {
		if s.Username == "bob@example.com" {
			bobs = s.ID
		}
	}
	a.expect(t, "GET", "/sessions", "", 403, "InsufficientScope", ada)
	a.expect(t, "DELETE", "/sessions/"+bobs, "", 403, "InsufficientScope", ada)
	a.expect(t, "DELETE", "/users/ada@example.com/sessions/"+bobs, "", 404, "NoSuchSession", ada)
	a.expect(t, "DELETE", "/users/ada@example.com/sessions/"+own.Sessions[0].ID, "", 200, "", ada)
	if name := <-kicked; name != "ada@example.com" {
		t.Errorf("%s was told to end", name)
	}
	a.expect(t, "DELETE", "/sessions/"+bobs, "", 200, "", root)
	a.expect(t, "DELETE", "/sessions/"+bobs, "", 404, "NoSuchSession", root)
	var ended endedSessions
	a.call(t, "DELETE", "/users/bob@example.com/sessions", "", 200, &ended, root)
	if ended.Ended != 1 || <-kicked != "bob@example.com" || <-kicked != "bob@example.com" {
		t.Errorf("%+v", ended)
	}
}

// A stream of updates is a session of its user, and ends when it is told to.
func TestStreamsAreSessions(t *testing.T) {
	registry := sessions.NewRegistry()
	a := newLoginAPI(t, time.Millisecond, func(o *Options) { o.Registry = registry })
	x := sessions.New(sessions.Options{Database: a.Database, Registry: registry,
		Logger: slog.New(slog.DiscardHandler), Patience: within})
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { x.Run(ctx) })
	t.Cleanup(func() {
		end()
		running.Wait()
	})
	stream := &updateAPI{api: *a}
	own := stream.open(t, "", as("ada@example.com", storetest.Password), "User-Agent: phone")
	own.want("start")
	operators := stream.open(t, "", "Authorization: Bearer 0123456789abcdef")
	operators.want("start")
	var got sessions.Answer
	for len(got.Sessions) < 2 { // until the instance has said that it is one
		var err error
		if got, err = x.List(t.Context(), sessions.Target{}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := got.Sessions[0], got.Sessions[1]
	if first.Username != "ada@example.com" || first.Protocol != "http" || first.By != "password" ||
		first.Remote != "127.0.0.1" || first.Client != "phone" || second.User != first.User ||
		second.By != "http-token" {
		t.Errorf("listed: %+v", got.Sessions)
	}
	if ended, err := x.Kick(t.Context(), sessions.Target{ID: first.ID}); err != nil || ended.Ended != 1 {
		t.Errorf("%+v, %v", ended, err)
	}
	own.ended()
	if err := x.End(t.Context(), sessions.Target{User: &first.User}); err != nil {
		t.Fatal(err)
	}
	operators.ended()
}

// A stream of a master user ends with the sessions of that user; one of an application password or a
// token with these. They are listed with whose they are.
func TestStreamsOfCredentialsEnd(t *testing.T) {
	const root = "root@example.com"
	registry := sessions.NewRegistry()
	a := newLoginAPI(t, time.Millisecond, func(o *Options) {
		st := o.Users.(*storetest.Store)
		accounts, err := account.New(account.Options{Store: st.Store, Bus: st.Bus, Masters: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		o.Registry, o.Accounts = registry, accounts
		o.Authenticator = sasl.New(sasl.Options{Accounts: accounts})
	})
	x := sessions.New(sessions.Options{Database: a.Database, Registry: registry, Logger: slog.New(slog.DiscardHandler)})
	master := a.User(t, root)
	ada, err := a.UserByName(t.Context(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	_, phone, err := a.AddAppPassword(t.Context(), ada.ID, "phone", mailstore.ScopeHTTP)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := a.Authenticate(t.Context(), ada.Username, phone, mailstore.ScopeHTTP)
	if err != nil {
		t.Fatal(err)
	}
	token, secret, err := a.CreateToken(t.Context(), mailstore.Token{Name: "x", Scopes: []string{"mail"}, User: ada.ID})
	if err != nil {
		t.Fatal(err)
	}
	operators, operatorsSecret, err := a.CreateToken(t.Context(), mailstore.Token{Name: "x", Scopes: []string{"mail"}})
	if err != nil {
		t.Fatal(err)
	}
	streams := &updateAPI{api: *a}
	for _, tt := range []struct {
		header string
		target sessions.Target
	}{
		{as(ada.Username+"*"+root, storetest.Password), sessions.Target{User: &master.ID}},
		{as(ada.Username, phone), sessions.Target{User: &ada.ID, Credential: string(proof.Credential)}},
		{"Authorization: Bearer " + secret, sessions.Target{User: &ada.ID, Credential: string(token.Credential())}},
		{"Authorization: Bearer " + operatorsSecret,
			sessions.Target{User: &operators.User, Credential: string(operators.Credential())}},
	} {
		stream := streams.open(t, "", tt.header)
		stream.want("start")
		if err := x.End(t.Context(), tt.target); err != nil {
			t.Fatal(err)
		}
		stream.ended()
	}
}
