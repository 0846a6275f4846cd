package httpapi

import (
	"net/http"
	"time"

	"gadwall/internal/mailstore"
)

// Login is what the API tells of attempts to log in that were alike.
type Login struct {
	User      string    `json:"user,omitempty" doc:"The id of the user; absent if the name is nobody's."`
	Username  string    `json:"username" doc:"The name that the client gave; empty if it cannot be one."`
	Protocol  string    `json:"protocol" enum:"imap,smtp,http"`
	Mechanism string    `json:"mechanism"`
	Remote    string    `json:"remote,omitempty" doc:"The client's address; several for too many, absent for a Unix socket."`
	By        string    `json:"by,omitempty" doc:"What was shown: password, app password and its name, token and its id."`
	Actor     string    `json:"actor,omitempty" doc:"The master user who logged in as the user."`
	Result    string    `json:"result" enum:"ok,wrong password,no such user,suspended,wrong scope,not allowed,too many"`
	Count     int64     `json:"count" doc:"How many attempts."`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

type loginPage struct {
	Logins []Login `json:"logins"`
	Next   string  `json:"next,omitempty" doc:"There are more: for after."`
}

func shownLogin(e *mailstore.LoginEvent) Login {
	shown := Login{Username: e.Username, Protocol: e.Protocol, Mechanism: e.Mechanism, Remote: e.Remote,
		By: e.By, Actor: e.Actor, Result: string(e.Result), Count: e.Count, First: e.First, Last: e.Last}
	if e.Known() {
		shown.User = e.User.String()
	}
	return shown
}

// authlogRoutes are the routes of the authentication log.
func (s *Server) authlogRoutes() []route {
	page := append(paged(mailstore.MaxPage, "The next of an answer."),
		parameter{name: "result", text: "failed: only failures.", schema: schema{"type": "string",
			"enum": []string{"failed"}}})
	return []route{
		s.route(http.MethodGet, "/authlog", s.listFailedLogins, operation{
			id: "listFailedLogins", summary: "Logins that failed, of all names, the latest first.", tag: "authlog",
			answer: loginPage{}, query: page, failures: []int{http.StatusBadRequest}}),
		s.route(http.MethodGet, "/users/{id}/authlog", s.listLogins, operation{
			id: "listLogins", summary: "Logins of a user, the latest first.", tag: "authlog",
			self: true, answer: loginPage{}, query: page, failures: []int{http.StatusBadRequest, http.StatusNotFound}}),
	}
}

func (s *Server) listFailedLogins(_ http.ResponseWriter, r *http.Request) (any, error) {
	if r.FormValue("result") != "failed" {
		return nil, badField("the log of all users has only result=failed")
	}
	return s.loginPage(r, mailstore.LoginQuery{})
}

func (s *Server) listLogins(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if result := r.FormValue("result"); result != "" && result != "failed" {
		return nil, badField("result must be failed, or absent")
	}
	return s.loginPage(r, mailstore.LoginQuery{User: &user.ID, Failed: r.FormValue("result") == "failed"})
}

func (s *Server) loginPage(r *http.Request, q mailstore.LoginQuery) (any, error) {
	var err error
	if q.Limit, err = pageLimit(r, defaultUsers, mailstore.MaxPage); err != nil {
		return nil, err
	}
	q.After = r.FormValue("after")
	if s.opts.Accounts != nil {
		if err := s.opts.Accounts.Recorded(r.Context()); err != nil {
			return nil, err
		}
	}
	list, next, err := s.opts.Users.LoginPage(r.Context(), q)
	if err != nil {
		return nil, err
	}
	page := loginPage{Logins: make([]Login, len(list)), Next: next}
	for i := range list {
		page.Logins[i] = shownLogin(&list[i])
	}
	return page, nil
}
