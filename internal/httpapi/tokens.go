package httpapi

import (
	"net/http"
	"strings"
	"time"

	"gadwall/internal/mailstore"
)

// Token is what the API tells of a token.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes"`
	User    string    `json:"user,omitempty" doc:"The id of the one user whose mail it opens."`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Used    time.Time `json:"used,omitzero" doc:"The last use, to an hour."`
	Token   string    `json:"token,omitempty" doc:"Only in the answer that makes it."`
}

type tokenList struct {
	Tokens []Token `json:"tokens"`
}

type newToken struct {
	Name    string    `json:"name" required:"true" doc:"What it is for."`
	Scopes  []string  `json:"scopes" required:"true" enum:"all,users,users:read,mail,mail:read,self,self:read,metrics,tokens"`
	User    string    `json:"user" doc:"Id or name of the one user whose mail it opens."`
	Expires time.Time `json:"expires" doc:"Not later than the token that makes it, with which it ends if absent."`
}

func shownToken(t mailstore.Token) Token {
	shown := Token{ID: t.ID, Name: t.Name, Scopes: t.Scopes, Created: t.Created, Expires: t.Expires, Used: t.Used}
	if t.Of(t.User) {
		shown.User = t.User.String()
	}
	return shown
}

func (s *Server) tokenRoutes() []route {
	return []route{
		s.route(http.MethodGet, "/tokens", s.listTokens, operation{
			id: "listTokens", summary: "All tokens, also those whose time is over.", tag: "tokens",
			answer: tokenList{}}),
		s.route(http.MethodPost, "/tokens", s.createToken, operation{
			id: "createToken", summary: "Make a token, which is told this once.", tag: "tokens", body: newToken{},
			status: http.StatusCreated, answer: Token{},
			failures: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}}),
		s.route(http.MethodDelete, "/tokens/{token}", s.revokeToken, operation{
			id: "revokeToken", summary: "Take a token away.", tag: "tokens", status: http.StatusNoContent,
			failures: []int{http.StatusNotFound}}),
	}
}

// areas are the scopes of tags.
var areas = map[string]string{
	"users": "users", "addresses": "users", "app passwords": "users", "domains": "users", "mailboxes": "mail",
	"messages": "mail", "updates": "users", "tokens": "tokens", "server": "metrics", "document": "",
	"operation": "all", "authlog": "users", "user tokens": "users", "sessions": "users", "webhooks": "all",
}

// scope returns the scope that a token needs for the route; "" is any. A route whose tag nobody gave a
// scope needs all of them.
func (r *route) scope() string {
	area, known := areas[r.about.tag]
	if !known {
		return "all"
	}
	if r.method == http.MethodGet && (area == "users" || area == "mail") {
		area += ":read"
	}
	return area
}

// scopeOfUsers returns the scope that a user's token needs for the route, for that user; "" if it may
// not use it.
func (r *route) scopeOfUsers() string {
	switch {
	case !strings.HasPrefix(r.path, "/users/{id}"):
		return ""
	case strings.HasPrefix(r.scope(), "mail"):
		return r.scope()
	case r.about.self && r.method == http.MethodGet:
		return "self:read"
	case r.about.self:
		return "self"
	}
	return ""
}

// mayUse answers why a token may not use a route, or reports that it may. What a user's token may
// see of users Server.anyUser decides.
func mayUse(w http.ResponseWriter, t *mailstore.Token, r *route) bool {
	if t == nil || r.scope() == "" {
		return true
	}
	scope, text := r.scope(), ""
	if t.Of(t.User) {
		if scope = r.scopeOfUsers(); scope == "" {
			text = "users may use this for nobody, themselves included"
		}
	}
	switch {
	case text != "":
	case t.Grants(scope):
		return true
	default:
		text = "this needs the scope " + scope
	}
	fail(w, http.StatusForbidden, "InsufficientScope", text)
	return false
}

func (s *Server) listTokens(_ http.ResponseWriter, r *http.Request) (any, error) {
	tokens, err := s.opts.Users.Tokens(r.Context())
	if err != nil {
		return nil, err
	}
	list := tokenList{make([]Token, len(tokens))}
	for i, t := range tokens {
		list.Tokens[i] = shownToken(t)
	}
	return list, nil
}

func (s *Server) createToken(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newToken
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return s.makeToken(w, r, in)
}

// makeToken makes a token for a client that may make it.
func (s *Server) makeToken(w http.ResponseWriter, r *http.Request, in newToken) (any, error) {
	t := mailstore.Token{Name: in.Name, Scopes: in.Scopes, Expires: in.Expires}
	if err := bound(tokenOf(r.Context()), &t); err != nil {
		return nil, err
	}
	if in.User != "" {
		user, err := s.user(r.Context(), in.User)
		if err != nil {
			return nil, err
		}
		t.User = user.ID
	}
	made, secret, err := s.opts.Users.CreateToken(r.Context(), t)
	if err != nil {
		return nil, err
	}
	s.log.Info("token made", "token", made.ID, "scopes", made.Scopes, "request", requestID(w))
	shown := shownToken(*made)
	shown.Token = secret
	return shown, nil
}

func (s *Server) revokeToken(w http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("token")
	if err := s.opts.Users.RevokeToken(r.Context(), id); err != nil {
		return nil, err
	}
	s.log.Info("token revoked", "token", id, "request", requestID(w))
	return nil, nil
}
