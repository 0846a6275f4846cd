package httpapi

import (
	"net/http"
	"time"
)

// newUserToken is a token of the user whom the path names.
type newUserToken struct {
	Name    string    `json:"name" required:"true" doc:"What it is for."`
	Scopes  []string  `json:"scopes" required:"true" enum:"mail,mail:read,self,self:read"`
	Expires time.Time `json:"expires" doc:"Not later than the token that makes it, with which it ends if absent."`
}

// userTokenRoutes are the routes of the tokens of one user.
func (s *Server) userTokenRoutes() []route {
	bad, gone, taken := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	return []route{
		s.route(http.MethodGet, "/users/{id}/tokens", s.listUserTokens, operation{
			id: "listUserTokens", summary: "The tokens of a user.", tag: "user tokens", self: true, answer: tokenList{},
			failures: []int{gone}}),
		s.route(http.MethodPost, "/users/{id}/tokens", s.createUserToken, operation{
			id: "createUserToken", summary: "Make a token of a user, which is told this once.", tag: "user tokens",
			self: true, body: newUserToken{}, status: http.StatusCreated, answer: Token{},
			failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, "/users/{id}/tokens/{token}", s.revokeUserToken, operation{
			id: "revokeUserToken", summary: "Take a token of a user away.", tag: "user tokens", self: true,
			status: http.StatusNoContent, failures: []int{gone}}),
	}
}

func (s *Server) listUserTokens(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	tokens, err := s.opts.Users.TokensOf(r.Context(), user.ID)
	if err != nil {
		return nil, err
	}
	list := tokenList{make([]Token, len(tokens))}
	for i, t := range tokens {
		list.Tokens[i] = shownToken(t)
	}
	return list, nil
}

func (s *Server) createUserToken(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newUserToken
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	return s.makeToken(w, r, newToken{Name: in.Name, Scopes: in.Scopes, User: r.PathValue("id"), Expires: in.Expires})
}

func (s *Server) revokeUserToken(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	id := r.PathValue("token")
	if err := s.opts.Users.RevokeTokenOf(r.Context(), user.ID, id); err != nil {
		return nil, err
	}
	s.log.Info("token revoked", "token", id, "user", user.Username, "request", requestID(w))
	return nil, nil
}
