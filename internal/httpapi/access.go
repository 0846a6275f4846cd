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
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

// admit reports whether the client may use routes for operators, or answers that it may not: see
// the package comment.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (who *caller, ok bool) {
	if isReserved(r.Context()) {
		tooMany(w)
		return nil, false
	}
	who = &caller{login: account.Login{Begun: time.Now()}}
	secret := bearer(r)
	username, password, isBasic := basic(r)
	switch {
	case isBasic && s.opts.Authenticator != nil:
		who = s.loginAs(w, r, func(ctx context.Context, c sasl.Client) (*account.Account, error) {
			return s.opts.Authenticator.Password(ctx, c, "Basic", username, password)
		})
		if who == nil {
			return nil, false
		}
	case mailstore.IsToken(secret):
		token, err := s.opts.Users.TokenBySecret(r.Context(), secret)
		if errors.Is(err, mailstore.ErrNoSuchToken) {
			if s.opts.Accounts != nil {
				s.opts.Accounts.WrongToken(s.client(r).Address)
			}
			unauthorized(w, r, "no such token, or its time is over")
			return nil, false
		}
		if err != nil {
			s.trouble(w, r, "cannot look a token up", err)
			return nil, false
		}
		who.token, who.login.Actor, who.login.Credential = token, token.User, token.Credential()
		if s.opts.Accounts != nil && token.Of(token.User) {
			s.opts.Accounts.UsedToken(token, s.client(r).Address)
		}
	case s.isConfigured(secret):
	case secret != "" && s.opts.Authenticator != nil && s.opts.Authenticator.TakesTokens():
		who = s.loginAs(w, r, func(ctx context.Context, c sasl.Client) (*account.Account, error) {
			return s.opts.Authenticator.Bearer(ctx, c, secret)
		})
		if who == nil {
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
	return who, true
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

// caller is who asks.
type caller struct {
	token *mailstore.Token // what the caller may do; nil if that is everything
	name  string           // of the user who logged in, if one did
	login account.Login
}

// callerKey is for the context of requests.
type callerKey struct{}

func withCaller(ctx context.Context, who *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// callerOf returns who asks.
func callerOf(ctx context.Context) caller {
	if who, ok := ctx.Value(callerKey{}).(*caller); ok {
		return *who
	}
	return caller{}
}

// tokenOf returns the token with which a request came; nil if it may do everything.
func tokenOf(ctx context.Context) *mailstore.Token { return callerOf(ctx).token }

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
