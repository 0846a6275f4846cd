package httpapi

import (
	"context"
	"net/http"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/sessions"
)

// Sessions asks all instances for their sessions (sessions.Exchange).
type Sessions interface {
	List(ctx context.Context, t sessions.Target) (sessions.Answer, error)
	Kick(ctx context.Context, t sessions.Target) (sessions.Answer, error)
}

// Session is what the API tells of a connection on which a user is logged in.
type Session struct {
	ID       string    `json:"id"`
	Instance string    `json:"instance" doc:"Host and process."`
	User     string    `json:"user,omitempty" doc:"The id of the user; absent for an operator's stream of all updates."`
	Username string    `json:"username" doc:"Empty for an operator's stream of all updates."`
	Actor    string    `json:"actor,omitempty" doc:"The master user who acts for the user."`
	Protocol string    `json:"protocol" enum:"imap,smtp,http"`
	Remote   string    `json:"remote" doc:"The client's address."`
	By       string    `json:"by,omitempty" doc:"What it logged in with."`
	TLS      bool      `json:"tls"`
	Client   string    `json:"client,omitempty" doc:"The program, as it calls itself."`
	Mailbox  string    `json:"mailbox,omitempty" doc:"That is open."`
	Since    time.Time `json:"since"`
	Idle     int64     `json:"idle" doc:"Seconds since the latest command."`
}

type sessionList struct {
	Sessions []Session `json:"sessions" doc:"The oldest first."`
	Silent   []string  `json:"silent,omitempty" doc:"Instances that have not answered in time."`
}

type endedSessions struct {
	Ended  int      `json:"ended" doc:"How many sessions were told to end."`
	Silent []string `json:"silent,omitempty" doc:"Instances that have not answered in time."`
}

// sessionRoutes are the routes of sessions.
func (s *Server) sessionRoutes() []route {
	if s.opts.Sessions == nil {
		return nil
	}
	gone := http.StatusNotFound
	return []route{
		s.route(http.MethodGet, "/sessions", s.listSessions, operation{
			id: "listSessions", summary: "Connections on which users are logged in, on all instances.",
			tag: "sessions", answer: sessionList{}}),
		s.route(http.MethodDelete, "/sessions/{session}", s.endSession, operation{
			id: "endSession", summary: "End a session.", tag: "sessions", answer: endedSessions{},
			failures: []int{gone}}),
		s.route(http.MethodGet, "/users/{id}/sessions", s.listUserSessions, operation{
			id: "listUserSessions", summary: "Connections on which the user is logged in.", tag: "sessions",
			self: true, answer: sessionList{}, failures: []int{gone}}),
		s.route(http.MethodDelete, "/users/{id}/sessions", s.endUserSessions, operation{
			id: "endUserSessions", summary: "End all sessions of a user.", tag: "sessions", self: true,
			answer: endedSessions{}, failures: []int{gone}}),
		s.route(http.MethodDelete, "/users/{id}/sessions/{session}", s.endUserSession, operation{
			id: "endUserSession", summary: "End a session of a user.", tag: "sessions", self: true,
			answer: endedSessions{}, failures: []int{gone}}),
	}
}

func (s *Server) listSessions(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.sessions(r, sessions.Target{})
}

func (s *Server) listUserSessions(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.sessions(r, sessions.Target{User: &user.ID})
}

func (s *Server) sessions(r *http.Request, t sessions.Target) (any, error) {
	a, err := s.opts.Sessions.List(r.Context(), t)
	if err != nil {
		return nil, err
	}
	list := sessionList{Sessions: make([]Session, len(a.Sessions)), Silent: a.Silent}
	for i, x := range a.Sessions {
		list.Sessions[i] = Session{ID: x.ID, Instance: x.Instance, Username: x.Username,
			Actor: x.Actor, Protocol: x.Protocol, Remote: x.Remote, By: x.By, TLS: x.TLS, Client: x.Client,
			Mailbox: x.Mailbox, Since: x.Since, Idle: max(int64(time.Since(x.Active).Seconds()), 0)}
		if x.User != (mailkey.UserID{}) {
			list.Sessions[i].User = x.User.String()
		}
	}
	return list, nil
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.end(w, r, sessions.Target{ID: r.PathValue("session")})
}

func (s *Server) endUserSession(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.end(w, r, sessions.Target{ID: r.PathValue("session"), User: &user.ID})
}

func (s *Server) endUserSessions(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.end(w, r, sessions.Target{User: &user.ID})
}

// end ends the sessions of a target. A single one must exist.
func (s *Server) end(w http.ResponseWriter, r *http.Request, t sessions.Target) (any, error) {
	a, err := s.opts.Sessions.Kick(r.Context(), t)
	if err != nil {
		return nil, err
	}
	if t.ID != "" && a.Ended == 0 && len(a.Silent) == 0 {
		return nil, refuse(http.StatusNotFound, "NoSuchSession", "no such session")
	}
	s.log.Info("sessions ended", "sessions", a.Ended, "request", requestID(w))
	return endedSessions{a.Ended, a.Silent}, nil
}
