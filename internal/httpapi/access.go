package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// admit reports whether the client may use routes for operators, or answers
// that it may not: see the package comment.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	if isReserved(r.Context()) {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "TooManyConnections",
			"too many connections are open; only /health is answered")
		return false
	}
	if s.opts.Token != "" {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		// Both sides have one length, whatever the client sent: the comparison tells nothing.
		sent := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sent[:], s.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gadwall"`)
			fail(w, http.StatusUnauthorized, "Unauthorized",
				"this needs the header Authorization: Bearer TOKEN")
			return false
		}
	} else if !isLoopbackHost(r.Host) {
		fail(w, http.StatusForbidden, "Forbidden",
			"without a token, only requests to a loopback host name or address are answered")
		return false
	}
	if err := s.crossOrigin.Check(r); err != nil {
		fail(w, http.StatusForbidden, "CrossOrigin", "a page of another origin may not ask this")
		return false
	}
	return true
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
