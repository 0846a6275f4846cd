package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"gadwall/internal/mailstore"
)

// admit reports whether the client may use routes for operators, or answers that it may not: see
// the package comment. token is nil for a client that may do everything.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (token *mailstore.Token, ok bool) {
	if isReserved(r.Context()) {
		tooMany(w)
		return nil, false
	}
	secret := bearer(r)
	switch {
	case mailstore.IsToken(secret):
		var err error
		if token, err = s.opts.Users.TokenBySecret(r.Context(), secret); errors.Is(err, mailstore.ErrNoSuchToken) {
			unauthorized(w, "no such token, or its time is over")
			return nil, false
		} else if err != nil {
			s.trouble(w, r, "cannot look a token up", err)
			return nil, false
		}
	case s.opts.Token != "":
		// Both sides have one length, whatever the client sent: the comparison tells nothing.
		sent := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(sent[:], s.token[:]) != 1 {
			unauthorized(w, "this needs the header Authorization: Bearer TOKEN")
			return nil, false
		}
	case !isLoopbackHost(r.Host):
		fail(w, http.StatusForbidden, "Forbidden",
			"without a token, only requests to a loopback host name or address are answered")
		return nil, false
	}
	if err := s.crossOrigin.Check(r); err != nil {
		fail(w, http.StatusForbidden, "CrossOrigin", "a page of another origin may not ask this")
		return nil, false
	}
	return token, true
}

// tooMany refuses a request over a connection past the limits.
func tooMany(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, "TooManyConnections",
		"too many connections are open; only /health is answered")
}

// bearer returns what a request has as its token (RFC 6750 section 2.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func unauthorized(w http.ResponseWriter, text string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="gadwall"`)
	fail(w, http.StatusUnauthorized, "Unauthorized", text)
}

// tokenKey is for the context of requests that came with a token of the store.
type tokenKey struct{}

func withToken(ctx context.Context, t *mailstore.Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}

// tokenOf returns the token with which a request came; nil if it may do everything.
func tokenOf(ctx context.Context) *mailstore.Token {
	t, _ := ctx.Value(tokenKey{}).(*mailstore.Token)
	return t
}

// isLoopbackHost checks a Host header.
func isLoopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
