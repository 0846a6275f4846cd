package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/sessions"
)

// GET /users/{id}/updates is a stream of events (HTML, Server-sent events): package feed says
// what they tell. The id of each is the position after it, from which a client that was cut goes on:
// browsers send it as Last-Event-ID. Two kinds of events are of the stream alone: "start" has the
// position at which a stream without one begins, and "resync" says that the journal does not reach back
// to the client's.

const (
	typeEvents  = "text/event-stream"
	lastEventID = "Last-Event-ID"
)

func (s *Server) updateRoutes() []route {
	return []route{{http.MethodGet, "/users/{id}/updates", operators, 0, 0, s.updates, operation{
		id: "getUpdates", tag: "messages", answerTypes: []string{typeEvents},
		summary: "What happens to a user's mail, as server-sent events; docs/events.md describes them.",
		query: []parameter{
			{name: "since", text: "A position: the id of an event. Last-Event-ID goes before it.", schema: text()},
			{name: "kinds", text: "The kinds to tell, separated by commas: some of " + kindWords() + ".",
				schema: text()}},
		header: []parameter{{name: lastEventID, text: "The id of the last event that the client took.",
			schema: text()}},
		failures: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusTooManyRequests}}}}
}

// updates answers with a stream that ends when the client goes, or may not read any more, or does not
// read, or the server shuts down.
func (s *Server) updates(w http.ResponseWriter, r *http.Request) {
	u, err := s.newUpdateStream(w, r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	if !s.streams.admit(u.user) {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusTooManyRequests, "TooManyStreams", "too many streams are open")
		return
	}
	defer s.streams.release(u.user)
	if !beginStream(w, r) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	u.session = s.opts.Registry.Open(s.streamOfUser(r, u.account), func(string) { cancel() })
	defer u.session.Close()
	err = u.run(ctx)
	var write *writeError
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &write):
	case errors.Is(err, mailstore.ErrNoSuchUser), errors.Is(err, errNoLonger):
	default:
		s.log.Warn("stream of updates ended", "request", requestID(w), "user", u.user.String(), "error", err)
	}
}

// updateStream is one stream to a client.
type updateStream struct {
	eventStream
	account *account.Account
	user    mailkey.UserID
	kinds   []feed.Kind // nil for all

	stream  *feed.Stream
	sent    string // the id that the client has
	session *sessions.Session
}

// streamOfUser describes a stream as a session of the user whose mail it tells of.
func (s *Server) streamOfUser(r *http.Request, of *account.Account) sessions.Info {
	info := s.streamOf(r)
	info.User, info.Username = of.UserID(), of.Username()
	if who := callerOf(r.Context()); who.name != info.Username {
		info.Actor = who.name
	}
	return info
}

// streamOf describes a stream as a session of nobody.
func (s *Server) streamOf(r *http.Request) sessions.Info {
	info := sessions.Info{Protocol: "http", Remote: s.client(r).Address, TLS: r.TLS != nil}
	who := callerOf(r.Context())
	info.ActorID, info.Credential, info.Begun = who.login.Actor, string(who.login.Credential), who.login.Begun
	if name := r.UserAgent(); len(name) <= maxAgent {
		info.Client = strings.ToValidUTF8(name, "?")
	}
	switch t := who.token; {
	case t == nil && s.opts.Token != "":
		info.By = "http-token"
	case t != nil && t.ID != "":
		info.By = "token " + t.ID
	case t != nil:
		info.By = t.Name
	}
	return info
}

// errNoLonger ends the stream of a client who may not read any more.
var errNoLonger = errors.New("the client may not read any more")

// newUpdateStream reads what a request asks for.
func (s *Server) newUpdateStream(w http.ResponseWriter, r *http.Request) (*updateStream, error) {
	u := &updateStream{eventStream: s.newEventStream(w, r), sent: r.Header.Get(lastEventID)}
	if u.sent == "" {
		u.sent = r.FormValue("since")
	}
	var err error
	if u.kinds, err = kindsOf(r); err != nil {
		return nil, err
	}
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if user.State != mailstore.UserActive {
		return nil, refuse(http.StatusForbidden, "Suspended", "the user is suspended")
	}
	u.user, u.account = user.ID, s.opts.Accounts.Of(user)
	return u, nil
}

// run sends events until the stream ends.
func (u *updateStream) run(ctx context.Context) error {
	defer func() {
		if u.stream != nil {
			u.stream.Close()
		}
	}()
	if err := u.follow(ctx); err != nil {
		return err
	}
	checked := time.Now()
	for {
		if time.Since(checked) >= u.server.heartbeat {
			if err := u.check(ctx); err != nil {
				return err
			}
			checked = time.Now()
		}
		waiting, cancel := context.WithTimeout(ctx, u.server.heartbeat)
		page, err := u.stream.Next(waiting)
		cancel()
		switch {
		case err == nil:
			err = u.send(page.Events)
		case errors.Is(err, feed.ErrResync):
			err = u.restart(ctx, "resync")
		case ctx.Err() == nil && waiting.Err() != nil:
			err = u.beat()
		}
		if err != nil {
			return err
		}
	}
}

// follow begins the stream, and follows the feed from the client's position.
func (u *updateStream) follow(ctx context.Context) error {
	if err := u.begin(); err != nil {
		return err
	}
	if u.sent == "" {
		return u.restart(ctx, "start")
	}
	var err error
	u.stream, err = u.account.Follow(ctx, u.sent)
	if errors.Is(err, feed.ErrResync) || errors.Is(err, feed.ErrPosition) {
		return u.restart(ctx, "resync")
	}
	if err == nil {
		u.server.updateMetrics.resumes.Inc()
	}
	return err
}

// restart follows the feed from now on, and tells the client so by an event of this name.
func (u *updateStream) restart(ctx context.Context, event string) error {
	if event == "resync" {
		u.server.updateMetrics.resyncs.Inc()
	}
	if u.stream != nil {
		u.stream.Close()
		u.stream = nil
	}
	position, err := u.account.Position(ctx)
	if err != nil {
		return err
	}
	if u.stream, err = u.account.Follow(ctx, position); err != nil {
		return err
	}
	u.sent = position
	return u.write([]byte("id: " + position + "\nevent: " + event + "\ndata: {\"kind\":\"" + event + "\"}\n\n"))
}

// send sends those events that the client wants.
func (u *updateStream) send(list []feed.Event) error {
	var b bytes.Buffer
	n := 0
	for i := range list {
		e := &list[i]
		if u.kinds != nil && !slices.Contains(u.kinds, e.Kind) {
			continue
		}
		n++
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.WriteString("id: " + e.Position + "\nevent: " + string(e.Kind) + "\ndata: ")
		b.Write(data)
		b.WriteString("\n\n")
		u.sent = e.Position
	}
	if n == 0 {
		return nil
	}
	u.server.updateMetrics.events.Add(float64(n))
	u.session.Touch()
	return u.write(b.Bytes())
}

// beat shows that the stream is alive. It has the position, if that has moved on without an event that
// the client wants: an id without data is no event, and the client keeps it.
func (u *updateStream) beat() error {
	if position := u.stream.Position(); position != u.sent {
		u.sent = position
		return u.write([]byte("id: " + position + "\n\n"))
	}
	return u.write([]byte(":\n\n"))
}

// check ends the stream if the token was revoked or the user may not log in any more.
func (u *updateStream) check(ctx context.Context) error {
	if err := u.checkToken(ctx); err != nil {
		return err
	}
	user, err := u.server.opts.Users.UserByID(ctx, u.user)
	if err == nil && user.State != mailstore.UserActive {
		return errNoLonger
	}
	return err
}
