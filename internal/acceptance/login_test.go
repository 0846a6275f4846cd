package acceptance

import (
	"path/filepath"
	"strings"
	"testing"

	"gadwall/internal/oidctest"
)

// TestTokenLogins logs in with tokens of a provider, by programs that are not ours: Python's imaplib
// and curl.
func TestTokenLogins(t *testing.T) {
	python, curl := tool(t, "python3"), tool(t, "curl")
	p := oidctest.New(t)
	s := startServer(t, "--oidc-issuer", p.Issuer, "--oidc-client-id", oidctest.ClientID, "--oidc-scope", "mail")
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imaplib_token.py")
	if err != nil {
		t.Fatal(err)
	}
	good := p.Token(testUser, nil)
	// As long as those of providers that put many groups into them.
	long := p.Token(testUser, oidctest.Claims{"groups": strings.Repeat("group of users ", 500)})
	wrong := p.Token(testUser, oidctest.Claims{"aud": "x"})
	for _, token := range []string{good, long} {
		out := command(t, nil, nil, python, script, host, port, testUser, token, wrong)
		if !strings.Contains(out, "imaplib: all good") {
			t.Errorf("imaplib said:\n%s", out)
		}
	}
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
		out := command(t, nil, nil, curl, "-sS", "--user", testUser, "--oauth2-bearer", good,
			"--login-options", "AUTH="+mechanism, "imap://"+s.imap)
		if !strings.Contains(out, "INBOX") {
			t.Errorf("curl with %s said:\n%s", mechanism, out)
		}
	}
	if log := s.logTail(1 << 20); strings.Contains(log, good) || strings.Contains(log, long) {
		t.Error("a token is in the log")
	}
}
