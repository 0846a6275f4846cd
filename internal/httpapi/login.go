package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

const tooManyLogins = "too many logins from your address are waiting"

var errPrivacy = &refusal{http.StatusForbidden, "PrivacyRequired",
	"passwords and tokens of users are taken over TLS, or from the machine itself"}

// loginAs answers a request of a user who shows a password (HTTP Basic, RFC 7617) or a token of a
// provider: with the caller, whose token stands for what the user may do here, or nil if it has answered that
// the client is nobody.
func (s *Server) loginAs(
	w http.ResponseWriter, r *http.Request,
	login func(ctx context.Context, c sasl.Client) (*account.Account, error),
) *caller {
	who, err := login(r.Context(), s.client(r))
	switch {
	case err == nil:
		return &caller{token: tokenFor(who), name: who.Actor(), login: who.Login()}
	case errors.Is(err, sasl.ErrNotOffered):
		fail(w, errPrivacy.status, errPrivacy.code, errPrivacy.text)
	case errors.Is(err, mailstore.ErrSuspended):
		fail(w, http.StatusForbidden, "Suspended", "the user is suspended")
	case errors.Is(err, account.ErrNotAuthorized):
		fail(w, http.StatusForbidden, "Forbidden", "you may not act for this user")
	case errors.Is(err, logins.ErrTooMany):
		w.Header().Set("Retry-After", "15")
		fail(w, http.StatusTooManyRequests, "TooManyLogins", tooManyLogins)
	case errors.Is(err, mailstore.ErrAuthFailed):
		unauthorized(w, r, "the name, password or token is wrong")
	case errors.Is(err, sasl.ErrUnavailable):
		s.log.Warn("a login could not be checked", "request", requestID(w), "error", err)
		w.Header().Set("Retry-After", "15")
		fail(w, http.StatusServiceUnavailable, "LoginUnavailable", "the server cannot check this now; try again")
	case r.Context().Err() != nil: // the client has gone, or waited for its turn for too long
		fail(w, http.StatusServiceUnavailable, "TookTooLong", "the server could not check this in time")
	default:
		s.trouble(w, r, "cannot log a user in", err)
	}
	return nil
}

// tokenFor is what a user may do who has logged in. Only the user's own password opens what would give
// the client more than it has: other passwords and tokens.
func tokenFor(who *account.Account) *mailstore.Token {
	scopes := []string{"mail", "self:read"}
	if who.Login().By == mailstore.ByPassword && who.Actor() == who.Username() {
		scopes = []string{"mail", "self"}
	}
	by := who.Login().By
	if who.Actor() != who.Username() {
		by += " of " + who.Actor()
	}
	return &mailstore.Token{Name: by, User: who.UserID(), Scopes: scopes}
}

// client is who asks, as package sasl wants to know it.
func (s *Server) client(r *http.Request) sasl.Client {
	c := sasl.Client{Address: "unix", Scope: mailstore.ScopeHTTP, TLS: r.TLS != nil, Private: true}
	c.Local = true
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr := at.Addr().Unmap().WithZone("")
		c.Address, c.Addr, c.Local = addr.String(), logins.NetworkOf(addr), addr.IsLoopback()
		c.Private = c.TLS || c.Local && s.opts.PlaintextFrom == nil ||
			slices.ContainsFunc(s.opts.PlaintextFrom, func(n netip.Prefix) bool { return n.Contains(addr) })
	}
	return c
}

// basic returns the name and the password of a request that has them.
func basic(r *http.Request) (username, password string, ok bool) {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	username, password, _ = r.BasicAuth()
	return username, password, true // what is malformed is nobody
}
