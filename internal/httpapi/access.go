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

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

// admit reports whether the client may use routes for operators, or answers that it may not: see
// the package comment. token is nil for a client that may do everything.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (token *mailstore.Token, ok bool) {
	if isReserved(r.Context()) {
		tooMany(w)
		return nil, false
	}
	secret := bearer(r)
	username, password, isBasic := basic(r)
	switch {
	case isBasic && s.opts.Authenticator != nil:
		token = s.loginAs(w, r, func(ctx context.Context, c sasl.Client) (*account.Account, error) {
			return s.opts.Authenticator.Password(ctx, c, "Basic", username, password)
		})
		if token == nil {
			return nil, false
		}
	case mailstore.IsToken(secret):
		var err error
		if token, err = s.opts.Users.TokenBySecret(r.Context(), secret); errors.Is(err, mailstore.ErrNoSuchToken) {
			if s.opts.Accounts != nil {
				s.opts.Accounts.WrongToken(s.client(r).Address)
			}
			unauthorized(w, r, "no such token, or its time is over")
			return nil, false
		} else if err != nil {
			s.trouble(w, r, "cannot look a token up", err)
			return nil, false
		}
		if s.opts.Accounts != nil && token.Of(token.User) {
			s.opts.Accounts.UsedToken(token, s.client(r).Address)
		}
	case s.isConfigured(secret):
	case secret != "" && s.opts.Authenticator != nil && s.opts.Authenticator.TakesTokens():
		token = s.loginAs(w, r, func(ctx context.Context, c sasl.Client) (*account.Account, error) {
			return s.opts.Authenticator.Bearer(ctx, c, secret)
		})
		if token == nil {
			return nil, false
		}
	case s.opts.Token != "" || s.opts.TokenRequired:
		unauthorized(w, r, "this needs a user's name and password, or the header Authorization: Bearer TOKEN")
		return nil, false
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

// isConfigured reports whether this is the configured token.
func (s *Server) isConfigured(secret string) bool {
	// Both sides have one length, whatever the client sent: the comparison tells nothing.
	sent := sha256.Sum256([]byte(secret))
	return s.opts.Token != "" && subtle.ConstantTimeCompare(sent[:], s.token[:]) == 1
}

// bearer returns what a request has as its token (RFC 6750 section 2.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// unauthorized says by what a client may come. Of a browser's script it does not ask a password: the
// browser would show a dialog of its own over the page.
func unauthorized(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Add("WWW-Authenticate", `Bearer realm="gadwall"`)
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode == "" || mode == "navigate" {
		w.Header().Add("WWW-Authenticate", `Basic realm="gadwall", charset="UTF-8"`)
	}
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
