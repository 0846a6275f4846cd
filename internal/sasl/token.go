package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/bearer"
	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
)

// errScope refuses a token that is good, but not for mail.
var errScope = fmt.Errorf("%w: %w", mailstore.ErrAuthFailed, bearer.ErrScope)

// byToken returns a Verifier for a bearer token.
func (a *Authenticator) byToken(token string) account.Verifier {
	return a.accounts.ByProof(func(ctx context.Context, at *account.Attempt) (username string, err error) {
		at.By = "token of the provider"
		logins.Aside(ctx, func() { username, err = a.tokens.Username(ctx, token) })
		switch {
		case errors.Is(err, bearer.ErrScope):
			return "", errScope
		case errors.Is(err, bearer.ErrInvalid):
			return "", fmt.Errorf("%w: %w", mailstore.ErrAuthFailed, err)
		case err != nil && ctx.Err() == nil:
			return "", fmt.Errorf("%w: bearer token: %w", ErrUnavailable, err)
		}
		return username, err
	})
}

// token ends the exchange with the check of a token. as is whose mail the client wants.
func (x *Exchange) token(as, token string) error {
	return x.login(account.Attempt{As: as, Username: as}, x.authenticator.byToken(token))
}

// isRefusal reports whether an error says that the token is not good for what the client wants.
func isRefusal(err error) bool {
	return errors.Is(err, mailstore.ErrAuthFailed) || errors.Is(err, mailstore.ErrSuspended) ||
		errors.Is(err, account.ErrNotAuthorized)
}

// oauthBearer is OAUTHBEARER (RFC 7628).
type oauthBearer struct{ exchange *Exchange }

func (m *oauthBearer) Next(response []byte) (challenge []byte, done bool, err error) {
	x := m.exchange
	switch {
	case x.refused != nil:
		// RFC 7628 section 3.2.3: the client answers with one octet 0x01, which says nothing.
		return nil, false, x.refused
	case response == nil:
		return []byte{}, false, nil
	}
	as, token, ok := parseOAuthBearer(string(response))
	if !ok {
		return nil, false, malformed("the response is not of OAUTHBEARER")
	}
	err = mailstore.ErrAuthFailed // without a token
	if token != "" {
		err = x.token(as, token)
	}
	if err == nil || !isRefusal(err) {
		return nil, err == nil, err
	}
	x.refused = err
	// RFC 7628 section 3.2.2.
	problem := struct {
		Status    string `json:"status"`
		Scope     string `json:"scope,omitempty"`
		Discovery string `json:"openid-configuration"`
	}{"invalid_token", x.authenticator.tokens.Scope(), x.authenticator.tokens.Discovery()}
	if errors.Is(err, bearer.ErrScope) {
		problem.Status = "insufficient_scope"
	}
	challenge, err = json.Marshal(problem)
	return challenge, false, err
}

// parseOAuthBearer reads the client's message (RFC 7628 section 3.1). The token is empty in that of a
// client which asks where it gets one (RFC 7628 section 4.3).
func parseOAuthBearer(message string) (as, token string, ok bool) {
	header, rest, ok := cutGS2(message)
	if !ok || header.flag == 'p' {
		return "", "", false
	}
	pairs, ok := keyValues(rest)
	if !ok {
		return "", "", false
	}
	auth, ok := pairs["auth"]
	if !ok {
		return "", "", false
	}
	token, ok = bearerToken(auth)
	return header.authzid, token, ok || auth == ""
}

// keyValues reads pairs as both mechanisms have them: KEY=VALUE, each with an octet 0x01 behind it,
// and one more at the end. Keys that the server does not know have no meaning.
func keyValues(text string) (pairs map[string]string, ok bool) {
	text, ok = strings.CutSuffix(text, "\x01\x01")
	if !ok {
		return nil, false
	}
	pairs = make(map[string]string)
	for pair := range strings.SplitSeq(strings.TrimPrefix(text, "\x01"), "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := pairs[key]; !ok || twice || key == "" || len(pairs) >= maxPairs {
			return nil, false
		}
		pairs[key] = value
	}
	return pairs, true
}

// bearerToken returns the token of an Authorization field (RFC 6750 section 2.1).
func bearerToken(field string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(field, " ")
	token = strings.TrimLeft(token, " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// xoauth2 is XOAUTH2, which came before OAUTHBEARER. There is no RFC of it: Google's description is
// what clients follow.
type xoauth2 struct{ exchange *Exchange }

func (m *xoauth2) Next(response []byte) (challenge []byte, done bool, err error) {
	x := m.exchange
	switch {
	case x.refused != nil:
		return nil, false, x.refused // the client's answer says nothing
	case response == nil:
		return []byte{}, false, nil
	}
	pairs, ok := keyValues(string(response))
	token, isBearer := bearerToken(pairs["auth"])
	if !ok || !isBearer || pairs["user"] == "" {
		return nil, false, malformed("the response is not of XOAUTH2")
	}
	err = x.token(pairs["user"], token)
	if err == nil || !isRefusal(err) {
		return nil, err == nil, err
	}
	x.refused = err
	challenge, err = json.Marshal(struct {
		Status  string `json:"status"`
		Schemes string `json:"schemes"`
		Scope   string `json:"scope"`
	}{"401", "bearer", x.authenticator.tokens.Scope()})
	return challenge, false, err
}
